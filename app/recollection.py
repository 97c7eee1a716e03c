"""Catching up: what a person said becomes what memory has read.

Turns are the truth and the state row is a cache of them: it says through which turn it has read, what read
it (the fingerprints of generator and base, and whose words count), at which ledger, and its own checksum.
From that follows everything here:

- every turn after the row's is read once, in order, when the memory is next used: a crash in between loses
  nothing and counts nothing twice;
- a row of another generator, base or ledger is read anew from the first turn, without asking. What is read
  stands in a draft until it is whole, so that the old memory answers in the meantime and a reading that was
  interrupted goes on where it was;
- a damaged row is refused, not mended in passing: a disk or a program that alters bytes is something its
  owner must hear of. Nothing is lost by waiting: the turns hold everything, and `rebuild` reads them again.

Of two processes that catch up one person a lease lets one read, and the other then finds nothing left. A row
is in any case saved only over the revision that was read. Knows nothing of prompts and replies.
"""

import hashlib
import json
import shlex
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal

from app.errors import BadRequest, Cancelled, MemoryDamaged
from memory.adapter import Adapter
from memory.generator import Generator
from memory.state import DamagedState, MemoryState
from model.base import BaseModel
from model.conversation import READ_CONTEXT_TURNS, Exchange, TurnTokens, fold, turn_tokens
from storage.leases import POLL_S
from storage.rows import Reading, SessionRow, StaleState, StateRow, TurnRow, UserRow
from storage.store import Store

# Turns after which a reading from the beginning is saved as a draft.
DRAFT_TURNS = 64
# Turns that a reply waits for; with more to read it answers with the memory that there is.
PATIENCE_TURNS = 32
# Adapters kept, of the people who spoke last.
CACHED_ADAPTERS = 8

