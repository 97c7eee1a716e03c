"""Whatever happens to what was said, and whenever the process dies: memory is that of what is kept."""

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import app.chat
from app.chat import Chat
from app.forgetting import Selection
from app.formats import Conversation
from app.settings import Settings
from app.transcript import session_name
from memory.generator import Generator
from memory.state import MemoryState
from model.base import BaseModel
from model.conversation import Exchange, fold, turn_tokens
from storage.rows import TurnRow
from storage.store import Store

Loaded = tuple[BaseModel, Generator]

NUM_KILLS = 200
# How long a process lives at most, in turns of an undisturbed one; every fifth dies while it opens.
TURNS_OF_A_LIFE = 6
REPLY = "I see."
OPEN = (2**32 - 1).to_bytes(4, "little")


def one_reply(*_arguments: Any) -> Iterator[str]:
    """A model that always says the same, so that what was said is known beforehand."""
    yield REPLY


def message(number: int) -> str:
    """What is said as the turn of this number."""
    return f"My friend {number} keeps {number * 7} hens."


def chat_until_killed(database: Path, loaded: Loaded, settings: Settings, told: int) -> None:
    """Go on with the script from what is stored; after each turn write its number to the pipe `told`."""
    with closing(Store.open(database)) as store, closing(Chat(store, *loaded, settings)) as chat:
        chat.welcome("Ada")
        chat.read_what_was_left()
        number = chat.count_turns("Ada")
        os.write(told, OPEN)
        while True:
            # a new session every five turns
            list(chat.reply("Ada", f"talk {number // 5}", message(number)))
            os.write(told, number.to_bytes(4, "little"))
            number += 1


