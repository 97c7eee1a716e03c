"""A fresh store for each test."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.store import Store


@pytest.fixture
def file(data: Path) -> Path:
    """Where the database is, or will be."""
    return data / "remanence.db"


@pytest.fixture
def url(file: Path) -> str:
    """The URL of the database, which gives up soon when it is locked."""
    return f"sqlite:///{file}?timeout=0.2"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    """An empty store with the usual patience."""
    with closing(Store.open(f"sqlite:///{file}")) as store:
        yield store
