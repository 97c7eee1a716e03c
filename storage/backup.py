"""Backup and restore of an SQLite database while it is in use; other databases have tools of their own.

A backup is one file that holds one moment: SQLite's online backup copies it within one read transaction, so
writers do not wait and nothing half written is in it. A restore copies the same way into a new file beside
the database, examines the copy, and only a sound one takes the database's place. What is replaced must be in
nobody's use, since whoever has it open would go on writing into a file that is gone.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage.database import (
    BUSY_TIMEOUT_S,
    StoreUnavailable,
    known_revisions,
    name_of,
    open_engine,
    reason_of,
    url_of,
)
from storage.tables import Table

# What SQLite keeps beside a database.
COMPANIONS = ("-wal", "-shm", "-journal")


class BackupRefused(ValueError):
    """A backup that cannot be made or restored as asked; the message is one sentence a person can read."""


def back_up(database: str | Path, file: Path) -> int:
    """Copy the database, as it is now, into the new file `file`; return its size in bytes.

    Raises:
        BackupRefused: `database` is not an SQLite file or not there, or `file` is there or cannot be made.
        StoreUnavailable: the database cannot be read, or there is no room.
    """
    source = _sqlite_file(database)
    if not source.is_file():
        raise BackupRefused(f"There is no database {source} yet.")
    try:
        # what people say is for its owner alone
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise BackupRefused(f"{file} is there already; name a new file.") from error
    except OSError as error:
        raise BackupRefused(f"{file} cannot be written: {error.strerror}.") from error
    try:
        with _told(f"The database {source}"):
            _copy(source, file)
        return file.stat().st_size
    except BaseException:
        _remove(file)
        raise


def restore(file: Path, database: str | Path, *, replace: bool) -> None:
    """Put the backup `file` in the place of the database, brought up to date.

    Args:
        replace: give up the database that is there; without it there must be none.

    Raises:
        BackupRefused: `database` is not an SQLite file, is there or is in use, or `file` is not a sound
            database of ours that this version knows. Nothing was changed.
    """
    target = _sqlite_file(database)
    if not file.is_file():
        raise BackupRefused(f"There is no file {file}.")
    if target.exists() and not replace:
        raise BackupRefused(f"There is a database {target} already; --replace gives it up for the backup.")
    copy = target.with_name(f"{target.name}.restoring")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # left by a restore that was killed
        _remove(copy)
        copy.touch(mode=0o600)
    except OSError as error:
        raise BackupRefused(f"The database {target} cannot be made: {error.strerror}.") from error
    try:
        with _told(str(file), BackupRefused):
            _copy(file, copy)
            _examine(copy, file)
        with _alone(target):
            for companion in COMPANIONS:
                _with_suffix(target, companion).unlink(missing_ok=True)
            copy.replace(target)
    finally:
        _remove(copy)


def _sqlite_file(database: str | Path) -> Path:
    url = url_of(database)
    if url.get_backend_name() != "sqlite":
        raise BackupRefused(
            f"The database {name_of(url)} is not SQLite's: back it up and restore it with its own tool."
        )
    if url.database in (None, "", ":memory:") or "uri" in url.query:
        raise BackupRefused("Only a database that is named by its file can be backed up and restored.")
    return Path(str(url.database)).absolute()


def _copy(source: Path, target: Path) -> None:
    """Copy one moment of `source` over `target`, which needs no companions then."""
    with closing(_connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")


def _connect(file: Path) -> sqlite3.Connection:
    # "rw": a file that is not there is not made
    return sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)


def _examine(copy: Path, file: Path) -> None:
    """Let the copy of a backup pass that is sound and has our schema, once it is brought up to date.

    Raises:
        BackupRefused: it is something else, or damaged, or newer than we are; the message speaks of `file`.
    """
    with closing(sqlite3.connect(copy)) as connection:
        # a schema of somebody else's is not to be run
        connection.execute("PRAGMA trusted_schema=OFF")
        kinds = dict(connection.execute("SELECT name, type FROM sqlite_master"))
        foreign = _triggers(connection) - _own_triggers()
        if "alembic_version" not in kinds or set(kinds.values()) - {"table", "index", "trigger"} or foreign:
            raise BackupRefused(f"{file} is not a database of Remanence.")
        revisions = {
            revision for (revision,) in connection.execute("SELECT version_num FROM alembic_version")
        }
        if not revisions <= known_revisions():
            raise BackupRefused(f"{file} was made by a newer version of Remanence.")
        if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            raise BackupRefused(f"{file} is damaged.")
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise BackupRefused(f"{file} is damaged: it refers to rows that it does not hold.")
    try:
        engine = open_engine(copy)
    except StoreUnavailable as error:
        raise BackupRefused(f"{file} is not a database of Remanence.") from error
    try:
        with engine.connect() as connected:
            if compare_metadata(MigrationContext.configure(connected), Table.metadata):
                raise BackupRefused(f"{file} is not a database of Remanence.")
    finally:
        engine.dispose()
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _triggers(connection: sqlite3.Connection) -> set[str]:
    return {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")}


def _own_triggers() -> set[str]:
    """Return the triggers of a database that is made now, as SQL."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "new.db")
        open_engine(file).dispose()
        with closing(sqlite3.connect(file)) as connection:
            return _triggers(connection)


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Within the block nobody else has the database `target` open, if there is one.

    Raises:
        BackupRefused: somebody has it open.
    """
    if not target.exists():
        yield
        return
    with closing(_connect(target)) as connection:
        try:
            # leaving the write-ahead log takes a lock that nobody gets while another connection is open
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise BackupRefused(f"The database {target} is in use; stop Remanence first.") from error
            # damaged beyond opening: this is what backups are for
        yield


@contextmanager
def _told(subject: str, kind: type[Exception] = StoreUnavailable) -> Iterator[None]:
    """Let what SQLite refuses leave the block as one sentence about `subject`."""
    try:
        yield
    except sqlite3.Error as error:
        raise kind(f"{subject} {reason_of(error)}.") from error


def _remove(file: Path) -> None:
    with suppress(OSError):
        for name in ("", *COMPANIONS):
            _with_suffix(file, name).unlink(missing_ok=True)


def _with_suffix(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)
