"""The side of the page and what it opens: a search, pins, branches, documents, long chats; failed replies."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

import app.chat
from app.chat import Chat
from app.errors import ReplyFailed
from app.formats import Conversation
from app.search import CHARS_AFTER, CHARS_BEFORE
from model.conversation import Exchange
from ui import texts
from ui.messages import SHOWN_TURNS
from ui.page import ChatPage
from ui.replies import LAST

ADA, BOB = (SimpleNamespace(username=name, session_hash=f"tab of {name}") for name in ("Ada", "Bob"))


pytestmark = pytest.mark.usefixtures("words")


@pytest.fixture
def page(chat: Chat) -> ChatPage:
    """The page over the chat."""
    return ChatPage(chat)


def told(chat: Chat, name: str, *said: str) -> int:
    """Return the number of a new session of Ada's in which she said those things."""
    chat.import_sessions("Ada", [Conversation(tuple(Exchange(text, "Fine.") for text in said), name=name)])
    return next(s.id for s in chat.sessions("Ada") if s.name == name)


def at(place: Any) -> Any:
    """What Gradio tells of a message that something was done to."""
    return SimpleNamespace(index=place, value=texts.BRANCH)


def contents(messages: list[dict[str, Any]]) -> list[str]:
    """The texts of a conversation."""
    return [message["content"] for message in messages]


def test_a_search_shows_chats_with_what_stands_around_it(page: ChatPage, chat: Chat) -> None:
    """In one line each; nothing of others, nothing where nothing is looked for."""
    first = told(chat, "first", f"{'a ' * 50}PARROT\n{'b ' * 100}")
    second = told(chat, "second", "no bird", "my parrot 100%")
    hits = page.side.search(" parrot ", ADA)
    around = f"…{'a ' * (CHARS_BEFORE // 2)}PARROT {'b ' * ((CHARS_AFTER - 1) // 2)}".rstrip()
    assert hits.choices == [("second: my parrot 100%", second), (f"first: {around} b…", first)]
    assert (hits.visible, hits.label) == (True, "Found in 2")
    nothing = page.side.search("parrot", BOB)
    assert (nothing.choices, nothing.label) == ([], texts.NOTHING_FOUND)
    assert page.side.search("  ", ADA).visible is False


def test_a_pinned_chat_stands_first(page: ChatPage, chat: Chat) -> None:
    """Until it is let go; nobody else can do so."""
    first, second = told(chat, "first", "one"), told(chat, "second", "two")
    assert page.side.pin(first, True, ADA)[0].choices == [("★ first", first), ("second", second)]
    assert page.side.describe(first, ADA) == ("first", True, True)
    theirs, line = page.side.pin(first, False, BOB)
    assert theirs.choices == []
    assert "no session" in line
    assert page.side.pin(first, False, ADA)[0].choices == [("second", second), ("first", first)]


def test_a_branch_goes_on_from_a_reply(page: ChatPage, chat: Chat) -> None:
    """In a chat of its own, which is opened; what Gradio tells twice is done once."""
    source = told(chat, "talk", "one", "two", "three")
    _, sessions, conversation, _, line, *_ = page.branch(source, 0, at(3), ADA)
    assert contents(conversation) == ["one", "Fine.", "two", "Fine."]
    assert ([name for name, _ in sessions.choices], line) == (["talk (2)", "talk"], texts.BRANCHED)
    assert sessions.value != source
    assert all(update == gr.skip() for update in page.branch(None, 0, at(3), ADA))
    for place, who in [(3, BOB), (9, ADA), ("1", ADA)]:
        assert page.branch(source, 0, at(place), who)[4]
    assert len(chat.sessions("Ada")) == 2


def test_of_a_long_chat_the_end_is_shown_and_places_count_from_there(page: ChatPage, chat: Chat) -> None:
    """The rest on demand; a message is edited where it is seen."""
    said = [f"message {n}" for n in range(SHOWN_TURNS + 7)]
    long = told(chat, "long", *said)
    _, _, conversation, _, _, first, earlier, temporary = page.open_session(long, True, ADA)
    assert contents(conversation)[::2] == said[7:]
    assert (earlier.visible, temporary) == (True, False)
    *_, last = page.replies.edit(long, first, conversation, SimpleNamespace(index=4, value="other"), ADA)
    assert last[3].startswith("Memory updated")
    assert [t.user_text for t in chat.turns("Ada", long)] == [*said[:9], "other"]
    *_, update, _ = page.replies.say("more", long, ADA, first=first)
    assert contents(update[2])[::2] == ["message 7", "message 8", "other", "more"]
    earlier, first, conversation, _ = page.show_earlier(long, ADA)
    assert (earlier.visible, first, len(conversation)) == (False, 0, 22)
    assert page.show_earlier(None, ADA)[2] == []


