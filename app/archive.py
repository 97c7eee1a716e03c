"""What a person brings and takes along, and a closer look at what is remembered.

From outside a person is a name; a session or a turn is a number among that person's own. Errors of the
packages below leave as `RemanenceError`.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch

from app.demo import Demo
from app.doctor import Finding, examine
from app.documents import read_document
from app.errors import BadRequest, translated
from app.formats import Conversation
from app.history import History
from app.inspection import (
    QUESTIONS,
    Contribution,
    Explanation,
    Recollected,
    ask_each,
    contributions,
    explain,
)
from app.memories import Memories
from app.recollection import OnTurn
from app.settings import Settings
from app.takeout import pack_takeout, read_open, write_takeout
from app.transcript import check_message, session_name
from memory.generator import Generator
from model.base import BaseModel
from model.conversation import prompt_ids
from model.generation import Sampling
from model.lora import save_lora
from storage.rows import NewSession, SessionRow, TurnRow
from storage.store import Store
from storage.transactions import is_name


class Archive(Memories):
    """People's sessions and memories, with all that goes in and out of them.

    Attributes:
        demo: the same model for anybody to try, without any of that; None where it is switched off.
    """

    def __init__(self, store: Store, lm: BaseModel, generator: Generator, settings: Settings) -> None:
        super().__init__(store, lm, generator, settings)
        self.demo = Demo(lm, generator, settings) if settings.demo else None
        self._history = History(store, lm)
        self._sampling = Sampling(
            temperature=settings.temperature, top_p=settings.top_p, max_new_tokens=settings.max_new_tokens
        )

    @translated()
    def history_tokens(self, user: str, turn: TurnRow) -> int:
        """Return how long the prompt of `turn` would be if it repeated all that was said before it.

        See `History` for what that is.
        """
        message = prompt_ids(self._lm, [], turn.user_text, 0)
        return self._history.tokens_before(self._person(user), turn) + len(message)

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
                    told.said_at,
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
            Cancelled: somebody cancelled the reading.
        """
        return write_takeout(
            file, self._store, self._recollector, self._lm, self._person(user), self._caught_up
        )

    @translated()
    def export_into(self, user: str, file: BinaryIO) -> dict[str, Any]:
        """Write the same zip into an open file; raises NotFound, MemoryDamaged and Cancelled."""
        return pack_takeout(
            file, self._store, self._recollector, self._lm, self._person(user), self._caught_up
        )

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
    def why(self, user: str, question: str, on_turn: OnTurn | None = None) -> Explanation:
        """Return the likeliest answer in a new session, and which turns it leans on; nothing is stored.

        Args:
            on_turn: called after each turn, with the number of turns left out so far.

        Raises:
            NotFound: no such person.
            BadRequest: empty or impossible text, or a generator that does not read turns independently.
            TooLong: more than `max_message_chars` characters.
            MemoryDamaged: the saved memory is not what was saved.
            Cancelled: somebody cancelled the reading.
        """
        person = self._person(user)
        check_message(question, self._settings.max_message_chars)
        memory = self._caught_up(person)
        return explain(
            self._lm,
            prompt_ids(self._lm, [], question, max_window_tokens=0),
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
            Cancelled: somebody cancelled the reading.
        """
        person = self._person(user)
        adapter = self._recollector.adapter(person, self._caught_up(person))
        try:
            if folder.exists() and any(folder.iterdir()):
                raise BadRequest(f"The folder {folder} is not empty.")
            return save_lora(adapter, self._lm, folder, getattr(torch, dtype))
        except OSError as exc:
            raise BadRequest(f"The folder {folder} cannot be written: {exc.strerror}.") from exc


def _imported_name(told: Conversation, taken: Collection[str]) -> str:
    """Return the name that the session brings, where it can be one, or one like it."""
    name = told.name or ""
    if is_name(name) and name not in taken:
        return name
    return session_name(name.strip() or told.exchanges[0].user or told.exchanges[0].assistant, taken)
