"""A lesson for the gates alone: which of the tokens read are worth keeping.

A state of R directions holds about R tokens apart, and a chat of fifteen facts has more. Which of them will
be asked for is known where people are made up: those of the values they tell. The gates are taught that
directly (binary cross-entropy); the loss of answering alone leaves them nearly all open. A token that may be
in a value is kept rather than lost: a missed value weighs more than a word too many.

Shapes: N rows, T tokens.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from memory.generator import TokenMaps
from model.training.episodes import Rows

MISSED = 4.0  # weight of a value's token, that of another being 1


def salience_loss(tokens: Mapping[str, TokenMaps], rows: Rows, num_made_up: int) -> tuple[Tensor, Tensor]:
    """Return the sum of the losses of the gates over the tokens that are read, and the number of tokens.

    Args:
        tokens: of each target, made of `rows`.
        num_made_up: how many people, the first, have values that are known; the rows of others teach nothing.
    """
    taught = (rows.weight > 0) & (rows.person < num_made_up)[:, None]
    is_value = rows.is_value[taught].float()
    losses = [
        functional.binary_cross_entropy_with_logits(
            of_target.gate[taught], is_value, pos_weight=is_value.new_tensor(MISSED), reduction="sum"
        )
        for of_target in tokens.values()
        if of_target.gate is not None
    ]
    return torch.stack(losses).mean() if losses else is_value.sum() * 0.0, taught.sum()
