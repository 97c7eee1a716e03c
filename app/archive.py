"""What a person said and what is remembered of it: looking into it, changing it, having it gone.

From outside a person is a name; a session or a turn is a number among that person's own. Errors of the
packages below leave as `RemanenceError`.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch

from app.accounts import checked_note
from app.counters import Counters
from app.demo import Demo
from app.doctor import Finding, examine
from app.documents import read_document
from app.errors import BadRequest, Unavailable, translated
from app.forgetting import Receipt, Selection, forget
from app.formats import Conversation
from app.history import History
from app.inspection import (
    QUESTIONS,
    Contribution,
    Explanation,
    Overview,
    Recollected,
    ask_each,
    contributions,
    explain,
    overview,
)
from app.jobs import Job, Jobs
from app.recollection import MemoryFigures, MemoryMark, OnTurn, Recollector, saved_memory
from app.sessions import Sessions
from app.settings import Settings
from app.takeout import pack_takeout, read_open, write_takeout
from app.transcript import check_message, session_name
from memory.gauge import measure
from memory.generator import Generator
from model.base import BaseModel
from model.conversation import prompt_ids
from model.generation import Sampling
from model.lora import save_lora
from storage.rows import Forgotten, NewSession, Note, SessionRow, TurnRow, UserRow
from storage.store import Store
from storage.transactions import is_name


class Archive(Sessions):
    """What people said, in a store, and the memories that a model and its generator made of it.

    Attributes:
        people: their accounts.
        demo: the same model for anybody to try, without any of that; None where it is switched off.
    """

    def __init__(self, store: Store, lm: BaseModel, generator: Generator, settings: Settings) -> None:
        super().__init__(store)
        self.demo = Demo(lm, generator, settings) if settings.demo else None
        self._lm = lm
        self._settings = settings
        self._recollector = Recollector(store, lm, generator, settings.memory_roles)
        self._history = History(store, lm)
        self._sampling = Sampling(
            temperature=settings.temperature, top_p=settings.top_p, max_new_tokens=settings.max_new_tokens
        )
        self.counters = Counters()
        self.jobs = Jobs(self.counters)

    @translated()
    def history_tokens(self, user: str, turn: TurnRow) -> int:
        """Return how long the prompt of `turn` would be if it repeated all that was said before it.

        See `History` for what that is.
        """
        message = prompt_ids(self._lm, [], turn.user_text, 0)
        return self._history.tokens_before(self._person(user), turn) + len(message)

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
    def examine(self) -> list[Finding]:
        """Return what the model and this machine are."""
        return examine(self._settings)

    def import_sessions(self, user: str, conversations: Sequence[Conversation]) -> int:
        """Store finished conversations of the person, all or none, and return how many turns they held.

        Memory reads them when it is next used, or now with `settle`.
        """
        person = self._person(user)
        taken = {s.name for s in self._store.sessions(person.id)}
        new = []
        for told in conversations:
            if not told.exchanges:
                continue
            name = _imported_name(told, taken)
            taken.add(name)
            texts = [(e.user, e.assistant) for e in told.exchanges]
            new.append(
                NewSession(
                    name,
                    texts,
                    told.created_at,
                    told.order,
                    told.in_memory,
                    told.is_pinned,
                    told.source,
                )
            )
        return self._store.add_sessions(person.id, new)

    @property
    def max_document_bytes(self) -> int:
        """How large a document may be."""
        return self._settings.max_document_bytes

    @translated()
    def add_document(self, user: str, name: str, content: bytes) -> SessionRow:
        """Return the session whose turns are the passages of a document, which memory reads from now on.

        Args:
            name: the file's, with its ending.
            content: the file.

        Raises:
            NotFound: no such person.
            BadRequest: memory is off, or the file is none that can be read.
            TooLong: it is larger than the settings allow.
            Refused: the person's account is disabled, or its quota would not hold it.
        """
        person = self._person(user)
        self.people.require_enabled(person.name)
        if not person.memory_on:
            raise BadRequest("Memory is off, so no document would be remembered.")
        limits = self._settings
        document = read_document(name, content, limits.max_document_bytes, limits.max_document_chars)
        passages = [exchange.user for exchange in document.exchanges]
        self.people.require_room(person.name, "".join(passages), new_turns=len(passages))
        self.import_sessions(person.name, [document])
        self._read_later(person)
        return next(s for s in self._store.sessions(person.id) if s.source == document.source)

    @translated()
    def export(self, user: str, file: Path) -> dict[str, Any]:
        """Write all that is kept of the person into the new zip `file`, and return its manifest.

        Raises:
            NotFound: no such person.
            BadRequest: the file is there already or cannot be written.
            MemoryDamaged: the saved memory is not what was saved.
        """
        return write_takeout(file, self._store, self._recollector, self._lm, self._person(user))

    @translated()
    def export_into(self, user: str, file: BinaryIO) -> dict[str, Any]:
        """Write the same zip into an open file; raises NotFound and MemoryDamaged."""
        return pack_takeout(file, self._store, self._recollector, self._lm, self._person(user))

    @property
    def max_import_bytes(self) -> int:
        """How large a file to import may be."""
        return self._settings.max_import_bytes

    @translated()
    def import_open(self, user: str, name: str, file: BinaryIO) -> int:
        """Store what an open file of any known format holds, all or nothing; return how many turns it held.

        Memory reads them in the background.

        Args:
            name: the file's, for messages.
            file: on the disk, open at its beginning.

        Raises:
            NotFound: no such person.
            BadRequest: it cannot be read, or holds something else; the message says where.
            TooLong: it, or a message in it, is larger than the settings allow.
            Refused: the person's quota would not hold it.
        """
        person, limits = self._person(user), self._settings
        told = read_open(name, file, limits.max_import_bytes, limits.max_message_chars).conversations
        said = [exchange.user for conversation in told for exchange in conversation.exchanges]
        self.people.require_room(person.name, "".join(said), new_turns=len(said))
        num_turns = self.import_sessions(person.name, told)
        self._read_later(person)
        return num_turns

    @translated()
    def mark(self, user: str) -> MemoryMark:
        """Return what the person's memory is, once it has read everything, and what made it.

        Raises:
            NotFound: no such person.
            MemoryDamaged: the saved memory is not what was saved.
        """
        return self._recollector.mark(self._recollector.catch_up(self._person(user)))

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
        person = self._person(user)
        with self.jobs.running("read", user, self._num_turns(person), on_turn) as told:
            return self._recollector.catch_up(person, told).figures

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
    def forget(self, user: str, selection: Selection, on_turn: OnTurn | None = None) -> Receipt:
        """Delete for good what `selection` names, and return what came of it.

        Raises:
            NotFound: no such person, session or turn.
            Cancelled: it is deleted, and somebody cancelled the reading of what is kept.
        """
        person = self._person(user)
        with self.jobs.running("forget", user, self._num_turns(person), on_turn) as told:
            return forget(self._store, self._recollector, person, selection, told)

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
        with self.jobs.running("verify", user, self._num_turns(person), on_turn) as told:
            return self._recollector.verify(person, told)

    @translated()
    def why(self, user: str, question: str, on_turn: OnTurn | None = None) -> Explanation:
        """Return the likeliest answer in a new session, and which turns it leans on; nothing is stored.

        Args:
            on_turn: called after each turn, with the number of turns left out so far.

        Raises:
            NotFound: no such person.
            BadRequest: empty or impossible text, or a generator that does not read turns independently.
            TooLong: more than `max_message_chars` characters.
            MemoryDamaged: the saved memory is not what was saved.
        """
        person = self._person(user)
        check_message(question, self._settings.max_message_chars)
        memory = self._recollector.catch_up(person)
        return explain(
            self._lm,
            prompt_ids(self._lm, [], question, self._settings.window_tokens),
            replace(self._sampling, temperature=0.0),
            self._recollector.adapter(person, memory),
            self._recollector.leaving_out(person, memory),
            on_turn or (lambda _num_turns: None),
        )

    def contributions(self, user: str) -> Iterator[Contribution]:
        """Yield what each session adds to a memory that reads them one after the other, the oldest first.

        Each is read when it is asked for, beside the saved memory; all together take as long as `verify`.

        Raises:
            NotFound: no such person.
        """
        with translated():
            yield from contributions(self._recollector.session_by_session(self._person(user)))

    def probe(self, user: str, questions: Sequence[str] = QUESTIONS) -> Iterator[Recollected]:
        """Yield what the model says to each question, in a new session of its own; nothing is stored.

        Raises:
            NotFound: no such person.
            BadRequest: memory is off, or has read nothing.
            MemoryDamaged: the saved memory is not what was saved.
        """
        with translated():
            person = self._person(user)
            if not person.memory_on:
                raise BadRequest("Memory is off, so there is nothing to ask it.")
            memory = self._recollector.latest(person)
            if memory.figures.turns == 0:
                raise BadRequest("Memory has read nothing yet, so there is nothing to ask it.")
            adapter = self._recollector.adapter(person, memory)
            yield from ask_each(self._lm, questions, replace(self._sampling, temperature=0.0), adapter)

    @translated()
    def export_lora(self, user: str, folder: Path, dtype: Literal["float32", "bfloat16"]) -> int:
        """Write the person's adapter into `folder` as a LoRA that peft and vLLM load, and return its rank.

        Raises:
            NotFound: no such person.
            BadRequest: the memory is empty, or the folder cannot be written or has something in it.
            MemoryDamaged: the saved memory is not what was saved.
        """
        person = self._person(user)
        adapter = self._recollector.adapter(person, self._recollector.catch_up(person))
        try:
            if folder.exists() and any(folder.iterdir()):
                raise BadRequest(f"The folder {folder} is not empty.")
            return save_lora(adapter, self._lm, folder, getattr(torch, dtype))
        except OSError as exc:
            raise BadRequest(f"The folder {folder} cannot be written: {exc.strerror}.") from exc

    @translated()
    def read_what_was_left(self) -> None:
        """Let memory read, in the background, every turn that an earlier run stored and did not get to."""
        for person in self._store.users():
            self._read_later(person)

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

    def close(self) -> None:
        """End the reading in progress at its next turn; nothing is answered afterwards.

        What is left unread is read at the next start, or when the memory is next used.
        """
        self.jobs.close()


def _imported_name(told: Conversation, taken: Collection[str]) -> str:
    """Return the name that the session brings, where it can be one, or one like it."""
    name = told.name or ""
    if is_name(name) and name not in taken:
        return name
    return session_name(name.strip() or told.exchanges[0].user or told.exchanges[0].assistant, taken)
