"""What a signed-in person's browser may send to the chat page: plain values, and no files."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.chat import Chat
from tests.ui.conftest import serve
from ui import events, texts

HERE = "http://127.0.0.1:7860"
JOIN = "/gradio_api/queue/join"
FILE = {"path": "http://example.org/x", "meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def ada(chat: Chat) -> Iterator[TestClient]:
    """Ada's browser."""
    with TestClient(serve(chat), base_url=HERE) as browser:
        browser.post("/api/login", json={"name": "Ada"})
        yield browser


def event(*data: Any) -> dict[str, Any]:
    return {"data": list(data), "fn_index": 0, "session_hash": "tab1"}


@pytest.mark.parametrize(
    "path", [JOIN, "/gradio_api/run/predict", "/gradio_api/call/say", "/demo/gradio_api/queue/join"]
)
@pytest.mark.parametrize("place", [FILE, [FILE], {"content": [{"type": "file", "file": FILE}]}])
def test_a_file_is_not_taken_wherever_it_stands(ada: TestClient, path: str, place: Any) -> None:
    """Gradio would fetch the address in it, for anybody who has an account."""
    answer = ada.post(path, json=event("hello", place))
    told = texts.NO_EVENT if path.startswith("/demo") else texts.NO_FILES
    assert (answer.status_code, answer.json()) == (400, {"error": told})


@pytest.mark.parametrize("path", [JOIN, "/gradio_api/run/predict", "/gradio_api/cancel"])
def test_nobody_sends_into_a_tab_of_somebody_else(ada: TestClient, path: str) -> None:
    """What their event brings would be shown there; a visitor of the demo is nobody known."""
    mine = {"data": [""], "fn_index": 0, "session_hash": "adastab"}
    visit = {"data": ["m0", ""], "fn_index": 2, "session_hash": "adastab"}
    assert ada.post(JOIN, json=mine).status_code == 200
    hers = dict(ada.cookies)
    ada.cookies.clear()
    refused = [ada.post(f"/demo{JOIN}", json=visit)]
    ada.post("/api/login", json={"name": "Bob"})
    refused.append(ada.post(path, json=mine))
    assert [(r.status_code, r.json()) for r in refused] == [(403, {"error": texts.FOREIGN_TAB})] * 2
    assert ada.post(JOIN, json=mine | {"session_hash": "bobstab"}).status_code == 200
    ada.cookies.clear()
    ada.cookies.update(hers)
    assert ada.post(JOIN, json=mine).status_code == 200


def test_nothing_can_be_uploaded_to_gradio(ada: TestClient) -> None:
    """It would lie where everybody reads it who learns its name."""
    answer = ada.post("/gradio_api/upload", files={"files": ("x.txt", b"secret")})
    assert (answer.status_code, answer.json()) == (400, {"error": texts.NO_FILES})


def test_an_event_of_plain_values_goes_through(ada: TestClient) -> None:
    said = [{"role": "user", "content": [{"type": "text", "text": "a path, a meta"}]}]
    assert ada.post(JOIN, json=event(True) | {"data": [said]}).status_code == 200


def test_what_is_no_event_or_too_large_is_refused(ada: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ada.post(JOIN, content=b"[" * 100_000).status_code == 400
    assert ada.post(JOIN, content=b"data=1").json() == {"error": texts.NO_EVENT}
    monkeypatch.setattr(events, "MAX_EVENT_BYTES", 100)
    assert ada.post(JOIN, content=b"x" * 101).status_code == 413
