"""What a generator for any base is trained on: something to read, and what can be asked about it.

Three shapes of records, one JSON object each: dialogues `{"turns": [{"speaker", "text"}]}`, passages
`{"passage", "questions": [{"q", "a"}]}`, and people as `eval recall` reads them, `{"sessions":
[[{"role", "content"}]], "questions": [{"q", "a"}]}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from model.conversation import Exchange
from model.training.corpus import paired

UNKNOWN = "I don't know that yet."


@dataclass(frozen=True, slots=True)
class Sample:
    """Sessions to read, in order, and questions about them with their replies; there may be none."""

    sessions: tuple[tuple[Exchange, ...], ...]
    questions: tuple[tuple[str, str], ...]


def sample_of(record: Any) -> Sample:
    """Return the sample of one record.

    Raises:
        ValueError: it has none of the three shapes, or nothing to read.
    """
    try:
        questions = tuple((str(q["q"]), _reply(q["a"])) for q in record.get("questions", ()))
        if "passage" in record:
            sessions = [[Exchange(str(record["passage"]), "")]]
        elif "turns" in record:
            sessions = [paired(record["turns"])]
        else:
            sessions = [paired(_turns(session)) for session in record["sessions"]]
    except (AttributeError, KeyError, TypeError) as exc:
        raise ValueError(f"expected a dialogue, a passage or a person, got something else ({exc!r})") from exc
    if not any(exchange.user.strip() for session in sessions for exchange in session):
        raise ValueError("expected something to read, got nothing")
    return Sample(tuple(tuple(session) for session in sessions), questions)


def _reply(answer: str | None) -> str:
    return UNKNOWN if answer is None else str(answer)


def _turns(messages: list[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return messages as the turns of a dialogue that the person opens and the assistant ends."""
    turns = [
        {"speaker": role, "text": "\n".join(m["content"] for m in group)}
        for role, group in groupby(messages, key=lambda m: m["role"])
    ]
    if turns and turns[0]["speaker"] != "user":
        del turns[0]
    # what was said last counts too, though nobody replied
    return [*turns, {"speaker": "assistant", "text": ""}] if len(turns) % 2 else turns
