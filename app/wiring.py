"""Builds what the settings describe: the store, and the chat over it with its model and generator."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from app.chat import Chat
from app.errors import translated
from app.presets import pair_of
from app.settings import Settings
from memory.generator import Generator
from model.base import BaseModel
from storage.store import Store


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Within the block, the store of `settings`, made where there is none; its errors leave translated."""
    with translated(), closing(Store.open(settings.database)) as store:
        yield store


@translated()
def load_model(settings: Settings) -> tuple[BaseModel, Generator]:
    """Return the model of `settings` and its memory generator; raises Unavailable or BadRequest."""
    pair = pair_of(settings)
    generator = Generator.from_pretrained(pair.generator)
    lm = BaseModel.load(pair.model, settings.quantize, settings.device)
    lm.require_fit(generator)
    lm.require_text()
    generator.to(lm.device)
    return lm, generator


@contextmanager
def open_chat(settings: Settings) -> Iterator[Chat]:
    """Within the block, the chat of `settings`; raises Unavailable.

    What memory has not read at its end is read at the next start.
    """
    with open_store(settings) as store, closing(Chat(store, *load_model(settings), settings)) as chat:
        yield chat
