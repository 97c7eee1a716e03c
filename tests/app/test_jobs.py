"""Jobs: one after the other, visible to whose they are, stopped between two turns."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.chat import Chat
from app.counters import Counters
from app.errors import Cancelled, MemoryDamaged, NotFound, Unavailable
from app.forgetting import Selection
from app.formats import Conversation
from app.jobs import MAX_ENDED, Jobs
from app.recollection import DRAFT_TURNS, OnTurn, Recollector
from model.conversation import Exchange
from storage.rows import Note, UserRow
from storage.store import Store
from tests.app.test_recollection import alter, row, wait_until
from tests.storage.test_leases import ELSEWHERE, put

NUM_TURNS = DRAFT_TURNS + 6


@pytest.fixture
def jobs() -> Any:
    """The jobs of nobody yet."""
    jobs = Jobs(Counters())
    yield jobs
    jobs.close()


class Hand:
    """Work that takes a turn each time it is let."""

    def __init__(self) -> None:
        self._turns = threading.Semaphore(0)
        self.begun = threading.Event()

    def __call__(self, on_turn: OnTurn) -> None:
        self.begun.set()
        for turn in range(1, 4):
            assert self._turns.acquire(timeout=10)
            on_turn(turn)

    def take(self, num_turns: int = 1) -> None:
        """Let the work take so many turns."""
        for _ in range(num_turns):
            self._turns.release()


def states(jobs: Jobs, person: str | None = None) -> list[str]:
    """The state of every job, the newest first."""
    return [job.state for job in jobs.listed(person)]


def test_a_job_shows_how_far_it_is(jobs: Jobs) -> None:
    """While it waits, runs, and after its end."""
    work = Hand()
    job = jobs.start("rebuild", "Ada", 3, work)
    jobs.start("verify", "Bob", 3, Hand())
    assert work.begun.wait(10)
    assert states(jobs) == ["waiting", "running"]
    work.take()
    wait_until(lambda: jobs.listed("Ada")[0].done == 1)
    assert jobs.listed("Ada")[0].share == pytest.approx(1 / 3)
    work.take(2)
    wait_until(lambda: states(jobs, "Ada") == ["done"])
    (ended,) = jobs.listed("Ada")
    assert (ended.id, ended.kind, ended.done, ended.sentence) == (job.id, "rebuild", 3, "")
    assert ended.ended_at is not None
    assert ended.ended_at >= ended.asked_at
    jobs.cancel(jobs.listed("Bob")[0].id)


def test_a_cancelled_job_ends_at_its_next_turn(jobs: Jobs) -> None:
    """Not before, and not after; the others go on."""
    work, other = Hand(), Hand()
    job = jobs.start("rebuild", "Ada", 3, work)
    jobs.start("rebuild", "Bob", 3, other)
    assert work.begun.wait(10)
    assert jobs.cancel(job.id).state == "running"
    work.take()
    wait_until(lambda: states(jobs, "Ada") == ["cancelled"])
    assert jobs.listed("Ada")[0].done == 1
    assert "as it was" in jobs.listed("Ada")[0].sentence
    other.take(3)
    wait_until(lambda: states(jobs, "Bob") == ["done"])
    # too late is no error
    assert jobs.cancel(job.id).state == "cancelled"


def test_a_job_that_waits_is_cancelled_at_once_and_never_begun(jobs: Jobs) -> None:
    first, second, third = Hand(), Hand(), Hand()
    jobs.start("rebuild", "Ada", 3, first)
    assert first.begun.wait(10)
    waiting = jobs.start("rebuild", "Bob", 3, second)
    assert jobs.cancel(waiting.id).state == "cancelled"
    jobs.start("verify", "Bob", 3, third)
    first.take(3)
    assert third.begun.wait(10)
    third.take(3)
    assert not second.begun.is_set()


def test_cancelling_stops_all_that_would_do_the_same(jobs: Jobs) -> None:
    """A reading that waits for the one that is cancelled would only go on with it."""
    work = Hand()
    job = jobs.start("read", "Ada", 3, work)
    assert work.begun.wait(10)

    def wait_and_go_on() -> None:
        with jobs.running("read", "Ada", 3) as on_turn:
            jobs.cancel(job.id)
            on_turn(1)

    with pytest.raises(Cancelled):
        wait_and_go_on()
    work.take()
    wait_until(lambda: states(jobs) == ["cancelled", "cancelled"])


def test_the_same_is_not_begun_twice(jobs: Jobs) -> None:
    """One that runs may have passed what is new; one that waits has not."""
    work = Hand()
    running = jobs.start("read", "Ada", 3, work)
    assert work.begun.wait(10)
    waiting = jobs.start("read", "Ada", 3, Hand())
    assert waiting.id != running.id
    assert jobs.start("read", "Ada", 3, Hand()).id == waiting.id
    assert jobs.start("rebuild", "Ada", 3, Hand()).id != waiting.id
    for job in jobs.listed():
        jobs.cancel(job.id)
    work.take()


def test_nobody_sees_or_cancels_what_is_somebody_elses(jobs: Jobs) -> None:
    """A number that is another's is a number that is none."""
    work = Hand()
    job = jobs.start("rebuild", "Ada", 3, work)
    assert jobs.listed("Bob") == []
    with pytest.raises(NotFound, match=f"no job number {job.id}"):
        jobs.cancel(job.id, "Bob")
    with pytest.raises(NotFound):
        jobs.cancel(99)
    work.take(3)
    wait_until(lambda: states(jobs) == ["done"])
    assert jobs.cancel(job.id, "Ada").state == "done"


