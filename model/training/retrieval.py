"""A lesson for keys and queries alone: of all tokens read in a batch, find those that a question is about.

The loss of answering teaches that too, but only among the few facts of one person, and through everything
that comes after the recall. Here the first word of every value in a reply picks the token where it was told,
and that of every quotation any token of its message, among the tokens of all people (InfoNCE, van den Oord et
al., arXiv 1807.03748, with the other people of the batch as negatives, as dense retrieval trains, Karpukhin
et al., arXiv 2004.04906), at each target by itself, so that the lower targets learn it as well.

A key and a query are compared as the normalised state compares them: it evens out the strength of all
directions, so both are first multiplied by the fourth root of the inverse of the keys' second moment.

Shapes: K keys, Q queries, R state size, N rows, T tokens.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from memory.generator import Generator, TokenMaps
from model.training.rows import Rows

SHARPNESS = 16.0  # of the softmax over cosines
RIDGE = 1e-5  # of the trace of the second moment


@contextmanager
def caught_inputs(network: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Within the block, a mapping that holds the last input of each of the modules, by name."""
    caught: dict[str, Tensor] = {}

    def catching(name: str) -> None:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            caught[name] = inputs[0]

        handles.append(network.get_submodule(name).register_forward_pre_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name in names:
            catching(name)
        yield caught
    finally:
        for handle in handles:
            handle.remove()


def retrieval_loss(
    keys: Mapping[str, Tensor], queries: Mapping[str, Tensor], is_meant: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the sum of the losses of the queries that have a key, and their number.

    Args:
        keys: of each target, `[K, R]`.
        queries: of each target, `[Q, R]`.
        is_meant: whether the key is of a token that the query is for, bool `[Q, K]`.
    """
    has_key = is_meant.any(1)
    meant = is_meant[has_key]
    losses = []
    for name, of_target in keys.items():
        root = _evening_out(of_target)
        cosines = (
            functional.normalize(queries[name][has_key] @ root, dim=-1)
            @ functional.normalize(of_target @ root, dim=-1).T
        )
        scores = SHARPNESS * cosines
        losses.append((scores.logsumexp(1) - scores.masked_fill(~meant, -torch.inf).logsumexp(1)).sum())
    return torch.stack(losses).mean(), has_key.sum()


@torch.no_grad()
def _evening_out(keys: Tensor) -> Tensor:
    """Return the fourth root of the inverse of the second moment of `keys` `[K, R]`, `[R, R]`."""
    moment = (keys.T @ keys).double() / max(1, len(keys))
    strengths, directions = torch.linalg.eigh(moment)
    strengths = strengths.clamp_min(0.0) + RIDGE * strengths.sum().clamp_min(1e-12)
    root: Tensor = (directions * strengths.pow(-0.25)) @ directions.T
    return root.to(keys.dtype)


def first_sought(rows: Rows) -> Tensor:
    """Return which tokens of replies are the first of what is to be found in the memory, bool `[N, T]`."""
    is_first = rows.place > 0
    is_first[:, 1:] &= rows.place[:, :-1] == 0
    is_first[:, 0] = False
    return is_first


class Places:
    """The keys of all that a batch read, and the queries of the first words of values and quotations."""

    def __init__(self) -> None:
        self._keys: list[dict[str, Tensor]] = []
        self._queries: list[dict[str, Tensor]] = []
        self._read: list[Tensor] = []
        self._messages: list[Tensor] = []
        self._sought: list[Tensor] = []

    def add_keys(self, tokens: Mapping[str, TokenMaps], rows: Rows) -> None:
        """Add the tokens of `rows` that are read, with their keys."""
        counts = rows.weight > 0
        self._keys.append({name: of_target.keys[counts] for name, of_target in tokens.items()})
        self._read.append(rows.place[counts])
        self._messages.append(rows.message[counts])

    def add_queries(self, generator: Generator, inputs: Mapping[str, Tensor], rows: Rows) -> None:
        """Add what is to be found for `rows`, asked for one token earlier; `inputs` `[N, T, in]`."""
        is_first = first_sought(rows)
        asking = is_first.roll(-1, dims=1)
        self._queries.append(generator.queries({name: x[asking] for name, x in inputs.items()}))
        self._sought.append(rows.place[is_first])

    def loss(self) -> tuple[Tensor, Tensor]:
        """Return the sum of the retrieval losses, and the number of queries that had a key."""
        keys = {name: torch.cat([k[name] for k in self._keys]) for name in self._keys[0]}
        queries = {name: torch.cat([q[name] for q in self._queries]) for name in keys}
        return retrieval_loss(keys, queries, self.is_meant())

    def is_meant(self) -> Tensor:
        """Return which of the tokens read, K, are what the queries, Q, are for, bool `[Q, K]`."""
        sought = torch.cat(self._sought)[:, None]
        return (sought == torch.cat(self._read)) | (sought == torch.cat(self._messages))
