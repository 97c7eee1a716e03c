"""The page of the demo: visitors get what they asked for, and nothing else of the server."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
import pytest
from starlette.testclient import TestClient

from app.chat import Chat
from app.demo import METHODS, Demo, Trial
from app.recall import Answered, Question
from app.settings import Settings
from storage.store import Store
from tests.app.conftest import Loaded
from tests.ui.conftest import serve
from ui import events, texts
from ui.demo import OWN, DemoPage
from ui.demo_tables import cards_html, score_html

HERE = "http://127.0.0.1:7860"
JOIN = "/demo/gradio_api/queue/join"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def page(loaded: Loaded, settings: Settings) -> DemoPage:
    """The page over the tiny model."""
    return DemoPage(Demo(*loaded, settings))


@pytest.fixture
def visitor(chat: Chat) -> Iterator[TestClient]:
    """A browser that nobody is logged in at."""
    with TestClient(serve(chat), base_url=HERE, follow_redirects=False) as client:
        yield client


def dialogue(*messages: str) -> str:
    """A session in which the person says `messages`."""
    return json.dumps(
        [
            m
            for text in messages
            for m in ({"role": "user", "content": text}, {"role": "assistant", "content": "Ah."})
        ]
    )


def trial(question: Question | None, reply: str, **more: Any) -> Trial:
    """An answer from memory."""
    return Trial("memory", question, Answered(reply, 12, 0.008, 0.061), 590_352, **{"is_cut": False} | more)


def run(updates: Iterator[Sequence[Any]]) -> list[Sequence[Any]]:
    """Everything that a handler sends to the browser."""
    return list(updates)


def test_the_sessions_are_folded_turn_by_turn(page: DemoPage) -> None:
    """Each update says how far it is and what it costs; the last one that all is in the memory."""
    updates = run(page.fold("m0", ""))
    assert updates[0][0] == "Reading: 0 of 17 turns."
    assert updates[-1][0].startswith("All 17 turns are in the memory.")
    *_, tokens, times = updates[-1]
    assert len(tokens) == len(times) == 17 * len(METHODS)
    assert list(tokens.columns) == ["turns", "method", "prompt tokens"]
    assert updates[-1][3].count("<tr>") == 1 + 4


def test_a_dialogue_of_ones_own_is_shown_as_text(page: DemoPage) -> None:
    """Whatever stands in it; it has no questions to offer or to count."""
    mine = dialogue(HOSTILE, "My dog is called Biscuit.")
    _, said, questions, *_ = run(page.fold(OWN, mine))[0]
    assert "&lt;img" in said
    assert "<img" not in said
    assert questions.visible is False
    assert run(page.score(OWN, mine))[-1][0] == texts.DEMO_NO_QUESTIONS
    asked, answers = run(page.ask(OWN, mine, HOSTILE))[-1]
    assert (asked, answers.count('<section class="card">')) == ("", 4)
    assert texts.DEMO_WRONG not in answers


def test_what_is_wrong_is_said_in_a_sentence(page: DemoPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A visitor's mistake by its name, ours without."""
    assert run(page.fold(OWN, "hello"))[-1][0] == "The dialogue, line 1: this is not JSON."
    assert run(page.ask("m0", "", " "))[-1][0] == "There is nothing to answer: the message is empty."

    def broken(*_arguments: object) -> Iterator[Trial]:
        raise ZeroDivisionError

    monkeypatch.setattr(Demo, "ask", broken)
    assert run(page.score("m0", ""))[-1][0] == texts.FAILED


def test_another_choice_takes_the_results_away(page: DemoPage) -> None:
    own, said, questions, question, *results = page.choose(OWN)
    assert (own.visible, questions.visible, question) == (True, False, "")
    assert "Session" not in said
    assert [r for r in results if not isinstance(r, gr.Row)] == [""] * 6
    own, said, questions, *_ = page.choose("m1")
    assert (own.visible, len(questions.choices)) == (False, 5)
    assert "Yistaithyiart" in said


