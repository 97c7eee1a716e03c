"""`eval perplexity`: does a memory of earlier sessions make a later one less surprising?

A line is `{"id", "sessions", "then"}`, `then` being a session that comes after the others. Every token of it
as the chat template writes it is predicted, given all before it in that session, under the methods of
`app.recall`; all of them are asked for the same tokens.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import BadRequest
from app.recall import Examination, Method, read_lines
from app.transcript import exchanges
from model.base import BaseModel
from model.conversation import Exchange, session_ids


@dataclass(frozen=True, slots=True)
class Continuation:
    """One person's sessions, and the one that comes next."""

    id: str
    sessions: tuple[tuple[Exchange, ...], ...]
    then: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Surprise:
    """The summed negative log-likelihood of tokens, in nats, and their number."""

    nats: float
    tokens: int

    def __add__(self, other: "Surprise") -> "Surprise":
        return Surprise(self.nats + other.nats, self.tokens + other.tokens)

    @property
    def perplexity(self) -> float:
        """The perplexity of a token, at least 1."""
        return math.exp(self.nats / self.tokens)


def read_continuations(path: Path, max_message_chars: int, limit: int | None = None) -> list[Continuation]:
    """Return the continuations of a file, at most `limit`.

    Raises:
        NotFound: there is no such file.
        BadRequest: it holds something else, or nothing; the message says where.
    """
    return read_lines(path, lambda where, value: _continuation(where, value, max_message_chars), limit)


def _continuation(where: str, value: Any, max_message_chars: int) -> Continuation:
    match value:
        case {"id": str() | int() as name, "sessions": list(sessions), "then": [_, *_] as then}:
            told = (exchanges(where, s, max_message_chars) for s in sessions)
            return Continuation(str(name), tuple(told), exchanges(where, then, max_message_chars))
    raise BadRequest(f'{where}: a continuation is {{"id", "sessions", "then"}}, got {value!r:.40}.')


def surprise(examination: Examination, lm: BaseModel, continuation: Continuation, method: Method) -> Surprise:
    """Return how surprising the later session is with what `method` gives the model of those before it."""
    adapter, window = examination.memory_and_window(continuation.sessions, method)
    before, ids = session_ids(lm, window, continuation.then)
    # its first token only opens the session
    found = lm.log_likelihoods(before + ids[:1], ids[1:], adapter)
    return Surprise(-float(found.sum()), len(found))
