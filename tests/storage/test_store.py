"""What the store promises about people, sessions, turns and states."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from storage.readings import TURNS_PER_READ
from storage.rows import BadName, NameTaken, NewSession, Reading, StaleState, StateRow, UnknownRow
from storage.store import Store
from tests.databases import content, execute

# Lone surrogates are no text: no encoding has them.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PAYLOAD = b"\x00\xffsums"


def reading(through_turn_id: int, num_turns: int, ledger: int = 0) -> Reading:
    """Return what was read through a turn."""
    return Reading(PAYLOAD, "c", "g", "b", ledger, through_turn_id, num_turns, num_tokens=7)


def told(store: Store, name: str, *texts: str) -> int:
    """Make a person who said `texts` in a session called "first"; return the person's id."""
    user = store.add_user(name)
    store.add_sessions(user.id, [NewSession("first", [(text, "I see.") for text in texts])])
    return user.id


def save(store: Store, user_id: int, expected_revision: int) -> StateRow:
    """Save a state of all that the person said."""
    turns = list(store.memory_turns(user_id))
    read = reading(turns[-1].id if turns else 0, len(turns), store.ledger(user_id))
    return store.save_state(user_id, expected_revision, read)


def in_threads(*calls: Callable[[], object]) -> list[object]:
    """Run the calls at the same moment, a thread each; return what each returned or raised."""
    results: list[object] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(index: int, call: Callable[[], object]) -> None:
        start.wait()
        try:
            results[index] = call()
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# people and sessions


@pytest.mark.parametrize("name", ["a", "Zoë", "李雷", "two words", "x" * 64, "O'Neill; DROP TABLE users"])
def test_a_person_is_found_by_name(store: Store, name: str) -> None:
    """A name that keeps the rule is stored as it is."""
    user = store.add_user(name)
    assert store.find_user(name) == user
    assert store.users() == [user]


@pytest.mark.parametrize(
    "name", ["", " ", " a", "a ", "x" * 65, "a\nb", "a\x00", "\x1b[31m", "\u202ea", "\udcff"]
)
def test_a_bad_name_is_refused_everywhere(store: Store, name: str) -> None:
    """Neither a person nor a session gets such a name, and asking for one says why."""
    user = store.add_user("anna")
    for call in (
        lambda: store.add_user(name),
        lambda: store.find_user(name),
        lambda: store.add_session(user.id, name),
        lambda: store.find_session(user.id, name),
        lambda: store.add_sessions(user.id, [NewSession(name, [])]),
    ):
        with pytest.raises(BadName, match="1 to 64 printable characters"):
            call()
    assert store.users() == [user]
    assert store.sessions(user.id) == []


def test_a_name_is_taken_once(store: Store) -> None:
    """Two people share no name, nor do two sessions of one person; two people may name a session alike."""
    anna, bob = store.add_user("anna"), store.add_user("bob")
    store.add_session(anna.id, "work")
    store.add_session(bob.id, "work")
    with pytest.raises(NameTaken, match="a user named 'anna'"):
        store.add_user("anna")
    with pytest.raises(NameTaken, match="a session named 'work'"):
        store.add_session(anna.id, "work")


def test_a_name_is_taken_once_at_the_same_moment(store: Store) -> None:
    """Of two who want a name at once, one gets it and the other is told."""
    results = in_threads(lambda: store.add_user("anna"), lambda: store.add_user("anna"))
    assert sorted(type(result).__name__ for result in results) == ["NameTaken", "UserRow"]


def test_nobody_is_found_where_nobody_is(store: Store) -> None:
    """What does not exist reads as nothing and refuses what is written for it."""
    assert store.find_user("anna") is None
    assert store.find_session(1, "first") is None
    assert store.session(1, 1) is None
    assert store.state(1) is None
    assert store.count_turns(1) == 0
    for call in (
        lambda: store.add_session(1, "first"),
        lambda: store.add_turn(1, 1, "", "", "complete"),
        lambda: store.add_sessions(1, []),
        lambda: store.save_state(1, 0, reading(0, 0)),
        lambda: store.delete_state(1),
        lambda: store.forget_everything(1),
    ):
        with pytest.raises(UnknownRow, match="no user 1"):
            call()


