"""Normalisation against a slow reference: the polynomial in plain Python, number by number."""

import pytest
import torch
from torch import Tensor

from memory.normalisation import QUINTIC, QUINTIC_STEPS, Normalisation, factors, orthogonalise, spectrum

ALL: list[Normalisation] = ["frobenius", "newton_schulz", "svd"]


def state_of(num_tokens: int, size: int, seed: int = 0) -> Tensor:
    """A sum of `num_tokens` random outer products, `[size, size]`."""
    random = torch.Generator().manual_seed(seed)
    keys, values = torch.randn(2, num_tokens, size, generator=random)
    return keys.T @ values


def polynomial(value: float) -> float:
    """The quintic, step by step, on one number."""
    a, b, c = QUINTIC
    for _ in range(QUINTIC_STEPS):
        value = a * value + b * value**3 + c * value**5
    return value


@pytest.mark.parametrize("size", [1, 7, 63])
def test_newton_schulz_weighs_every_singular_value_by_the_polynomial(size: int) -> None:
    s = torch.linalg.svdvals(state_of(2 * size, size).double()).float()
    norm = s.square().sum().sqrt().item()
    expected = [polynomial(v / norm) for v in s.tolist()]
    torch.testing.assert_close(spectrum(s, "newton_schulz"), torch.tensor(expected), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("normalisation", ["frobenius", "newton_schulz"])
@pytest.mark.parametrize("size", [1, 7, 63])
def test_the_factors_of_an_adapter_are_the_matrix_that_training_uses(
    size: int, normalisation: Normalisation
) -> None:
    state = state_of(3 * size, size)
    u, v = factors(state, normalisation, rank=size)
    torch.testing.assert_close(u @ v.T, orthogonalise(state, normalisation), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("normalisation", ALL)
def test_a_state_of_few_tokens_has_only_the_directions_that_they_span(normalisation: Normalisation) -> None:
    state = state_of(num_tokens=3, size=63)
    u, v = factors(state, normalisation, rank=63)
    assert u.shape == v.shape == (63, 3)
    outside = torch.linalg.svd(state)[2][3:]  # directions on the value side that no token has
    assert (outside @ v).abs().max() < 1e-4


@pytest.mark.parametrize("normalisation", ALL)
def test_an_empty_state_has_no_direction(normalisation: Normalisation) -> None:
    u, v = factors(torch.zeros(7, 7), normalisation, rank=7)
    assert u.shape == v.shape == (7, 0)


@pytest.mark.parametrize("normalisation", ALL)
def test_the_same_state_gives_the_same_factors_to_the_last_bit(normalisation: Normalisation) -> None:
    state = state_of(40, 63)
    first, second = factors(state, normalisation, 16), factors(state.clone(), normalisation, 16)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_svd_gives_every_real_direction_the_weight_one() -> None:
    u, v = factors(state_of(30, 63), "svd", rank=63)
    torch.testing.assert_close(torch.linalg.svdvals(u @ v.T)[:30], torch.ones(30), rtol=1e-4, atol=1e-4)


def test_a_smaller_rank_keeps_the_strongest_directions() -> None:
    state = state_of(50, 63)
    (u, v), (u_all, v_all) = factors(state, "svd", rank=5), factors(state, "svd", rank=63)
    assert torch.equal(u, u_all[:, :5])
    assert torch.equal(v, v_all[:, :5])


def test_the_gradient_is_finite_where_singular_values_meet() -> None:
    state = torch.eye(7).requires_grad_()
    orthogonalise(state, "newton_schulz").square().sum().backward()
    assert state.grad is not None
    assert bool(state.grad.isfinite().all())


def test_the_gradient_is_finite_for_an_empty_state() -> None:
    state = torch.zeros(7, 7, requires_grad=True)
    orthogonalise(state, "newton_schulz").sum().backward()
    assert state.grad is not None
    assert bool(state.grad.isfinite().all())


def test_training_with_svd_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a normalisation with a stable gradient"):
        orthogonalise(torch.eye(7), "svd")
