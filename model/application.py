"""Putting an adapter on the forward passes of a model, and taking it off for certain."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from memory.adapter import Adapter, TargetUpdate


@contextmanager
def applied(network: nn.Module, adapter: Adapter | None) -> Iterator[None]:
    """Within the block every forward pass of `network` is adapted; after it none is, whatever happened
    inside.

    `None` is the model as it is, to the last bit. Not for two threads at once on one network: the caller
    holds a lock.
    """
    handles = []
    try:
        if adapter is not None:
            for name, update in adapter.updates.items():
                handles.append(network.get_submodule(name).register_forward_hook(_adding(update)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adding(update: TargetUpdate) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + update(inputs[0])

    return hook