def test_sessions_come_newest_first(store: Store) -> None:
    """The list begins with the session made last."""
    user = store.add_user("anna")
    made = [store.add_session(user.id, name) for name in ("b", "c", "a")]
    assert store.sessions(user.id) == made[::-1]
    assert store.find_session(user.id, "c") == store.session(user.id, made[1].id) == made[1]


def test_times_are_in_utc(store: Store) -> None:
    """What comes back is aware, in UTC, and the moment of the call."""
    before = datetime.now(UTC)
    user = store.add_user("anna")
    found = store.find_user("anna")
    assert found is not None
    assert before <= found.created_at == user.created_at <= datetime.now(UTC)
    assert found.created_at.tzinfo is UTC


# turns


def test_turns_are_kept_in_order(store: Store) -> None:
    """Ids grow over all sessions, positions count within each from 0, and what was stored is what is read."""
    user = store.add_user("anna")
    first, second = store.add_session(user.id, "first"), store.add_session(user.id, "second")
    stored = [
        store.add_turn(user.id, first.id, "one", "1", "complete"),
        store.add_turn(user.id, second.id, "two", "2", "stopped"),
        store.add_turn(user.id, first.id, "three", "", "complete"),
    ]
    assert [turn.position for turn in stored] == [0, 0, 1]
    assert list(store.turns(user.id)) == stored
    assert list(store.turns(user.id, after=stored[0].id)) == stored[1:]
    assert store.session_turns(user.id, first.id) == [stored[0], stored[2]]
    assert store.count_turns(user.id) == 3


@pytest.mark.parametrize("num_turns", [0, 1, TURNS_PER_READ - 1, TURNS_PER_READ, 2 * TURNS_PER_READ + 1])
def test_reading_in_portions_misses_no_turn(store: Store, num_turns: int) -> None:
    """Every turn comes once, in order, whatever the number of portions."""
    texts = [str(number) for number in range(num_turns)]
    assert [turn.user_text for turn in store.turns(told(store, "anna", *texts))] == texts


def test_a_turn_stored_while_others_are_read_comes_too(store: Store) -> None:
    """A reader holds no transaction between portions: it blocks no writer and misses nothing written."""
    user_id = told(store, "anna", *map(str, range(TURNS_PER_READ)))
    reader = store.turns(user_id)
    next(reader)
    late = store.add_turn(user_id, store.sessions(user_id)[0].id, "late", "", "complete")
    assert list(reader)[-1] == late


def test_the_newest_turns_of_a_session_are_bounded(store: Store) -> None:
    """`limit` keeps the newest, `before` looks back from a turn; the oldest comes first."""
    user_id = told(store, "anna", *"abcde")
    session_id = store.sessions(user_id)[0].id
    turns = store.session_turns(user_id, session_id)
    assert store.session_turns(user_id, session_id, limit=2) == turns[3:]
    assert store.session_turns(user_id, session_id, before=turns[3].id) == turns[:3]
    assert store.session_turns(user_id, session_id, before=turns[3].id, limit=2) == turns[1:3]
    assert store.session_turns(user_id, session_id, limit=0) == []


def test_the_context_of_a_turn_is_what_memory_may_see_before_it_in_its_session(store: Store) -> None:
    """Not what was said while memory was off, nor another session's; of a branch's copies, what was read."""
    user_id = told(store, "anna", *"abc")
    session_id = store.sessions(user_id)[0].id
    store.add_turn(user_id, session_id, "off", "", "complete", in_memory=False)
    last = store.add_turn(user_id, session_id, "e", "", "complete")
    assert [turn.user_text for turn in store.context_turns(last, 6)] == ["a", "b", "c"]
    assert [turn.user_text for turn in store.context_turns(last, 2)] == ["b", "c"]
    branch = store.branch(user_id, last.id, "another way")
    after = store.add_turn(user_id, branch.id, "f", "", "complete")
    assert [turn.user_text for turn in store.context_turns(after, 6)] == ["a", "b", "c", "e"]
    store.set_session_memory(user_id, session_id, False)
    assert store.context_turns(after, 6) == []


