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
from bisect import bisect_left
from collections import abc
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from app.errors import BadRequest, NotFound, RemanenceError, translated
from app.formats import Conversation
from app.recollection import MemoryFigures, MemoryMark, OnTurn, Recollector, exchange_of, saved_memory
from app.settings import Settings
from app.takeout import write_takeout
from app.transcript import check_message
from memory.generator import Generator
from model.base import BaseModel
from model.conversation import Exchange, prompt_ids
from model.generation import Sampling, stream
from model.lora import save_lora
from storage.store import NameTaken, NewSession, SessionRow, Store, TurnRow, UserRow, is_name
from storage.tables import Status

log = logging.getLogger(__name__)

# Turns of the running session that are fetched for a prompt, which repeats those that fit.
WINDOW_TURNS = 32
# A session without a name is called by the beginning of its first message.
SESSION_NAME_CHARS = 40


@dataclass(frozen=True, slots=True)
class Answer:
    """What a finished reply was.

    Attributes:
        turn: as it is stored; its status says whether it was stopped.
        prompt_tokens: length of the prompt.
        seconds: from the question to the last word.
        memory: what memory had read when it answered; this turn is read after that.
    """

    turn: TurnRow
    prompt_tokens: int
    seconds: float
    memory: MemoryFigures

    def summary(self) -> dict[str, Any]:
        """Return what the API and `ask --json` say of it."""
        return {
            "reply": self.turn.reply_text,
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


class Chat:
    """A store, a model and its memory generator, joined; safe to share between threads."""

    def __init__(self, store: Store, lm: BaseModel, generator: Generator, settings: Settings) -> None:
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
        stop: threading.Event | None = None,
    ) -> Reply:
        """Return the reply to what `user` says; it is made and stored while it is iterated.

        Args:
            user: name of somebody who exists.
            session: number or name of one of the person's sessions; a new name, or None, begins one.
            text: what the person says.
            memory: False answers as the base model alone; the turn is stored and read all the same.
            stop: when set, the reply ends at the next piece and is stored as it was shown.

        Raises:
            NotFound: no such person, or no such session among the person's own.
            BadRequest: empty or impossible text, or a bad name.
            TooLong: more than `max_message_chars` characters.
            MemoryDamaged: while iterated: the saved memory is not what was saved; nothing is stored then.
        """
        person = self._person(user)
        check_message(text, self._settings.max_message_chars)
        return Reply(
            self._turn(
                person,
                self._session(person, session),
                session if isinstance(session, str) else None,
                text,
                memory,
                stop or threading.Event(),
            )
        )

    def _turn(
        self,
        person: UserRow,
        session: SessionRow | None,
        name: str | None,
        text: str,
        memory: bool,
        stop: threading.Event,
    ) -> abc.Generator[str, None, Answer]:
        started = time.perf_counter()
        shown: list[str] = []
        status: Status = "stopped"
        with translated():
            # 1. memory has read everything said before, also what a crash or the turn just before left unread
            recollection = self._recollector.catch_up(person)
            adapter = self._recollector.adapter(person, recollection) if memory else None
            # 2. the prompt: the end of the running session and the message, nothing else
            token_ids = prompt_ids(self._lm, self._window(session), text, self._settings.window_tokens)
            # 3. the reply
            try:
                for piece in stream(self._lm, token_ids, adapter, self._sampling, stop):
                    shown.append(piece)
                    yield piece
                if not stop.is_set():
                    status = "complete"
            except GeneratorExit:
                # closed early: keep what was shown
                pass
            seconds = time.perf_counter() - started
            # 4. the turn becomes true
            session = session or self._begin_session(person, name, text)
            turn = self._store.add_turn(person.id, session.id, text, "".join(shown), status)
        # 5. memory reads it, after the reply
        self._read_later(person)
        return Answer(turn, len(token_ids), seconds, recollection.figures)

    def _window(self, session: SessionRow | None) -> list[Exchange]:
        if session is None:
            return []
        turns = self._store.session_turns(session.user_id, session.id, limit=WINDOW_TURNS)
        # a turn that was stopped before its first word would teach the model to say nothing
        return [exchange_of(t) for t in turns if t.reply_text]

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
            new.append(NewSession(name, texts, told.created_at, told.order))
        return self._store.add_sessions(person.id, new)

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
        """
        return self._recollector.catch_up(self._person(user), on_turn).figures

    @translated()
    def rebuild(self, user: str, on_turn: OnTurn | None = None) -> MemoryFigures:
        """Read everything the person said again, also over a damaged memory; raises NotFound."""
        return self._recollector.rebuild(self._person(user), on_turn).figures

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


def session_name(text: str, taken: Collection[str] = ()) -> str:
    """Return a name for a session that begins with `text`, unlike all those in `taken`."""
    words = "".join(c for c in " ".join(text.split()) if c.isprintable())
    name = words[:SESSION_NAME_CHARS].strip() or "Chat"
    if name not in taken:
        return name
    # numbers are given one after the other: the next is found without asking for each
    number = 2
    while f"{name} ({number})" in taken:
        number *= 2
    number = bisect_left(range(number), True, lo=2, key=lambda n: f"{name} ({n})" not in taken)
    return f"{name} ({number})"


def _imported_name(told: Conversation, taken: Collection[str]) -> str:
    """Return the name that the session brings, where it can be one, or one like it."""
    name = told.name or ""
    if is_name(name) and name not in taken:
        return name
    return session_name(name.strip() or told.exchanges[0].user or told.exchanges[0].assistant, taken)
