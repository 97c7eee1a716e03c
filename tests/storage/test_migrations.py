"""What is in an older database is there, and means the same, after it was brought up to date."""

from contextlib import closing
from pathlib import Path
from sqlite3 import Connection, connect

import pytest
from alembic import command
from alembic.config import Config

from storage.database import MIGRATIONS, open_engine, writing
from storage.store import Store

MOMENT = "2026-01-02 03:04:05.000000"
# What a database of each revision may hold: two people, a session and two turns.
ROWS = (
    "INSERT INTO users (id, name, last_revision, created_at) VALUES"
    f" (3, 'anna', 2, '{MOMENT}'), (4, 'bob', 0, '{MOMENT}')",
    f"INSERT INTO sessions (id, user_id, name, created_at) VALUES (5, 3, 'first', '{MOMENT}')",
    "INSERT INTO turns (id, user_id, session_id, position, user_text, reply_text, status, created_at) VALUES"
    f" (7, 3, 5, 0, 'one', '1', 'complete', '{MOMENT}'), (9, 3, 5, 1, 'two', '2', 'stopped', '{MOMENT}')",
)


def make(file: Path, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a database as that revision made them, with ROWS in it."""

    def upgrade(config: Config, _revision: str) -> None:
        original(config, revision)

    original = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", upgrade)
        open_engine(file).dispose()
    with closing(connect(file)) as connection, connection:
        assert version(connection) == revision
        for statement in ROWS:
            connection.execute(statement)


def version(connection: Connection) -> str:
    """The revision that the database is at."""
    (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found)


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_an_older_database_keeps_its_rows(file: Path, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """People, sessions and turns, and the ids that were given; everybody is a user without a password."""
    make(file, revision, monkeypatch)
    with closing(Store.open(file)) as store:
        assert [(user.id, user.name) for user in store.users()] == [(3, "anna"), (4, "bob")]
        assert [(s.id, s.name, s.memory_on) for s in store.sessions(3)] == [(5, "first", True)]
        turns = [(t.id, t.user_text, t.reply_text, t.status, t.in_memory) for t in store.memory_turns(3)]
        assert turns == [(7, "one", "1", "complete", True), (9, "two", "2", "stopped", True)]
        assert not store.is_closed()
        anna = store.find_account("anna")
        assert anna is not None
        assert (anna.role, anna.has_password, anna.is_disabled, anna.may_read_others) == (
            "user",
            False,
            False,
            False,
        )
        assert (anna.max_turns, anna.max_bytes) == (None, None)
        store.forget_everything(3)
        session = store.add_session(3, "again")
        assert store.add_turn(3, session.id, "three", "3", "complete").id > 9


def test_every_revision_is_in_the_test_above() -> None:
    """A new migration makes this fail until the one before it is tried too."""
    files = sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("*.py"))
    assert files == ["0001", "0002", "0003"]


def test_the_role_is_one_of_two(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for who writes to the database past the code."""
    make(file, "0002", monkeypatch)
    engine = open_engine(file)
    with writing(engine).connect() as tx, pytest.raises(Exception, match="ck_users_role"):
        tx.exec_driver_sql("UPDATE users SET role = 'king'")
    engine.dispose()