def test_a_job_that_fails_says_why(jobs: Jobs) -> None:
    """A sentence that a person may read; of a defect, no word that may be somebody's."""

    def damaged(_on_turn: OnTurn) -> None:
        raise MemoryDamaged("The saved memory of Ada is damaged.")

    def defect(_on_turn: OnTurn) -> None:
        raise ValueError("Biscuit")

    jobs.start("rebuild", "Ada", 3, damaged)
    jobs.start("rebuild", "Bob", 3, defect)
    wait_until(lambda: states(jobs) == ["failed", "failed"])
    bobs, adas = jobs.listed()
    assert adas.sentence == "The saved memory of Ada is damaged."
    assert "Biscuit" not in bobs.sentence


def test_only_so_many_ended_jobs_are_remembered(jobs: Jobs) -> None:
    """The last ones; readings that went well are not among them."""
    for number in range(MAX_ENDED + 5):
        with jobs.running("verify", "Ada", 1) as on_turn:
            on_turn(number)
    with jobs.running("read", "Ada", 1) as on_turn:
        on_turn(1)
    assert [job.id for job in jobs.listed()] == list(range(MAX_ENDED + 5, 5, -1))


def test_at_the_end_a_long_job_stops_and_a_last_turn_is_finished() -> None:
    """And none begins."""
    long, short = Jobs(Counters()), Jobs(Counters())
    ended: dict[Jobs, threading.Thread] = {}
    for jobs, turns in ((long, 1), (short, 3)):
        work = Hand()
        jobs.start("rebuild", "Ada", 3, work)
        work.take(turns - 1)
        wait_until(lambda jobs=jobs, turns=turns: jobs.listed()[0].done == turns - 1)  # type: ignore[misc]
        ended[jobs] = threading.Thread(target=jobs.close)
        ended[jobs].start()
        wait_until(lambda jobs=jobs: jobs._is_closing)  # type: ignore[misc]
        work.take()
        ended[jobs].join(10)
    assert (states(long), states(short)) == (["failed"], ["done"])
    with pytest.raises(Unavailable):
        long.start("rebuild", "Ada", 3, Hand())


# what they do to a memory


