"""A chat over a tiny random model, as the commands would build it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.chat import Chat
from app.settings import Settings, load_settings
from app.wiring import load_model
from memory.generator import Generator
from model.base import BaseModel
from storage.store import Store

Loaded = tuple[BaseModel, Generator]


@pytest.fixture(autouse=True)
def log_handlers() -> Iterator[None]:
    """Give logging back as it was: every command sets it up for its own data folder."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(before):
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture(scope="session")
def loaded(tiny_model: Path) -> Loaded:
    """The tiny model and its generator."""
    return load_model(Settings(model=str(tiny_model), quantize="none", device="cpu"))


@pytest.fixture
def settings(tiny_model: Path, kind: str, database: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of this test; the variables name the tiny model, for commands and subprocesses too."""
    monkeypatch.setenv("REMANENCE_MODEL", str(tiny_model))
    monkeypatch.setenv("REMANENCE_QUANTIZE", "none")
    monkeypatch.setenv("REMANENCE_DEVICE", "cpu")
    monkeypatch.setenv("REMANENCE_MAX_NEW_TOKENS", "12")
    if kind != "sqlite":
        monkeypatch.setenv("REMANENCE_DATABASE_URL", database)
    return load_settings()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """The store that `settings` name."""
    store = Store.open(settings.database)
    yield store
    store.close()


@pytest.fixture
def open_another(
    loaded: Loaded, settings: Settings, new_database: Callable[[str], str]
) -> Iterator[Callable[[str], tuple[Chat, Store]]]:
    """Opens another chat with a database of its own, by name; the same name is the same database."""
    with ExitStack() as stack:

        def open_one(name: str) -> tuple[Chat, Store]:
            store = Store.open(new_database(name))
            stack.callback(store.close)
            chat = Chat(store, *loaded, settings)
            stack.callback(chat.close)
            return chat, store

        yield open_one


@pytest.fixture
def chat(store: Store, loaded: Loaded, settings: Settings) -> Iterator[Chat]:
    """A chat in which Ada and Bob are known."""
    chat = Chat(store, *loaded, settings)
    chat.welcome("Ada")
    chat.welcome("Bob")
    yield chat
    chat.close()
