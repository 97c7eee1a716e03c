"""The tab of the memory: each person sees, explains, switches and forgets their own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

import app.chat
from app.chat import Chat
from app.errors import MemoryDamaged
from ui import texts
from ui.memory import MemoryView


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that always says the same."""

    def stream(*_arguments: Any) -> Iterator[str]:
        yield "I see."

    monkeypatch.setattr(app.chat, "stream", stream)


@pytest.fixture
def view(chat: Chat) -> MemoryView:
    """The tab, of a chat in which Ada said two things in two sessions."""
    for text in ("I live in Lisbon.", "My *parrot* | is called Biscuit."):
        list(chat.reply("Ada", None, text))
    chat.settle("Ada")
    return MemoryView(chat)


def browser(user: str) -> Any:
    """What Gradio tells a handler of who is there."""
    return SimpleNamespace(username=user)


def test_the_tab_shows_what_was_read_and_what_there_is_to_forget(view: MemoryView) -> None:
    """Figures, a strength for every direction in use, messages and chats, the newest first."""
    figures, is_on, spectrum, turns, sessions = view.look(browser("Ada"))
    assert "**2** turns of **2** chats" in figures
    assert is_on
    assert set(spectrum["layer"]) == {"layer 0", "layer 1"}
    assert [label.split(" · ")[1] for label, _ in turns.choices] == [
        "My *parrot* | is called Biscuit.", "I live in Lisbon."
    ]  # fmt: skip
    assert len(sessions.choices) == 2
    figures, _, spectrum, turns, sessions = view.look(browser("Bob"))
    assert (figures, len(spectrum), turns.choices, sessions.choices) == (texts.NOTHING_READ, 0, [], [])


def test_a_damaged_memory_is_told_and_can_still_be_forgotten(
    view: MemoryView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lists are there all the same."""

    def damaged(_self: Chat, _user: str) -> None:
        raise MemoryDamaged("The saved memory of Ada is damaged.")

    monkeypatch.setattr(Chat, "overview", damaged)
    figures, _, spectrum, turns, _ = view.look(browser("Ada"))
    assert (figures, spectrum, len(turns.choices)) == ("The saved memory of Ada is damaged.", None, 2)


def test_forgetting_needs_one_choice_and_gives_a_receipt(view: MemoryView, chat: Chat) -> None:
    """Nothing or two things chosen is a sentence; what is not the person's own is refused."""
    (_, turn), _ = view.look(browser("Ada"))[3].choices
    assert view.forget(None, None, None, False, browser("Ada")) == (texts.FORGET_ONE, False, "")
    assert view.forget(turn, None, None, True, browser("Ada")) == (texts.FORGET_ONE, True, "")
    assert "no turn number" in view.forget(turn, None, None, False, browser("Bob"))[0]
    assert view.forget(turn, None, None, False, browser("Ada"))[0].startswith("Forgotten: 1 messages; 1 are")
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    assert view.forget(None, None, long_ago, False, browser("Ada"))[0].startswith("Forgotten: 0 messages; 1")
    assert view.forget(None, None, None, True, browser("Ada"))[0].startswith("Forgotten: 1 messages; 0 are")
    assert chat.sessions("Ada") == []


def test_memory_is_switched_verified_and_explained(view: MemoryView, chat: Chat) -> None:
    """What a person said stands in the table as they said it, never as markup."""
    assert view.switch(False, browser("Ada")) == texts.MEMORY_IS_OFF
    assert not view.look(browser("Ada"))[1]
    assert view.switch(True, browser("Ada")) == texts.MEMORY_IS_ON
    assert view.verify(browser("Ada")).startswith("The memory is exactly that of what is kept")
    reasons = view.why("What is my parrot called?", browser("Ada"))
    assert r"My \*parrot\* \| is called Biscuit." in reasons
    assert texts.WHY_CAUTION in reasons
    assert "empty" in view.why(" ", browser("Ada"))
