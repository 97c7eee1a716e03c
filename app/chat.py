"""One chat turn, top to bottom: what the page, the API and the terminal call.

    reply = chat.reply("ada", session=None, text="Where do I live?")
    for piece in reply:
        print(piece, end="")
    reply.result.turn, reply.result.memory

The steps stand numbered in `Chat._turn`. From outside a person is a name, and a session is a number or a
name among that person's own, or None for a new one. Errors of the packages below leave as `RemanenceError`.
"""

import logging
import threading
import time
from collections import abc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from app.accounts import People
from app.errors import BadRequest, NotFound, RemanenceError, translated
from app.forgetting import Receipt, Selection, forget
from app.recollection import MemoryFigures, OnTurn, Recollector, exchange_of, saved_memory
from app.reply import Answer, Reply
from app.settings import Settings
from app.transcript import check_message, session_name
from memory.generator import Generator
from model.base import BaseModel
from model.conversation import Exchange, prompt_ids
from model.generation import Sampling, stream
from model.lora import save_lora
from storage.rows import NameTaken, SessionRow, TurnRow, UserRow
from storage.store import Store
from storage.tables import Status

log = logging.getLogger(__name__)

# Turns of the running session that are fetched for a prompt, which repeats those that fit.
WINDOW_TURNS = 32


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a person: where, and whether memory answers it and reads it.

    Attributes:
        session: None for one that begins when the turn is stored, under `session_name` if it is given.
        instead_of: the turn that it replaces.
    """

    person: UserRow
    session: SessionRow | None
    session_name: str | None
    text: str
    in_memory: bool
    instead_of: int | None


class Chat:
    """A store, a model and its memory generator, joined; safe to share between threads."""

    def __init__(self, store: Store, lm: BaseModel, generator: Generator, settings: Settings) -> None:
        self.people = People(store)
        self._store = store
        self._lm = lm
        self._settings = settings
        self._recollector = Recollector(store, lm, generator, settings.memory_roles)
        self._sampling = Sampling(
            temperature=settings.temperature, top_p=settings.top_p, max_new_tokens=settings.max_new_tokens
        )
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="memory")

    @translated()
    def reply(
        self,
        user: str,
        session: int | str | None,
        text: str,
        *,
        memory: bool = True,
        instead_of: int | None = None,
        temporary: Sequence[Exchange] | None = None,
        stop: threading.Event | None = None,
    ) -> Reply:
        """Return the reply to what `user` says; it is made and stored while it is iterated.

        Args:
            user: name of somebody who exists.
            session: number or name of one of the person's sessions; a new name, or None, begins one.
            text: what the person says.
            memory: False answers as the base model alone, and memory never reads the turn; so do the
                switches of the person and of the session.
            instead_of: number of a turn of the session that this one replaces, with all that came after it:
                how a message is edited and a reply made again.
            temporary: what was said before in a chat that is neither stored nor read, empty at its beginning.
            stop: when set, the reply ends at the next piece and is stored as it was shown.

        Raises:
            NotFound: no such person, or no such session among the person's own.
            BadRequest: empty or impossible text, or a bad name.
            TooLong: more than `max_message_chars` characters.
            Refused: the person's account is disabled, or its quota is used up.
            MemoryDamaged: while iterated: the saved memory is not what was saved; nothing is stored then.
        """
        person = self._person(user)
        check_message(text, self._settings.max_message_chars)
        self.people.require_enabled(person.name)
        if temporary is None:
            self.people.require_room(person.name, text, is_new=instead_of is None)
        where = self._session(person, session)
        if instead_of is not None and (where is None or not self._is_in(where, instead_of)):
            raise NotFound(f"The session has no turn number {instead_of}.")
        said = Said(
            person,
            where,
            session if isinstance(session, str) else None,
            text,
            memory and temporary is None and person.memory_on and (where is None or where.memory_on),
            instead_of,
        )
        return Reply(self._turn(said, temporary, stop or threading.Event()))

    def _turn(
        self, said: "Said", temporary: Sequence[Exchange] | None, stop: threading.Event
    ) -> abc.Generator[str, None, Answer]:
        started = time.perf_counter()
        shown: list[str] = []
        status: Status = "failed"
        recollection = adapter = None
        with translated():
            # 1. memory has read everything said before, also what a crash or the turn just before left unread
            if said.in_memory:
                recollection = self._recollector.latest(said.person)
                adapter = self._recollector.adapter(said.person, recollection)
            # 2. the prompt: the end of the running session and the message, nothing else
            window = self._window(said) if temporary is None else temporary
            token_ids = prompt_ids(self._lm, window, said.text, self._settings.window_tokens)
            # 3. the reply
            try:
                for piece in stream(self._lm, token_ids, adapter, self._sampling, stop):
                    shown.append(piece)
                    yield piece
                status = "stopped" if stop.is_set() else "complete"
            except GeneratorExit:
                # closed early: keep what was shown
                status = "stopped"
            finally:
                # 4. the turn becomes true, also where the reply failed
                seconds = time.perf_counter() - started
                text = "".join(shown)
                turn = self._store_turn(said, text, status) if temporary is None else None
        # 5. memory reads it, after the reply
        if said.in_memory:
            self._read_later(said.person)
        figures = recollection.figures if recollection else None
        return Answer(text, turn, len(token_ids), seconds, figures)

    def _store_turn(self, said: "Said", reply: str, status: Status) -> TurnRow:
        session = said.session or self._begin_session(said.person, said.session_name, said.text)
        return self._store.add_turn(
            said.person.id,
            session.id,
            said.text,
            reply,
            status,
            # what failed will be said again, and counts once
            in_memory=said.in_memory and status != "failed",
            instead_of=said.instead_of,
        )

    def _window(self, said: "Said") -> list[Exchange]:
        if said.session is None:
            return []
        turns = self._store.session_turns(
            said.person.id, said.session.id, before=said.instead_of, limit=WINDOW_TURNS
        )
        # a turn that was stopped before its first word would teach the model to say nothing
        return [exchange_of(t) for t in turns if t.reply_text and t.status != "failed"]

    def _is_in(self, session: SessionRow, turn_id: int) -> bool:
        turn = self._store.turn(session.user_id, turn_id)
        return turn is not None and turn.session_id == session.id

    def _person(self, name: str) -> UserRow:
        person = self._store.find_user(name)
        if person is None:
            raise NotFound(f"There is nobody called {name!r} here.")
        return person

    def _session(self, person: UserRow, session: int | str | None) -> SessionRow | None:
        """Return one of the person's own sessions, None for one that begins when the turn is stored."""
        if session is None:
            return None
        if isinstance(session, str):
            return self._store.find_session(person.id, session)
        found = self._store.session(person.id, session)
        if found is None:
            raise NotFound(f"{person.name} has no session number {session}.")
        return found

    def _begin_session(self, person: UserRow, name: str | None, text: str) -> SessionRow:
        """Return the session called `name`, or a new one that is called by the beginning of `text`."""
        while True:
            taken = {s.name: s for s in self._store.sessions(person.id)}
            if name is not None and name in taken:
                return taken[name]
            # taken by another process in between: look again
            with suppress(NameTaken):
                return self._store.add_session(person.id, name or session_name(text, taken))

    @translated()
    def welcome(self, name: str) -> UserRow:
        """Return the person called `name`, who exists from now on.

        Raises:
            BadRequest: `name` cannot be a name.
        """
        with suppress(NameTaken):
            return self._store.find_user(name) or self._store.add_user(name)
        return self._person(name)

    @translated()
    def sessions(self, user: str) -> list[SessionRow]:
        """Return the person's sessions, newest first; raises NotFound."""
        return self._store.sessions(self._person(user).id)

    @translated()
    def turns(self, user: str, session: int) -> list[TurnRow]:
        """Return all that was said in one of the person's own sessions, oldest first; raises NotFound."""
        person = self._person(user)
        found = self._session(person, session)
        return [] if found is None else self._store.session_turns(person.id, found.id)

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
    def count_turns(self, user: str) -> int:
        """Return how many turns the person has; raises NotFound."""
        return self._store.count_turns(self._person(user).id)

    @translated()
    def import_sessions(self, user: str, sessions: Sequence[Sequence[Exchange]]) -> int:
        """Store finished conversations of the person, all or none, and return how many turns they held.

        Memory reads them when it is next used, or now with `settle`.
        """
        person = self._person(user)
        taken = {s.name for s in self._store.sessions(person.id)}
        named = []
        for exchanges in filter(None, sessions):
            name = session_name(exchanges[0].user or exchanges[0].assistant, taken)
            taken.add(name)
            named.append((name, [(e.user, e.assistant) for e in exchanges]))
        return self._store.add_sessions(person.id, named)

    @translated()
    def settle(self, user: str, on_turn: OnTurn | None = None) -> MemoryFigures:
        """Return what memory has read once it has read everything the person said.

        Args:
            on_turn: called after each turn read, with the number of turns read so far.

        Raises:
            NotFound: no such person.
            MemoryDamaged: the saved memory is not what was saved.
        """
        return self._recollector.catch_up(self._person(user), on_turn).figures

    @translated()
    def rebuild(self, user: str, on_turn: OnTurn | None = None) -> MemoryFigures:
        """Read everything the person said again, also over a damaged memory; raises NotFound."""
        return self._recollector.rebuild(self._person(user), on_turn).figures

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
    def rename_session(self, user: str, session: int, name: str) -> SessionRow:
        """Return the session under its new name; raises NotFound and BadRequest."""
        return self._store.rename_session(self._person(user).id, session, name)

    @translated()
    def branch(self, user: str, turn: int) -> SessionRow:
        """Return a new session that begins as that of `turn` did, through that turn; raises NotFound."""
        person = self._person(user)
        while True:
            sessions = self._store.sessions(person.id)
            last = self._store.turn(person.id, turn)
            source = next((s.name for s in sessions if last and s.id == last.session_id), "")
            with suppress(NameTaken):
                return self._store.branch(person.id, turn, session_name(source, {s.name for s in sessions}))

    @translated()
    def forget(self, user: str, selection: Selection, on_turn: OnTurn | None = None) -> Receipt:
        """Delete for good what `selection` names, and return what came of it; raises NotFound."""
        return forget(self._store, self._recollector, self._person(user), selection, on_turn)

    @translated()
    def verify(self, user: str, on_turn: OnTurn | None = None) -> tuple[str, str]:
        """Return the hash of the memory as it is, and of one that is read from the beginning beside it.

        Raises:
            NotFound: no such person.
            MemoryDamaged: the saved memory is not what was saved.
        """
        return self._recollector.verify(self._person(user), on_turn)

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
        with suppress(RuntimeError):
            self._background.submit(self._read, person)

    def _read(self, person: UserRow) -> None:
        try:
            with translated():
                self._recollector.catch_up(person)
        except RemanenceError as error:
            log.warning("%s", error)
        except Exception:
            log.exception(
                "reading a turn of person %d failed; it is read when the memory is next used", person.id
            )

    def close(self) -> None:
        """Wait for the reading in progress; nothing is answered afterwards.

        What is left unread is read at the next start, or when the memory is next used.
        """
        self._background.shutdown(wait=True, cancel_futures=True)
