"""`eval recognise`: does a memory know a true sentence about its person from nine that are about others?

A line is `{"id", "sessions", "candidates": [sentences], "answer": index}`. Each candidate is scored as what
the person might say next, by the mean log-likelihood of its tokens, under the methods of `app.recall`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import BadRequest
from app.recall import Examination, Method, read_lines
from app.transcript import exchanges
from memory.adapter import Adapter
from model.base import BaseModel
from model.conversation import Exchange, message_ids


@dataclass(frozen=True, slots=True)
class Choice:
    """One person's sessions, sentences of which one is about them, and which."""

    id: str
    sessions: tuple[tuple[Exchange, ...], ...]
    candidates: tuple[str, ...]
    answer: int


def read_choices(path: Path, max_message_chars: int, limit: int | None = None) -> list[Choice]:
    """Return the choices of a file, at most `limit`.

    Raises:
        NotFound: there is no such file.
        BadRequest: it holds something else, or nothing; the message says where.
    """
    return read_lines(path, lambda where, value: _choice(where, value, max_message_chars), limit)


def _choice(where: str, value: Any, max_message_chars: int) -> Choice:
    match value:
        case {
            "id": str() | int() as name,
            "sessions": list(sessions),
            "candidates": [str(), str(), *_] as candidates,
            "answer": int(answer),
        } if 0 <= answer < len(candidates) and all(isinstance(c, str) and c.strip() for c in candidates):
            told = (exchanges(where, s, max_message_chars) for s in sessions)
            return Choice(str(name), tuple(told), tuple(candidates), answer)
    expected = '{"id", "sessions", "candidates": [sentences], "answer": index}'
    raise BadRequest(f"{where}: a choice is {expected}, got {value!r:.40}.")


def ranked_first(examination: Examination, lm: BaseModel, choice: Choice, method: Method) -> bool:
    """Return whether the sentence that is about the person is the likeliest of all."""
    adapter, window = examination.memory_and_window(choice.sessions, method)
    scores = [likelihood(lm, adapter, window, candidate) for candidate in choice.candidates]
    return max(range(len(scores)), key=scores.__getitem__) == choice.answer


def likelihood(lm: BaseModel, adapter: Adapter | None, window: Sequence[Exchange], text: str) -> float:
    """Return the mean log-likelihood of the tokens of `text` as the person's next message after `window`."""
    before, said = message_ids(lm, window, text)
    # its first token only opens the message
    return float(lm.log_likelihoods(before + said[:1], said[1:], adapter).mean())
