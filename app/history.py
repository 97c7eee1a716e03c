"""What a prompt without a memory would cost: everything a person said, and was answered, as tokens.

It is counted through the chat template, a turn as it stands after another one, in all sessions; copies in
branches and replies that failed are left out. Each turn is counted once, and again only when a turn that was
counted is gone.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, takewhile

from app.recollection import exchange_of
from model.base import BaseModel
from model.conversation import count_tokens
from storage.rows import TurnRow, UserRow
from storage.store import Store

TURNS_PER_COUNT = 64


@dataclass(frozen=True, slots=True)
class _Count:
    """How many turns a person has through one of them, and their tokens."""

    through_turn_id: int
    num_turns: int
    tokens: int


NOTHING = _Count(0, 0, 0)


class History:
    """Counts people's tokens; safe to share between threads."""

    def __init__(self, store: Store, lm: BaseModel) -> None:
        self._store = store
        self._lm = lm
        self._counts: dict[int, _Count] = {}
        self._lock = threading.Lock()

    def tokens_before(self, person: UserRow, turn: TurnRow) -> int:
        """Return how many tokens all turns of `person` before `turn` take in a prompt."""
        with self._lock:
            known = self._counts.get(person.id, NOTHING)
        # ids are never reused, so the same number of turns through the same turn are the same turns
        still_there = self._store.count_turns(person.id, through=known.through_turn_id)
        if known.num_turns != still_there or known.through_turn_id >= turn.id:
            known = NOTHING
        through, num_turns, tokens = known.through_turn_id, known.num_turns, known.tokens
        earlier = takewhile(lambda t: t.id < turn.id, self._store.turns(person.id, after=through))
        while some := list(islice(earlier, TURNS_PER_COUNT)):
            through, num_turns = some[-1].id, num_turns + len(some)
            tokens += self._tokens(some)
        with self._lock:
            self._counts[person.id] = _Count(through, num_turns, tokens)
        return tokens

    def _tokens(self, turns: Iterable[TurnRow]) -> int:
        told = [exchange_of(t) for t in turns if t.copy_of is None and t.status != "failed"]
        return count_tokens(self._lm, told)