def seconds_of_a_turn(database: Path, loaded: Loaded, settings: Settings) -> float:
    """How long a turn and its reading take here and now."""
    with closing(Store.open(database)) as store, closing(Chat(store, *loaded, settings)) as chat:
        chat.welcome("Ada")
        started = time.perf_counter()
        for number in range(5):
            list(chat.reply("Ada", "talk", message(number)))
        chat.settle("Ada")
        return (time.perf_counter() - started) / 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_200_times_a_chat_loses_nothing_and_reads_everything_once(
    data: Path, loaded: Loaded, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SIGKILL at random moments of a long chat ends in the memory of the chat that nobody interrupted."""
    monkeypatch.setattr(app.chat, "stream", one_reply)
    rng = random.Random(0)
    turn_s = seconds_of_a_turn(tmp_path / "measured.db", loaded, settings)
    acknowledged = -1
    for kill in range(NUM_KILLS):
        heard, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(heard)
            try:
                chat_until_killed(settings.data / "remanence.db", loaded, settings, told)
            finally:
                os._exit(1)
        os.close(told)
        numbers = b"" if kill % 5 == 0 else os.read(heard, 4)
        time.sleep(rng.uniform(0.0, TURNS_OF_A_LIFE * turn_s))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the chat ended by itself"
        with open(heard, "rb") as pipe:
            numbers += pipe.read()
        told_of = [numbers[n : n + 4] for n in range(0, len(numbers) - 3, 4)]
        acknowledged = max([acknowledged, *(int.from_bytes(n, "little") for n in told_of if n != OPEN)])

    file = settings.data / "remanence.db"
    with closing(Store.open(file)) as store, closing(Chat(store, *loaded, settings)) as chat:
        turns = list(store.turns(chat.welcome("Ada").id))
        live, rebuilt = chat.verify("Ada")
    assert len(turns) > acknowledged > 20
    assert [turn.user_text for turn in turns] == [message(number) for number in range(len(turns))]
    file = tmp_path / "uninterrupted.db"
    with closing(Store.open(file)) as store, closing(Chat(store, *loaded, settings)) as chat:
        chat.welcome("Ada")
        exchanges = [Exchange(message(number), REPLY) for number in range(len(turns))]
        talks = [Conversation(tuple(exchanges[n : n + 5])) for n in range(0, len(turns), 5)]
        chat.import_sessions("Ada", talks)
        uninterrupted, _ = chat.verify("Ada")
    assert live == rebuilt == uninterrupted


def reference(loaded: Loaded, sessions: dict[int, list[TurnRow]], left_out: set[int]) -> str:
    """The hash of the memory of what is kept, read the slow way: every turn with what stood before it."""
    lm, generator = loaded
    state: MemoryState = generator.empty_state()
    turns = sorted((turn for said in sessions.values() for turn in said), key=lambda turn: turn.id)
    read = {turn.id for turn in turns if turn.in_memory and turn.session_id not in left_out}
    for turn in turns:
        if turn.id not in read:
            continue
        before = [t for t in sessions[turn.session_id] if t.position < turn.position]
        # a copy is what it is a copy of
        seen = [t for t in before if (t.copy_of or t.id) in read]
        *context, tokens = [turn_tokens(lm, Exchange(t.user_text, t.reply_text)) for t in (*seen, turn)]
        state = fold(lm, generator, state, context, tokens)
    return state.digest


class Ledger(RuleBasedStateMachine):
    """Saying, editing, branching, switching, forgetting and crashing in any order."""

    loaded: Loaded
    settings_in_force: Settings

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.left_out: set[int] = set()
        self.is_on = True
        # whether memory was on for what was said; no message is said twice
        self.heard: dict[str, bool] = {}
        self._open()
        self.chat.welcome("Ada")

    def _open(self) -> None:
        self.store = Store.open(Path(self.folder.name) / "remanence.db")
        self.chat = Chat(self.store, *self.loaded, self.settings_in_force)

    def teardown(self) -> None:
        self.chat.close()
        self.store.close()
        self.folder.cleanup()

    @property
    def sessions(self) -> dict[int, list[TurnRow]]:
        """What is stored, by session."""
        return {session.id: self.chat.turns("Ada", session.id) for session in self.chat.sessions("Ada")}

    @property
    def turns(self) -> list[TurnRow]:
        """What is stored, in order."""
        return sorted((turn for said in self.sessions.values() for turn in said), key=lambda turn: turn.id)

    @rule(
        text=st.sampled_from(["I juggle.", "My cat is Misty.", "I live in Oslo now."]),
        where=st.integers(0, 3),
    )
    def say(self, text: str, where: int) -> None:
        """Say something, in a new session or in one that is there."""
        sessions = [None, *self.sessions]
        session = sessions[where % len(sessions)]
        before, text = len(self.turns), f"{text} {len(self.heard)}"
        list(self.chat.reply("Ada", session, text))
        turns = self.turns
        self.heard[text] = turns[-1].in_memory
        assert (len(turns), turns[-1].user_text) == (before + 1, text)
        assert turns[-1].in_memory == (self.is_on and turns[-1].session_id not in self.left_out)

    @precondition(lambda self: self.turns)
    @rule(which=st.integers(0, 9))
    def edit(self, which: int) -> None:
        """Say something else in the place of a turn."""
        turn = self.turns[which % len(self.turns)]
        before = [t.id for t in self.sessions[turn.session_id] if t.position < turn.position]
        text = f"I meant Bergen. {len(self.heard)}"
        list(self.chat.reply("Ada", turn.session_id, text, instead_of=turn.id))
        after = self.sessions[turn.session_id]
        assert [t.id for t in after[:-1]] == before
        assert after[-1].user_text == text
        self.heard[text] = after[-1].in_memory

    @precondition(lambda self: self.turns)
    @rule(which=st.integers(0, 9))
    def branch(self, which: int) -> None:
        """Begin a session as another did."""
        turn = self.turns[which % len(self.turns)]
        session = self.chat.branch("Ada", turn.id)
        if turn.session_id in self.left_out:
            self.left_out.add(session.id)

    @precondition(lambda self: self.turns)
    @rule(which=st.integers(0, 9), whole=st.booleans())
    def forget(self, which: int, whole: bool) -> None:
        """Forget a turn or its session."""
        turn = self.turns[which % len(self.turns)]
        selection = Selection(session_id=turn.session_id) if whole else Selection(turn_id=turn.id)
        receipt = self.chat.forget("Ada", selection)
        assert turn.id not in {t.id for t in self.turns}
        assert receipt.after == self.chat.verify("Ada")[1]

    @precondition(lambda self: self.sessions)
    @rule(which=st.integers(0, 9), on=st.booleans())
    def switch_session(self, which: int, on: bool) -> None:
        """Leave a session out, or take it in."""
        session = list(self.sessions)[which % len(self.sessions)]
        self.chat.set_memory("Ada", on, session=session)
        (self.left_out.discard if on else self.left_out.add)(session)

    @rule(on=st.booleans())
    def switch(self, on: bool) -> None:
        """Switch memory for everything said from now on."""
        self.chat.set_memory("Ada", on)
        self.is_on = on

    @rule()
    def crash(self) -> None:
        """Begin anew, without having been asked to end."""
        self.chat.jobs._worker.shutdown(wait=False, cancel_futures=True)
        self._open()

    @invariant()
    def memory_is_that_of_what_is_kept(self) -> None:
        """However it came about, bit for bit."""
        assert self.chat.verify("Ada") == (reference(self.loaded, self.sessions, self.left_out),) * 2

    @invariant()
    def what_is_kept_stands_once_and_its_copies_name_it(self) -> None:
        """Where an original went, a copy is in its place; a session is called by how it begins."""
        originals = [turn for turn in self.turns if turn.copy_of is None]
        by_text = {turn.user_text: turn for turn in originals}
        assert len(by_text) == len(originals)
        for turn in self.turns:
            origin = by_text[turn.user_text]
            assert turn.copy_of in (None, origin.id)
            assert origin.in_memory == self.heard[turn.user_text]
        for session in self.chat.sessions("Ada"):
            assert session.name.startswith(session_name(self.sessions[session.id][0].user_text))


def test_any_sequence_of_changes_ends_in_the_memory_of_what_is_kept(
    loaded: Loaded, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random sequences of say, edit, branch, forget, switch and crash, each checked after every step."""
    monkeypatch.setattr(app.chat, "stream", one_reply)
    Ledger.loaded, Ledger.settings_in_force = loaded, settings
    run_state_machine_as_test(Ledger, settings=SEQUENCES)


SEQUENCES = hypothesis.settings(
    max_examples=12,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    derandomize=True,
)
