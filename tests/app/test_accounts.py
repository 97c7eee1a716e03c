"""The rules about accounts: coming in, the limit on tries, rights, quotas, and what is logged."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

import app.accounts
import app.passwords
from app.accounts import MAX_TRIES_OF_NAME, MAX_TRIES_OF_NETWORK, People, Quota, network
from app.chat import Chat
from app.errors import BadRequest, NotFound, NotLoggedIn, Refused, TooManyTries
from storage.rows import Note
from storage.store import Store

NOTE = Note("root", "a test")
HERE = "127.0.0.1"
PASSWORD = "correct horse"


@pytest.fixture
def people(store: Store) -> People:
    """The accounts of an empty store."""
    return People(store)


@pytest.fixture
def closed(people: People) -> People:
    """Root, an admin, and Bob."""
    people.add("root", PASSWORD, "admin", NOTE)
    people.add("Bob", PASSWORD, "user", NOTE)
    return people


def test_in_an_open_server_a_name_is_all_it_takes(people: People) -> None:
    """The person exists from then on, and the cookie is theirs."""
    name, cookie = people.log_in("Ada", None, HERE)
    account = people.visit(cookie, None).account
    assert account is not None
    assert (name, account.name, account.role, people.is_closed()) == ("Ada", "Ada", "user", False)


def test_the_first_who_sets_a_password_is_the_admin(people: People) -> None:
    """From then on everybody needs one, and who came in by name alone is out."""
    _, earlier = people.log_in("Bob", None, HERE)
    _, cookie = people.log_in("Ada", PASSWORD, HERE)
    assert people.account("Ada").role == "admin"
    assert people.is_closed()
    assert people.visit(cookie, None).account is not None
    assert people.visit(earlier, None).account is None
    for name, password in (("Bob", None), ("Bob", PASSWORD), ("Carl", PASSWORD), ("Ada", None)):
        with pytest.raises(NotLoggedIn):
            people.log_in(name, password, HERE)
    assert [account.name for account in people.accounts()] == ["Ada", "Bob"]
    assert [(e.actor, e.action, e.subject) for e in people.audit()] == [
        ("Ada", "become the first admin", "Ada")
    ]


def test_a_first_password_that_cannot_be_one_makes_nobody(people: People) -> None:
    """Too short: the person is not made either."""
    with pytest.raises(BadRequest, match="8 to 1,024"):
        people.log_in("Ada", "short", HERE)
    assert people.accounts() == []


def test_only_the_right_password_of_an_enabled_account_lets_in(closed: People) -> None:
    """Everything else is refused in the same words."""
    assert closed.log_in("Bob", PASSWORD, HERE)[0] == "Bob"
    closed.set_disabled("Bob", True, NOTE)
    said = set()
    for name, password in [
        ("Bob", PASSWORD),
        ("root", "wrong horse"),
        ("nobody", PASSWORD),
        ("\n", PASSWORD),
    ]:
        with pytest.raises(NotLoggedIn) as caught:
            closed.log_in(name, password, HERE)
        said.add(str(caught.value))
    assert len(said) == 1


def test_an_unknown_name_costs_a_hash_too(closed: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the time would tell who has an account."""
    verified: list[str] = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            verified.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(app.passwords, "HASHER", Watched(time_cost=1, memory_cost=8, parallelism=1))
    for name in ("nobody", "root"):
        with pytest.raises(NotLoggedIn):
            closed.log_in(name, "wrong horse", HERE)
    assert len(verified) == 2


