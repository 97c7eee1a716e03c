"""How full a memory is: what the singular values of its sums say, and what they do not.

Per target, sigma the singular values of S, descending:

* directions in use: how many are not negligible (`NEGLIGIBLE`). An adapter that is not cut has this rank.
* effective rank: exp(-sum p ln p) with p = sigma / sum(sigma), the number of equally strong directions that
  would be as evenly spread (Roy and Vetterli, "The effective rank", EUSIPCO 2007).

Knows nothing of the generator: how much can be recalled is measured by asking, not here.
Shapes: R state size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from memory.normalisation import NEGLIGIBLE
from memory.state import MemoryState

# Share of the directions in use from which on a memory is said to be filling up.
FILLING_UP = 0.9


@dataclass(frozen=True, slots=True)
class Gauge:
    """How full the memory of one target is.

    Attributes:
        name: of the target module.
        state_size: R, the most directions there can be.
        num_directions: directions in use.
        effective_rank: 0 for an empty memory, else 1 to `num_directions`, about; low where few directions
            carry nearly all of it.
        singular_values: all R, descending, relative to the largest; zeros for an empty memory.
    """

    name: str
    state_size: int
    num_directions: int
    effective_rank: float
    singular_values: tuple[float, ...]

    @property
    def fullness(self) -> float:
        """Share of the R directions that are in use, 0 to 1.

        Below 1, something new can still get directions that nothing else has. At 1 it cannot: whatever is
        read from there on is laid over what is there, and each thing gets harder to tell from the others.
        Every token that is unlike the ones before it takes a direction, a fact or not, so R tokens may fill
        a memory.

        It is not a share of what can be remembered. Directions are counted, not facts; recall already
        suffers below 1, where the keys of two things are alike, and does not end at 1. A layer that one
        direction dominates may level off below 1, because all that is weaker by `NEGLIGIBLE` is left out of
        the adapter; compare a layer with itself over time rather than with others.
        """
        return self.num_directions / self.state_size


def measure(state: MemoryState) -> tuple[Gauge, ...]:
    """Return the gauge of every target of `state`, in their order."""
    return tuple(_gauge(name, s) for name, s in state.sums.items())


def _gauge(name: str, sums: Tensor) -> Gauge:
    """Return the gauge of one target's sums, float32 `[R, R]`."""
    sigma = torch.linalg.svdvals(sums)
    largest = float(sigma[0])
    if largest == 0:
        return Gauge(name, len(sigma), 0, 0.0, tuple(sigma.tolist()))
    relative = sigma / largest
    p = (relative / relative.sum()).double()
    # p ln p is 0 where p is
    effective_rank = float(torch.special.entr(p).sum().exp())
    return Gauge(
        name, len(sigma), int((relative > NEGLIGIBLE).sum()), effective_rank, tuple(relative.tolist())
    )
