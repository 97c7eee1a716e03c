"""Turns as tokens: the prompt of an answer, and the chunk that is read into memory.

Both use the tokenizer's own chat template, so that what is read looks like what the model was trained on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from memory.config import GeneratorConfig
from memory.generator import Generator
from memory.state import MemoryState
from model.base import BaseModel

READ_CONTEXT_TOKENS = 128
READ_CONTEXT_TURNS = 6
REPLY_RESERVE_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Exchange:
    """One finished turn: what the person said, and the reply."""

    user: str
    assistant: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turn as chat templates and files have it."""
        return [{"role": "user", "content": self.user}, {"role": "assistant", "content": self.assistant}]


# stand where it matters only that something was said
OTHER = Exchange("0", "0")
STAND_INS: list[tuple[list[Exchange], str | None]] = [([], "0"), ([OTHER], None), ([OTHER], "0")]


def prompt_ids(
    lm: BaseModel, window: Sequence[Exchange], text: str, max_window_tokens: int | None
) -> list[int]:
    """Return the tokens of a prompt: the newest exchanges that fit, the person's message, and the opening of
    the reply.

    Args:
        window: the running session before this message, oldest first.
        text: the message.
        max_window_tokens: most tokens the older exchanges may take, whole exchanges only; None is as many
            as suit the model.

    The prompt never exceeds what the model can hold: of a longer message only the end is in it.
    """
    most = lm.window_tokens if max_window_tokens is None else max_window_tokens
    message = _template_ids(lm, [], text)
    room = max(lm.context_tokens // 2, lm.context_tokens - REPLY_RESERVE_TOKENS)
    best = message
    for start in range(len(window) - 1, -1, -1):
        ids = _template_ids(lm, window[start:], text)
        if len(ids) - len(message) > most or len(ids) > room:
            break
        best = ids
    return best[-room:]


def count_tokens(lm: BaseModel, exchanges: Sequence[Exchange]) -> int:
    """Return how many tokens finished exchanges take in a prompt, each as it stands after another one."""
    before, *told = _ids_of_each(lm, [([OTHER], "0"), *(([OTHER, e], "0") for e in exchanges)])
    return sum(len(ids) - len(before) for ids in told)


def message_ids(lm: BaseModel, window: Sequence[Exchange], text: str) -> tuple[list[int], list[int]]:
    """Return the tokens before a message of the person, of as much of `window` as fits, and the message's,
    cut to what the model can hold."""
    return _after(lm, window, [], text)


def session_ids(
    lm: BaseModel, window: Sequence[Exchange], session: Sequence[Exchange]
) -> tuple[list[int], list[int]]:
    """Return the tokens before a session, of as much of `window` as fits, and the session's; cut likewise."""
    return _after(lm, window, session, None)


def _after(
    lm: BaseModel, window: Sequence[Exchange], session: Sequence[Exchange], text: str | None
) -> tuple[list[int], list[int]]:
    message = _message_length(*_ids_of_each(lm, STAND_INS))
    for start in range(len(window) + 1):
        told = window[start:]
        waiting, ids = _ids_of_each(lm, [(told, "0"), ([*told, *session], text)])
        before = max(0, len(waiting) - message)
        if len(ids) <= lm.context_tokens:
            break
    return ids[:before], ids[before : lm.context_tokens]


@dataclass(frozen=True, slots=True)
class TurnTokens:
    """A finished turn as tokens, as it stands after another one.

    Attributes:
        preamble: what the template puts before a conversation, the same for all turns.
        message: what the person said, with the markers around it.
        reply: likewise.
    """

    preamble: list[int]
    message: list[int]
    reply: list[int]


def turn_tokens(lm: BaseModel, exchange: Exchange) -> TurnTokens:
    """Return the tokens of `exchange`."""
    # with a message after the reply: some templates write the last reply in another way than those before
    first, last, later, said, replied = _ids_of_each(
        lm, [*STAND_INS, ([OTHER], exchange.user), ([OTHER, exchange], "0")]
    )
    message = _message_length(first, last, later)
    # what the first message takes beyond what it takes later on, a beginning of sequence or a system prompt,
    # is nothing that the person said
    preamble = first[: max(0, len(first) - message)]
    return TurnTokens(preamble, said[len(later) - message :], replied[len(said) : len(replied) - message])


def _message_length(first: Sequence[int], last: Sequence[int], later: Sequence[int]) -> int:
    """Return how many tokens the message "0" takes after a turn; the arguments are those of STAND_INS."""
    if later[: len(last)] == last:
        return len(later) - len(last)
    # the last reply is written in another way; where a message ends it is the same at the beginning and later
    ends = zip(reversed(first), reversed(later), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], ends))


def fold(
    lm: BaseModel,
    generator: Generator,
    state: MemoryState,
    context: Sequence[TurnTokens],
    turn: TurnTokens,
    roles: Literal["user", "both"] = "user",
) -> MemoryState:
    """Return `state` with one finished turn read into it; `state` itself is not changed.

    Args:
        context: the turns of the same session before this one, oldest first; their last tokens are seen, not
            counted.
        roles: whose words count. By default the person's only, so that the model does not learn from its own
            guesses.

    Raises:
        GeneratorMismatch: `state` was made by another generator.
    """
    for token_ids, is_read in chunks(generator.config, context, turn, roles):
        state = lm.read(token_ids, state, generator, is_read)
    return state


def chunks(
    config: GeneratorConfig,
    context: Sequence[TurnTokens],
    turn: TurnTokens,
    roles: Literal["user", "both"] = "user",
) -> Iterator[tuple[list[int], list[bool]]]:
    """Yield what the model passes over to read one finished turn: tokens, and which of them count.

    Args: as of `fold`.
    """
    passes, size = config.passes, config.window_tokens
    seen = list(turn.preamble)
    for earlier in context[-READ_CONTEXT_TURNS:]:
        seen += earlier.message * passes + earlier.reply
    new = turn.message if roles == "user" else turn.message + turn.reply
    for start in range(0, len(new), size):
        window = new[start : start + size]
        unread = seen[-READ_CONTEXT_TOKENS:] + window * (passes - 1)
        yield unread + window, [False] * len(unread) + [True] * len(window)
        seen += window


def _ids_of_each(
    lm: BaseModel, conversations: Sequence[tuple[Sequence[Exchange], str | None]]
) -> list[list[int]]:
    """Return the tokens of several conversations, each of exchanges and perhaps a message after them."""
    # the template costs as much for one as for ten
    ids: list[list[int]] = lm.tokenizer.apply_chat_template(
        [_messages(lm, exchanges, text) for exchanges, text in conversations],
        tokenize=True,
        return_dict=False,
    )
    return ids


def _messages(lm: BaseModel, exchanges: Sequence[Exchange], text: str | None) -> list[dict[str, str]]:
    messages = [message for exchange in exchanges for message in exchange.messages]
    if text is not None:
        messages.append({"role": "user", "content": text})
    return [{**message, "content": _plain(lm, message["content"])} for message in messages]


def _plain(lm: BaseModel, text: str) -> str:
    """Return `text` with no marker of the template in it: nobody speaks in another's role."""
    for marker in lm.tokenizer.get_added_vocab():
        # some tokenizers add runs of spaces, which are nobody's role
        if marker.strip():
            text = text.replace(marker, " ".join(marker))
    for marker in lm.plain_markers:
        text = text.replace(marker, f" {marker.strip()}")
    return text


def _template_ids(lm: BaseModel, exchanges: Sequence[Exchange], text: str) -> list[int]:
    ids: list[int] = lm.tokenizer.apply_chat_template(
        _messages(lm, exchanges, text), add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return ids
