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
from contextlib import suppress
from dataclasses import dataclass

from app.archive import Archive
from app.errors import BadRequest, MemoryDamaged, NotFound, ReplyFailed, translated
from app.recollection import MemoryFigures, exchange_of
from app.reply import Answer, Reply
from app.transcript import check_message, new_session_name, session_name
from model.conversation import Exchange, prompt_ids
from model.generation import stream
from storage.rows import NameTaken, SessionRow, TurnRow, UserRow
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


class Chat(Archive):
    """A store, a model and its memory generator, joined; safe to share between threads."""

    @translated()
    def reply(
        self,
        user: str,
        session: int | str | None,
        text: str,
        *,
        memory: bool = True,
        instead_of: int | None = None,
        temporary: Sequence[tuple[str, str]] | None = None,
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
            temporary: for a chat that is neither stored nor read: what was said in it before, messages and
                replies.
            stop: when set, the reply ends at the next piece and is stored as it was shown.

        Raises:
            NotFound: no such person, or no such session among the person's own.
            BadRequest: empty or impossible text, a bad name, or a session that is a document.
            TooLong: more than `max_message_chars` characters.
            Refused: the person's account is disabled, or its quota is used up.
            MemoryDamaged: while iterated: the saved memory is not what was saved; nothing is stored then.
            ReplyFailed: while iterated: the model failed; the turn is stored as failed.
        """
        person = self._person(user)
        check_message(text, self._settings.max_message_chars)
        self.people.require_enabled(person.name)
        if temporary is None:
            self.people.require_room(person.name, text, new_turns=1 if instead_of is None else 0)
        where = self._session(person, session)
        if where is not None and where.source is not None:
            raise BadRequest(f"'{where.name}' is a document; ask about it in a chat.")
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
        before = None if temporary is None else [Exchange(*texts) for texts in temporary]
        return Reply(self._turn(said, before, stop or threading.Event()))

    def _turn(
        self, said: "Said", temporary: Sequence[Exchange] | None, stop: threading.Event
    ) -> abc.Generator[str, None, Answer]:
        started = time.perf_counter()
        shown: list[str] = []
        status: Status = "failed"
        failure: Exception | None = None
        recollection = adapter = None
        with translated():
            # 1. memory has read everything said before, also what a crash or the turn just before left unread
            if said.in_memory:
                recollection = self._recollector.latest(said.person)
                adapter = self._recollector.adapter(said.person, recollection)
            # 2. the prompt: the message, after as much of the running session as suits the model
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
            except Exception as error:
                failure = error
            finally:
                # 4. the turn becomes true, also where the reply failed
                seconds = time.perf_counter() - started
                text = "".join(shown)
                turn = self._store_turn(said, text, status) if temporary is None else None
                self._count(status, len(token_ids), text)
        if failure is not None:
            log.error("a reply failed", exc_info=failure)
            raise ReplyFailed(turn.session_id if turn else None) from failure
        # 5. memory reads it, after the reply
        if said.in_memory:
            self._read_later(said.person)
        figures = recollection.figures if recollection else self._saved_figures(said.person)
        return Answer(text, turn, len(token_ids), seconds, figures, said.in_memory)

    def _count(self, status: Status, prompt_tokens: int, reply: str) -> None:
        self.counters.add("replies_failed" if status == "failed" else "replies")
        self.counters.add("prompt_tokens", prompt_tokens)
        self.counters.add("reply_tokens", len(self._lm.tokenizer.encode(reply, add_special_tokens=False)))

    def _store_turn(self, said: "Said", reply: str, status: Status) -> TurnRow:
        session = said.session or self._begin_session(said.person, said.session_name, said.text)
        while True:
            # the new name was taken by another process in between: look again
            with suppress(NameTaken):
                return self._store.add_turn(
                    said.person.id,
                    session.id,
                    said.text,
                    reply,
                    status,
                    # what failed will be said again, and counts once
                    in_memory=said.in_memory and status != "failed",
                    instead_of=said.instead_of,
                    name=self._new_name(said),
                )

    def _new_name(self, said: "Said") -> str | None:
        """Return a new name for the session, None unless the old one repeats what is replaced."""
        if said.session is None or said.instead_of is None:
            return None
        sessions = self._store.sessions(said.person.id)
        name = next((s.name for s in sessions if s.id == said.session.id), "")
        turns = self._store.session_turns(said.person.id, said.session.id)
        gone = [t.user_text for t in turns if t.id >= said.instead_of and t.user_text != said.text]
        kept = [t.user_text or t.reply_text for t in turns if t.id < said.instead_of]
        first = kept[0] if kept else said.text
        return new_session_name(name, gone, first, {s.name for s in sessions} - {name})

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

    def _begin_session(self, person: UserRow, name: str | None, text: str) -> SessionRow:
        """Return the session called `name`, or a new one that is called by the beginning of `text`."""
        while True:
            taken = {s.name: s for s in self._store.sessions(person.id)}
            if name is not None and name in taken:
                return taken[name]
            # taken by another process in between: look again
            with suppress(NameTaken):
                return self._store.add_session(person.id, name or session_name(text, taken))

    def _saved_figures(self, person: UserRow) -> MemoryFigures:
        # an answer without memory does not need it to be sound
        with suppress(MemoryDamaged):
            return self.memory(person.name)
        return MemoryFigures(0, 0, 0)
