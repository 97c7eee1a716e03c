"""What the store promises about accounts, logins, tokens and the audit log."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import IntegrityError, connect

import pytest
from sqlalchemy import event

import storage.logins
from storage.logins import LOGIN_LASTS, LOGIN_RESTS, NOTICED_EVERY
from storage.rows import BadName, LastAdmin, NameTaken, NewSession, Note, Reading, UnknownRow
from storage.store import Store

NOTE = Note("command line", "a test")


class Clock:
    """The time that the store sees."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still until it is set."""
    clock = Clock()
    monkeypatch.setattr(storage.logins, "now", clock)
    return clock


@pytest.fixture
def root(store: Store) -> int:
    """Id of the first admin, whose password closed the store."""
    return store.add_account("root", "admin", "hash of root", NOTE).id


def told(store: Store) -> list[tuple[str, str, str, str]]:
    """The audit log, oldest first, without numbers and moments."""
    return [(e.actor, e.action, e.subject, e.reason) for e in reversed(store.audit())]


def test_the_first_account_with_a_password_is_an_admins_and_closes_the_store(store: Store) -> None:
    """A user's is refused, and leaves nothing behind; nor does a password given to somebody who is there."""
    store.add_user("anna")
    with pytest.raises(LastAdmin):
        store.add_account("bob", "user", "hash", NOTE)
    anna = store.find_account("anna")
    assert anna is not None
    with pytest.raises(LastAdmin):
        store.change_account(anna.id, "set the password", NOTE, password_hash="hash")
    assert [account.name for account in store.accounts()] == ["anna"]
    assert (store.is_closed(), store.audit()) == (False, [])
    store.add_account("root", "admin", "hash", NOTE)
    assert store.is_closed()
    assert store.add_account("bob", "user", "hash", NOTE).role == "user"


def test_people_in_numbers(store: Store, clock: Clock, root: int) -> None:
    """Those whose names hold what is asked for: what they said, as quotas count it, and when."""
    anna = store.add_user("Anna")
    session = store.add_session(anna.id, "talk")
    turn = store.add_turn(anna.id, session.id, "Grüße", "Hello", "complete")
    store.branch(anna.id, turn.id, "branch")
    store.add_login(root, "hash of a cookie", "hash of root")
    store.save_state(anna.id, 0, Reading(b"12345", "", "g", "b", 0, turn.id, 1, 2))
    found = {standing.account.name: standing for standing in store.standings("", 10)}
    assert list(found) == ["Anna", "root"]
    annas, roots = found["Anna"], found["root"]
    assert (annas.turns, annas.bytes, annas.revision, annas.state_bytes) == (1, 7, 1, 5)
    assert (roots.turns, roots.bytes, roots.revision, roots.state_bytes) == (0, 0, 0, 0)
    assert (annas.last_active, roots.last_active) == (turn.created_at, clock.at)
    assert store.standing(anna.id) == annas
    assert [s.account.name for s in store.standings("NN", 10)] == ["Anna"]
    assert [s.account.name for s in store.standings("", 1)] == ["Anna"]
    for none in ("%", "_", "annas"):
        assert store.standings(none, 10) == []
    with pytest.raises(UnknownRow):
        store.standing(99)


@pytest.mark.usefixtures("root")
def test_people_in_numbers_are_one_statement(store: Store) -> None:
    """However many they are."""
    statements: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    counts = []
    for name in ("Anna", "Ben", "Carl"):
        store.add_user(name)
        statements.clear()
        store.standings("", 10)
        counts.append(len([s for s in statements if "FROM users" in s]))
    assert counts == [1, 1, 1]


@pytest.mark.parametrize("name", ["command line", "Command Line"])
def test_nobody_is_called_like_the_command_line(store: Store, name: str) -> None:
    """The audit log must not be ambiguous about who did something."""
    with pytest.raises(BadName, match="audit log"):
        store.add_user(name)
    with pytest.raises(BadName, match="audit log"):
        store.add_account(name, "admin", "hash", NOTE)


def test_an_account_takes_a_name_once(store: Store, root: int) -> None:
    """As a person does."""
    with pytest.raises(NameTaken, match="'root'"):
        store.add_account("root", "user", "hash", NOTE)


@pytest.mark.usefixtures("root")
def test_an_admin_who_can_log_in_is_left(store: Store, root: int) -> None:
    """The last one is neither disabled nor made a user, and the refused change is not in the log."""
    with pytest.raises(LastAdmin):
        store.change_account(root, "disable", NOTE, is_disabled=True)
    with pytest.raises(LastAdmin):
        store.change_account(root, "give the role user", NOTE, role="user")
    assert len(store.audit()) == 1
    other = store.add_account("other", "admin", "hash", NOTE)
    assert store.change_account(root, "disable", NOTE, is_disabled=True).is_disabled
    with pytest.raises(LastAdmin):
        store.change_account(other.id, "disable", NOTE, is_disabled=True)