# Each example is another person's, so that one store does for all.
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT)))
@example([("\0", "\x10"), ("\x100", "\x101\0"), ("\x10\x100", "'; --\\")])
def test_every_text_survives(store: Store, texts: list[tuple[str, str]]) -> None:
    """What people write is never altered: not trimmed, not normalised, line ends and NUL included."""
    user = store.add_user(str(len(store.users())))
    session = store.add_session(user.id, "first")
    for user_text, reply_text in texts:
        store.add_turn(user.id, session.id, user_text, reply_text, "complete")
    assert [(turn.user_text, turn.reply_text) for turn in store.turns(user.id)] == texts


def test_two_threads_share_a_session_without_taking_a_position_twice(store: Store) -> None:
    """Turns stored at the same moment follow each other, and no one is lost."""
    user = store.add_user("anna")
    session = store.add_session(user.id, "first")

    def add_some() -> None:
        for _ in range(20):
            store.add_turn(user.id, session.id, "hi", "hello", "complete")

    assert in_threads(add_some, add_some) == [None, None]
    turns = store.session_turns(user.id, session.id)
    assert [turn.position for turn in turns] == list(range(40))
    assert [turn.id for turn in turns] == sorted(turn.id for turn in turns)


@pytest.mark.parametrize(("in_memory", "is_past"), [(False, 0), (True, 1)])
def test_replacing_what_memory_never_read_leaves_its_state_in_force(
    store: Store, in_memory: bool, is_past: int
) -> None:
    """A reply that failed is tried again, and nothing is read anew for it."""
    user_id = told(store, "anna", "one")
    session_id = store.sessions(user_id)[0].id
    off = store.add_turn(user_id, session_id, "two", "", "failed", in_memory=False)
    store.add_turn(user_id, session_id, "three", "", "complete", in_memory=in_memory)
    store.add_turn(user_id, session_id, "two", "2", "complete", instead_of=off.id)
    assert [turn.user_text for turn in store.memory_turns(user_id)] == ["one", "two"]
    assert store.ledger(user_id) == is_past


def test_of_what_is_replaced_a_copy_in_a_branch_takes_the_place(store: Store) -> None:
    """Memory reads it there, quotas count it, and the other copies are copies of it."""
    user_id = told(store, "anna", "one", "two")
    [one, two] = store.turns(user_id)
    first, second = [store.branch(user_id, two.id, name) for name in ("second", "third")]
    store.add_turn(user_id, one.session_id, "new", "", "complete", instead_of=one.id, name="new")
    kept = store.session_turns(user_id, first.id)
    assert [(turn.in_memory, turn.copy_of) for turn in kept] == [(True, None)] * 2
    assert [turn.copy_of for turn in store.session_turns(user_id, second.id)] == [turn.id for turn in kept]
    assert [turn.user_text for turn in store.memory_turns(user_id)] == ["one", "two", "new"]
    assert (store.said(user_id), store.ledger(user_id)) == ((3, 9), 1)
    assert {session.name for session in store.sessions(user_id)} == {"new", "second", "third"}
    with pytest.raises(NameTaken, match="a session named 'third'"):
        store.add_turn(user_id, first.id, "x", "", "complete", instead_of=kept[0].id, name="third")
    assert store.session_turns(user_id, first.id) == kept
    store.forget(user_id, store.turn_ids(user_id, turn_id=kept[0].id))
    assert [turn.user_text for turn in store.turns(user_id)] == ["two", "two", "new"]


# isolation


def test_a_session_of_another_user_is_refused(store: Store) -> None:
    """Nobody writes to, or reads from, what belongs to somebody else."""
    anna, bob = told(store, "anna", "my secret"), store.add_user("bob").id
    session_id = store.sessions(anna)[0].id
    with pytest.raises(UnknownRow, match=f"has no session {session_id}"):
        store.add_turn(bob, session_id, "hi", "hello", "complete")
    assert store.session(bob, session_id) is None
    assert store.session_turns(bob, session_id) == []
    assert list(store.turns(bob)) == []
    assert store.sessions(bob) == []
    assert store.count_turns(anna) == 1


