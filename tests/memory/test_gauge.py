"""How full a memory is said to be, against states whose singular values are known."""

import math

import pytest
import torch
from torch import Tensor

from memory.gauge import Gauge, measure
from memory.normalisation import NEGLIGIBLE, factors
from memory.state import MemoryState

SIZE = 24


def gauge_of(sums: Tensor) -> Gauge:
    [gauge] = measure(MemoryState({"o_proj": sums}, num_tokens=0, generator="abc"))
    return gauge


def with_singular_values(values: Tensor) -> Tensor:
    """A matrix with these singular values, in directions of no particular kind."""
    random = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(len(values), len(values), generator=random))[0] for _ in range(2))
    return u @ values.diag() @ v.T


def test_an_empty_memory_is_at_nought() -> None:
    gauge = gauge_of(torch.zeros(SIZE, SIZE))
    assert (gauge.num_directions, gauge.effective_rank, gauge.fullness) == (0, 0.0, 0.0)
    assert gauge.singular_values == (0.0,) * SIZE


def test_equally_strong_directions_all_count_in_full() -> None:
    """However large or small the sums are."""
    for size in (1e-6, 1.0, 1e6):
        gauge = gauge_of(size * torch.eye(SIZE))
        assert (gauge.num_directions, gauge.fullness) == (SIZE, 1.0)
        assert gauge.effective_rank == pytest.approx(SIZE)
        assert gauge.singular_values == (1.0,) * SIZE


@pytest.mark.parametrize("num_tokens", [1, 7, 23])
def test_a_memory_of_a_few_tokens_has_a_direction_for_each(num_tokens: int) -> None:
    """And as many as the adapter that is made of it."""
    random = torch.Generator().manual_seed(num_tokens)
    keys, values = (torch.randn(num_tokens, SIZE, generator=random) for _ in range(2))
    gauge = gauge_of(keys.T @ values)
    u, _ = factors(keys.T @ values, "svd", SIZE)
    assert gauge.num_directions == num_tokens == u.shape[1]
    assert gauge.fullness == num_tokens / SIZE
    assert 1 <= gauge.effective_rank <= num_tokens + 1e-4


def test_the_effective_rank_is_that_of_roy_and_vetterli() -> None:
    """Against their formula written out, term by term, for singular values that were chosen."""
    chosen = 3.0 * 0.5 ** torch.arange(SIZE)
    total = sum(chosen.tolist())
    entropy = -sum(s / total * math.log(s / total) for s in chosen.tolist())
    gauge = gauge_of(with_singular_values(chosen))
    assert gauge.effective_rank == pytest.approx(math.exp(entropy), rel=1e-4)
    assert gauge.singular_values[:6] == pytest.approx([1, 0.5, 0.25, 0.125, 0.0625, 0.03125], rel=1e-4)


def test_what_is_negligible_beside_the_largest_is_not_in_use() -> None:
    """The same bound as of an adapter."""
    values = torch.cat(
        [torch.ones(1), torch.full((3,), 10 * NEGLIGIBLE), torch.full((20,), 0.1 * NEGLIGIBLE)]
    )
    gauge = gauge_of(with_singular_values(values))
    assert gauge.num_directions == 4
    assert gauge.effective_rank == pytest.approx(1, abs=0.01)


def test_every_target_has_a_gauge_of_its_own() -> None:
    sums = {"one": torch.eye(3), "two": torch.zeros(5, 5)}
    gauges = measure(MemoryState(sums, num_tokens=3, generator="abc"))
    assert [(g.name, g.state_size, g.num_directions) for g in gauges] == [("one", 3, 3), ("two", 5, 0)]