def test_logins_from_before_the_first_password_are_worth_nothing(store: Store) -> None:
    """A name was all it took to get them."""
    anna, bob = store.add_user("anna"), store.add_user("bob")
    for user in (anna, bob):
        store.add_login(user.id, f"cookie of {user.name}", None)
    assert store.visit_by_cookie("cookie of bob").account is not None
    assert store.make_first_admin(anna.id, "hash", Note("anna", "first visit")) is not None
    assert store.visit_by_cookie("cookie of bob").account is None
    assert store.visit_by_cookie("cookie of anna").account is None
    assert store.make_first_admin(bob.id, "hash", Note("bob")) is None
    assert told(store) == [("anna", "become the first admin", "anna", "first visit")]


def test_a_login_expires_when_it_rests_and_in_any_case_after_a_month(
    store: Store, root: int, clock: Clock
) -> None:
    """Each use puts the end off, up to LOGIN_LASTS after the login."""
    began = clock.at
    store.add_login(root, "cookie", "hash of root")
    while clock.at < began + LOGIN_LASTS:
        assert store.visit_by_cookie("cookie").account is not None
        clock.at += LOGIN_RESTS / 2
    clock.at = began + LOGIN_LASTS
    assert store.visit_by_cookie("cookie").account is None
    store.add_login(root, "another", "hash of root")
    clock.at += LOGIN_RESTS - timedelta(seconds=1)
    assert store.visit_by_cookie("another").account is not None
    clock.at += LOGIN_RESTS
    assert store.visit_by_cookie("another").account is None


