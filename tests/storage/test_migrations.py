"""Migrations: from every earlier schema, full of rows, to the one that the code expects."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from storage.database import MIGRATIONS, open_engine
from storage.rows import NewSession
from storage.store import Store
from storage.tables import Table

CONFIG = Config()
CONFIG.set_main_option("script_location", str(MIGRATIONS))
# The newest first.
REVISIONS = [script.revision for script in ScriptDirectory.from_config(CONFIG).walk_revisions()]

# Caches that a migration empties on purpose: what is in them is made again from the turns.
EMPTIED = {"0002": {"states"}}

# What refuses to be deleted.
WRITTEN_ONCE = "audit"

# What may not be just anything.
ALLOWED = {"status": "'stopped'", "role": "'admin'", "created_at": "'2026-01-02 03:04:05.000006'"}
NUM_ROWS = 4


def plain_engine(url: str) -> sqlalchemy.Engine:
    """Return an engine that brings nothing up to date."""
    engine = sqlalchemy.create_engine(url)
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir()
    return engine


def value(column: sqlalchemy.Column[Any], number: int) -> str:
    """Return what the column holds in the row of this number, as SQL."""
    if column.name in ALLOWED:
        return ALLOWED[column.name]
    if isinstance(column.type, sqlalchemy.Boolean):
        return "true" if number % 2 else "false"
    if isinstance(column.type, sqlalchemy.Integer):
        # also right where it names another row
        return str(number)
    if isinstance(column.type, sqlalchemy.DateTime):
        return "'2025-12-31 23:59:59.999999'"
    if isinstance(column.type, sqlalchemy.LargeBinary):
        is_sqlite = isinstance(column.type, sqlalchemy.BLOB)
        return f"x'00ff{number:02}'" if is_sqlite else f"'\\x00ff{number:02}'"
    return f"'It''s \"{column.name}\" %s :x \\ Zoë 李雷 {number}'"


def rows(connection: Connection, columns: dict[str, list[str]]) -> dict[str, list[tuple[Any, ...]]]:
    """Return, of each table, the rows of `columns`, in their order."""
    return {
        table: connection.exec_driver_sql(f"SELECT {', '.join(names)} FROM {table} ORDER BY 1").fetchall()
        for table, names in columns.items()
    }


def checks(connection: Connection) -> dict[str, list[str]]:
    """Return what each table checks: alembic compares everything else."""
    about = sqlalchemy.inspect(connection)
    return {
        table: [check["sqltext"] for check in about.get_check_constraints(table)]
        for table in Table.metadata.tables
    }


@pytest.mark.parametrize("kept", [NUM_ROWS - 1, 0])
@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_every_row_of_an_earlier_schema_is_found_again(
    revision: str, kept: int, new_database: Callable[[str], str]
) -> None:
    """With its values; no id is given again, not even of what was deleted; the schema is that of today."""
    url = new_database("old")
    engine = plain_engine(url)
    with engine.begin() as connection:
        CONFIG.attributes["connection"] = connection
        command.upgrade(CONFIG, revision)
        old = MetaData()
        old.reflect(connection)
        tables = [table for table in old.sorted_tables if table.name != "alembic_version"]
        for table in tables:
            # numbers are given by the database, from 1
            given = [column for column in table.columns if column.name != "id"]
            for number in range(1, NUM_ROWS + 1):
                values = ", ".join(value(column, number) for column in given)
                names = ", ".join(column.name for column in given)
                statement = f"INSERT INTO {table.name} ({names}) VALUES ({values})"
                # a colon would begin a parameter
                connection.execute(sqlalchemy.text(statement.replace(":", "\\:")))
        deleted = [table for table in reversed(tables) if table.name != WRITTEN_ONCE]
        for table in deleted:
            first = next(iter(table.primary_key.columns)).name
            connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE {first} > {kept}")
        columns = {table.name: [column.name for column in table.columns] for table in tables}
        expected = rows(connection, columns)
        assert all(len(expected[table.name]) == kept for table in deleted)
    engine.dispose()
    later = REVISIONS[: REVISIONS.index(revision)]
    for emptied in set().union(*(EMPTIED.get(step, set()) for step in later)):
        expected[emptied] = []

    with closing(Store.open(url)) as store:
        user = store.add_user("Anna")
        store.add_sessions(user.id, [NewSession("new", [("hi", "hello")])])
        [turn] = store.turns(user.id)
        assert (user.id, turn.session_id, turn.id) == (NUM_ROWS + 1,) * 3
    engine = open_engine(url)
    with engine.begin() as connection:
        for table in deleted:
            if "id" in table.columns:
                connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE id > {NUM_ROWS}")
        assert rows(connection, columns) == expected
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
        migrated = checks(connection)
    engine.dispose()
    engine = plain_engine(new_database("expected"))
    Table.metadata.create_all(engine)
    with engine.connect() as connection:
        assert migrated == checks(connection)
    engine.dispose()