def test_the_schema_itself_keeps_people_and_positions_apart(store: Store, database: str) -> None:
    """Even a defect of ours could not file a turn under somebody else, or take a position twice."""
    anna, bob = told(store, "anna", "one"), store.add_user("bob").id
    session_id = store.sessions(anna)[0].id
    columns = "user_id, session_id, position, user_text, reply_text, status, created_at"

    def insert(user_id: int, position: int, status: str = "complete") -> None:
        values = f"{user_id}, {session_id}, {position}, '', '', '{status}', '2026-01-01'"
        execute(database, f"INSERT INTO turns ({columns}) VALUES ({values})")

    with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        insert(bob, 1)
    with pytest.raises(IntegrityError, match=r"(?i)unique.*position"):
        insert(anna, 0)
    with pytest.raises(IntegrityError, match="ck_turns_status"):
        insert(anna, 1, "lost")
    insert(anna, 1)


# imports


@pytest.mark.parametrize("bad", ["first", "second", "a\nb"])
def test_an_import_is_all_or_nothing(store: Store, bad: str) -> None:
    """Where one session is refused (a name taken, twice in the import, or bad) nothing is stored."""
    user_id = told(store, "anna", "one")
    with pytest.raises((NameTaken, BadName)):
        store.add_sessions(user_id, [NewSession("second", [("two", "2")]), NewSession(bad, [("three", "3")])])
    assert [session.name for session in store.sessions(user_id)] == ["first"]
    assert store.count_turns(user_id) == 1


def test_an_import_keeps_the_order_of_its_turns(store: Store) -> None:
    """Sessions and turns come back as they were given, and their number is told."""
    user = store.add_user("anna")
    sessions = [
        NewSession("x", [("a", "1"), ("b", "2")]),
        NewSession("y", []),
        NewSession("z", [("c", "3")]),
    ]
    assert store.add_sessions(user.id, sessions) == 3
    assert [
        (turn.user_text, turn.reply_text, turn.position, turn.status) for turn in store.turns(user.id)
    ] == [
        ("a", "1", 0, "complete"),
        ("b", "2", 1, "complete"),
        ("c", "3", 0, "complete"),
    ]
    assert [session.name for session in store.sessions(user.id)] == ["z", "y", "x"]


def test_sessions_that_took_turns_are_stored_in_the_order_of_their_turns(store: Store) -> None:
    """A turn gets its id where its place is, whatever session it belongs to, and a session its time."""
    user = store.add_user("anna")
    begun = datetime(2024, 2, 29, 12, tzinfo=UTC)
    sessions = [
        NewSession("x", [("a", ""), ("d", "")], created_at=begun, order=[0, 3], in_memory=[True, False]),
        NewSession("y", [("b", ""), ("c", "")], order=[1, 2]),
        NewSession("z", [("before", "")]),
    ]
    assert store.add_sessions(user.id, sessions) == 5
    assert [turn.user_text for turn in store.turns(user.id)] == ["before", "a", "b", "c", "d"]
    assert [turn.user_text for turn in store.memory_turns(user.id)] == ["before", "a", "b", "c"]
    times = {session.name: session.created_at for session in store.sessions(user.id)}
    assert times["x"] == begun < times["y"]


# states


def test_a_state_is_saved_over_the_revision_it_was_made_from(store: Store) -> None:
    """Each save gets a new revision, and what was saved is what is read."""
    user_id = told(store, "anna", "one", "two")
    assert store.state(user_id) is None
    first = save(store, user_id, 0)
    second = save(store, user_id, first.revision)
    assert first.revision < second.revision
    assert store.state(user_id) == second
    assert (second.payload, second.num_turns, second.num_tokens) == (PAYLOAD, 2, 7)
    for stale in (0, first.revision, second.revision + 1):
        with pytest.raises(StaleState, match=f"at revision {second.revision}, not {stale}"):
            save(store, user_id, stale)


