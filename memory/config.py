"""All there is to a generator but its weights: what it adapts, how large it is, how it reads.

Shapes: D hidden size, R state size. Sources: arXiv 2411.05877; README.md beside this file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, get_args

from memory.normalisation import Normalisation

Reading = Literal["independent", "sequential"]


@dataclass(frozen=True, slots=True)
class Target:
    """One linear module of the base model that is adapted.

    Attributes:
        name: the module's path in the base model, such as `model.layers.0.self_attn.o_proj`.
        layer: index of the decoder layer whose input is read: the one that owns the module, or a later one,
            which knows more of what was said.
        hidden_size: D, width of that input.
        in_features, out_features: of the module.
    """

    name: str
    layer: int
    hidden_size: int
    in_features: int
    out_features: int


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Everything about a generator but its weights.

    Attributes:
        targets: the modules it adapts.
        state_size: R.
        rank: most directions an adapter may have, at most R.
        scale: factor of the update.
        normalisation: see `memory.normalisation`.
        key_shift: how many tokens before the value its key is taken from, 0 or 1.
        own_key: whether, with a key_shift of 1, the value's own token adds to its key: the token before says
            what it follows, the token itself what it is about.
        chunk_key: whether a mean of the whole chunk, with learned weights, adds to the key of each of its
            tokens: what all of it is about.
        near_key: whether, with a chunk_key, a mean of the chunk's tokens in which nearer ones count more adds
            too: what its own clause is about. How far it is from one token to the next is learned.
        gate: whether each token has a learned weight in the sum, so that empty words are not kept.
        passes: how often a chunk is passed over before it counts, 1 or 2; in the second pass every token has
            seen the whole chunk, also the words that come after it.
        reading: `independent` reads every chunk with the adapter off, so that the state is a plain sum over
            chunks; `sequential` reads it under the adapter of all before it, as the paper's streaming does.
        window_tokens: most tokens that are read at once.
    """

    targets: tuple[Target, ...]
    state_size: int
    rank: int
    scale: float = 1.0
    normalisation: Normalisation = "newton_schulz"
    key_shift: int = 1
    own_key: bool = False
    chunk_key: bool = False
    near_key: bool = False
    gate: bool = False
    passes: Literal[1, 2] = 1
    reading: Reading = "independent"
    window_tokens: int = 256

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("targets: expected at least one, got none")
        if not 1 <= self.rank <= self.state_size:
            raise ValueError(f"rank: expected 1 to the state size {self.state_size}, got {self.rank}")
        if self.normalisation not in get_args(Normalisation):
            raise ValueError(
                f"normalisation: expected one of {get_args(Normalisation)}, got {self.normalisation}"
            )
        if self.key_shift not in (0, 1) or self.passes not in (1, 2):
            raise ValueError(
                f"key_shift, passes: expected 0 or 1, 1 or 2, got {self.key_shift}, {self.passes}"
            )
        if self.near_key and not self.chunk_key:
            raise ValueError("near_key: expected chunk_key with it, got it alone")
        if self.reading not in get_args(Reading):
            raise ValueError(f"reading: expected one of {get_args(Reading)}, got {self.reading}")
        if self.window_tokens < 1:
            raise ValueError(f"window_tokens: expected 1 or more, got {self.window_tokens}")

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Return the config that `asdict` gave; raises TypeError or KeyError for anything else."""
        fields = dict(values)
        targets = fields.pop("targets")
        if not isinstance(targets, list):
            raise TypeError(f"targets: expected a list, got {type(targets).__name__}")
        return cls(targets=tuple(Target(**t) for t in targets), **fields)  # type: ignore[arg-type]
