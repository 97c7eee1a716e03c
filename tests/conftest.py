"""What every test stands on: a data folder of its own, no settings from outside, one thread, no network."""

import os
from pathlib import Path

import pytest
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