def test_of_two_who_save_at_once_one_is_told(store: Store) -> None:
    """Two threads save over the same revision: exactly one does, the other gets `StaleState`."""
    user_id = told(store, "anna", "one")
    revision = 0
    for _ in range(10):
        results = in_threads(*[lambda seen=revision: save(store, user_id, seen)] * 2)
        assert sorted(type(result).__name__ for result in results) == ["StaleState", "StateRow"]
        state = store.state(user_id)
        assert state in results
        assert state is not None
        revision = state.revision


def test_no_revision_is_given_twice(store: Store) -> None:
    """Not after deleting and not after forgetting: what was cached under a revision is never mistaken."""
    user_id = told(store, "anna", "one")
    revisions = [save(store, user_id, 0).revision]
    store.delete_state(user_id)
    revisions.append(save(store, user_id, 0).revision)
    store.forget_everything(user_id)
    revisions.append(save(store, user_id, 0).revision)
    assert revisions == [1, 2, 3]


def test_a_state_cannot_outlive_the_turns_it_was_made_from(store: Store) -> None:
    """Who read turns that were forgotten in the meantime cannot save what came of them."""
    user_id = told(store, "anna", "one", "two")
    through = [turn.id for turn in store.turns(user_id)][-1]
    store.forget_everything(user_id)
    store.add_sessions(user_id, [NewSession("again", [("three", "3"), ("four", "4")])])
    with pytest.raises(StaleState, match="has changed"):
        store.save_state(user_id, 0, reading(through, 2))
    with pytest.raises(StaleState, match="no longer the same"):
        store.save_state(user_id, 0, reading(through, 2, store.ledger(user_id)))
    assert store.state(user_id) is None


def test_a_state_says_truly_how_far_it_has_read(store: Store) -> None:
    """A turn left out, or a last turn that is not there, would lose turns unseen: both are refused."""
    user_id = told(store, "anna", "one", "two")
    first, last = [turn.id for turn in store.turns(user_id)]
    for through, num_turns in ((last, 1), (last + 1, 2), (0, 1)):
        with pytest.raises(StaleState):
            store.save_state(user_id, 0, reading(through, num_turns))
    assert store.save_state(user_id, 0, reading(first, 1)).through_turn_id == first


def test_deleting_a_state_keeps_the_turns(store: Store) -> None:
    """Only the cache goes, only this person's, and it may be gone already."""
    anna, bob = told(store, "anna", "one"), told(store, "bob", "two")
    save(store, anna, 0)
    kept = save(store, bob, 0)
    store.delete_state(anna)
    store.delete_state(anna)
    assert store.state(anna) is None
    assert store.count_turns(anna) == 1
    assert store.state(bob) == kept


# forgetting


def test_what_is_forgotten_leaves_no_byte_behind(store: Store, database: str) -> None:
    """After forgetting, no file of the database holds a word of it; others keep what is theirs."""
    anna = told(store, "anna", *(f"my secret is xylophone {number}" for number in range(300)))
    bob = told(store, "bob", "my secret is zeppelin")
    store.save_state(bob, 0, reading(301, 1))
    save(store, anna, 0)
    store.forget_everything(anna)

    assert list(store.turns(anna)) == []
    assert store.sessions(anna) == []
    assert store.state(anna) is None
    assert store.find_user("anna") is not None
    assert store.count_turns(bob) == 1
    assert store.state(bob) is not None
    left = content(database)
    assert b"xylophone" not in left
    assert b"zeppelin" in left


def test_ids_are_not_reused_after_forgetting(store: Store) -> None:
    """A turn that comes after has a larger id, so that "read through turn N" cannot pass it over."""
    user_id = told(store, "anna", "one")
    (forgotten,) = store.turns(user_id)
    store.forget_everything(user_id)
    store.add_sessions(user_id, [NewSession("first", [("two", "2")])])
    (turn,) = store.turns(user_id)
    assert turn.id > forgotten.id
    assert turn.session_id > forgotten.session_id
