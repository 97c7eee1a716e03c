"""From a sum of outer products to directions of (nearly) equal strength.

A sum is dominated by what was said often. Normalising its singular values lets a fact that was said once be
found as well as one that was said ten times. Three ways, all deterministic, each known by what it does to a
singular value:

* `frobenius`: only the size of the whole is set; the proportions stay.
* `newton_schulz`: an odd polynomial, applied five times, that lifts small singular values and holds large
ones near 1.
  As products of matrices (`orthogonalise`) it is fast and has a gradient everywhere: training uses it.
* `svd`: exactly 1 for every direction that is not negligible, 0 for the rest.

Every one maps 0 to 0, so a state of a few tokens has only the directions that those tokens span, and an
empty one none.

Shapes: R is the state size, r the adapter's rank, `...` any batch.
Sources: the quintic coefficients are those of the Muon optimiser (Jordan et al., 2024); the SVD variant is
the paper's (arXiv 2411.05877), made deterministic and without its weight on directions that do not exist.
"""

import math
from typing import Literal

import torch
from torch import Tensor

Normalisation = Literal["frobenius", "newton_schulz", "svd"]

QUINTIC = (3.4445, -4.7750, 2.0315)
QUINTIC_STEPS = 5
NEGLIGIBLE = 1e-5  # of the largest singular value: float32 noise of a sum of a few thousand tokens
TINY = 1e-12  # keeps 0 / 0 out, far below the square of any real sum


def spectrum(singular_values: Tensor, normalisation: Normalisation) -> Tensor:
    """Return the weight of each direction, `[..., R]`, from the singular values, descending `[..., R]`."""
    norm = (singular_values.square().sum(-1, keepdim=True) + TINY).sqrt()
    is_real = singular_values > NEGLIGIBLE * singular_values[..., :1]
    match normalisation:
        case "frobenius":
            weights = singular_values / norm * singular_values.shape[-1] ** 0.5
        case "newton_schulz":
            weights = singular_values / norm
            a, b, c = QUINTIC
            for _ in range(QUINTIC_STEPS):
                weights = a * weights + b * weights**3 + c * weights**5
        case "svd":
            weights = torch.ones_like(singular_values)
    return torch.where(is_real, weights, torch.zeros_like(weights))


def factors(state: Tensor, normalisation: Normalisation, rank: int) -> tuple[Tensor, Tensor]:
    """Return U and V, float32 `[R, r]`, so that U V^T is the normalised `state` `[R, R]` cut to rank r.

    The same state gives the same factors, bit for bit, on one machine. r is `rank` or the
    number of directions that are not negligible, whichever is smaller; 0 for an empty state.
    """
    u, s, vt = torch.linalg.svd(state.float(), full_matrices=False)
    weights = spectrum(s, normalisation)[:rank]
    kept = int((weights != 0).sum())
    return (u[:, :kept] * weights[:kept]).contiguous(), vt[:kept].T.contiguous()


def orthogonalise(state: Tensor, normalisation: Normalisation) -> Tensor:
    """Return the normalised state, `[..., R, R]`, differentiably: at full rank the U V^T of `factors`.

    Raises:
        ValueError: `normalisation` is "svd", whose gradient is unbounded where singular values meet.
    """
    if normalisation == "svd":
        raise ValueError(
            "expected a normalisation with a stable gradient (newton_schulz or frobenius), got svd"
        )
    norm = (state.square().sum((-2, -1), keepdim=True) + TINY).sqrt()
    x: Tensor = state / norm
    if normalisation == "frobenius":
        return x * math.sqrt(state.shape[-1])
    a, b, c = QUINTIC
    for _ in range(QUINTIC_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
