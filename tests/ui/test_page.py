"""The page: what it shows to whom, and that it needs nothing from elsewhere; the model says three words."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from starlette.testclient import TestClient

import app.chat
from app.chat import Chat
from app.errors import MemoryDamaged
from app.recollection import MemoryFigures
from tests.ui.conftest import serve
from ui import texts
from ui.messages import answer_text, memory_text, throttled
from ui.page import ChatPage
from ui.replies import Replies

HERE = "http://127.0.0.1:7860"
SEEN = ["a message", "its reply"]  # in a window: of one turn


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that says three words, whatever it is asked."""

    def stream(_lm: Any, _token_ids: Any, _adapter: Any, _sampling: Any, stop: Any) -> Iterator[str]:
        for word in ("one ", "two ", "three"):
            if stop.is_set():
                return
            yield word

    monkeypatch.setattr(app.chat, "stream", stream)


@pytest.fixture
def page(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> ChatPage:
    """The page over the chat, every piece of a reply shown."""
    monkeypatch.setattr("ui.messages.UPDATE_SECONDS", 0)
    return ChatPage(chat)


def browser(user: str) -> Any:
    """What Gradio tells a handler of who is there."""
    return SimpleNamespace(username=user, session_hash=f"tab of {user}")


def skipped(value: Any) -> bool:
    """Whether an update leaves its component as it is."""
    return isinstance(value, dict) and value == gr.skip()


def shown(updates: list[tuple[Any, ...]]) -> list[Any]:
    """The conversations among the updates of `say`."""
    return [conversation for _, _, conversation, _ in updates if not skipped(conversation)]


def test_a_reply_grows_on_the_page_and_the_memory_line_says_what_was_read(page: ChatPage, chat: Chat) -> None:
    """Word by word; then the session is in the list, and the memory has read the turn."""
    updates = list(page.replies.say("I live in Lisbon.", None, browser("Ada")))
    said = {"role": "user", "content": "I live in Lisbon."}
    replies = [messages[1]["content"] for messages in shown(updates) if len(messages) == 2]
    assert all(messages[0] == said for messages in shown(updates))
    assert replies[:3] == ["one ", "one two ", "one two three"]
    [session] = chat.sessions("Ada")
    [sessions] = [u[1] for u in updates if not skipped(u[1])]
    assert (sessions.choices, sessions.value) == ([(session.name, session.id)], session.id)
    assert updates[-1][3].startswith("Memory updated (Undo takes it back): turns read 1 ")
    assert "; with everything you said and were told before, " in updates[-1][3]
    first, last = updates[0][0], updates[-1][0]
    assert (first.value, first.stop_btn, last.stop_btn, last.submit_btn) == ("", True, False, True)


def test_a_stopped_reply_is_shown_as_stopped(page: ChatPage) -> None:
    """The button ends it at the next word, in this tab only."""
    updates = []
    for update in page.replies.say("I live in Lisbon.", None, browser("Ada")):
        updates.append(update)
        page.replies.stop(browser("Bob"))
        if shown(updates)[-1][-1]["content"] == "one two ":
            page.replies.stop(browser("Ada"))
    assert shown(updates)[-1][-1]["content"] == f"one two  {texts.STOPPED}"


def test_a_browser_that_goes_away_stops_its_reply(page: ChatPage, chat: Chat) -> None:
    """What was shown is stored."""
    saying = page.replies.say("I live in Lisbon.", None, browser("Ada"))
    while not any(m["role"] == "assistant" for m in shown([next(saying)])[-1]):
        pass
    saying.close()  # type: ignore[attr-defined]
    [session] = chat.sessions("Ada")
    [turn] = chat.turns("Ada", session.id)
    assert (turn.reply_text, turn.status) == ("one ", "stopped")


def test_a_session_is_opened_by_its_owner_only(page: ChatPage, chat: Chat, warnings: list[str]) -> None:
    """To read or to talk in: with somebody else's number there is nothing."""
    list(page.replies.say("I live in Lisbon.", None, browser("Ada")))
    [session] = chat.sessions("Ada")
    _, _, mine, *_ = page.open_session(session.id, True, browser("Ada"))
    assert [m["content"] for m in mine] == ["I live in Lisbon.", "one two three"]
    _, _, theirs, _, line, *_ = page.open_session(session.id, True, browser("Bob"))
    assert theirs == []
    assert "no session" in line
    updates = list(page.replies.say("hello", session.id, browser("Bob")))
    assert shown(updates) == [[]]
    assert len(warnings) == 1
    assert len(chat.turns("Ada", session.id)) == 1


def test_a_mistake_is_shown_and_the_text_kept(page: ChatPage, warnings: list[str]) -> None:
    """A person can mend what they typed."""
    [update] = list(page.replies.say("x" * 30_000, None, browser("Ada")))
    assert update[0].value == "x" * 30_000
    assert "20,000" in warnings[0]


def test_a_defect_is_shown_without_its_details(
    page: ChatPage, warnings: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are in the log."""

    def broken(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Chat, "reply", broken)
    list(page.replies.say("hello", None, browser("Ada")))
    assert warnings == [texts.FAILED]
    assert "a defect" in caplog.text


def test_a_failure_after_the_turn_was_stored_changes_the_memory_line_only(
    page: ChatPage, chat: Chat, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply stays and the box is empty: sent again, the text would be said twice."""

    def damaged(*_args: object) -> None:
        raise MemoryDamaged("The saved memory of Ada is damaged.")

    monkeypatch.setattr(Chat, "settle_soon", damaged)
    updates = list(page.replies.say("I live in Lisbon.", None, browser("Ada")))
    box, sessions, conversation, line = updates[-1]
    assert box.value is None
    assert (box.submit_btn, box.stop_btn) == (True, False)
    assert skipped(sessions)
    assert skipped(conversation)
    assert line == "The saved memory of Ada is damaged."
    assert [m["content"] for m in shown(updates)[-1]] == ["I live in Lisbon.", "one two three"]
    assert warnings == []
    assert len(chat.sessions("Ada")) == 1


def test_a_chat_that_is_deleted_while_it_is_answered_leaves_a_page_that_can_be_used(
    page: ChatPage, chat: Chat, warnings: list[str]
) -> None:
    """In another tab: the box waits for a message again, and the chat is in no list."""
    list(page.replies.say("I live in Lisbon.", None, browser("Ada")))
    [session] = chat.sessions("Ada")
    again = page.replies.retry(session.id, 0, SEEN, SimpleNamespace(index=0), browser("Ada"))
    next(again)
    page.delete(session.id, browser("Ada"))
    *_, (box, sessions, conversation, line) = again
    assert (box.submit_btn, box.stop_btn) == (True, False)
    assert (sessions.choices, conversation) == ([], [])
    assert warnings == [line]


def test_nobody_waits_for_a_long_reading(page: ChatPage, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """The box is free again, and the line says how much is still to be read."""
    monkeypatch.setattr("app.recollection.PATIENCE_TURNS", 0)
    monkeypatch.setattr(chat, "_read_later", lambda _person: None)
    *_, (box, _, _, line) = page.replies.say("I live in Lisbon.", None, browser("Ada"))
    assert box.submit_btn is True
    assert line.startswith("Memory: turns read 0")
    assert line.split(" · ")[3] == "still to be read 1"


def test_a_message_is_edited_answered_again_and_taken_back(page: ChatPage, chat: Chat) -> None:
    """By its place in the conversation; what came after it goes, and the box holds what was taken back."""
    ada = browser("Ada")
    for text in ("I live in Lisbon.", "I bake bread."):
        [session] = chat.sessions("Ada") or [None]
        list(page.replies.say(text, session and session.id, ada))
    [session] = chat.sessions("Ada")
    updates = list(page.replies.retry(session.id, 0, SEEN * 2, SimpleNamespace(index=2), ada))
    assert [m["content"] for m in shown(updates)[-1]][::2] == ["I live in Lisbon.", "I bake bread."]
    oslo = SimpleNamespace(index=0, value="I live in Oslo.")
    updates = list(page.replies.edit(session.id, 0, SEEN * 2, oslo, ada))
    assert [m["content"] for m in shown(updates)[-1]] == ["I live in Oslo.", "one two three"]
    assert chat.settle("Ada").turns == 1
    box, sessions, conversation, line = page.undo(session.id, 0, SEEN, ada)
    assert (box, sessions.choices, conversation) == ("I live in Oslo.", [], [])
    assert line.startswith("Forgotten: 1 messages; 0 are kept.")
    assert chat.settle("Ada").turns == 0


def test_what_a_window_does_not_show_is_neither_replaced_nor_deleted(
    page: ChatPage, chat: Chat, warnings: list[str]
) -> None:
    """Two windows on one chat: the one that shows less than there is says so, and nothing is lost."""
    ada = browser("Ada")
    list(page.replies.say("I live in Lisbon.", None, ada))
    [session] = chat.sessions("Ada")
    list(page.replies.say("I bake bread.", session.id, ada))
    first = SimpleNamespace(index=0, value="I live in Oslo.")
    for again in (
        page.replies.retry(session.id, 0, SEEN, first, ada),
        page.replies.retry_last(session.id, 0, SEEN, ada),
        page.replies.edit(session.id, 0, SEEN, first, ada),
    ):
        [update] = again
        assert all(skipped(part) for part in update)
    *unchanged, line = page.undo(session.id, 0, SEEN, ada)
    assert all(skipped(part) for part in unchanged)
    assert [*warnings, line] == [texts.CHANGED_ELSEWHERE] * 4
    assert [turn.user_text for turn in chat.turns("Ada", session.id)] == [
        "I live in Lisbon.",
        "I bake bread.",
    ]


@pytest.mark.parametrize("name", ["say", "example", "retry", "retry_last", "edit"])
def test_what_answers_streams(name: str) -> None:
    """Gradio shows the words of a generator as they come, and refuses a function that returns one."""
    assert inspect.isgeneratorfunction(getattr(Replies, name))


def test_what_a_browser_names_wrongly_is_refused(page: ChatPage, chat: Chat, warnings: list[str]) -> None:
    """Places that are none, sessions of others: a sentence, and nothing happens."""
    list(page.replies.say("I live in Lisbon.", None, browser("Ada")))
    [session] = chat.sessions("Ada")
    [turn] = chat.turns("Ada", session.id)
    for place in (7, -1, None, (0, 1)):
        [update] = page.replies.retry(session.id, 0, SEEN, SimpleNamespace(index=place), browser("Ada"))
        assert all(skipped(part) for part in update)
    *_, update = page.replies.edit(session.id, 0, SEEN, SimpleNamespace(index=0, value=""), browser("Ada"))
    assert "empty" in update[3]
    bob = browser("Bob")
    [update] = page.replies.edit(session.id, 0, SEEN, SimpleNamespace(index=0, value="Mine."), bob)
    assert all(skipped(part) for part in update)
    *unchanged, line = page.undo(session.id, 0, SEEN, bob)
    assert all(skipped(part) for part in unchanged)
    assert "no session" in line
    assert "no session" in page.side.rename(session.id, "mine", bob)[1]
    assert "no session" in page.switch_session(session.id, False, bob)
    assert "no session" in page.delete(session.id, bob)[3]
    assert page.side.describe(session.id, bob) == ("", False, True)
    assert len(warnings) == 6
    assert chat.turns("Ada", session.id) == [turn]
    assert chat.sessions("Ada") == [session]


def test_a_temporary_chat_goes_on_and_leaves_nothing(page: ChatPage, chat: Chat) -> None:
    """What was said before comes from the browser; no session begins."""
    first = list(page.replies.say("A zeppelin flew by.", None, browser("Ada"), temporary=True))
    said = [
        {"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in shown(first)[-1]
    ]
    second = list(page.replies.say("Over my field.", None, browser("Ada"), True, said))
    assert [m["content"] for m in shown(second)[-1]] == [
        "A zeppelin flew by.", "one two three", "Over my field.", "one two three"
    ]  # fmt: skip
    assert second[-1][3].startswith(texts.TEMPORARY_LINE)
    assert chat.sessions("Ada") == []
    assert chat.settle("Ada").turns == 0


def test_a_session_is_renamed_left_out_of_memory_and_deleted(page: ChatPage, chat: Chat) -> None:
    """Its name and switch are shown when it is opened; deleted, it is forgotten with a receipt."""
    ada = browser("Ada")
    list(page.replies.say("I live in Lisbon.", None, ada))
    [session] = chat.sessions("Ada")
    assert page.side.describe(session.id, ada) == ("I live in Lisbon.", False, True)
    assert page.side.rename(session.id, " home ", ada)[0].choices == [("home", session.id)]
    assert page.switch_session(session.id, False, ada) == texts.SESSION_OFF
    assert (page.side.describe(session.id, ada), chat.settle("Ada").turns) == (("home", False, False), 0)
    assert page.switch_session(session.id, True, ada) == texts.SESSION_ON
    assert chat.settle("Ada").turns == 1
    shown_now = page.refresh(session.id, 0, ada)
    assert (shown_now[0].value, len(shown_now[1])) == (session.id, 2)
    sessions, conversation = page.refresh(session.id, 0, browser("Bob"))
    assert (sessions.value, conversation) == (None, [])
    _, sessions, conversation, line = page.delete(session.id, ada)
    assert (sessions.choices, conversation) == ([], [])
    assert line.startswith("Forgotten: 1 messages; 0 are kept.")


def test_a_reply_that_ends_leaves_the_stop_button_to_the_next(page: ChatPage) -> None:
    """Of two replies in one tab the button stops the later one, also when the earlier has ended."""
    first, second = (page.replies.say(text, None, browser("Ada")) for text in ("hello", "I live in Lisbon."))
    next(first)
    updates = [next(second)]
    list(first)
    page.replies.stop(browser("Ada"))
    updates += second
    assert shown(updates)[-1][-1]["content"] == f" {texts.STOPPED}"


def test_the_page_opens_at_a_new_session_with_the_persons_own_beside_it(page: ChatPage, chat: Chat) -> None:
    """The side is open where there is room."""
    list(chat.reply("Ada", "talk", "I live in Lisbon."))
    chat.settle("Ada")
    side, name, sessions, line = page.arrive(False, browser("Ada"))
    assert (side.open, name) == (False, "Signed in as **Ada**")
    assert ([label for label, _ in sessions.choices], sessions.value) == (["talk"], None)
    assert line.startswith("Memory: turns read 1 ")
    side, sessions, conversation, *_ = page.begin_session(True, browser("Bob"))
    assert (side.open, sessions.choices, conversation) == (True, [], [])


def test_a_damaged_memory_is_told_on_arrival(page: ChatPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the memory line; everything else is there."""

    def damaged(_self: Chat, _user: str) -> MemoryFigures:
        raise MemoryDamaged("The saved memory of Ada is damaged.")

    monkeypatch.setattr(Chat, "memory", damaged)
    assert page.arrive(True, browser("Ada"))[3] == "The saved memory of Ada is damaged."


def test_updates_are_not_sent_more_often_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one is always the whole text."""
    monkeypatch.setattr("ui.messages.UPDATE_SECONDS", 3600)
    assert list(throttled(iter(["one ", "two ", "three"]))) == ["one two three"]
    assert list(throttled(iter([]))) == [""]


def test_the_memory_line_counts(chat: Chat) -> None:
    """With the cost of the answer where there is one."""
    figures = MemoryFigures(revision=3, turns=1200, tokens=34567)
    assert memory_text(figures) == "Memory: turns read 1,200 · tokens 34,567 · revision 3"
    reply = chat.reply("Ada", None, "hello")
    list(reply)
    assert f" · prompt tokens {reply.result.prompt_tokens} · " in answer_text(reply.result)
    assert memory_text(replace(figures, unread=40)).endswith(" · still to be read 40")


def test_the_installed_page_is_served_and_needs_nothing_from_elsewhere(chat: Chat) -> None:
    """The door for anybody, the chat for who came in; neither loads anything from another host."""
    with TestClient(serve(chat), base_url=HERE) as client:
        door = client.get("/", headers={"accept": "text/html"})
        assert texts.LOGIN_BUTTON in door.text
        assert client.get("/config").status_code == 401
        client.post("/api/login", json={"name": "Ada"})
        inside = client.get("/", headers={"accept": "text/html"})
        assert texts.PLACEHOLDER in inside.text
        assert client.get("/theme.css").status_code == 200
        loaded = re.findall(
            r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?:)?//([^/\"]*)", door.text + inside.text
        )
        assert {host for _, host in loaded} <= {"127.0.0.1:7860"}
        assert "fonts.g" not in inside.text + client.get("/theme.css").text


def test_only_what_grows_waits_in_gradios_queue(chat: Chat) -> None:
    """What comes back through its stream may be lost when the stream ends: see ui/mounting.py."""
    with TestClient(serve(chat), base_url=HERE) as client:
        client.post("/api/login", json={"name": "Ada"})
        events = [e for e in client.get("/config").json()["dependencies"] if e["backend_fn"]]
    assert {(event["queue"], event["types"]["generator"]) for event in events} == {
        (True, True),
        (False, False),
    }
