"""A reply while it is made, and what came of it."""

from collections import abc
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from app.recollection import MemoryFigures
from storage.rows import TurnRow


@dataclass(frozen=True, slots=True)
class Answer:
    """What a finished reply was.

    Attributes:
        text: the reply.
        turn: as it is stored; its status says whether it was stopped. None in a temporary chat.
        prompt_tokens: length of the prompt.
        seconds: from the question to the last word.
        memory: what memory had read; this turn is read after that.
        memory_on: whether memory answered, and reads this turn.
    """

    text: str
    turn: TurnRow | None
    prompt_tokens: int
    seconds: float
    memory: MemoryFigures
    memory_on: bool

    @property
    def session_id(self) -> int | None:
        """The session that the turn is in, None in a temporary chat."""
        return self.turn.session_id if self.turn else None

    def summary(self) -> dict[str, Any]:
        """Return what the API and `ask --json` say of it."""
        return {
            "reply": self.text,
            "turn": self.turn.id if self.turn else None,
            "prompt_tokens": self.prompt_tokens,
            "memory": asdict(self.memory),
            "seconds": round(self.seconds, 3),
        }


class Reply(Iterator[str]):
    """A reply as it is made: pieces of text, then `result`.

    Closing it early stores what was shown, marked as stopped. One that was never begun leaves nothing.
    """

    def __init__(self, pieces: abc.Generator[str, None, Answer]) -> None:
        self._pieces = pieces
        self._answer: Answer | None = None

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except StopIteration as end:
            self._answer = end.value or self._answer
            raise

    def close(self) -> None:
        """End the reply here, if it has not ended; what was shown is stored."""
        try:
            self._pieces.throw(GeneratorExit)
        except StopIteration as end:
            self._answer = end.value
        except GeneratorExit:
            # never begun, or ended before
            pass

    @property
    def result(self) -> Answer:
        """What came of it, once it is exhausted or closed.

        Raises:
            ValueError: the reply has not ended, or was never begun.
        """
        if self._answer is None:
            raise ValueError("expected a reply that has ended, got one that has not")
        return self._answer
