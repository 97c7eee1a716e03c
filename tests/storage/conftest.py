"""A fresh store for each test, on each database; what is about SQLite's file alone takes `file` or `url`."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.store import Store
from tests.databases import KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each database."""
    kind: str = request.param
    return kind


@pytest.fixture
def file(data: Path) -> Path:
    """Where SQLite's database is, or will be."""
    return data / "remanence.db"


@pytest.fixture
def url(file: Path) -> str:
    """The URL of SQLite's database, which gives up soon when it is locked."""
    return f"sqlite:///{file}?timeout=0.2"


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """An empty store with the usual patience."""
    with closing(Store.open(database)) as store:
        yield store