@pytest.fixture
def ada(chat: Chat) -> UserRow:
    """Ada, who said much, all of which is read."""
    said = tuple(Exchange(f"My {number}. word", "I see.") for number in range(NUM_TURNS))
    chat.import_sessions("Ada", [Conversation(said)])
    chat.settle("Ada")
    return chat.welcome("Ada")


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Does something within the next reading, after so many turns."""

    def do(turns: int, something: Callable[[], object]) -> None:
        catch_up = Recollector.catch_up
        to_do = [something]

        def stepping(self: Recollector, person: UserRow, on_turn: OnTurn | None = None) -> Any:
            def told(done: int) -> None:
                if done == turns and to_do:
                    to_do.pop()()
                if on_turn is not None:
                    on_turn(done)

            return catch_up(self, person, told)

        monkeypatch.setattr(Recollector, "catch_up", stepping)

    return do


Step = Callable[[int, Callable[[], object]], None]


def test_a_rebuild_in_the_background_ends_in_the_same_memory(chat: Chat, store: Store, ada: UserRow) -> None:
    """And is seen to its end."""
    before = row(store, ada)
    assert chat.rebuild_later("Ada").total == NUM_TURNS
    wait_until(lambda: states(chat.jobs, "Ada") == ["done"])
    assert chat.jobs.listed("Ada")[0].done == NUM_TURNS
    after = row(store, ada)
    assert after.payload == before.payload
    assert after.revision > before.revision


@pytest.fixture
def read_elsewhere(chat: Chat, database: str) -> None:
    """Somebody on another host reads what Ada said."""
    ada = chat.welcome("Ada")
    chat.import_sessions("Ada", [Conversation((Exchange("I live in Lisbon.", "I see."),))])
    put(database, ada.id, ELSEWHERE, datetime.now(UTC) + timedelta(days=1))


def begin_to_wait(chat: Chat) -> int:
    """Let the reading of what Ada said wait for who reads it elsewhere, and return its number."""
    chat.read_what_was_left()
    wait_until(lambda: states(chat.jobs, "Ada") == ["running"])
    return chat.jobs.listed("Ada")[0].id


@pytest.mark.usefixtures("read_elsewhere")
def test_a_reading_that_waits_for_another_process_is_cancelled(chat: Chat) -> None:
    """At once, though there is no next turn; so is one that waits for it in this process."""
    number = begin_to_wait(chat)
    ended: list[str] = []

    def settle() -> None:
        with pytest.raises(Cancelled):
            chat.settle("Ada")
        ended.append("settle")

    waiting = threading.Thread(target=settle)
    waiting.start()
    wait_until(lambda: states(chat.jobs, "Ada") == ["running", "running"])
    chat.jobs.cancel(number, "Ada")
    waiting.join(10)
    assert ended == ["settle"]
    wait_until(lambda: states(chat.jobs, "Ada") == ["cancelled", "cancelled"])


@pytest.mark.usefixtures("read_elsewhere")
def test_the_end_does_not_wait_for_another_process(chat: Chat) -> None:
    """Whatever that does; it is read at the next start."""
    begin_to_wait(chat)
    closing = threading.Thread(target=chat.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    assert states(chat.jobs, "Ada") == ["failed"]
    assert "next start" in chat.jobs.listed("Ada")[0].sentence


def test_the_old_memory_answers_while_it_is_rebuilt(chat: Chat, ada: UserRow, step: Step) -> None:
    """And says that it is to be read anew."""
    old = chat._recollector.latest(ada)
    seen: list[Any] = []
    step(NUM_TURNS - 1, lambda: seen.append(chat._recollector.latest(ada)))
    chat.rebuild("Ada")
    (meanwhile,) = seen
    assert meanwhile.state.digest == old.state.digest
    assert meanwhile.figures.unread == NUM_TURNS


@pytest.mark.parametrize("turns", [1, DRAFT_TURNS + 1, NUM_TURNS])
def test_a_cancelled_rebuild_leaves_the_memory_as_it_was(
    chat: Chat, store: Store, ada: UserRow, step: Step, turns: int
) -> None:
    """At any turn, with a draft or without; nothing goes on with it later."""
    before = row(store, ada)
    step(turns, lambda: chat.jobs.cancel(chat.jobs.listed("Ada")[0].id, "Ada"))
    with pytest.raises(Cancelled):
        chat.rebuild("Ada")
    assert row(store, ada).payload == before.payload
    assert store.draft(ada.id) is None
    revision = row(store, ada).revision
    latest = chat._recollector.latest(ada)
    assert (latest.figures.revision, latest.figures.unread) == (revision, 0)
    assert chat.settle("Ada").revision == revision


def test_ctrl_c_leaves_the_memory_as_it_was_too(chat: Chat, store: Store, ada: UserRow) -> None:
    """As on the command line."""
    before = row(store, ada)

    def interrupt(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chat.rebuild("Ada", interrupt)
    assert row(store, ada).payload == before.payload
    assert chat.settle("Ada").revision == row(store, ada).revision


def test_what_was_said_during_a_cancelled_rebuild_is_read_after_it(
    chat: Chat, store: Store, ada: UserRow, step: Step
) -> None:
    """Onto the memory that was kept."""
    session = store.sessions(ada.id)[0].id

    def say_and_cancel() -> None:
        store.add_turn(ada.id, session, "One more", "Yes.", "complete")
        chat.jobs.cancel(chat.jobs.listed("Ada")[0].id)

    step(2, say_and_cancel)
    with pytest.raises(Cancelled):
        chat.rebuild("Ada")
    assert chat.settle("Ada").turns == NUM_TURNS + 1
    assert len(set(chat.verify("Ada"))) == 1


def test_a_cancelled_rebuild_does_not_bring_back_what_was_forgotten_meanwhile(
    chat: Chat, store: Store, ada: UserRow, step: Step
) -> None:
    """The memory that was there is not kept where something was taken out of it."""
    session = store.sessions(ada.id)[0].id

    def leave_out_and_cancel() -> None:
        store.set_session_memory(ada.id, session, False)
        chat.jobs.cancel(chat.jobs.listed("Ada")[0].id)

    step(2, leave_out_and_cancel)
    with pytest.raises(Cancelled):
        chat.rebuild("Ada")
    assert chat.settle("Ada").turns == 0


def test_nor_what_was_forgotten_just_before_it_began(
    chat: Chat, store: Store, ada: UserRow, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the memory and the mark that it is to be read anew."""
    session = store.sessions(ada.id)[0].id
    read_anew = Store.read_anew

    def left_out_before(self: Store, user_id: int) -> int:
        self.set_session_memory(user_id, session, False)
        self.set_session_memory(user_id, session, True)
        return read_anew(self, user_id)

    monkeypatch.setattr(Store, "read_anew", left_out_before)
    before = row(store, ada)
    step(2, lambda: chat.jobs.cancel(chat.jobs.listed("Ada")[0].id))
    with pytest.raises(Cancelled):
        chat.rebuild("Ada")
    assert row(store, ada) == before
    assert not chat._recollector._saved(ada)[1]


