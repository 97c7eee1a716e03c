"""Builds what the settings describe: the store, and the chat over it with its model and generator."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.chat import Chat
from app.errors import translated
from app.settings import Settings
from memory.generator import Generator
from model.base import EMBEDDED, BaseModel
from storage.store import Store


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Within the block, the store of `settings`, made where there is none; its errors leave translated."""
    with translated(), closing(Store.open(settings.database)) as store:
        yield store


@translated()
def load_model(settings: Settings) -> tuple[BaseModel, Generator]:
    """Return the model of `settings` and its memory generator; raises Unavailable."""
    lm = BaseModel.load(settings.model, settings.quantize, settings.device)
    beside = (EMBEDDED if settings.model == "embedded" else Path(settings.model)) / "generator"
    generator = Generator.from_pretrained(settings.generator or beside).to(lm.device)
    lm.require_fit(generator)
    return lm, generator


@contextmanager
def open_chat(settings: Settings) -> Iterator[Chat]:
    """Within the block, the chat of `settings`; raises Unavailable.

    What memory has not read at its end is read at the next start.
    """
    with open_store(settings) as store, closing(Chat(store, *load_model(settings), settings)) as chat:
        yield chat
