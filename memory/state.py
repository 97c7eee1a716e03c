"""A person's memory as a value: sums of fixed size, and the bytes they are kept as.

Shapes: `[R, R]` per target, R the state size of the generator. The size does not depend on how much was read.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

FORMAT = "remanence-state-1"


class DamagedState(ValueError):
    """The bytes are not a memory state that this version wrote."""


@dataclass(frozen=True, slots=True)
class MemoryState:
    """What has been read so far.

    Attributes:
        sums: float32 `[R, R]` per target module, the sum of key-value outer products.
        num_tokens: how many tokens count in the sums.
        generator: fingerprint of the generator whose maps made them; another generator cannot use them.
    """

    sums: Mapping[str, Tensor]
    num_tokens: int
    generator: str

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex: equal digests are equal memories."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def without(self, part: "MemoryState") -> "MemoryState":
        """Return what is left when `part` is taken out, to within the rounding of float32 sums.

        Only where chunks are read independently is a chunk's part what reading it alone makes.

        Args:
            part: what was read of some chunks alone, into an empty state of the same generator.

        Raises:
            ValueError: `part` was made by another generator.
        """
        if part.generator != self.generator:
            raise ValueError(f"part: expected one of generator {self.generator}, got {part.generator}")
        sums = {name: s - part.sums[name] for name, s in self.sums.items()}
        return MemoryState(sums, self.num_tokens - part.num_tokens, self.generator)

    def to_bytes(self) -> bytes:
        """Return the state as one safetensors file; equal states give equal bytes."""
        about = {"format": FORMAT, "num_tokens": self.num_tokens, "generator": self.generator}
        # one metadata key, since the order of several is not fixed
        return save(dict(self.sums), metadata={"remanence": json.dumps(about, sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "MemoryState":
        """Return the state that `to_bytes` wrote.

        Raises:
            DamagedState: `data` is cut short, altered, or something else.
        """
        try:
            header_length = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + header_length])
            about = json.loads(header["__metadata__"]["remanence"])
            sums = dict(sorted(load(data).items()))  # the library gives them in no order
            if about["format"] != FORMAT:
                raise DamagedState(f"expected a memory state of format {FORMAT}, got {about['format']}")
            state = cls(sums, int(about["num_tokens"]), str(about["generator"]))
        except (SafetensorError, KeyError, TypeError, ValueError, OverflowError) as exc:
            raise DamagedState(f"these {len(data)} bytes are not a memory state: {exc}") from exc
        if not all(
            s.dtype == torch.float32 and s.ndim == 2 and bool(s.isfinite().all()) for s in sums.values()
        ):
            raise DamagedState("a memory state holds float32 matrices of finite numbers, these are not")
        return state
