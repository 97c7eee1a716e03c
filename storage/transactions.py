"""Transactions on one database, and the rows of one person in them.

Any of them raises `StoreUnavailable` when the database cannot be used. Threads and processes may share the
database.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, delete, orm, select
from sqlalchemy.exc import IntegrityError

from storage.database import open_engine, reading, told, writing
from storage.rows import COMMAND_LINE, BadName, NameTaken, Note, UnknownRow
from storage.tables import MAX_NAME_CHARS, Audit, Draft, Session, State, Turn, User, now


class Database:
    """One database, opened; what is asked and said of it is in the classes that stand on this one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read = orm.sessionmaker(reading(engine))
        self._write = orm.sessionmaker(writing(engine))

    @classmethod
    def open(cls, database: str | Path) -> Self:
        """Return the store at `database`, an SQLAlchemy URL or the path of an SQLite file, made or brought up
        to date where needed.

        Raises:
            StoreUnavailable: it cannot be made, opened or brought up to date.
        """
        return cls(open_engine(database))

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[orm.Session]:
        """One transaction that sees the database as it is at its beginning."""
        with told(self._engine), self._read.begin() as tx:
            yield tx

    @contextmanager
    def _writing(self) -> Iterator[orm.Session]:
        """One transaction that no other writer interrupts: SQLite's whole database, elsewhere one `owner`."""
        with told(self._engine), self._write.begin() as tx:
            yield tx


def is_name(name: str) -> bool:
    """Say whether somebody, or a session, may be called `name`."""
    return 0 < len(name) <= MAX_NAME_CHARS and name.isprintable() and name == name.strip()


def checked(name: str) -> str:
    """Return `name` if somebody or something may be called that; raises BadName."""
    if not is_name(name):
        rule = f"1 to {MAX_NAME_CHARS} printable characters, without a space at either end"
        raise BadName(f"A name has {rule}, got {name[:80]!r}.")
    return name


def new_name(name: str) -> str:
    """Return `name` if a new person may be called that; raises BadName."""
    if checked(name).casefold() == COMMAND_LINE:
        raise BadName(f"Nobody may be called '{name}': the audit log means something else by it.")
    return name


def owner(tx: orm.Session, user_id: int) -> User:
    """Return the person, whose rows no other transaction changes until this one ends; raises UnknownRow."""
    user = tx.get(User, user_id, with_for_update=True)
    if user is None:
        raise UnknownRow(f"There is no user {user_id}.")
    return user


def write_audit(tx: orm.Session, note: Note, action: str, subject: str) -> None:
    """Add a row to the audit log; it stays if and only if the transaction does."""
    tx.add(Audit(actor=note.actor, action=action, subject=subject, reason=note.reason))


def find_session(tx: orm.Session, user_id: int, session_id: int) -> Session | None:
    """Return the session if it is this person's."""
    return tx.scalar(select(Session).where(Session.id == session_id, Session.user_id == user_id))


def own_session(tx: orm.Session, user_id: int, session_id: int) -> Session:
    """Return the person's session; raises UnknownRow."""
    session = find_session(tx, user_id, session_id)
    if session is None:
        raise UnknownRow(f"The user {user_id} has no session {session_id}.")
    return session


def own_turn(tx: orm.Session, user_id: int, turn_id: int) -> Turn:
    """Return the person's turn; raises UnknownRow."""
    turn = tx.scalar(select(Turn).where(Turn.user_id == user_id, Turn.id == turn_id))
    if turn is None:
        raise UnknownRow(f"The user {user_id} has no turn {turn_id}.")
    return turn


def add_session(tx: orm.Session, user_id: int, name: str, created_at: datetime | None = None) -> Session:
    """Return a new session of the person, begun now or at `created_at`; raises BadName and NameTaken."""
    session = Session(user_id=user_id, name=checked(name), created_at=created_at or now())
    insert(tx, session, f"There is already a session named '{name}'.")
    return session


def insert(tx: orm.Session, row: User | Session, if_taken: str) -> None:
    """Write the row now; raises NameTaken, with the sentence `if_taken`."""
    tx.add(row)
    try:
        tx.flush()
    except IntegrityError as error:
        raise NameTaken(if_taken) from error


def delete_readings(tx: orm.Session, user_id: int) -> None:
    """Delete all that was read of the person so far."""
    for table in (State, Draft):
        tx.execute(delete(table).where(table.user_id == user_id))