@pytest.mark.parametrize("kind", ["sqlite"])
def test_reading_a_page_does_not_write(store: Store, root: int, clock: Clock, file: Path) -> None:
    """That somebody was there is written down once in a while: until then, a locked database is no matter."""
    store.add_login(root, "cookie", "hash of root")
    clock.at += NOTICED_EVERY - timedelta(seconds=1)
    with closing(connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.visit_by_cookie("cookie").account is not None


def test_a_login_is_refused_where_the_password_changed_while_it_was_compared(store: Store, root: int) -> None:
    """Or the account was disabled."""
    with pytest.raises(UnknownRow):
        store.add_login(root, "cookie", "hash of before")
    bob = store.add_account("bob", "user", "hash", NOTE)
    store.change_account(bob.id, "disable", NOTE, is_disabled=True)
    with pytest.raises(UnknownRow):
        store.add_login(bob.id, "cookie", "hash")


@pytest.mark.parametrize("change", [{"is_disabled": True}, {"password_hash": "another"}])
@pytest.mark.usefixtures("root")
def test_being_disabled_or_a_new_password_ends_logins_and_tokens(
    store: Store, change: dict[str, object]
) -> None:
    """At once, and only that person's."""
    bob, carl = (store.add_account(name, "user", "hash", NOTE) for name in ("bob", "carl"))
    for person in (bob, carl):
        store.add_login(person.id, f"cookie of {person.name}", "hash")
        store.add_token(person.id, "laptop", f"token of {person.name}", "chat", NOTE)
    store.change_account(bob.id, "change", NOTE, **change)  # type: ignore[arg-type]
    store.change_account(bob.id, "enable", NOTE, is_disabled=False)
    assert store.visit_by_cookie("cookie of bob").account is None
    assert store.visit_by_token("token of bob").account is None
    assert store.visit_by_cookie("cookie of carl").account == carl
    visit = store.visit_by_token("token of carl")
    assert (visit.account, visit.scopes) == (carl, {"chat"})


def test_logging_out_everywhere_ends_every_login_of_one_person(store: Store, root: int) -> None:
    """And says how many there were."""
    bob = store.add_account("bob", "user", "hash", NOTE)
    for cookie in ("here", "there"):
        store.add_login(bob.id, cookie, "hash")
    store.add_login(root, "admin's", "hash of root")
    assert store.end_logins(bob.id) == 2
    assert store.visit_by_cookie("here").account is None
    assert store.visit_by_cookie("admin's").account is not None


def test_a_token_is_revoked_by_its_owners_name_only(store: Store, root: int) -> None:
    """Its number under another name is nothing."""
    bob = store.add_account("bob", "user", "hash", NOTE)
    token = store.add_token(bob.id, "laptop", "token", "chat memory", NOTE)
    assert store.visit_by_token("token").scopes == {"chat", "memory"}
    with pytest.raises(UnknownRow, match="root has no token"):
        store.revoke_token(root, token.id, NOTE)
    store.revoke_token(bob.id, token.id, NOTE)
    assert store.visit_by_token("token").account is None
    (listed,) = store.tokens(bob.id)
    assert listed.revoked_at is not None
    assert listed.last_used_at is not None


def test_tries_count_by_name_and_by_address_until_they_are_old(store: Store) -> None:
    """One that succeeds is taken back, the others stay."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    first = store.begin_attempt("anna", "1.2.3.4", past, 2, 3)
    assert first is not None
    assert store.begin_attempt("anna", "5.6.7.8", past, 2, 3) is not None
    assert store.begin_attempt("anna", "9.9.9.9", past, 2, 3) is None
    store.end_attempt(first)
    assert store.begin_attempt("anna", "1.2.3.4", past, 2, 3) is not None
    for name in ("bob", "carl"):
        assert store.begin_attempt(name, "1.2.3.4", past, 2, 3) is not None
    assert store.begin_attempt("dora", "1.2.3.4", past, 2, 3) is None
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert store.begin_attempt("anna", "1.2.3.4", later, 2, 3) is not None


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "UPDATE audit SET reason = '' WHERE id = 1",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 1",
        "REPLACE INTO audit (id, at, actor, action, subject, reason)"
        " VALUES (1, '2026-01-01 00:00:00', 'nobody', 'nothing', 'nobody', '')",
    ],
)
def test_the_audit_log_is_only_added_to(store: Store, file: Path, statement: str) -> None:
    """Not even somebody who writes to the database past the code changes a row."""
    store.record(NOTE, "look", "anna")
    store.record(NOTE, "look again", "anna")
    before = store.audit()
    with closing(connect(file)) as connection, pytest.raises(IntegrityError, match="only ever added to"):
        connection.execute(statement)
    assert store.audit() == before
    assert [entry.action for entry in store.audit(limit=1)] == ["look again"]
    assert store.audit(subject="bob") == []


@pytest.mark.parametrize("kind", ["sqlite"])
def test_an_action_and_its_row_are_one_transaction(store: Store, root: int, file: Path) -> None:
    """Where the row cannot be written, nothing happens: no change, no token, no reading, no forgetting."""
    store.change_account(root, "give the right", NOTE, may_read_others=True)
    store.add_sessions(root, [NewSession("first", [("one", "1")])])
    with closing(connect(file)) as connection, connection:
        connection.execute(
            "CREATE TRIGGER no_more BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    before = store.find_account("root")
    for act in (
        lambda: store.add_account("bob", "user", "hash", NOTE),
        lambda: store.change_account(root, "set the quota", NOTE, max_turns=1),
        lambda: store.add_token(root, "laptop", "token", "chat", NOTE),
        lambda: store.read_others(root, "root", "why"),
        lambda: store.forget_everything(root, NOTE),
    ):
        with pytest.raises(Exception, match="full"):
            act()
    assert store.accounts() == [before]
    assert store.tokens(root) == []
    assert store.count_turns(root) == 1


def test_forgetting_for_somebody_else_is_logged(store: Store) -> None:
    """With the note; a person who forgets their own writes nothing there."""
    anna = store.add_user("anna")
    store.forget_everything(anna.id)
    assert store.audit() == []
    store.forget_everything(anna.id, Note("root", "asked by mail"))
    assert told(store) == [("root", "forget", "anna", "asked by mail")]


def test_what_others_said_is_read_by_right_and_logged(store: Store, root: int) -> None:
    """Role and right together; the log has the reason, and no word of what was said."""
    anna = store.add_user("anna")
    store.add_sessions(anna.id, [NewSession("first", [("my secret is xylophone", "I see.")])])
    with pytest.raises(UnknownRow, match="may not read"):
        store.read_others(root, "anna", "why")
    store.change_account(root, "give the right", NOTE, may_read_others=True)
    assert [t.user_text for t in store.read_others(root, "anna", "a court order")] == [
        "my secret is xylophone"
    ]
    assert told(store)[-1] == ("root", "read the messages", "anna", "a court order")
    assert "xylophone" not in str(told(store))
    with pytest.raises(UnknownRow, match="nobody called 'bob'"):
        store.read_others(root, "bob", "why")


def test_what_is_stored_of_a_person_is_counted_in_turns_and_bytes(store: Store) -> None:
    """Bytes of what the person said, in UTF-8; a branch repeats and does not count."""
    anna, bob = store.add_user("anna"), store.add_user("bob")
    assert store.said(anna.id) == (0, 0)
    store.add_sessions(anna.id, [NewSession("first", [("Zoë", "a long reply"), ("李", "")])])
    store.add_sessions(bob.id, [NewSession("first", [("hello", "")])])
    assert store.said(anna.id) == (2, 4 + 3)
    (_, last) = store.turns(anna.id)
    store.branch(anna.id, last.id, "branch")
    assert store.said(anna.id) == (2, 7)
