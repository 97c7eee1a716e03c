"""Databases for tests: new ones, by kind, and what stands in the files of one.

The PostgreSQL server is one for all tests of a run: it keeps its files in a temporary folder, listens on a
socket in it and nowhere else, and ends with the run.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy

KINDS = ("sqlite", "postgresql")

# Debian keeps the programs of each version out of the path.
PROGRAMS = [
    *os.environ.get("PATH", "").split(os.pathsep),
    *map(str, Path("/").glob("usr/lib/postgresql/*/bin")),
]
# The server refuses to be run by root.
UNPRIVILEGED = "nobody"
START_S = 60

# Nothing that these tests look at depends on a disk that outlives a power failure.
OPTIONS = {"listen_addresses": "", "fsync": "off", "full_page_writes": "off", "max_connections": "40"}

_numbers = count(1)


class NoServer(Exception):
    """Why there is no PostgreSQL server here."""


@contextmanager
def postgresql_server() -> Iterator[sqlalchemy.URL]:
    """Within the block, a server; yields the URL of its first database.

    Raises:
        NoServer: it is not installed, or cannot be started.
    """
    if importlib.util.find_spec("psycopg") is None:
        raise NoServer("psycopg is not installed")
    programs = os.pathsep.join(PROGRAMS)
    initdb, postgres = (shutil.which(name, path=programs) for name in ("initdb", "postgres"))
    if not (initdb and postgres):
        raise NoServer("PostgreSQL is not installed")
    # not pytest's folder, which nobody else may enter, and short, because the name of a socket must be
    folder = Path(tempfile.mkdtemp(prefix="remanence-pg-"))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        who = {"user": UNPRIVILEGED, "extra_groups": []}
        shutil.chown(folder, UNPRIVILEGED)
    data, log = folder / "data", folder / "log"
    options = [f"--{name}={value}" for name, value in (OPTIONS | {"unix_socket_directories": folder}).items()]
    server = None
    try:
        _make(initdb, data, folder, who)
        url = sqlalchemy.URL.create(
            "postgresql+psycopg", username="remanence", database="postgres", query={"host": str(folder)}
        )
        with log.open("wb") as output:
            server = subprocess.Popen([postgres, "-D", data, *options], cwd=folder, stderr=output, **who)
        _wait_for(url, server, log)
        yield url
    finally:
        if server is not None:
            # close every connection and end
            server.send_signal(signal.SIGINT)
            server.wait(timeout=START_S)
        shutil.rmtree(folder, ignore_errors=True)


def _make(initdb: str, data: Path, folder: Path, who: dict[str, Any]) -> None:
    how = ["--username=remanence", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    try:
        subprocess.run([initdb, "-D", data, *how], cwd=folder, check=True, capture_output=True, **who)
    except (OSError, LookupError) as error:
        raise NoServer(f"PostgreSQL cannot be started: {error}") from error
    except subprocess.CalledProcessError as error:
        raise NoServer(f"PostgreSQL cannot be started: {error.stderr.decode().strip()}") from error


def _wait_for(url: sqlalchemy.URL, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            execute(url, "SELECT 1")
        except sqlalchemy.exc.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise NoServer(f"PostgreSQL cannot be started: {log.read_text('utf-8', 'replace').strip()}")


@contextmanager
def postgresql_database(server: sqlalchemy.URL) -> Iterator[str]:
    """Within the block, an empty database; yields its URL."""
    name = f"test_{next(_numbers)}"
    execute(server, f"CREATE DATABASE {name}")
    yield server.set(database=name).render_as_string(hide_password=False)
    execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str | sqlalchemy.URL, statement: str, **values: object) -> list[tuple[Any, ...]]:
    """Run one statement behind the store's back, as another program would; return its rows."""
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA foreign_keys=ON")
            result = connection.execute(sqlalchemy.text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


def content(url: str) -> bytes:
    """Return every byte in the files of the database; of PostgreSQL's, without the log of the server."""
    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        files = Path(str(parsed.database)).parent.rglob("*")
    else:
        execute(url, "CHECKPOINT")
        [(data,)] = execute(url, "SHOW data_directory")
        [(number,)] = execute(url, "SELECT oid FROM pg_database WHERE datname = current_database()")
        files = Path(data, "base", str(number)).iterdir()
    return b"".join(file.read_bytes() for file in files if file.is_file())
