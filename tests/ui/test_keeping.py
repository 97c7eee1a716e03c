"""What Gradio keeps of a tab: nothing of what was said in it, and no way to have it written down."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from gradio.routes import App
from starlette.testclient import TestClient

from app.chat import Chat
from tests.ui.conftest import NOTE, PASSWORD, serve
from ui import texts

HERE = "http://127.0.0.1:7860"
TAB = "adastab"


@pytest.fixture
def server(closed: Chat) -> FastAPI:
    """The server with all its pages; Ada has said "my secret is xylophone"."""
    return serve(closed)


@pytest.fixture
def ada(server: FastAPI) -> Iterator[TestClient]:
    """Ada's browser."""
    with TestClient(server, base_url=HERE) as client:
        client.post("/api/login", json={"name": "Ada", "password": PASSWORD})
        yield client


def press(client: TestClient, handler: str, *data: Any, path: str = "", **more: Any) -> str:
    """Send an event to the handler as a page does, and return what the page is told."""
    events = client.get(f"{path}/config").json()["dependencies"]
    event = next(event for event in events if event["api_name"] == handler)
    sent = {"data": list(data), "fn_index": event["id"], "session_hash": TAB, **more}
    if not event["queue"]:
        return client.post(f"{path}/gradio_api/run/predict", json=sent).text
    assert client.post(f"{path}/gradio_api/queue/join", json=sent).status_code == 200
    return client.get(f"{path}/gradio_api/queue/data?session_hash={TAB}").text


def kept(server: FastAPI) -> str:
    """Return every text within what Gradio holds of its pages."""
    found: list[str] = []
    seen: set[int] = set()
    waiting: list[Any] = [a for r in server.routes if isinstance(a := getattr(r, "app", None), App)]
    for mounted in list(waiting):
        waiting += [mounted.state_holder, mounted.iterators, mounted.blocks, mounted.blocks._queue]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, str | bytes):
            found.append(str(one))
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset | deque):
            waiting += one
        elif not isinstance(one, type | FastAPI | Chat):
            waiting += getattr(one, "__dict__", {}).values()
    return "\n".join(found)


# the queue's own figures are made with what pandas is about to drop
@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
def test_of_what_is_said_gradio_keeps_no_word(ada: TestClient, server: FastAPI) -> None:
    """Neither of a temporary chat nor of one that is stored, which may be forgotten."""
    assert "I see." in press(ada, "say", "My password is rhubarb.", None, True, [], 0)
    assert "I see." in press(ada, "say", "My dog is called Quincewort.", None, False, [], 0)
    assert texts.CHAT_TAB in kept(server)
    for word in ("rhubarb", "Quincewort", "I see."):
        for _ in range(100):
            if word not in kept(server):
                break
            # the queue clears an event away after it has told the page that it is over
            time.sleep(0.1)
        else:
            pytest.fail(f"Gradio keeps '{word}'")


def test_of_what_is_listed_gradio_keeps_no_word(ada: TestClient, server: FastAPI, closed: Chat) -> None:
    """Chats opened and found, messages to forget; what was chosen among them is found all the same."""
    (talk,) = closed.sessions("Ada")
    (turn,) = closed.turns("Ada", talk.id)
    assert "xylophone" in press(ada, "open_session", talk.id, True)
    assert "xylophone" in press(ada, "search", "xylophone")
    assert "xylophone" in press(ada, "look")
    assert "xylophone" not in kept(server)
    assert "Forgotten: 1 messages" in press(ada, "forget", turn.id, None, None, False)


@pytest.mark.parametrize("number", ["1", [1], {"a": 1}, 1.5])
def test_what_is_no_number_chooses_nothing(ada: TestClient, number: Any) -> None:
    """Gradio, which keeps no choices, cannot look it up among them."""
    assert "xylophone" not in press(ada, "open_session", number, True)


def test_of_what_an_admin_reads_gradio_keeps_no_word(server: FastAPI, closed: Chat) -> None:
    """Reading is noted in the audit log; a copy that lies about would be read without."""
    closed.people.set_right("root", True, NOTE)
    with TestClient(server, base_url=HERE) as root:
        root.post("/api/login", json={"name": "root", "password": PASSWORD})
        assert "xylophone" in press(root, "messages", "Ada", "a court order", path="/admin")
    assert "xylophone" not in kept(server)
    assert "court order" not in kept(server)


def test_what_was_deleted_elsewhere_is_told(ada: TestClient, closed: Chat) -> None:
    """In the line about the memory, of every handler that has it."""
    (talk,) = closed.sessions("Ada")
    press(ada, "delete", talk.id)
    assert "no session" in press(ada, "show_earlier", talk.id)


@pytest.mark.parametrize("path", ["", "/admin"])
def test_nobody_has_a_tab_written_to_a_file(ada: TestClient, server: FastAPI, path: str) -> None:
    """Gradio's deep links would lie where no forgetting reaches."""
    ada.post("/api/login", json={"name": "root", "password": PASSWORD})
    answer = ada.get(f"{path}/gradio_api/deep_link?session_hash=rootstab")
    assert (answer.status_code, answer.json()) == (400, {"error": texts.NO_DEEP_LINK})