def test_a_rebuild_that_a_crash_ends_goes_on_at_the_next_start(
    chat: Chat, store: Store, ada: UserRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its draft, without being asked."""

    def lose_power(done: int) -> None:
        if done == DRAFT_TURNS + 2:
            raise SystemExit

    with pytest.raises(SystemExit):
        chat.rebuild("Ada", lose_power)
    draft = store.draft(ada.id)
    assert draft is not None
    assert draft.num_turns == DRAFT_TURNS
    read: list[int] = []
    chat.settle("Ada", read.append)
    assert read == list(range(DRAFT_TURNS + 1, NUM_TURNS + 1))


@pytest.mark.usefixtures("ada")
def test_a_damaged_memory_is_rebuilt_in_the_background(chat: Chat, settings: Any) -> None:
    """There is nothing to keep."""
    alter(settings, "UPDATE states SET checksum = 'other'")
    chat.rebuild_later("Ada")
    wait_until(lambda: states(chat.jobs, "Ada") == ["done"])
    assert chat.memory("Ada").turns == NUM_TURNS


def test_forgetting_shows_how_far_the_reading_is(chat: Chat, ada: UserRow, step: Step) -> None:
    """What is forgotten is gone, even where the reading of the rest is cancelled."""
    first = next(chat._store.turns(ada.id)).id
    step(2, lambda: chat.jobs.cancel(chat.jobs.listed("Ada")[0].id))
    with pytest.raises(Cancelled, match="is forgotten"):
        chat.forget("Ada", Selection(turn_id=first))
    assert chat.count_turns("Ada") == NUM_TURNS - 1
    assert chat.settle("Ada").turns == NUM_TURNS - 1


def test_a_reset_leaves_nothing_and_says_who_did_it(chat: Chat, ada: UserRow) -> None:
    """The adapters too."""
    chat._recollector.adapter(ada, chat._recollector.latest(ada))
    gone = chat.reset("Ada", Note("root", "asked for"))
    assert gone.turns == NUM_TURNS
    assert chat.settle("Ada").turns == 0
    assert [key for key in chat._recollector._adapters if key[0] == ada.id] == []
    (entry,) = chat.people.audit("Ada")
    assert (entry.actor, entry.action, entry.reason) == ("root", "forget", "asked for")


@pytest.mark.parametrize(
    "use",
    [
        lambda chat, folder: chat.why("Ada", "Where do I live?"),
        lambda chat, folder: chat.mark("Ada"),
        lambda chat, folder: chat.verify("Ada"),
        lambda chat, folder: chat.export("Ada", folder / "ada.zip"),
        lambda chat, folder: chat.export_lora("Ada", folder / "lora", "float32"),
    ],
)
def test_whatever_has_to_read_first_can_be_seen_and_stopped(
    chat: Chat, step: Step, tmp_path: Path, use: Callable[[Chat, Path], object]
) -> None:
    """A reading that was cancelled does not go on unseen in the next thing that is asked for."""
    said = tuple(Exchange(f"My {number}. word", "I see.") for number in range(3))
    chat.import_sessions("Ada", [Conversation(said)])
    step(1, lambda: chat.jobs.cancel(chat.jobs.listed("Ada")[0].id, "Ada"))
    with pytest.raises(Cancelled):
        use(chat, tmp_path)
    (job,) = chat.jobs.listed("Ada")
    assert (job.kind, job.state, job.done) == ("read", "cancelled", 1)
    assert chat.memory("Ada").turns == 0
    assert not (tmp_path / "ada.zip").exists()
