"""`remanence user` and `remanence audit`: what they do, print and refuse."""

import io
import json
import sys
from typing import Any

import pytest

import app.cli_user
from app.accounts import People
from app.cli import main
from storage.store import Store

Out = pytest.CaptureFixture[str]
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password on standard input, whenever it is read."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n" * 8))


@pytest.fixture
def root(capsys: Out) -> None:
    """An admin and a user."""
    assert main(["user", "add", "root", "--role", "admin", "--password-stdin"]) == 0
    assert main(["user", "add", "Bob", "--password-stdin", "--reason", "new here"]) == 0
    capsys.readouterr()


def run(capsys: Out, *arguments: str) -> Any:
    """What a command prints with --json."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def account(capsys: Out, name: str) -> dict[str, Any]:
    """What `user list` says of somebody."""
    (about,) = [about for about in run(capsys, "user", "list") if about["name"] == name]
    return dict(about)


@pytest.mark.usefixtures("root")
def test_accounts_are_listed_without_what_lets_them_in(capsys: Out) -> None:
    """Role, quotas and what is stored; as text a line each."""
    about = account(capsys, "Bob")
    assert about.pop("created_at")
    assert about == {
        "id": 2,
        "name": "Bob",
        "role": "user",
        "has_password": True,
        "is_disabled": False,
        "may_read_others": False,
        "max_turns": None,
        "max_bytes": None,
        "turns": 0,
        "bytes": 0,
    }
    assert main(["user", "quota", "Bob", "--turns", "5"]) == 0
    capsys.readouterr()
    assert main(["user", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "Bob: user, turns 0 of 5, bytes 0"


@pytest.mark.usefixtures("root")
def test_every_change_is_made_and_logged(capsys: Out, store: Store) -> None:
    """By "command line", with the reason; the newest first."""
    for arguments, fact in [
        (["user", "disable", "Bob", "--reason", "left"], {"is_disabled": True}),
        (["user", "enable", "Bob"], {"is_disabled": False}),
        (["user", "role", "Bob", "admin"], {"role": "admin"}),
        (["user", "right", "Bob", "--read-others"], {"may_read_others": True}),
        (["user", "quota", "Bob", "--turns", "5", "--bytes", "70"], {"max_turns": 5, "max_bytes": 70}),
        (["user", "quota", "Bob", "--turns", "none"], {"max_turns": None, "max_bytes": 70}),
    ]:
        assert fact.items() <= run(capsys, *arguments).items()
        assert fact.items() <= account(capsys, "Bob").items()
    logged = run(capsys, "audit", "--user", "Bob")
    assert {entry["actor"] for entry in logged} == {"command line"}
    assert [(entry["action"], entry["reason"]) for entry in logged][::-1] == [
        ("add as user", "new here"),
        ("disable", "left"),
        ("enable", ""),
        ("give the role admin", ""),
        ("give the right to read others", ""),
        ("set the quota to 5 turns and 70 bytes", ""),
        ("set the quota to any number of turns and 70 bytes", ""),
    ]
    assert main(["audit", "--limit", "1"]) == 0
    assert "command line: set the quota" in capsys.readouterr().out


@pytest.mark.usefixtures("root")
def test_a_token_is_shown_once_and_revoked(capsys: Out, store: Store) -> None:
    """The list has everything but the token."""
    made = run(capsys, "user", "token", "add", "Bob", "--scopes", "chat, memory", "--name", "laptop")
    assert People(store).visit(None, made["token"]).scopes == {"chat", "memory"}
    (listed,) = run(capsys, "user", "token", "list", "Bob")
    assert (listed["id"], listed["name"], listed["revoked_at"]) == (made["id"], "laptop", None)
    assert made["token"] not in str(listed)
    assert run(capsys, "user", "token", "revoke", "Bob", str(made["id"]))["revoked_at"]
    assert People(store).visit(None, made["token"]).account is None


@pytest.mark.usefixtures("root")
def test_a_new_password_and_logging_out_end_logins(capsys: Out, store: Store) -> None:
    """From the command line, for whoever has lost a device."""
    people = People(store)
    people.log_in("Bob", PASSWORD, "here")
    assert run(capsys, "user", "logout", "Bob") == {"name": "Bob", "ended_logins": 1}
    _, cookie = people.log_in("Bob", PASSWORD, "here")
    run(capsys, "user", "password", "Bob", "--password-stdin")
    assert people.visit(cookie, None).account is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["user", "add", "root", "--password-stdin"], "already a user named 'root'"),
        (["user", "add", "command line", "--password-stdin"], "audit log"),
        (["user", "add", " x", "--password-stdin"], "1 to 64"),
        (["user", "add", "Carl"], "--password-stdin"),
        (["user", "role", "root", "user"], "must be able to log in"),
        (["user", "role", "root", "king"], "king"),
        (["user", "disable", "root"], "must be able to log in"),
        (["user", "disable", "nobody"], "nobody called 'nobody'"),
        (["user", "password", "nobody"], "nobody called 'nobody'"),
        (["user", "quota", "Bob"], "--turns or --bytes"),
        (["user", "quota", "Bob", "--turns", "-1"], "-1"),
        (["user", "quota", "Bob", "--bytes", "many"], "a number or none"),
        (["user", "token", "add", "Bob", "--scopes", "all"], "chat and memory"),
        (["user", "token", "revoke", "Bob", "4711"], "no token number 4711"),
        (["audit", "--limit", "0"], "limit"),
    ],
)
@pytest.mark.usefixtures("root")
def test_a_mistake_is_told_in_one_line(capsys: Out, arguments: list[str], sentence: str) -> None:
    """On stderr, with exit code 2, and nothing is logged."""
    before = run(capsys, "audit")
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert sentence in err
    assert run(capsys, "audit") == before


def test_the_first_account_must_be_an_admins(capsys: Out) -> None:
    """A user could let nobody else in."""
    assert main(["user", "add", "Bob", "--password-stdin"]) == 2
    assert "role admin" in capsys.readouterr().err


def test_a_password_is_typed_twice_and_unseen(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that differ are no password."""
    typed = iter([PASSWORD, "another horse", PASSWORD, PASSWORD])
    monkeypatch.setattr(sys, "stdin", terminal := io.StringIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(app.cli_user, "getpass", lambda _prompt: next(typed))
    assert main(["user", "add", "root", "--role", "admin"]) == 2
    assert "not the same" in capsys.readouterr().err
    assert main(["user", "add", "root", "--role", "admin"]) == 0
    assert PASSWORD not in "".join(capsys.readouterr())
