"""The desk: figures of everybody at a cost that does not grow with how many there are, and counts."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

import app.chat
import app.desk
from app.chat import Chat
from app.desk import Desk
from app.errors import BadRequest, Cancelled, NotFound, Refused, ReplyFailed
from storage.rows import Note

NOTE = Note("command line")
PASSWORD = "correct horse"


@pytest.fixture
def desk(chat: Chat) -> Desk:
    """A desk at which root sits."""
    chat.people.add("root", PASSWORD, "admin", NOTE)
    return Desk(chat)


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that always says the same."""

    def stream(*_arguments: Any) -> Iterator[str]:
        yield "I see."

    monkeypatch.setattr(app.chat, "stream", stream)


def talk(chat: Chat, *names: str) -> None:
    """Let each say something, and memory read it."""
    for name in names:
        chat.welcome(name)
        list(chat.reply(name, None, f"I am {name}."))
        chat.settle(name)


def test_how_full_memories_are_is_seen_little_by_little(
    desk: Desk, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few at a look, and again only what has changed."""
    monkeypatch.setattr(app.desk, "MEASURED_AT_ONCE", 2)
    talk(chat, "Ada", "Bob", "Carl")

    def seen() -> dict[str, bool]:
        return {p.standing.account.name: p.fullness is not None for p in desk.everybody("root")}

    assert seen() == {"Ada": True, "Bob": True, "Carl": False, "root": False}
    assert seen() == {"Ada": True, "Bob": True, "Carl": True, "root": False}
    talk(chat, "Bob")
    measured: list[str] = []
    fullness = Chat.fullness
    monkeypatch.setattr(Chat, "fullness", lambda self, name: measured.append(name) or fullness(self, name))
    desk.everybody("root")
    assert measured == ["Bob"]


def test_to_list_more_people_takes_no_more_statements(desk: Desk, chat: Chat) -> None:
    """Once their memories were seen."""
    # what is read in the background takes statements too
    chat.jobs.close()
    statements: list[str] = []
    event.listen(chat._store._engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    counts = []
    for names in (("Ada", "Bob"), ("Carl", "Dora", "Eve", "Frank")):
        talk(chat, *names)
        desk.everybody("root")
        statements.clear()
        desk.everybody("root")
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_who_has_the_role_but_no_password_is_no_admin(desk: Desk, chat: Chat) -> None:
    """Anybody could come in by that name, were the server open."""
    chat.people.set_role("Ada", "admin", NOTE)
    assert not desk.is_admin("Ada")
    chat.people.set_password("Ada", PASSWORD, NOTE)
    assert desk.is_admin("Ada")
    assert not desk.is_admin("")
    with pytest.raises(Refused):
        desk.everybody("Bob")


def test_a_reason_that_is_none_comes_before_the_act(desk: Desk, chat: Chat) -> None:
    """The job goes on, and what is done stands in the log; a copied no-break space is a space."""
    log = len(chat.people.audit())
    with chat.jobs.running("verify", "Ada", 2) as on_turn:
        number = chat.jobs.listed("Ada")[0].id
        for reason in ("", "too\nslow", "x" * 501):
            with pytest.raises(BadRequest):
                desk.cancel("root", number, reason)
        with pytest.raises(NotFound):
            desk.cancel("root", number + 1, "too slow")
        on_turn(1)
        assert len(chat.people.audit()) == log
        desk.cancel("root", number, "too\u00a0slow")
        with pytest.raises(Cancelled):
            on_turn(2)
    (entry,) = chat.people.audit("Ada")
    assert (entry.actor, entry.reason) == ("root", "too slow")
    assert entry.action == f"cancel the job {number} (verify)"


def test_what_happens_is_counted(desk: Desk, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies and their tokens, also where they fail."""
    talk(chat, "Ada")
    _, counts = desk.counts("root")
    assert (counts["replies"], counts["replies_failed"]) == (1, 0)
    assert counts["prompt_tokens"] > counts["reply_tokens"] > 0
    assert counts["readings"] >= 1

    def failing(*_arguments: Any) -> Iterator[str]:
        yield "I"
        raise RuntimeError("a defect")

    monkeypatch.setattr(app.chat, "stream", failing)
    with pytest.raises(ReplyFailed):
        list(chat.reply("Ada", None, "again"))
    assert desk.counts("root")[1]["replies_failed"] == 1
