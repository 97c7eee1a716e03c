"""Opening the database: every connection as we need it, the schema up to date, failures told in one sentence.

SQLite gets write-ahead logging, so that readers never wait for a writer; a busy timeout; foreign keys;
overwriting of what is deleted; and transactions that take the write lock when they begin if they mean to
write, so that none fails half-way because another was faster.

PostgreSQL gets the same promises its own way: readers see one moment, writers wait as long for a lock and no
longer, and those of one person take turns at that person's row (`storage.transactions.owner`). Other
databases may work and are not tested. Processes that open a new database at once make its schema once.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from storage.tables import Table

BUSY_TIMEOUT_S = 10
MIGRATIONS = Path(__file__).parent / "migrations"

PRAGMAS = ("journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON")

# Any number that is always the same: PostgreSQL's lock for making the schema.
MIGRATION_LOCK = 7305

LOCKED = "is locked by another process; try again when it has finished"
FULL = "cannot grow, because the disk is full"
READ_ONLY = "cannot be written to"

# SQLite's primary result codes and PostgreSQL's, as the end of a sentence.
REASONS = {
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_NOTADB: "is not a database",
    sqlite3.SQLITE_READONLY: READ_ONLY,
    # lock_not_available, deadlock_detected
    "55P03": LOCKED,
    "40P01": LOCKED,
    # disk_full
    "53100": FULL,
    # read_only_sql_transaction, insufficient_privilege
    "25006": READ_ONLY,
    "42501": READ_ONLY,
}

# Alembic keeps the migration that runs in module globals.
_migrating = threading.Lock()


class StoreUnavailable(RuntimeError):
    """The database cannot be opened or used; the message is one sentence a person can read."""


def open_engine(database: str | Path) -> Engine:
    """Return an engine for `database`, its schema up to date; a missing SQLite file is made, with its folder.

    Args:
        database: an SQLAlchemy URL, or the path of an SQLite file, which may hold what ends a name in a URL.

    Raises:
        StoreUnavailable: no database can be opened, made or brought up to date there.
    """
    try:
        engine = _engine(url_of(database))
    except (ArgumentError, ImportError) as error:
        raise StoreUnavailable(f"The database URL cannot be used: {error}.") from error
    if engine.dialect.name == "sqlite":
        _make_file(engine.url)
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _configure_postgresql)
    try:
        with told(engine):
            _migrate(engine)
    except StoreUnavailable:
        engine.dispose()
        raise
    return engine


def url_of(database: str | Path) -> URL:
    """Return the URL of `database`, an SQLAlchemy URL or the path of an SQLite file.

    Raises:
        StoreUnavailable: it is no URL.
    """
    try:
        is_file = isinstance(database, Path)
        return URL.create("sqlite", database=str(database)) if is_file else make_url(str(database))
    except ArgumentError as error:
        raise StoreUnavailable(f"The database URL cannot be used: {error}.") from error


@contextmanager
def told(engine: Engine) -> Iterator[None]:
    """Let what the database refuses leave the block as a `StoreUnavailable` that says why."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise StoreUnavailable(f"The database {name_of(engine.url)} {reason_of(error.orig)}.") from error


def reason_of(error: BaseException | None) -> str:
    """Return why a driver refused, as the end of a sentence about its database."""
    # The low byte is SQLite's primary code, the others say more than a person needs.
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorcode", 0) & 0xFF
    # PostgreSQL's further lines are hints for its administrator.
    what = str(error).partition("\n")[0].rstrip(".")
    return REASONS.get(code, f"cannot be used: {what}")


def reading(engine: Engine) -> Engine:
    """Return the engine whose transactions see the database as it is at their beginning."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ")
    return engine


def writing(engine: Engine) -> Engine:
    """Return the engine whose transactions take the write lock when they begin."""
    return engine.execution_options(writes=True)


def empty_log(engine: Engine) -> None:
    """Move SQLite's write-ahead log into the database and empty it, so that no deleted word lingers there.

    While another process reads, the log stays, until a later call or the last process closes the database.
    """
    if engine.dialect.name == "sqlite":
        with told(engine), closing(engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def scrub(engine: Engine) -> None:
    """Leave no deleted word in the database: pages are written anew, SQLite's write-ahead log is emptied.

    PostgreSQL's own log keeps deleted words for as long as it is kept itself. While another process is in the
    way, pages stay as they are: SQLite has overwritten what was deleted already, PostgreSQL will use its
    place again.
    """
    # a full vacuum makes new files: a plain one leaves deleted words between the rows of a page
    tables = [""] if engine.dialect.name == "sqlite" else [f" FULL {name}" for name in Table.metadata.tables]
    with told(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in tables:
            with suppress(DBAPIError):
                connection.exec_driver_sql(f"VACUUM{table}")
    empty_log(engine)


def _engine(url: URL) -> Engine:
    # The parameters are what somebody said: an error that repeats them would bring them into a log.
    if url.get_backend_name() == "postgresql":
        # A server may be started anew, and its own default may be another isolation.
        return create_engine(url, isolation_level="READ COMMITTED", pool_pre_ping=True, hide_parameters=True)
    return create_engine(_with_timeout(url), hide_parameters=True)


def _with_timeout(url: URL) -> URL:
    """Return `url` with our busy timeout, unless it is not SQLite's or says its own."""
    if url.get_backend_name() != "sqlite" or "timeout" in url.query:
        return url
    return url.update_query_dict({"timeout": str(BUSY_TIMEOUT_S)})


def name_of(url: URL) -> str:
    """Return how a person knows the database: the file, or the URL without its password."""
    # Options may hold a password too.
    return str(url.database) if url.get_backend_name() == "sqlite" else url.set(query={}).render_as_string()


def _make_file(url: URL) -> None:
    """Make a missing SQLite file and its folder, both for their owner alone: they hold what people say."""
    if url.database in (None, "", ":memory:"):
        raise StoreUnavailable("A database in memory would lose everything: name a file.")
    # With "uri", SQLite reads the name as a URI, and the file must be there.
    file = Path(str(url.database))
    if "uri" in url.query:
        return
    try:
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
    except OSError as error:
        raise StoreUnavailable(f"The database {file} cannot be made: {error.strerror}.") from error


def _configure(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own BEGIN is deferred and comes late: `_begin` does it instead.
    connection.isolation_level = None
    # SQLite's own knows the letters of English only, and a search would miss Ä for ä.
    connection.create_function("lower", 1, _lower, deterministic=True)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _configure_postgresql(connection: Any, _record: Any) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute("SET client_encoding = 'UTF8'")
        cursor.execute(f"SET lock_timeout = '{BUSY_TIMEOUT_S}s'")
    connection.commit()


def _begin(connection: Connection) -> None:
    is_writing = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def known_revisions() -> set[str]:
    """Return the revisions of the schema that can be brought up to date."""
    return {script.revision for script in ScriptDirectory.from_config(_migrations()).walk_revisions()}


def _migrations() -> Config:
    config = Config()
    # Alembic's config is an ini file, where a percent sign has a meaning.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _migrate(engine: Engine) -> None:
    """Bring the schema up to date in one transaction; an up-to-date database is only read."""
    config = _migrations()
    newest = ScriptDirectory.from_config(config).get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == newest:
            return
    with _migrating, writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreUnavailable(
                f"The database {name_of(engine.url)} was made by a newer version of Remanence."
            ) from error
