"""What memory reads of what a person said: how much it is, reading on and anew, switching it, forgetting.

From outside a person is a name; a session or a turn is a number among that person's own. Errors of the
packages below leave as `RemanenceError`.
"""

from contextlib import suppress

from app.accounts import checked_note
from app.counters import Counters
from app.errors import Unavailable, translated
from app.forgetting import Receipt, Selection, forget
from app.inspection import Overview, overview
from app.jobs import Job, Jobs
from app.recollection import MemoryFigures, MemoryMark, OnTurn, Recollection, Recollector, saved_memory
from app.sessions import Sessions
from app.settings import Settings
from memory.gauge import measure
from memory.generator import Generator
from model.base import BaseModel
from storage.rows import Forgotten, Note, UserRow
from storage.store import Store


class Memories(Sessions):
    """What people said, and the memories that a model and its generator made of it.

    Attributes:
        jobs: the readings that run or wait.
        counters: what this process has done so far.
    """

    def __init__(self, store: Store, lm: BaseModel, generator: Generator, settings: Settings) -> None:
        super().__init__(store)
        self.counters = Counters()
        self.jobs = Jobs(self.counters)
        self._lm = lm
        self._settings = settings
        self._recollector = Recollector(store, lm, generator, settings.memory_roles)

    @translated()
    def memory(self, user: str) -> MemoryFigures:
        """Return how much the saved memory has read, zeros where nothing is saved.

        Raises:
            NotFound: no such person.
            MemoryDamaged: the saved memory is not what was saved.
        """
        saved = saved_memory(self._store, self._person(user))
        if saved is None:
            return MemoryFigures(0, 0, 0)
        row, _ = saved
        return MemoryFigures(row.revision, row.num_turns, row.num_tokens)

    @translated()
    def overview(self, user: str) -> Overview:
        """Return what the saved memory is, zeros where nothing is saved.

        Raises:
            NotFound: no such person.
            MemoryDamaged: the saved memory is not what was saved.
        """
        return overview(self._store, self._person(user))

    @translated()
    def fullness(self, user: str) -> tuple[int, float]:
        """Return the revision of the saved memory and how full its fullest layer is; zeros for none.

        Raises:
            NotFound: no such person.
            MemoryDamaged: the saved memory is not what was saved.
        """
        saved = saved_memory(self._store, self._person(user))
        if saved is None:
            return 0, 0.0
        row, state = saved
        return row.revision, max((gauge.fullness for gauge in measure(state)), default=0.0)

    @translated()
    def mark(self, user: str) -> MemoryMark:
        """Return what the person's memory is, once it has read everything, and what made it.

        Raises:
            NotFound: no such person.
            MemoryDamaged: the saved memory is not what was saved.
            Cancelled: somebody cancelled the reading.
        """
        return self._recollector.mark(self._caught_up(self._person(user)))

    @translated()
    def settle(self, user: str, on_turn: OnTurn | None = None) -> MemoryFigures:
        """Return what memory has read once it has read everything the person said.

        Args:
            on_turn: called after each turn read, with the number of turns read so far.

        Raises:
            NotFound: no such person.
            MemoryDamaged: the saved memory is not what was saved.
            Cancelled: somebody cancelled the reading.
        """
        return self._caught_up(self._person(user), on_turn).figures

    @translated()
    def settle_soon(self, user: str) -> MemoryFigures:
        """Return what `settle` does where there is little to read, else what is read so far.

        Raises:
            NotFound: no such person.
            MemoryDamaged: the saved memory is not what was saved.
        """
        return self._recollector.latest(self._person(user)).figures

    @translated()
    def rebuild(self, user: str, on_turn: OnTurn | None = None) -> MemoryFigures:
        """Read everything the person said again, also over a damaged memory.

        Until the new memory is whole a sound one answers, and does so on where the rebuilding is cancelled.

        Raises:
            NotFound: no such person.
            Cancelled: somebody cancelled it.
        """
        person = self._person(user)
        with self.jobs.running("rebuild", user, self._num_turns(person), on_turn) as told:
            return self._recollector.rebuild(person, told).figures

    @translated()
    def rebuild_later(self, user: str) -> Job:
        """Let everything the person said be read again in the background; raises NotFound."""
        person = self._person(user)
        return self.jobs.start(
            "rebuild", user, self._num_turns(person), lambda told: self._recollector.rebuild(person, told)
        )

    @translated()
    def is_memory_on(self, user: str) -> bool:
        """Return whether memory is on for the person; raises NotFound."""
        return self._person(user).memory_on

    @translated()
    def set_memory(self, user: str, on: bool, session: int | None = None) -> None:
        """Switch memory on or off, for everything the person says or for one session; raises NotFound.

        What is said while the person's memory is off is never read. A session that is left out is not read
        while it is, what was read of it is read anew without it; switched on, it is taken in again.
        """
        person = self._person(user)
        if session is None:
            self._store.set_memory(person.id, on)
            return
        self._session(person, session)
        self._store.set_session_memory(person.id, session, on)
        self._read_later(person)

    @translated()
    def forget(
        self, user: str, selection: Selection, on_turn: OnTurn | None = None, note: Note | None = None
    ) -> Receipt:
        """Delete for good what `selection` names, and return what came of it.

        Args:
            note: where somebody else does it: who and why, for the audit log.

        Raises:
            NotFound: no such person, session or turn.
            Cancelled: it is deleted, and somebody cancelled the reading of what is kept.
        """
        person = self._person(user)
        with self.jobs.running("forget", user, self._num_turns(person), on_turn) as told:
            return forget(self._store, self._recollector, person, selection, told, note)

    @translated()
    def reset(self, user: str, note: Note) -> Forgotten:
        """Delete for good everything the person said; `note` is who does it and why; raises NotFound."""
        person = self._person(user)
        gone = self._store.forget_everything(person.id, checked_note(note))
        self._recollector.drop(person)
        return gone

    @translated()
    def verify(self, user: str, on_turn: OnTurn | None = None) -> tuple[str, str]:
        """Return the hash of the memory as it is, and of one that is read from the beginning beside it.

        Raises:
            NotFound: no such person.
            MemoryDamaged: the saved memory is not what was saved.
            Cancelled: somebody cancelled it.
        """
        person = self._person(user)
        self._caught_up(person)
        with self.jobs.running("verify", user, self._num_turns(person), on_turn) as told:
            return self._recollector.verify(person, told)

    @translated()
    def read_what_was_left(self) -> None:
        """Let memory read, in the background, every turn that an earlier run stored and did not get to."""
        for person in self._store.users():
            self._read_later(person)

    def close(self) -> None:
        """End the reading in progress at its next turn; nothing is answered afterwards.

        What is left unread is read at the next start, or when the memory is next used.
        """
        self.jobs.close()

    def _caught_up(self, person: UserRow, on_turn: OnTurn | None = None) -> Recollection:
        """Return the memory of everything the person said, of which what is unread is read now, as a job."""
        with self.jobs.running("read", person.name, self._num_turns(person), on_turn) as told:
            return self._recollector.catch_up(person, told)

    def _read_later(self, person: UserRow) -> None:
        # a chat that is closing leaves the turn to the next start
        with suppress(Unavailable):
            self.jobs.start(
                "read",
                person.name,
                self._num_turns(person),
                lambda told: self._recollector.catch_up(person, told),
            )

    def _num_turns(self, person: UserRow) -> int:
        return self._store.count_memory_turns(person.id)
