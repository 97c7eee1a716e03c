"""A lesson for the gates alone: which of the tokens read are worth keeping.

A state of R directions holds about R tokens apart, and a chat of fifteen facts has more. Which of them will
be asked for is known where people are made up: the words that tell the values. The gates are taught that
directly (binary cross-entropy); the loss of answering alone leaves them nearly all open. A token that may
tell something is kept rather than lost: what is missed weighs more than a word too many.

Shapes: N rows, T tokens.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from memory.generator import TokenMaps
from model.training.rows import Mark, Rows

MISSED = 4.0  # weight of a token that tells something, that of another being 1


def salience_loss(
    tokens: Mapping[str, TokenMaps], rows: Rows, num_made_up: int, beginnings: str | None = None
) -> tuple[Tensor, Tensor]:
    """Return the sum of the losses of the gates over the tokens that are read, and the number of tokens.

    Args:
        tokens: of each target, made of `rows`.
        num_made_up: how many people, the first, tell what is known; the rows of others teach nothing.
        beginnings: the target that keeps the first tokens of values only, as all tokens of a message have
            one key there.
    """
    taught = (rows.weight > 0) & (rows.person < num_made_up)[:, None]
    losses = []
    for name, of_target in tokens.items():
        if of_target.gate is not None:
            least = Mark.VALUE if name == beginnings else Mark.WORD
            is_kept = (rows.mark >= least)[taught].float()
            losses.append(
                functional.binary_cross_entropy_with_logits(
                    of_target.gate[taught], is_kept, pos_weight=is_kept.new_tensor(MISSED), reduction="sum"
                )
            )
    return torch.stack(losses).mean() if losses else rows.weight.sum() * 0.0, taught.sum()
