"""The tab of the memory: each person sees, explains, switches and forgets their own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

import ui.memory
from app.chat import Chat
from app.errors import MemoryDamaged
from app.inspection import Recollected
from ui import texts
from ui.memory import MemoryView
from ui.takeout import export_js, import_js

pytestmark = pytest.mark.usefixtures("words")


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


def pictured(plot: Any) -> Any:
    """What a plot that a handler returns shows."""
    return plot.constructor_args["value"]


def test_the_tab_shows_what_was_read_and_what_there_is_to_forget(view: MemoryView) -> None:
    """Figures, a strength for every direction in use, messages and chats, the newest first."""
    figures, is_on, spectrum, turns, sessions = view.look(browser("Ada"))
    assert "**2** turns of **2** chats" in figures
    assert is_on
    assert set(spectrum["layer"]) == {"0", "1"}
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
    assert view.forget(None, None, None, False, browser("Ada"))[:2] == (texts.FORGET_ONE, False)
    assert view.forget(turn, None, None, True, browser("Ada"))[:2] == (texts.FORGET_ONE, True)
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


def test_the_picture_grows_chat_by_chat(view: MemoryView) -> None:
    """A bar of each chat, a point of each layer; what somebody called a chat is plain text."""
    shown = list(view.added(browser("Ada")))
    assert [bars.visible for _, bars, _ in shown] == [False, True, True]
    text, bars, lines = shown[-1][0], *map(pictured, shown[-1][1:])
    assert "Chats read: 2 of 2." in text
    assert "My \\*parrot\\* \\| is called" in text
    assert list(bars["chat"]) == ["1", "2"]
    assert all(bars["tokens"] > 0)
    assert sorted(lines["layer"]) == ["0", "0", "1", "1"]
    text, *pictures = list(view.added(browser("Bob")))[-1]
    assert (text, [picture.visible for picture in pictures]) == (texts.ADDED_NOTHING, [False, False])


def test_forgetting_takes_down_what_may_repeat_it(view: MemoryView) -> None:
    """Reasons, answers, names of chats and pictures, whatever became of it."""
    *_, reasons, recollected, added, bars, lines = view.forget(None, None, None, True, browser("Ada"))
    assert (reasons, recollected, added) == ("", "", "")
    assert [(picture.visible, len(pictured(picture))) for picture in (bars, lines)] == [(False, 0)] * 2


def test_only_the_newest_chats_are_told_in_words(
    view: MemoryView, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture shows all."""
    monkeypatch.setattr(ui.memory, "LISTED_CONTRIBUTIONS", 1)
    *_, (text, bars, _) = view.added(browser("Ada"))
    assert ("Lisbon" in text, "Only the newest 1" in text, len(pictured(bars))) == (False, True, 2)


def test_what_the_model_remembers_is_asked_answer_by_answer(
    view: MemoryView, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not know is counted and left out; what it says is plain text."""

    def probe(_self: Chat, user: str) -> Iterator[Recollected]:
        yield Recollected("Where do I live?", f"{user} lives in <b>Lisbon</b> | or *so*.")
        yield Recollected("What do I eat?", "I don't know that yet.")

    monkeypatch.setattr(Chat, "probe", probe)
    begun, one, both = view.probe(browser("Ada"))
    assert "Lisbon" not in begun
    assert "| Where do I live? | Ada lives in \\<b\\>Lisbon\\</b\\> \\| or \\*so\\*. |" in one
    assert "What do I eat?" not in both
    assert "It said of 1 that it does not know" in both


def test_a_memory_that_cannot_be_asked_says_why(view: MemoryView, chat: Chat) -> None:
    """Empty, or off."""
    assert "has read nothing" in list(view.probe(browser("Bob")))[-1]
    chat.set_memory("Ada", False)
    assert "Memory is off" in list(view.probe(browser("Ada")))[-1]


def test_the_texts_of_taking_along_are_safe_in_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever quotation marks a language has."""
    monkeypatch.setattr(texts, "UNREACHABLE", 'It\'s "gone".')
    for script in (export_js(), import_js(5)):
        assert 'say("It\'s \\"gone\\".")' in script
        assert "$" not in script
