"""Catching up: what a person said becomes what memory has read.

Turns are the truth and the state row is a cache of them: it says through which turn it has read, what read
it (the fingerprints of generator and base, and whose words count) and its own checksum. From that follows
everything here:

- every turn after the row's is read once, in order, whenever the memory is next used, so a crash between
  storing a turn and reading it loses nothing and counts nothing twice;
- a row of another generator or base is read anew from the first turn, without asking;
- a damaged row is refused, not mended in passing: a disk or a program that alters bytes is something its
  owner must hear of. Nothing is lost by waiting: the turns hold everything, and `rebuild` reads them again.

Two processes may catch up one person at once: a row is saved only over the revision that was read, and the
slower one starts again from the faster one's row. Knows nothing of prompts and replies.
"""

import hashlib
import json
import shlex
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.errors import MemoryDamaged
from memory.adapter import Adapter
from memory.generator import Generator
from memory.state import DamagedState, MemoryState
from model.base import BaseModel
from model.conversation import Exchange, fold
from storage.store import StaleState, StateRow, Store, TurnRow, UserRow

# Turns of a session that are fetched as the context of the next: more than READ_CONTEXT_TOKENS ever holds.
CONTEXT_TURNS = 16
# Adapters kept, of the people who spoke last.
CACHED_ADAPTERS = 8

# Called after each turn with the number of turns read so far.
OnTurn = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """How much a memory has read.

    Attributes:
        revision: grows with every save, also over forgetting; 0 where nothing was ever saved.
        turns: how many turns are in it.
        tokens: how many of their tokens count.
    """

    revision: int
    turns: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Recollection:
    """One person's memory at one revision: the state, and the last turn that it has read (0: none)."""

    state: MemoryState
    through_turn_id: int
    figures: MemoryFigures


@dataclass(frozen=True, slots=True)
class MemoryMark:
    """What a memory is and what made it: equal marks are equal memories.

    Attributes:
        generator: fingerprint of the generator.
        base: fingerprint of the base and whose words count.
        digest: SHA-256 of the state.
    """

    generator: str
    base: str
    digest: str


class Recollector:
    """Reads people's turns into their memories; safe to share between threads."""

    def __init__(
        self, store: Store, lm: BaseModel, generator: Generator, roles: Literal["user", "both"] = "user"
    ) -> None:
        self._store = store
        self._lm = lm
        self._generator = generator
        self._roles = roles
        # whose words count decides the state as much as the model does
        self._base = f"{lm.fingerprint}/{roles}"
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._adapters: OrderedDict[tuple[int, int], Adapter] = OrderedDict()
        self._adapters_lock = threading.Lock()

    def catch_up(self, person: UserRow, on_turn: OnTurn | None = None) -> Recollection:
        """Return the memory of everything `person` said; save it if there was anything left to read.

        Raises:
            MemoryDamaged: the saved memory is not what was saved.
        """
        while True:
            with self._locks[person.id]:
                memory = self._saved(person)
                try:
                    return self._read_on(person, memory, on_turn or (lambda _num_turns: None))
                except StaleState:
                    row = self._store.state(person.id)
                    if row is not None and row.revision == memory.figures.revision:
                        # nobody was faster: turns that the row had read are gone, and so must it be
                        self._store.delete_state(person.id)

    def rebuild(self, person: UserRow, on_turn: OnTurn | None = None) -> Recollection:
        """Read every turn of `person` again from the first, whatever was saved; the turns are not touched."""
        self._store.delete_state(person.id)
        return self.catch_up(person, on_turn)

    def mark(self, memory: Recollection) -> MemoryMark:
        """Return what tells `memory` from others."""
        return MemoryMark(self._generator.fingerprint, self._base, memory.state.digest)

    def adapter(self, person: UserRow, memory: Recollection) -> Adapter:
        """Return the adapter of `memory`, made once a revision."""
        # a revision is never given twice to one person
        key = (person.id, memory.figures.revision)
        with self._adapters_lock:
            if key not in self._adapters:
                self._adapters[key] = self._generator.adapter(memory.state)
            self._adapters.move_to_end(key)
            while len(self._adapters) > CACHED_ADAPTERS:
                self._adapters.popitem(last=False)
            return self._adapters[key]

    def _saved(self, person: UserRow) -> Recollection:
        """Return the saved memory, or the empty one where this generator and base have saved none."""
        saved = saved_memory(self._store, person)
        if saved is None:
            return self._empty(revision=0)
        row, state = saved
        if (row.generator, row.base) != (self._generator.fingerprint, self._base):
            return self._empty(row.revision)
        return Recollection(
            state, row.through_turn_id, MemoryFigures(row.revision, row.num_turns, row.num_tokens)
        )

    def _empty(self, revision: int) -> Recollection:
        return Recollection(self._generator.empty_state(), 0, MemoryFigures(revision, turns=0, tokens=0))

    def _read_on(self, person: UserRow, memory: Recollection, on_turn: OnTurn) -> Recollection:
        """Fold every turn after `memory` into it and save that, if there was any."""
        state, through, num_turns = memory.state, memory.through_turn_id, memory.figures.turns
        for turn in self._store.turns(person.id, after=through):
            state = fold(
                self._lm, self._generator, state, self._context(turn), exchange_of(turn), roles=self._roles
            )
            through, num_turns = turn.id, num_turns + 1
            on_turn(num_turns)
        if through == memory.through_turn_id:
            return memory
        generator, base, payload = self._generator.fingerprint, self._base, state.to_bytes()
        row = self._store.save_state(
            person.id,
            memory.figures.revision,
            payload=payload,
            checksum=row_checksum(payload, generator, base, through, num_turns, state.num_tokens),
            generator=generator,
            base=base,
            through_turn_id=through,
            num_turns=num_turns,
            num_tokens=state.num_tokens,
        )
        return Recollection(state, through, MemoryFigures(row.revision, row.num_turns, row.num_tokens))

    def _context(self, turn: TurnRow) -> list[Exchange]:
        before = self._store.session_turns(turn.user_id, turn.session_id, before=turn.id, limit=CONTEXT_TURNS)
        return [exchange_of(t) for t in before]


def exchange_of(turn: TurnRow) -> Exchange:
    """Return what was said in a stored turn."""
    return Exchange(turn.user_text, turn.reply_text)


def row_checksum(
    payload: bytes, generator: str, base: str, through_turn_id: int, num_turns: int, num_tokens: int
) -> str:
    """Return the SHA-256 of all that a state row says, so that a wrong count is noticed like a wrong byte."""
    about = [generator, base, through_turn_id, num_turns, num_tokens]
    return hashlib.sha256(json.dumps(about).encode() + b"\n" + payload).hexdigest()


def saved_memory(store: Store, person: UserRow) -> tuple[StateRow, MemoryState] | None:
    """Return the state row of `person` and the state in it, None where nothing is saved.

    Raises:
        MemoryDamaged: the row is not what was saved.
    """
    try:
        # a value of the wrong sort already fails on its way out of the database
        row = store.state(person.id)
        if row is None:
            return None
        about = (row.generator, row.base, row.through_turn_id, row.num_turns, row.num_tokens)
        if row.checksum != row_checksum(row.payload, *about):
            raise DamagedState("the checksum differs")
        return row, MemoryState.from_bytes(row.payload)
    except (TypeError, ValueError) as exc:
        raise MemoryDamaged(
            f"The saved memory of {person.name} is damaged; everything said is still stored,"
            f" and 'remanence memory rebuild --user {shlex.quote(person.name)}' reads it again."
        ) from exc
