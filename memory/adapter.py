"""The adapter generated from a state: a low-rank update of each target module.

    module(y) += scale * B (V (U^T (A1 y)))

A1 `[R, in]` and B `[out, R]` belong to the generator and are shared by everybody; U and V `[R, r]` are the
person's.

Shapes: R state size, r rank, G people in a batch, N rows (N / G of them per person), T tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class TargetUpdate:
    """The update of one target module.

    Attributes:
        a1: `[R, in]`, float32, shared.
        b: `[out, R]`, float32, shared.
        u: `[R, r]` of one person, or `[G, R, r]` of a batch of people.
        v: the same shape as `u`; None where `u` holds the product U V^T, as training makes it.
        scale: factor of the update.
    """

    a1: Tensor
    b: Tensor
    u: Tensor
    v: Tensor | None
    scale: float

    def __call__(self, y: Tensor) -> Tensor:
        """Return what the module's output gains, `[N, T, out]` in the dtype of its input `y` `[N, T, in]`."""
        queries = y.to(self.a1.dtype) @ self.a1.T  # [N, T, R]
        if self.u.ndim == 3:
            # the rows of one person stand together: one product per person, not per row
            queries = queries.reshape(self.u.shape[0], -1, queries.shape[-1])  # [G, N / G * T, R]
        recalled = queries @ self.u
        if self.v is not None:
            recalled = recalled @ self.v.mT
        return (self.scale * (recalled @ self.b.T)).reshape(*y.shape[:-1], -1).to(y.dtype)


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a person's memory adds to the frozen model: one update per target module."""

    updates: Mapping[str, TargetUpdate]

    def delta(self, target: str) -> Tensor:
        """Return the weight update of `target` before scaling, `[out, in]`: B V U^T A1."""
        update = self.updates[target]
        core = update.u.mT if update.v is None else update.v @ update.u.mT
        return update.b @ core @ update.a1

    def rows(self, person: Tensor) -> "Adapter":
        """Return the adapters of a batch row by row: row n is adapted for `person[n]`, int64 `[N]`."""
        return Adapter({name: replace(up, u=up.u[person]) for name, up in self.updates.items()})

    @torch.no_grad()
    def merge_into(self, network: nn.Module) -> None:
        """Add the adapter to the weights of `network` for good; afterwards it answers so without one.

        Raises:
            ValueError: a target's weights are packed in 4 bit, where nothing can be added exactly.
        """
        modules = {name: network.get_submodule(name) for name in self.updates}
        for name, module in modules.items():
            if not isinstance(module, nn.Linear) or module.weight.shape != self.delta(name).shape:
                raise ValueError(
                    f"{name}: expected a linear module that is not quantised, got {type(module).__name__};"
                    " load the model without quantisation to merge into it"
                )
        for name, module in modules.items():
            weight = module.get_parameter("weight")
            update = self.updates[name].scale * self.delta(name)
            weight.add_(update.to(weight))

    @property
    def num_bytes(self) -> int:
        """Bytes of what is the person's own: U and V of every target."""
        own = [t for u in self.updates.values() for t in (u.u, u.v) if t is not None]
        return sum(t.numel() * t.element_size() for t in own)
