"""What a prompt without a memory would cost: everything a person said, and was answered, as tokens.

It is counted through the chat template, a turn as it stands after another one, in all sessions; copies in
branches and replies that failed are left out. Each turn is counted once, and again only when something that
was said has changed.
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
    """The tokens of a person's turns through one of them, at one ledger."""

    ledger: int
    through_turn_id: int
    tokens: int


class History:
    """Counts people's tokens; safe to share between threads."""

    def __init__(self, store: Store, lm: BaseModel) -> None:
        self._store = store
        self._lm = lm
        self._counts: dict[int, _Count] = {}
        self._lock = threading.Lock()

    def tokens_before(self, person: UserRow, turn: TurnRow) -> int:
        """Return how many tokens all turns of `person` before `turn` take in a prompt."""
        ledger = self._store.ledger(person.id)
        with self._lock:
            known = self._counts.get(person.id)
        if known is None or known.ledger != ledger or known.through_turn_id >= turn.id:
            known = _Count(ledger, 0, 0)
        through, tokens = known.through_turn_id, known.tokens
        earlier = takewhile(lambda t: t.id < turn.id, self._store.turns(person.id, after=through))
        while some := list(islice(earlier, TURNS_PER_COUNT)):
            through, tokens = some[-1].id, tokens + self._tokens(some)
        with self._lock:
            self._counts[person.id] = _Count(ledger, through, tokens)
        return tokens

    def _tokens(self, turns: Iterable[TurnRow]) -> int:
        told = [exchange_of(t) for t in turns if t.copy_of is None and t.status != "failed"]
        return count_tokens(self._lm, told)
