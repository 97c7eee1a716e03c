"""Streaming an answer, one token at a time.

The model's lock is taken once per token, never between tokens: people are served in turn, and an iterator
that nobody reads any more blocks nobody.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from memory.adapter import Adapter
from model.application import applied
from model.base import BaseModel


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the likeliest token; higher is more varied.
        top_p: only the likeliest tokens that together have this probability are drawn from, 0 < top_p <= 1.
        max_new_tokens: where an answer is cut.
        seed: makes the draws repeatable.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 128
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature: expected 0 or more, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected more than 0 and at most 1, got {self.top_p}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens: expected 1 or more, got {self.max_new_tokens}")


def stream(
    lm: BaseModel,
    token_ids: Sequence[int],
    adapter: Adapter | None,
    sampling: Sampling,
    stop: threading.Event | None = None,
) -> Iterator[str]:
    """Yield the answer to a prompt as pieces of text, until the model ends it, `stop` is set, or the limit
    is reached.

    Args:
        token_ids: the prompt, ending where the reply begins.
        adapter: the person's memory; None is the model as it is.
    """
    num_shown = 0
    for _, text in _steps(lm, token_ids, adapter, sampling, stop):
        if len(text) > num_shown:
            yield text[num_shown:]
            num_shown = len(text)


def answer(
    lm: BaseModel, token_ids: Sequence[int], adapter: Adapter | None, sampling: Sampling
) -> tuple[list[int], str]:
    """Return the whole answer to a prompt, as the tokens that the model chose, with what ended it, and as
    text.

    Args: as of `stream`.
    """
    *_, (new, text) = _steps(lm, token_ids, adapter, sampling, stop=None)
    return new, text


def _steps(
    lm: BaseModel,
    token_ids: Sequence[int],
    adapter: Adapter | None,
    sampling: Sampling,
    stop: threading.Event | None,
) -> Iterator[tuple[list[int], str]]:
    """Yield, after every new token, the answer so far: its tokens, with what ended it, and its text."""
    random = torch.Generator(device="cpu")
    if sampling.seed is not None:
        random.manual_seed(sampling.seed)
    else:
        random.seed()
    ends = _end_ids(lm)
    cache = DynamicCache(config=lm.network.config)
    new: list[int] = []
    shown = ""
    is_over = False
    step = torch.tensor([list(token_ids)], device=lm.device)
    while not is_over and len(new) < sampling.max_new_tokens and not (stop and stop.is_set()):
        with torch.inference_mode(), lm.lock, applied(lm.network, adapter):
            logits = lm.network(
                input_ids=step, past_key_values=cache, use_cache=True, logits_to_keep=1
            ).logits[0, -1]
        token = _choose(logits.float().cpu(), sampling, random)
        new.append(token)
        step = torch.tensor([[token]], device=lm.device)
        is_end = token in ends
        text = lm.tokenizer.decode(new[:-1] if is_end else new, skip_special_tokens=True).lstrip()
        text, is_over = _before(text, lm.plain_markers)
        is_over = is_over or is_end
        # the bytes of one character can be several tokens: wait until it is whole
        if len(text) > len(shown) and not text.endswith("\ufffd"):
            shown = text
        yield new, shown


def _before(text: str, markers: Sequence[str]) -> tuple[str, bool]:
    """Return `text` up to the first marker, or up to what may become one, and whether one was there."""
    for marker in markers:
        if marker in text:
            return text[: text.index(marker)], True
    for length in range(max(map(len, markers), default=0) - 1, 0, -1):
        if any(text.endswith(marker[:length]) for marker in markers if len(marker) > length):
            return text[:-length], False
    return text, False


def _choose(logits: Tensor, sampling: Sampling, random: torch.Generator) -> int:
    """Return the next token from its logits `[V]`."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    ordered, index = probabilities.sort(descending=True)
    # the token that crosses top_p still counts, so that at least one is left
    ordered[(ordered.cumsum(0) - ordered) >= sampling.top_p] = 0.0
    return int(index[torch.multinomial(ordered, 1, generator=random)])


def _end_ids(lm: BaseModel) -> set[int]:
    configured = lm.network.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return {i for i in (*ids, lm.tokenizer.eos_token_id) if i is not None}