# Called after each turn with the number of turns read so far, and with 0 while somebody else is waited for.
OnTurn = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """How much a memory has read.

    Attributes:
        revision: grows with every save, also over forgetting; 0 where nothing was ever saved.
        turns: how many turns are in it.
        tokens: how many of their tokens count.
        unread: how many turns it has yet to read; where something was taken out of it, all of them.
    """

    revision: int
    turns: int
    tokens: int
    unread: int = 0


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
        told = on_turn or (lambda _num_turns: None)
        while True:
            with self._alone(person, told), suppress(StaleState):
                return self._read_on(person, told)

    def latest(self, person: UserRow) -> Recollection:
        """Return the memory to answer with: of everything said where that is soon read, else as it is saved.

        Raises:
            MemoryDamaged: the saved memory is not what was saved.
        """
        memory, is_current = self._saved(person)
        after = memory.through_turn_id if is_current else 0
        unread = self._store.count_memory_turns(person.id, after)
        if is_current and not unread:
            return memory
        if unread <= PATIENCE_TURNS:
            return self.catch_up(person)
        return replace(memory, figures=replace(memory.figures, unread=unread))

    def rebuild(self, person: UserRow, on_turn: OnTurn | None = None) -> Recollection:
        """Read every turn of `person` again from the first, whatever was saved; the turns are not touched.

        A sound memory answers until the new one is whole, and keeps its place where `on_turn` raises
        Cancelled or Ctrl-C ends the reading. After a crash the reading goes on, as any other does. A damaged
        memory goes at once.
        """
        before = self._store.ledger(person.id)
        try:
            memory, is_current = self._saved(person)
        except MemoryDamaged:
            self._store.delete_state(person.id)
            return self.catch_up(person, on_turn)
        ledger = self._store.read_anew(person.id)
        try:
            return self.catch_up(person, on_turn)
        except (Cancelled, KeyboardInterrupt):
            # of what holds, nothing was changed in between
            if is_current and memory.figures.revision and ledger == before + 1:
                self._keep(person, memory, ledger)
            raise

    def _keep(self, person: UserRow, memory: Recollection, ledger: int) -> None:
        """Let `memory` hold again, unless it was replaced or something was taken out of it since `ledger`."""
        reading = self._reading(memory.state, ledger, memory.through_turn_id, memory.figures.turns)
        with suppress(StaleState):
            self._store.save_state(person.id, memory.figures.revision, reading)

    def verify(self, person: UserRow, on_turn: OnTurn | None = None) -> tuple[str, str]:
        """Return the digests of the memory as it is and of one that is read from the beginning beside it.

        Raises:
            MemoryDamaged: the saved memory is not what was saved.
        """
        while True:
            ledger = self._store.ledger(person.id)
            live = self.catch_up(person, on_turn)
            again = self._generator.empty_state()
            through, num_turns = 0, 0
            for turn, tokens, context in self._with_contexts(self._store.memory_turns(person.id)):
                if turn.id > live.through_turn_id:
                    break
                again = self._fold(again, tokens, context)
                through, num_turns = turn.id, num_turns + 1
                (on_turn or (lambda _num_turns: None))(num_turns)
            if (ledger, through) == (self._store.ledger(person.id), live.through_turn_id):
                return live.state.digest, again.digest

    def mark(self, memory: Recollection) -> MemoryMark:
        """Return what tells `memory` from others."""
        return MemoryMark(self._generator.fingerprint, self._base, memory.state.digest)

    def drop(self, person: UserRow) -> None:
        """Forget the adapters that were made of the person's memory."""
        with self._adapters_lock:
            for key in [key for key in self._adapters if key[0] == person.id]:
                del self._adapters[key]

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

    def leaving_out(self, person: UserRow, memory: Recollection) -> Iterator[tuple[TurnRow, Adapter]]:
        """Return each turn that `memory` has read, in order, with the adapter of the memory without it.

        What the turn itself added is taken out. What later turns of its session added was read with it as
        their context, and stays as it is: this is not the memory of somebody who never said it.

        Raises:
            BadRequest: the generator reads each turn under the memory of those before it.
        """
        if self._generator.config.reading == "sequential":
            raise BadRequest(
                "This model's generator reads every turn under the memory of the turns before it,"
                " so no turn can be taken out of a memory again."
            )
        nothing = self._generator.empty_state()
        return (
            (turn, self._generator.adapter(memory.state.without(self._fold(nothing, tokens, context))))
            for turn, tokens, context in self._with_contexts(self._store.memory_turns(person.id))
            if turn.id <= memory.through_turn_id
        )

    def session_by_session(self, person: UserRow) -> Iterator[tuple[SessionRow, int, MemoryState]]:
        """Yield each session that memory reads, the oldest first, its turns' number, and the memory so far.

        It is read beside the saved memory, a session at a time also where sessions took turns: where chunks
        are read independently the last is the saved one but for the rounding of the sums.
        """
        state = self._generator.empty_state()
        sessions = [session for session in self._store.sessions(person.id) if session.memory_on]
        for session in sorted(sessions, key=lambda s: (s.created_at, s.id)):
            turns = [t for t in self._store.session_turns(person.id, session.id) if t.in_memory]
            for _, tokens, context in self._with_contexts(turns):
                state = self._fold(state, tokens, context)
            if turns:
                yield session, len(turns), state

    def _saved(self, person: UserRow) -> tuple[Recollection, bool]:
        """Return the saved memory, and whether it is one to read on from.

        It is the empty one where this generator and base have saved none.
        """
        ledger = self._store.ledger(person.id)
        saved = saved_memory(self._store, person)
        if saved is None:
            return self._empty(revision=0), True
        row, state = saved
        if not self._is_ours(row):
            return self._empty(row.revision), False
        return _recollection(row, state, row.revision), row.ledger == ledger

    def _is_ours(self, reading: Reading) -> bool:
        return (reading.generator, reading.base) == (self._generator.fingerprint, self._base)

    def _empty(self, revision: int) -> Recollection:
        return Recollection(self._generator.empty_state(), 0, MemoryFigures(revision, turns=0, tokens=0))

    def _draft(self, person: UserRow, ledger: int, revision: int) -> Recollection:
        """Return how far the next memory is, the empty one where it was not begun or cannot be used."""
        with suppress(TypeError, ValueError):
            draft = self._store.draft(person.id)
            if draft is not None and self._is_ours(draft) and draft.ledger == ledger:
                return _recollection(draft, _checked_state(draft), revision)
        return self._empty(revision)

    @contextmanager
    def _alone(self, person: UserRow, on_turn: OnTurn) -> Iterator[None]:
        """Within the block, no other thread of this process reads the person's turns."""
        lock = self._locks[person.id]
        while not lock.acquire(timeout=POLL_S):
            on_turn(0)
        try:
            yield
        finally:
            lock.release()

    def _read_on(self, person: UserRow, on_turn: OnTurn) -> Recollection:
        """Return the saved memory if it lacks no turn, else read on while nobody else does."""
        memory, is_current = self._saved(person)
        if is_current and not self._store.count_memory_turns(person.id, memory.through_turn_id):
            return memory
        with self._store.lease(person.id, lambda: on_turn(0)):
            return self._read_alone(person, on_turn)

    def _read_alone(self, person: UserRow, on_turn: OnTurn) -> Recollection:
        """Fold every turn that the saved memory lacks into it and save that, if there was any."""
        # before the turns are read: what changes later makes the saving fail
        ledger = self._store.ledger(person.id)
        memory, is_current = self._saved(person)
        revision = memory.figures.revision
        begun = self._draft(person, ledger, revision)
        if is_current and memory.through_turn_id >= begun.through_turn_id:
            begun = memory
        state, through, num_turns = begun.state, begun.through_turn_id, begun.figures.turns

        def reading() -> Reading:
            return self._reading(state, ledger, through, num_turns)

        unread = self._store.memory_turns(person.id, after=through)
        for turn, tokens, context in self._with_contexts(unread):
            state = self._fold(state, tokens, context)
            through, num_turns = turn.id, num_turns + 1
            on_turn(num_turns)
            if num_turns % DRAFT_TURNS == 0:
                self._store.save_draft(person.id, reading())
        if is_current and through == memory.through_turn_id:
            return memory
        try:
            row = self._store.save_state(person.id, revision, reading())
        except StaleState:
            saved = self._store.state(person.id)
            if (self._store.ledger(person.id), saved.revision if saved else 0) == (ledger, revision):
                # nobody was faster and nothing was forgotten: turns are gone that went another way
                self._store.delete_state(person.id)
            raise
        return _recollection(row, state, row.revision)

    def _reading(self, state: MemoryState, ledger: int, through: int, num_turns: int) -> Reading:
        generator, base, payload = self._generator.fingerprint, self._base, state.to_bytes()
        reading = Reading(payload, "", generator, base, ledger, through, num_turns, state.num_tokens)
        return replace(reading, checksum=row_checksum(reading))

    def _with_contexts(
        self, turns: Iterable[TurnRow]
    ) -> Iterator[tuple[TurnRow, TurnTokens, Sequence[TurnTokens]]]:
        """Yield each turn, its tokens, and those of the turns before it in its session.

        Args:
            turns: all that memory reads of a stretch, in order.
        """
        session = None
        context: deque[TurnTokens] = deque(maxlen=READ_CONTEXT_TURNS)
        for turn in turns:
            if turn.session_id != session:
                session = turn.session_id
                context.clear()
                before = self._store.context_turns(turn, READ_CONTEXT_TURNS)
                context.extend(turn_tokens(self._lm, exchange_of(t)) for t in before)
            tokens = turn_tokens(self._lm, exchange_of(turn))
            yield turn, tokens, list(context)
            context.append(tokens)

    def _fold(self, state: MemoryState, tokens: TurnTokens, context: Sequence[TurnTokens]) -> MemoryState:
        """Return `state` with one more turn read into it."""
        return fold(self._lm, self._generator, state, context, tokens, roles=self._roles)


