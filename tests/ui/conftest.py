"""The same chat over a tiny random model as in the tests of app, and its server with all pages."""

import asyncio
from collections.abc import Set

from fastapi import FastAPI

from app.chat import Chat
from app.server import create_server
from tests.app.conftest import chat as chat
from tests.app.conftest import loaded as loaded
from tests.app.conftest import settings as settings
from tests.app.conftest import store as store


def serve(chat: Chat, hosts: Set[str] = frozenset()) -> FastAPI:
    """The server of `chat` with its pages."""

    async def build() -> FastAPI:
        # within a loop, or Gradio makes one and leaves it open
        return create_server(chat, hosts)

    return asyncio.run(build())
