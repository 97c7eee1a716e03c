"""What every test stands on: a data folder of its own, no settings from outside, one thread, no network.

What must hold on every database overrides `kind` and takes `database`. PostgreSQL is started where it is
installed; elsewhere those tests are skipped and say so.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy
from argon2 import PasswordHasher

# Before torch, transformers and gradio read them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(
    GRADIO_ANALYTICS_ENABLED="False",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
)

import app.passwords
from tests.databases import NoServer, postgresql_database, postgresql_server
from tests.tiny import write_tiny_model


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of this test, named by REMANENCE_DATA; no other REMANENCE_ variable is set."""
    for name in os.environ:
        if name.startswith("REMANENCE_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "data"
    monkeypatch.setenv("REMANENCE_DATA", str(folder))
    return folder


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time and protect nothing."""
    monkeypatch.setattr(app.passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random model with its tokenizer and generator."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[sqlalchemy.URL | str]:
    """The URL of the PostgreSQL server of this run, or why there is none."""
    with ExitStack() as stack:
        try:
            server: sqlalchemy.URL | str = stack.enter_context(postgresql_server())
        except NoServer as reason:
            server = str(reason)
        yield server


@pytest.fixture
def kind() -> str:
    """Which database: where it matters, this is overridden to be each of KINDS."""
    return "sqlite"


@pytest.fixture
def new_database(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Makes databases, not there yet or empty, and gives their URLs; the same name is the same one."""
    server = request.getfixturevalue("postgresql") if kind == "postgresql" else None
    if isinstance(server, str):
        pytest.skip(server)
    with ExitStack() as stack:

        @cache
        def make(name: str) -> str:
            if server is None:
                return f"sqlite:///{tmp_path / name / 'remanence.db'}"
            return stack.enter_context(postgresql_database(server))

        yield make


@pytest.fixture
def database(new_database: Callable[[str], str]) -> str:
    """The URL of a new database; of SQLite, the one in the data folder."""
    return new_database("data")