def exchange_of(turn: TurnRow) -> Exchange:
    """Return what was said in a stored turn."""
    return Exchange(turn.user_text, turn.reply_text)


def row_checksum(reading: Reading) -> str:
    """Return the SHA-256 of all that a state row says, so that a wrong count is noticed like a wrong byte."""
    counts = [reading.ledger, reading.through_turn_id, reading.num_turns, reading.num_tokens]
    about = [reading.generator, reading.base, *counts]
    return hashlib.sha256(json.dumps(about).encode() + b"\n" + reading.payload).hexdigest()


def saved_memory(store: Store, person: UserRow) -> tuple[StateRow, MemoryState] | None:
    """Return the state row of `person` and the state in it, None where nothing is saved.

    Raises:
        MemoryDamaged: the row is not what was saved.
    """
    try:
        # a value of the wrong sort already fails on its way out of the database
        row = store.state(person.id)
        return None if row is None else (row, _checked_state(row))
    except (TypeError, ValueError) as exc:
        raise MemoryDamaged(
            f"The saved memory of {person.name} is damaged; everything said is still stored,"
            f" and 'remanence memory rebuild --user {shlex.quote(person.name)}' reads it again."
        ) from exc


def _checked_state(reading: Reading) -> MemoryState:
    """Return the state of a row; raises DamagedState."""
    if reading.checksum != row_checksum(reading):
        raise DamagedState("the checksum differs")
    return MemoryState.from_bytes(reading.payload)


def _recollection(reading: Reading, state: MemoryState, revision: int) -> Recollection:
    figures = MemoryFigures(revision, reading.num_turns, reading.num_tokens)
    return Recollection(state, reading.through_turn_id, figures)
