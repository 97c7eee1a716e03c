"""Taking along and bringing over HTTP: each person their own, all or nothing, and no file is left."""

import io
import tempfile
import zipfile
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import app.server
from app.accounts import Quota
from app.chat import Chat
from app.formats import Conversation
from app.server import create_server
from app.settings import Settings
from model.conversation import Exchange
from storage.rows import Note
from storage.store import Store
from tests.app.conftest import Loaded

HERE = "http://127.0.0.1:7860"
GOOD = b'{"name": "trip", "messages": [{"role": "user", "content": "I saw a walrus."}]}\n'


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files would be; there are no pages."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(app.server, "entry_points", lambda group: [])
    return folder


@pytest.fixture
def server(chat: Chat) -> FastAPI:
    """The server, with something said by Ada."""
    chat.import_sessions("Ada", [Conversation((Exchange("My parrot is called Biscuit.", "Nice."),), "talk")])
    return create_server(chat)


def browser(server: FastAPI, name: str) -> TestClient:
    """The browser of `name`."""
    client = TestClient(server, base_url=HERE)
    client.post("/api/login", json={"name": name})
    return client


def sessions(chat: Chat, user: str) -> list[str]:
    """The names of the person's sessions."""
    return [session.name for session in chat.sessions(user)]


def test_what_is_exported_can_be_brought_by_somebody_else(
    server: FastAPI, chat: Chat, temporary: Path
) -> None:
    """The zip holds the words of who asks only; its sessions belong to who brings it, and no file is left."""
    got = browser(server, "Ada").get("/api/export")
    assert got.headers["content-disposition"] == 'attachment; filename="remanence-export.zip"'
    assert got.headers["cache-control"] == "no-store"
    assert int(got.headers["content-length"]) == len(got.content)
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        assert b"Biscuit" in archive.read("sessions.jsonl")
    bob = browser(server, "Bob")
    with zipfile.ZipFile(io.BytesIO(bob.get("/api/export").content)) as archive:
        assert archive.read("sessions.jsonl") == b""
    assert bob.post("/api/import?name=ada.zip", content=got.content).json() == {"turns": 1}
    assert sessions(chat, "Bob") == sessions(chat, "Ada") == ["talk"]
    assert chat.settle("Bob").turns == 1
    assert list(temporary.iterdir()) == []


def test_a_bad_file_is_refused_with_its_line_and_nothing_of_it_is_stored(
    server: FastAPI, chat: Chat, temporary: Path
) -> None:
    """Also where the lines before are good."""
    answer = browser(server, "Bob").post("/api/import?name=said.jsonl", content=GOOD + b"nonsense\n")
    assert (answer.status_code, answer.json()["error"]) == (400, "said.jsonl, line 2: this is not JSON.")
    damaged = browser(server, "Bob").post("/api/import?name=it.zip", content=b"PK and nothing")
    assert (damaged.status_code, damaged.json()["error"]) == (400, "it.zip: this zip is damaged.")
    assert sessions(chat, "Bob") == []
    assert list(temporary.iterdir()) == []


def test_a_file_without_a_name_is_refused(server: FastAPI) -> None:
    """And one of a name that no file has."""
    bob = browser(server, "Bob")
    for query in ("", "?name=", f"?name={'x' * 256}"):
        assert bob.post(f"/api/import{query}", content=GOOD).status_code == 422


def test_a_file_is_taken_up_to_the_limit(
    server: FastAPI, store: Store, loaded: Loaded, settings: Settings, temporary: Path
) -> None:
    """Of a larger one no more than that is kept, not even for a moment."""
    limit = settings.model_copy(update={"max_import_bytes": len(GOOD)})
    chat = Chat(store, *loaded, limit)
    bob = browser(create_server(chat), "Bob")
    refused = bob.post("/api/import?name=said.jsonl", content=GOOD + b"\n")
    assert (refused.status_code, "max_import_bytes" in refused.json()["error"]) == (413, True)
    assert sessions(chat, "Bob") == []
    assert bob.post("/api/import?name=said.jsonl", content=GOOD).json() == {"turns": 1}
    assert list(temporary.iterdir()) == []
    chat.close()


def test_an_import_stays_within_the_quota(server: FastAPI, chat: Chat) -> None:
    """Of turns and of bytes, for all of the file."""
    people, bob = chat.people, browser(server, "Bob")
    for turns, num_bytes in [(1, None), (None, 20)]:
        people.set_quota("Bob", Quota(turns, num_bytes), Note("command line"))
        answer = bob.post("/api/import?name=said.jsonl", content=GOOD + GOOD)
        assert (answer.status_code, sessions(chat, "Bob")) == (403, [])
    people.set_quota("Bob", Quota(2, 30), Note("command line"))
    assert bob.post("/api/import?name=said.jsonl", content=GOOD + GOOD).json() == {"turns": 2}
