"""The same chat over a tiny random model as in the tests of app, and its server with all pages."""

import asyncio
from collections.abc import Iterator, Set
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI

import app.chat
from app.chat import Chat
from app.server import create_server
from storage.rows import Note
from tests.app.conftest import chat as chat
from tests.app.conftest import loaded as loaded
from tests.app.conftest import settings as settings
from tests.app.conftest import store as store

NOTE = Note("command line")
PASSWORD = "correct horse"


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that always says the same."""

    def stream(*_arguments: Any) -> Iterator[str]:
        yield "I see."

    monkeypatch.setattr(app.chat, "stream", stream)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the page warns of."""
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", told.append)
    return told


@pytest.fixture
def closed(chat: Chat, words: None) -> Chat:
    """The chat with accounts: root is an admin, Ada and Bob have passwords, and Ada has said something."""
    chat.people.add("root", PASSWORD, "admin", NOTE)
    for name in ("Ada", "Bob"):
        chat.people.set_password(name, PASSWORD, NOTE)
    list(chat.reply("Ada", "talk", "my secret is xylophone"))
    return chat


def serve(chat: Chat, hosts: Set[str] = frozenset()) -> FastAPI:
    """The server of `chat` with its pages."""

    async def build() -> FastAPI:
        # within a loop, or Gradio makes one and leaves it open
        return create_server(chat, hosts)

    return asyncio.run(build())
