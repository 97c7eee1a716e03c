"""Muon: momentum whose direction is orthogonalised before each step.

For the matrices inside a network; embeddings and vectors go to AdamW. Written here because the one in torch
computes in bfloat16, which some CPUs announce and forbid, and because the orthogonalisation is the memory's
own.
Source: Jordan et al. 2024, with the update scaled to the size of AdamW's (Liu et al., arXiv 2502.16982).
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from memory.normalisation import orthogonalise


class Muon(torch.optim.Optimizer):
    """Optimiser for matrices `[m, n]`; those of one shape are orthogonalised in one product."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step along the orthogonalised momentum of every matrix that has a gradient.

        Args:
            closure: None; schedulers and accelerate pass it on.
        """
        for group in self.param_groups:
            shaped: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shaped[parameter.shape].append(parameter)
            for shape, parameters in shaped.items():
                directions = torch.stack([self._direction(p, group["momentum"]) for p in parameters])
                wide = directions if shape[0] <= shape[1] else directions.mT
                update = orthogonalise(wide, "newton_schulz")
                update = update if shape[0] <= shape[1] else update.mT
                size = 0.2 * max(shape) ** 0.5  # the root mean square of an AdamW step
                for parameter, own in zip(parameters, update, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(own, alpha=-group["lr"] * size)

    def _direction(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        gradient = parameter.grad
        assert gradient is not None
        state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum"], momentum)
