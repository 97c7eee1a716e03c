"""The generator: learned maps from hidden states to a memory state, and from a state to an adapter.

Per target module, h the input of the decoder layer that owns it, or of a later one:

    x = RMSNorm(h)      k_t = A2 x_(t - key_shift)      v_t = A3 x_t      S += sum_t mask_t * k_t^T v_t

With `key_shift` 1 the key comes from the token before, so that the memory is an associative table of what
follows what. More may be added: the token's own part of its key, k_t += A4 x_t; that of its whole chunk,
k_t += A5 sum_s softmax(p x)_s x_s; that of its neighbours in the chunk,
k_t += A6 sum_s softmax(p x - d_t)_s x_s, where d_ts is how far apart they are, |l_t - l_s| with
l = cumsum(softplus(q x + e)); and a weight of each token, mask_t * sigmoid(g x_t + c).

Knows nothing of the language model but the names and sizes of its target modules.
Shapes: N rows, T tokens, D hidden size, R state size. Sources: arXiv 2411.05877; README.md beside this file.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from memory.adapter import Adapter, TargetUpdate
from memory.config import GeneratorConfig, Target
from memory.hub import Missing, local_folder
from memory.normalisation import factors, orthogonalise
from memory.published import is_published, read_published
from memory.state import MemoryState

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FORMAT = "remanence-generator-1"
OPEN = 4.0  # where the gates begin: 0.98 of every token
SHORT = -1.0  # where the lengths of tokens begin: 0.31, so that what is 3 or 4 tokens away counts a third


class GeneratorMismatch(ValueError):
    """A state was made by another generator than the one asked to use it."""


class GeneratorUnavailable(ValueError):
    """The folder does not hold a generator."""


@dataclass(frozen=True, slots=True)
class TokenMaps:
    """What one target makes of the tokens of a chunk.

    Attributes:
        keys, values: `[N, T, R]`.
        gate: log odds that a token counts, `[N, T]`; None where every token counts in full.
    """

    keys: Tensor
    values: Tensor
    gate: Tensor | None

    def sum(self, mask: Tensor) -> Tensor:
        """Return the sum over tokens of k^T v, `[N, R, R]`, under `mask` `[N, T]`."""
        weight = mask if self.gate is None else mask * torch.sigmoid(self.gate)
        return self.keys.mT @ (self.values * weight.unsqueeze(-1))


class TargetMaps(nn.Module):
    """The learned maps of one target: the norm of h, A1, A2, A3 and B; A4, A5, p, A6, q, e, g and c where
    wanted."""

    def __init__(self, target: Target, config: GeneratorConfig) -> None:
        super().__init__()
        state_size = config.state_size
        self.key_shift = config.key_shift
        self.norm = nn.Parameter(torch.ones(target.hidden_size))
        self.a1 = nn.Parameter(torch.randn(state_size, target.in_features) * target.in_features**-0.5)
        self.a2 = nn.Parameter(torch.randn(state_size, target.hidden_size) * target.hidden_size**-0.5)
        self.a3 = nn.Parameter(torch.randn(state_size, target.hidden_size) * target.hidden_size**-0.5)
        # small, not zero: a zero B gives the other maps no gradient
        self.b = nn.Parameter(torch.randn(target.out_features, state_size) * 0.3 * state_size**-0.5)
        # these begin as if they were not there
        self.a4 = nn.Parameter(torch.zeros(state_size, target.hidden_size)) if config.own_key else None
        self.a5 = nn.Parameter(torch.zeros(state_size, target.hidden_size)) if config.chunk_key else None
        self.pooling = nn.Parameter(torch.zeros(target.hidden_size)) if config.chunk_key else None
        self.a6 = nn.Parameter(torch.zeros(state_size, target.hidden_size)) if config.near_key else None
        self.length = nn.Parameter(torch.zeros(target.hidden_size)) if config.near_key else None
        self.length_bias = nn.Parameter(torch.tensor([SHORT])) if config.near_key else None
        self.gate = nn.Parameter(torch.zeros(target.hidden_size)) if config.gate else None
        self.gate_bias = nn.Parameter(torch.tensor([OPEN])) if config.gate else None

    def tokens(self, hidden: Tensor, mask: Tensor) -> TokenMaps:
        """Return what is made of the tokens of `hidden` `[N, T, D]`; chunks are runs of `mask` not 0."""
        x = nn.functional.rms_norm(hidden.float(), self.norm.shape, self.norm, eps=1e-6)
        keys = x @ self.a2.T
        if self.key_shift:
            keys = nn.functional.pad(keys, (0, 0, self.key_shift, 0))[:, : -self.key_shift]
        if self.a4 is not None:
            keys = keys + x @ self.a4.T
        if self.a5 is not None and self.pooling is not None:
            scores, chunks = x @ self.pooling, _chunk_numbers(mask)
            keys = keys + _chunk_means(x, scores, chunks) @ self.a5.T
            if self.a6 is not None and self.length is not None and self.length_bias is not None:
                lengths = nn.functional.softplus(x @ self.length + self.length_bias)
                keys = keys + _near_means(x, scores, lengths, chunks) @ self.a6.T
        gate = None if self.gate is None or self.gate_bias is None else x @ self.gate + self.gate_bias
        return TokenMaps(keys, x @ self.a3.T, gate)


def _chunk_numbers(mask: Tensor) -> Tensor:
    """Return the number of the chunk, from 1, that each token of `mask` `[N, T]` is in; 0 for none.

    A chunk is a run of tokens where `mask` is not 0.
    """
    counts = mask > 0
    begins = counts & ~nn.functional.pad(counts, (1, 0))[:, :-1]
    return begins.cumsum(1) * counts


def _chunk_means(x: Tensor, scores: Tensor, chunks: Tensor) -> Tensor:
    """Return for each token the mean of `x` `[N, T, D]` over its chunk, weighted by exp(`scores`) `[N, T]`.

    `chunks` are as `_chunk_numbers` gives them; for tokens of none it is 0.
    """
    if not chunks.any():
        return torch.zeros_like(x)
    numbers = torch.arange(1, int(chunks.max()) + 1, device=x.device)
    is_in = chunks.unsqueeze(1) == numbers.unsqueeze(1)  # [N, chunks, T]
    # not -inf: a row with fewer chunks than another has empty ones
    weights = scores.unsqueeze(1).masked_fill(~is_in, torch.finfo(scores.dtype).min).softmax(-1)
    return is_in.to(x.dtype).mT @ (weights @ x)


def _near_means(x: Tensor, scores: Tensor, lengths: Tensor, chunks: Tensor) -> Tensor:
    """Return for each token the mean of `x` `[N, T, D]` over its chunk, weighted by exp(`scores` - distance).

    The distance of two tokens is the sum of the `lengths` `[N, T]` from the one to the other. As in
    `_chunk_means` otherwise.
    """
    place = lengths.cumsum(1)
    logits = scores.unsqueeze(1) - (place.unsqueeze(2) - place.unsqueeze(1)).abs()
    is_same = chunks.unsqueeze(2) == chunks.unsqueeze(1)
    weights = logits.masked_fill(~is_same, -torch.inf).softmax(-1)
    return (weights * (chunks > 0).unsqueeze(2)) @ x


class Generator(nn.Module):
    """Reads hidden states into a memory state, and makes the adapter of a state."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.maps = nn.ModuleList(TargetMaps(t, config) for t in config.targets)

    def _pairs(self) -> list[tuple[Target, TargetMaps]]:
        return [
            (t, m) for t, m in zip(self.config.targets, self.maps, strict=True) if isinstance(m, TargetMaps)
        ]

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of config and weights: two generators with the same fingerprint make the same states."""
        digest = hashlib.sha256(json.dumps(asdict(self.config), sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def empty_state(self) -> MemoryState:
        """Return the state of somebody who has said nothing."""
        size = self.config.state_size
        return MemoryState(
            {t.name: torch.zeros(size, size) for t in self.config.targets}, 0, self.fingerprint
        )

    def sums(self, hidden: Mapping[int, Tensor], mask: Tensor) -> dict[str, Tensor]:
        """Return what each row adds to each target's sum, float32 `[N, R, R]`.

        Args:
            hidden: input of each decoder layer, by index, `[N, T, D]`, any float dtype.
            mask: 1 where the token counts, 0 where it is only context, `[N, T]`.
        """
        weight = mask.float()
        return {name: tokens.sum(weight) for name, tokens in self.tokens(hidden, mask).items()}

    def tokens(self, hidden: Mapping[int, Tensor], mask: Tensor) -> dict[str, TokenMaps]:
        """Return what each target whose layer is in `hidden` makes of the tokens, float32; as in `sums`."""
        return {t.name: maps.tokens(hidden[t.layer], mask) for t, maps in self._pairs() if t.layer in hidden}

    def queries(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return each target's queries, float32 `[..., R]`, from the inputs of its module, `[..., in]`."""
        return {t.name: inputs[t.name].float() @ maps.a1.T for t, maps in self._pairs() if t.name in inputs}

    @torch.no_grad()
    def fold(self, state: MemoryState, hidden: Mapping[int, Tensor], mask: Tensor) -> MemoryState:
        """Return `state` with one more chunk read into it; `state` itself is not changed.

        Args:
            state: what was read so far.
            hidden: input of each decoder layer, by index, `[T, D]`, any float dtype.
            mask: True where the token counts, `[T]`.

        Raises:
            GeneratorMismatch: `state` was made by another generator.
        """
        self._check(state)
        device = next(self.parameters()).device
        # context adds nothing, but the key of the first token that counts is made of what stands before it
        counted = mask.nonzero()
        first = max(0, int(counted[0]) - self.config.key_shift) if len(counted) else len(mask)
        chunk = {layer: h[first:].unsqueeze(0).to(device) for layer, h in hidden.items()}
        added = self.sums(chunk, mask[first:].unsqueeze(0).to(device))
        sums = {name: s + added[name][0].to(s.device) for name, s in state.sums.items()}
        return MemoryState(sums, state.num_tokens + int(mask.sum()), state.generator)

    @torch.no_grad()
    def adapter(self, state: MemoryState) -> Adapter:
        """Return the adapter of `state`; the same state gives the same adapter, bit for bit.

        Raises:
            GeneratorMismatch: `state` was made by another generator.
        """
        self._check(state)
        updates = {}
        for target, maps in self._pairs():
            u, v = factors(state.sums[target.name], self.config.normalisation, self.config.rank)
            device = maps.b.device
            updates[target.name] = TargetUpdate(
                maps.a1.detach(), maps.b.detach(), u.to(device), v.to(device), self.config.scale
            )
        return Adapter(updates)

    def training_adapter(self, sums: Mapping[str, Tensor]) -> Adapter:
        """Return the adapters of a batch of people, differentiable, from sums `[G, R, R]` of some targets."""
        return Adapter(
            {
                t.name: TargetUpdate(
                    maps.a1,
                    maps.b,
                    orthogonalise(sums[t.name], self.config.normalisation),
                    None,
                    self.config.scale,
                )
                for t, maps in self._pairs()
                if t.name in sums
            }
        )

    def _check(self, state: MemoryState) -> None:
        if state.generator != self.fingerprint:
            raise GeneratorMismatch(
                f"this memory was made by generator {state.generator}, this is generator {self.fingerprint}"
            )

    def save_pretrained(self, folder: Path | str, dtype: torch.dtype = torch.float32) -> None:
        """Write `config.json` and the weights, as `dtype`, into `folder`."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        weights = {}
        for target, maps in self._pairs():
            for name, tensor in maps.state_dict().items():
                weights[f"{target.name}.{name}"] = tensor.detach().to("cpu", dtype).contiguous()
        save_file(weights, path / WEIGHTS_FILE)
        config = {"format": FORMAT, **asdict(self.config)}
        (path / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, path_or_name: Path | str) -> Self:
        """Return a generator on the CPU, in float32, for inference.

        Args:
            path_or_name: folder or hub name of what `save_pretrained` wrote, or of a checkpoint as the
                paper's authors publish theirs.

        Raises:
            GeneratorUnavailable: there is no generator there, or it is of a kind that is not read.
        """
        try:
            folder = local_folder(path_or_name, ("*.json", "*.safetensors"))
            config, weights = (read_published if is_published(folder) else _read_own)(folder)
            generator = cls(config)
            for target, maps in generator._pairs():
                prefix = f"{target.name}."
                own = {k.removeprefix(prefix): w.float() for k, w in weights.items() if k.startswith(prefix)}
                maps.load_state_dict(own)
        except Missing as exc:
            raise GeneratorUnavailable(str(exc)) from exc
        except (
            OSError,
            KeyError,
            TypeError,
            AttributeError,
            ValueError,
            RuntimeError,
            SafetensorError,
        ) as exc:
            raise GeneratorUnavailable(f"{path_or_name} does not hold a memory generator: {exc}") from exc
        return generator.eval().requires_grad_(False)


def _read_own(folder: Path) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """Return what `save_pretrained` wrote into `folder`."""
    values = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    if values.pop("format", None) != FORMAT:
        raise ValueError(f"its {CONFIG_FILE} has no format {FORMAT}")
    return GeneratorConfig.from_dict(values), load_file(folder / WEIGHTS_FILE)
