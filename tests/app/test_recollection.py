"""Catching up: every turn is read exactly once, whatever is interrupted, replaced, damaged or forgotten."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import sqlalchemy

from app.chat import Chat
from app.errors import MemoryDamaged
from app.formats import Conversation
from app.recollection import Recollector
from app.settings import Settings, load_settings
from app.wiring import open_chat
from memory.generator import Generator
from model.base import BaseModel
from model.conversation import Exchange
from storage.rows import StateRow, UserRow
from storage.store import Store

Loaded = tuple[BaseModel, Generator]

SAID = [
    Exchange("My dog is called Biscuit.", "Nice."),
    Exchange("I live in Lisbon.", "Ah."),
    Exchange("Hello!", "Hi."),
]


@pytest.fixture
def ada(chat: Chat) -> UserRow:
    """Ada, who has said three things in one session."""
    chat.import_sessions("Ada", [Conversation(tuple(SAID))])
    return chat.welcome("Ada")


def row(store: Store, person: UserRow) -> StateRow:
    """The person's saved memory."""
    found = store.state(person.id)
    assert found is not None
    return found


def wait_until(is_done: Callable[[], bool]) -> None:
    """Wait for what happens in the background, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alter(settings: Settings, statement: str) -> None:
    """Change the database behind everybody's back."""
    engine = sqlalchemy.create_engine(f"sqlite:///{settings.database}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()


DIE_AT = {
    # the turn is stored, nobody has begun to read it
    "before reading": "app.chat.Chat._read_later = lambda *_: os.kill(os.getpid(), signal.SIGKILL)",
    # the turn is read, what came out is not saved
    "before saving": "storage.store.Store.save_state = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.mark.parametrize("moment", DIE_AT)
def test_a_turn_stored_just_before_a_kill_is_read_exactly_once(
    moment: str, settings: Settings, loaded: Loaded, tmp_path: Path
) -> None:
    """A kill between storing a turn and saving its memory ends in what no kill would have ended in."""
    with open_chat(settings) as chat:
        chat.welcome("Ada")
        list(chat.reply("Ada", "talk", SAID[0].user))
        chat.settle("Ada")
    program = f"""
import os, signal
import app.chat, storage.store
from app.settings import load_settings
from app.wiring import open_chat
with open_chat(load_settings()) as chat:
    {DIE_AT[moment]}
    list(chat.reply("Ada", "talk", {SAID[1].user!r}))
    chat.settle("Ada")
"""
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL

    uninterrupted = Store.open(f"sqlite:///{tmp_path / 'uninterrupted.db'}")
    other = Chat(uninterrupted, *loaded, settings)
    other.welcome("Ada")
    for said in SAID[:2]:
        list(other.reply("Ada", "talk", said.user))
    other.settle("Ada")
    other.close()

    store = Store.open(settings.database)
    person = store.users()[0]
    assert (store.count_turns(person.id), row(store, person).num_turns) == (2, 1)
    with open_chat(load_settings()) as chat:
        chat.read_what_was_left()
        wait_until(lambda: row(store, person).num_turns == 2)
    saved, expected = row(store, person), row(uninterrupted, person)
    assert saved.num_turns == expected.num_turns == 2
    assert saved.payload == expected.payload
    with open_chat(load_settings()) as chat:
        chat.read_what_was_left()
        chat.settle("Ada")
    assert row(store, person) == saved
    store.close()
    uninterrupted.close()


def test_reading_at_once_and_reading_turn_by_turn_end_in_the_same_bytes(
    chat: Chat, store: Store, ada: UserRow, open_another: Callable[[str], tuple[Chat, Store]]
) -> None:
    """How often the state was saved in between cannot be told from it."""
    chat.settle("Ada")
    step_by_step, other_store = open_another("step")
    person = step_by_step.welcome("Ada")
    session = other_store.add_session(person.id, "talk")
    for said in SAID:
        other_store.add_turn(person.id, session.id, said.user, said.assistant, "complete")
        step_by_step.settle("Ada")
    assert row(other_store, person).revision == 3
    assert row(other_store, person).payload == row(store, ada).payload


READ = """
import sys, time
from pathlib import Path
from app.recollection import Recollector
from app.settings import load_settings
from app.wiring import open_chat
folder, name = Path(sys.argv[1]), sys.argv[2]
read = Recollector._with_contexts
def told(self, turns):
    for turn, tokens, context in read(self, turns):
        with (folder / "folds").open("a") as folds:
            print(turn.id, name, file=folds)
        time.sleep(0.5)
        yield turn, tokens, context
Recollector._with_contexts = told
with open_chat(load_settings()) as chat:
    (folder / name).touch()
    while not (folder / "go").exists():
        time.sleep(0.001)
    print(chat.settle("Ada").turns)
"""


def test_of_two_processes_one_reads_and_the_other_waits(
    store: Store, ada: UserRow, settings: Settings, tmp_path: Path
) -> None:
    """Both end with the whole memory, and each turn was read by one of them."""
    folder = tmp_path / "both"
    folder.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", READ, str(folder), name],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]
    while len(list(folder.iterdir())) < 2:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    (folder / "go").touch()
    assert [process.communicate(timeout=120)[0] for process in processes] == [b"3\n"] * 2
    numbers, names = zip(*map(str.split, (folder / "folds").read_text().splitlines()), strict=True)
    assert numbers == tuple(str(turn.id) for turn in store.memory_turns(ada.id))
    assert len(set(names)) == 1
    assert row(store, ada).revision == 1


def test_where_there_is_nothing_to_read_nothing_is_written(
    store: Store, loaded: Loaded, ada: UserRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual reply takes no lease."""
    reader = Recollector(store, *loaded)
    memory = reader.catch_up(ada)
    monkeypatch.setattr(Store, "_writing", None)
    assert reader.catch_up(ada).figures == memory.figures


def test_two_who_read_at_once_all_the_same_read_every_turn_once(
    store: Store, loaded: Loaded, ada: UserRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a clock jumps and a lease seems to have run out: it only ever spared work."""
    monkeypatch.setattr(Store, "lease", lambda *_: nullcontext())
    readers = [Recollector(store, *loaded) for _ in range(2)]
    alone = readers[0].catch_up(ada).state.to_bytes()
    readers[0].rebuild(ada)
    store.delete_state(ada.id)
    start = threading.Barrier(2)
    found = []

    def wait_for_the_other(num_turns: int) -> None:
        # neither saves before both have begun to read
        if num_turns == 1:
            start.wait(timeout=10)

    def read(reader: Recollector) -> None:
        found.append(reader.catch_up(ada, on_turn=wait_for_the_other))

    threads = [threading.Thread(target=read, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [memory.figures.turns for memory in found] == [3, 3]
    assert {memory.state.to_bytes() for memory in found} == {alone}
    assert row(store, ada).num_turns == 3


DAMAGE = [
    "payload = x'00'",
    "payload = substr(payload, 1, length(payload) - 1)",
    "payload = 'text'",
    "payload = zeroblob(length(payload))",
    "checksum = 'other'",
    "num_turns = num_turns + 1",
    "num_tokens = 'many'",
    "through_turn_id = 99",
    "generator = 'other'",
    "updated_at = 'yesterday'",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_row_is_refused_and_rebuilt_on_demand(
    damage: str, chat: Chat, store: Store, settings: Settings, ada: UserRow
) -> None:
    """It is neither used nor replaced in passing, no turn is lost, and a rebuild restores it to the bit."""
    chat.settle("Ada")
    whole = row(store, ada).payload
    alter(settings, f"UPDATE states SET {damage}")
    reply = chat.reply("Ada", None, "Where do I live?")
    for attempt in (lambda: list(reply), lambda: chat.settle("Ada"), lambda: chat.memory("Ada")):
        with pytest.raises(MemoryDamaged, match="remanence memory rebuild --user Ada"):
            attempt()
    assert store.count_turns(ada.id) == 3
    assert chat.rebuild("Ada").turns == 3
    assert row(store, ada).payload == whole


def test_nobody_else_is_held_up_by_a_damaged_row(chat: Chat, settings: Settings, ada: UserRow) -> None:
    """Reading what was left goes on with the others."""
    chat.settle("Ada")
    alter(settings, "UPDATE states SET checksum = 'other'")
    chat.import_sessions("Bob", [Conversation(tuple(SAID))])
    chat.read_what_was_left()
    wait_until(lambda: chat.memory("Bob").turns == 3)


@pytest.mark.parametrize("change", ["generator", "base", "roles"])
def test_a_memory_made_otherwise_is_read_anew(
    change: str, store: Store, loaded: Loaded, ada: UserRow
) -> None:
    """Another generator, another base or other roles read all turns again, and the first ones do so back."""
    lm, generator = loaded
    before = Recollector(store, lm, generator).catch_up(ada)
    other_generator = Generator(generator.config) if change == "generator" else generator
    other_lm = BaseModel(lm.network, lm.tokenizer, lm.name, "another") if change == "base" else lm
    other = Recollector(store, other_lm, other_generator, "both" if change == "roles" else "user").catch_up(
        ada
    )
    assert other.figures.turns == 3
    assert other.figures.revision > before.figures.revision
    assert (other.state.to_bytes() == before.state.to_bytes()) == (change == "base")
    again = Recollector(store, lm, generator).catch_up(ada)
    assert again.state.to_bytes() == before.state.to_bytes()


def test_the_old_memory_is_kept_until_the_one_of_another_generator_is_whole(
    store: Store, loaded: Loaded, ada: UserRow
) -> None:
    lm, generator = loaded
    old = Recollector(store, lm, generator).catch_up(ada)
    other = Recollector(store, lm, Generator(generator.config))
    progress: list[int] = []

    def lose_power_after_two(num_turns: int) -> None:
        progress.append(num_turns)
        if num_turns == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        other.catch_up(ada, lose_power_after_two)
    assert row(store, ada).payload == old.state.to_bytes()
    other.catch_up(ada, progress.append)
    assert progress == [1, 2, 1, 2, 3]
    assert row(store, ada).payload != old.state.to_bytes()


def test_what_is_forgotten_while_it_is_read_does_not_come_back(
    store: Store, loaded: Loaded, ada: UserRow
) -> None:
    """Turns deleted between reading and saving leave no trace in the memory."""
    reader = Recollector(store, *loaded)
    memory = reader.catch_up(ada, on_turn=lambda n: store.forget_everything(ada.id) if n == 3 else None)
    assert memory.figures.turns == 0
    assert store.state(ada.id) is None


def test_a_turn_that_was_taken_out_is_not_in_the_memory_after_the_next(
    chat: Chat, store: Store, settings: Settings, ada: UserRow
) -> None:
    """A saved memory of turns that are gone is dropped and read anew from those that are left."""
    chat.settle("Ada")
    alter(settings, "DELETE FROM turns WHERE position = 0")
    session = store.sessions(ada.id)[0]
    store.add_turn(ada.id, session.id, "And my sister?", "Yes.", "complete")
    assert chat.settle("Ada").turns == 3
    saved = row(store, ada).payload
    chat.rebuild("Ada")
    assert row(store, ada).payload == saved


def test_the_adapter_of_a_memory_is_made_once_a_revision(store: Store, loaded: Loaded, ada: UserRow) -> None:
    """The same revision is the same adapter, another one is another."""
    reader = Recollector(store, *loaded)
    first = reader.catch_up(ada)
    assert reader.adapter(ada, first) is reader.adapter(ada, reader.catch_up(ada))
    assert reader.adapter(ada, first) is not reader.adapter(ada, reader.rebuild(ada))