def test_a_hash_made_with_old_parameters_is_made_anew(
    closed: People, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next login; the login holds, and the password stays what it was."""
    before = store.password_hash(closed.account("Bob").id)
    monkeypatch.setattr(app.passwords, "HASHER", PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    _, cookie = closed.log_in("Bob", PASSWORD, HERE)
    after = store.password_hash(closed.account("Bob").id)
    assert before != after
    assert closed.visit(cookie, None).account is not None
    closed.log_in("Bob", PASSWORD, HERE)
    assert store.password_hash(closed.account("Bob").id) == after


@pytest.mark.parametrize("password", ["", "seven c", "x" * 1025, "half \ud83d a pair"])
def test_a_bad_password_is_refused_when_it_is_set(closed: People, password: str) -> None:
    """And is merely wrong when it is shown."""
    with pytest.raises(BadRequest, match="password"):
        closed.set_password("Bob", password, NOTE)
    with pytest.raises(NotLoggedIn):
        closed.log_in("Bob", password, HERE)


def test_two_ways_of_typing_a_character_are_one_password(closed: People) -> None:
    """A keyboard may send an accent with its letter or after it."""
    closed.set_password("Bob", "caf\u00e9 au lait", NOTE)
    closed.log_in("Bob", "cafe\u0301 au lait", HERE)


def test_a_name_is_tried_so_often_and_no_more(closed: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """From anywhere, also with the right password; another name is free, and later so is this one."""
    for number in range(MAX_TRIES_OF_NAME):
        with pytest.raises(NotLoggedIn):
            closed.log_in("Bob", "wrong horse", f"10.0.0.{number}")
    with pytest.raises(TooManyTries):
        closed.log_in("Bob", PASSWORD, "10.0.1.1")
    closed.log_in("root", PASSWORD, "10.0.0.1")
    monkeypatch.setattr(app.accounts, "TRIES_COUNT_FOR", timedelta(0))
    closed.log_in("Bob", PASSWORD, HERE)


def test_a_network_tries_so_often_and_no_more(closed: People, store: Store) -> None:
    """Whatever the names; another process counts the same."""
    for number in range(MAX_TRIES_OF_NETWORK):
        with pytest.raises(NotLoggedIn):
            closed.log_in(f"name {number}", PASSWORD, f"2001:db8::{number:x}")
    with pytest.raises(TooManyTries):
        People(store).log_in("Bob", PASSWORD, "2001:db8::ffff")
    closed.log_in("Bob", PASSWORD, "2001:db8:0:1::1")


def test_a_success_takes_no_failure_back(closed: People) -> None:
    """Who has an account of their own gets no more tries at others."""
    for _ in range(MAX_TRIES_OF_NAME):
        with pytest.raises(NotLoggedIn):
            closed.log_in("root", "wrong horse", HERE)
        closed.log_in("Bob", PASSWORD, HERE)
    with pytest.raises(TooManyTries):
        closed.log_in("root", PASSWORD, HERE)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8::1", "2001:db8::/64"),
        ("testclient", "testclient"),
    ],
)
def test_tries_are_counted_by_network(address: str, counted: str) -> None:
    """One person has all addresses of an IPv6 network."""
    assert network(address) == counted


def test_another_password_ends_every_login_and_token(closed: People) -> None:
    """The person's own change too, which takes the old one."""
    _, cookie = closed.log_in("Bob", PASSWORD, HERE)
    token, _ = closed.add_token("Bob", "laptop", ["chat"], NOTE)
    with pytest.raises(NotLoggedIn):
        closed.change_own_password("Bob", "wrong horse", "another horse", HERE)
    assert closed.visit(cookie, None).account is not None
    closed.change_own_password("Bob", PASSWORD, "another horse", HERE)
    assert closed.visit(cookie, None).account is None
    assert closed.visit(None, token).account is None
    assert closed.log_in("Bob", "another horse", HERE)


def test_nothing_that_lets_somebody_in_is_kept(closed: People, data: Path) -> None:
    """Neither passwords nor cookies nor tokens stand in the database."""
    _, cookie = closed.log_in("Bob", PASSWORD, HERE)
    token, _ = closed.add_token("Bob", "laptop", ["chat"], NOTE)
    content = b"".join(file.read_bytes() for file in data.glob("remanence.db*"))
    assert not [secret for secret in (PASSWORD, cookie, token) if secret.encode() in content]
    assert b"Bob" in content


@pytest.mark.parametrize("scopes", [[], ["chat", "admin"], ["Chat"]])
def test_a_token_is_for_scopes_that_there_are(closed: People, scopes: list[str]) -> None:
    """The sentence names them."""
    with pytest.raises(BadRequest, match="chat and memory"):
        closed.add_token("Bob", "laptop", scopes, NOTE)


def test_what_others_said_is_read_with_role_right_and_reason(closed: People) -> None:
    """Each of them alone is not enough."""
    with pytest.raises(Refused, match="root may not read"):
        closed.read_others("root", "Bob", "why")
    closed.set_right("Bob", True, NOTE)
    with pytest.raises(Refused, match="Bob may not read"):
        closed.read_others("Bob", "root", "why")
    closed.set_right("root", True, NOTE)
    with pytest.raises(BadRequest, match="Say why"):
        closed.read_others("root", "Bob", "  ")
    with pytest.raises(NotFound):
        closed.read_others("root", "nobody", "why")
    assert closed.read_others("root", "Bob", "why") == []
    assert [(e.action, e.reason) for e in closed.audit("Bob", 1)] == [("read the messages", "why")]


@pytest.mark.parametrize("reason", ["x" * 501, "two\nlines"])
def test_a_reason_is_one_line(closed: People, reason: str) -> None:
    """And what it was for does not happen."""
    with pytest.raises(BadRequest, match="one line"):
        closed.set_disabled("Bob", True, Note("root", reason))
    assert not closed.account("Bob").is_disabled


@pytest.mark.parametrize(
    ("quota", "is_refused"),
    [(Quota(1, None), True), (Quota(2, None), False), (Quota(None, 9), True), (Quota(None, 10), False)],
)
def test_a_quota_ends_a_chat_with_one_sentence(chat: Chat, quota: Quota, is_refused: bool) -> None:
    """Turns that are stored, and bytes with the new ones: 5 and 5; a turn that is replaced adds none."""
    list(chat.reply("Ada", "talk", "hello"))
    (session,) = chat.sessions("Ada")
    chat.people.set_quota("Ada", quota, NOTE)
    if is_refused:
        with pytest.raises(Refused, match="Ada may store"):
            chat.reply("Ada", session.id, "again")
        assert len(chat.turns("Ada", session.id)) == 1
    else:
        list(chat.reply("Ada", session.id, "again"))
    list(chat.reply("Ada", None, "not stored", temporary=[]))
    list(chat.reply("Bob", None, "somebody else"))
    if quota.turns is not None:
        (first, *_) = chat.turns("Ada", session.id)
        list(chat.reply("Ada", session.id, "instead", instead_of=first.id))


@pytest.mark.parametrize("limit", [-1, 2**31])
def test_a_quota_is_a_number_that_can_be_stored(closed: People, limit: int) -> None:
    """Of turns and of bytes."""
    with pytest.raises(BadRequest, match="A quota"):
        closed.set_quota("Bob", Quota(limit, None), NOTE)


def test_a_disabled_person_is_not_answered(chat: Chat) -> None:
    """Whoever asks: not even where nothing is stored."""
    chat.people.set_disabled("Ada", True, NOTE)
    for temporary in (None, []):
        with pytest.raises(Refused, match="disabled"):
            chat.reply("Ada", None, "hello", temporary=temporary)


@pytest.mark.parametrize(
    "act",
    [
        lambda people: people.set_disabled("nobody", True, NOTE),
        lambda people: people.set_role("nobody", "admin", NOTE),
        lambda people: people.set_quota("nobody", Quota(1, 1), NOTE),
        lambda people: people.set_password("nobody", PASSWORD, NOTE),
        lambda people: people.set_right("nobody", True, NOTE),
        lambda people: people.log_out_everywhere("nobody", NOTE),
        lambda people: people.add_token("nobody", "laptop", ["chat"], NOTE),
        lambda people: people.tokens("nobody"),
    ],
)
def test_nobody_is_told_in_one_sentence(closed: People, act: Callable[[People], object]) -> None:
    """With the name, and nothing is logged."""
    before = closed.audit()
    with pytest.raises(NotFound, match="nobody called 'nobody'"):
        act(closed)
    assert closed.audit() == before