def test_a_document_is_shown_and_what_is_said_about_it_begins_a_chat(
    page: ChatPage, chat: Chat, warnings: list[str]
) -> None:
    """It has passages and no replies, and is neither edited, branched nor undone."""
    document = chat.add_document("Ada", "log.txt", b"The keeper is called Ola.")
    _, sessions, conversation, _, line, *_ = page.take_document(document.id, "", True, ADA)
    assert contents(conversation) == ["The keeper is called Ola."]
    assert (sessions.choices, sessions.value) == ([("Document: log.txt", document.id)], document.id)
    assert line == texts.DOCUMENT_GIVEN
    assert page.branch(document.id, 0, at(0), ADA)[4] == texts.DOCUMENT_STAYS
    assert page.undo(document.id, 0, conversation, ADA)[3] == texts.DOCUMENT_STAYS
    update = next(page.replies.edit(document.id, 0, conversation, at(0), ADA))
    assert all(part == gr.skip() for part in update)
    assert warnings == [texts.DOCUMENT_STAYS]
    updates = list(page.replies.say("Who is the keeper?", document.id, ADA))
    assert [name for name, _ in updates[-2][1].choices] == ["Who is the keeper?", "Document: log.txt"]
    assert contents(updates[-2][2]) == ["Who is the keeper?", "I see."]
    assert page.take_document(document.id, "", True, BOB)[2] == []


def test_a_document_that_was_not_taken_is_a_sentence(page: ChatPage) -> None:
    """No sentence where no file was chosen."""
    assert page.take_document(None, "It is damaged.", True, ADA)[4] == "It is damaged."
    assert all(update == gr.skip() for update in page.take_document(None, "", True, ADA))


def test_a_reply_that_breaks_off_can_be_tried_again(
    page: ChatPage, chat: Chat, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was said stands in its chat, with a button under it; the box is empty."""

    def failing(*_arguments: Any) -> Iterator[str]:
        yield "My"
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(app.chat, "stream", failing)
        *_, (box, sessions, conversation, line) = page.replies.say("I live in Lisbon.", None, ADA)
    assert (box.value, box.submit_btn) == (None, True)
    assert contents(conversation) == ["I live in Lisbon.", f"My {texts.REPLY_FAILED}"]
    assert conversation[-1]["options"] == [{"value": texts.TRY_AGAIN}]
    assert warnings == [line] == [str(ReplyFailed(None))]
    *_, update, _ = page.replies.retry_last(sessions.value, 0, conversation, ADA)
    assert contents(update[2]) == ["I live in Lisbon.", "I see."]
    assert "options" not in update[2][-1]
    [turn] = chat.turns("Ada", sessions.value)
    assert turn.status == "complete"


def test_the_line_says_why_memory_was_not_updated(page: ChatPage, chat: Chat) -> None:
    """Because the chat is left out, or memory is off."""
    session = told(chat, "talk", "one")
    chat.set_memory("Ada", False, session)
    *_, last = page.replies.say("two", session, ADA)
    assert last[3].startswith(f"Memory not updated: {texts.WHY_LEFT_OUT} · prompt tokens ")
    chat.set_memory("Ada", False)
    *_, last = page.replies.retry_last(session, 0, [None] * 4, ADA)
    assert last[3].startswith(f"Memory not updated: {texts.WHY_OFF} · prompt tokens ")


def test_the_last_message_is_found_wherever_the_view_begins(page: ChatPage, chat: Chat) -> None:
    """Also where nothing of the session is shown any more."""
    session = told(chat, "talk", "one", "two")
    last = chat.turns("Ada", session)[-1]
    for first in (0, None, last.id):
        assert page.replies.turn_at("Ada", session, first, LAST) == (last.id, "two")
