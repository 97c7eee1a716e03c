"""Remanence as a process of its own, for browsers to visit."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.accounts import People
from storage.rows import NewSession, Note
from storage.store import Store
from storage.tables import Role

ROOT = Path(__file__).parents[2]
GOODBYE_S = 30


@dataclass(frozen=True, slots=True)
class Site:
    """A server that is running.

    Attributes:
        url: where it is reached.
        data: its data folder.
    """

    url: str
    data: Path

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Within the block, its store, as a command on the same machine opens it."""
        with closing(Store.open(self.data / "remanence.db")) as store:
            yield store

    def add_account(self, name: str, password: str, role: Role = "user") -> None:
        """Make an account, as on the command line."""
        with self.store() as store:
            People(store).add(name, password, role, Note("command line"))

    def add_chats(self, name: str, chats: dict[str, list[tuple[str, str]]]) -> None:
        """Add chats, the oldest first, in which somebody said things that memory does not read."""
        added = [NewSession(title, said, in_memory=[False] * len(said)) for title, said in chats.items()]
        with self.store() as store:
            store.add_sessions(store.find_user(name).id, added)

    def content(self) -> bytes:
        """Return every byte that it has written, logs included."""
        return b"".join(file.read_bytes() for file in self.data.rglob("*") if file.is_file())


@contextmanager
def running(data: Path, **settings: object) -> Iterator[Site]:
    """Within the block, a server over the data folder `data`; `settings` are named as in app/settings.py."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REMANENCE_")}
    given = {f"REMANENCE_{name.upper()}": str(value) for name, value in settings.items()}
    server = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--data", data, "--port", "0"],
        cwd=ROOT,
        env=inherited | given,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    with server, server.stdout:
        try:
            # the line comes when it is ready, or the end when it could not start
            told = server.stdout.readline()
            found = re.search(r"http://\S+?(?=/ )", told)
            assert found, f"the server did not start: {told}"
            yield Site(found[0], data)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=GOODBYE_S)