def test_failures_are_shown_as_failures() -> None:
    """Beside the answer that was expected; a prompt that was cut says so, and no reply is no empty place."""
    dog, sister = Question("my dog?", "Biscuit", "pet"), Question("my sister?", None, "family")
    wrong = cards_html([trial(dog, HOSTILE, is_cut=True)])
    assert all(
        text in wrong for text in ("Wrong", "Expected: Biscuit", "&lt;img", "12", "8 ms", "590,352 bytes")
    )
    assert texts.DEMO_CUT.format(tokens=12) in wrong
    assert texts.DEMO_EXPECTED_NONE in cards_html([trial(sister, "Eve")])
    assert texts.DEMO_NO_REPLY in cards_html([trial(None, "")])
    table = score_html([[trial(q, r)] * 4 for q, r in [(dog, "biscuit!"), (dog, "Rex"), (sister, "Eve")]])
    assert table.count("1 (50%)") == 4
    assert table.count("0 (0%)") == 4
    assert "Right of 2 answerable" in table
    assert "Declined of 1 never said" in table


def test_the_demo_is_one_click_from_the_door_and_the_chat(visitor: TestClient) -> None:
    """And loads nothing from elsewhere."""
    assert 'href="/demo/"' in visitor.get("/login").text
    assert visitor.get("/demo").headers["location"] == "/demo/"
    shown = visitor.get("/demo/", headers={"accept": "text/html"})
    assert texts.DEMO_FOLD_BUTTON in shown.text
    assert "fonts.g" not in shown.text + visitor.get("/demo/theme.css").text
    visitor.post("/api/login", json={"name": "Ada"})
    assert "(/demo/)" in visitor.get("/").text


def test_a_visitor_is_answered_without_an_account(visitor: TestClient, store: Store) -> None:
    """Through the queue, as the page does; the store does not hear of it."""
    before = store.users()
    fold = {"data": [OWN, dialogue("My dog is called Biscuit.")], "fn_index": 2, "session_hash": "visitor1"}
    assert visitor.post(JOIN, json=fold).status_code == 200
    told = visitor.get("/demo/gradio_api/queue/data?session_hash=visitor1").text
    assert "All 1 turns are in the memory." in told
    assert store.users() == before
    assert [store.sessions(user.id) for user in before] == [[], []]


@pytest.mark.parametrize(
    "change",
    [
        {"data": [{"path": "http://example.org/x", "meta": {"_type": "gradio.FileData"}}, ""]},
        {"data": [["m0"], ""]},
        {"data": ["m0", 1]},
        {"data": [""] * 9},
        {"event_data": {"path": "/etc/passwd"}},
        {"session_hash": "a/../b"},
        {"session_hash": None},
        {"fn_index": "2"},
        {"event_id": "x"},
        {"oauth_token": "x"},
        {"batched": True},
    ],
)
def test_an_event_brings_texts_and_nothing_else(visitor: TestClient, change: dict[str, Any]) -> None:
    """Gradio would fetch the address of a file that stands in the place of a text."""
    event = {"data": ["m0", ""], "fn_index": 2, "session_hash": "visitor1"} | change
    answer = visitor.post(JOIN, json=event)
    assert (answer.status_code, answer.json()) == (400, {"error": texts.NO_EVENT})


def test_an_event_that_is_too_large_is_not_read(visitor: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its headers say of its size."""
    monkeypatch.setattr(events, "MAX_DEMO_EVENT_BYTES", 100)
    assert visitor.post(JOIN, content=b"x" * 101).status_code == 413
    assert visitor.post(JOIN, content=iter([b"x" * 60] * 2)).status_code == 413


def test_switched_off_there_is_no_demo(store: Store, loaded: Loaded, settings: Settings) -> None:
    """Not for anybody, and no link leads there."""
    chat = Chat(store, *loaded, settings.model_copy(update={"demo": False}))
    with TestClient(serve(chat), base_url=HERE, follow_redirects=False) as visitor:
        assert "/demo" not in visitor.get("/login").text
        for path in ("/demo", "/demo/", "/demo/theme.css"):
            assert visitor.get(path).status_code == 401
        visitor.post("/api/login", json={"name": "Ada"})
        assert visitor.get("/demo/").status_code == 404
        assert "/demo/" not in visitor.get("/").text
    chat.close()
