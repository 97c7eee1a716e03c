"""Opening: settings of the connection, migrations, and failures told in one sentence."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, make_url, text

from storage.database import StoreUnavailable, open_engine, writing
from storage.rows import NewSession
from storage.store import Store
from storage.tables import Table
from tests.databases import execute


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("foreign_keys", 1), ("secure_delete", 1), ("busy_timeout", 10_000)],
)
def test_every_connection_is_set_up(file: Path, pragma: str, value: object) -> None:
    """Each connection of the pool, for reading or writing, has our settings."""
    engine = open_engine(f"sqlite:///{file}")
    with engine.connect() as reader, writing(engine).connect() as writer:
        assert [c.scalar(text(f"PRAGMA {pragma}")) for c in (reader, writer)] == [value, value]
    engine.dispose()


def test_the_migrations_make_the_schema_that_the_code_expects(database: str) -> None:
    """Nothing in `storage.tables` lacks a migration, and no migration makes more."""
    engine = open_engine(database)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    engine.dispose()


def test_opening_again_keeps_everything(database: str) -> None:
    """A store that is there is opened as it is."""
    with closing(Store.open(database)) as store:
        user = store.add_user("anna")
    with closing(Store.open(database)) as store:
        assert store.users() == [user]


def test_what_is_made_is_for_its_owner_alone(url: str, file: Path) -> None:
    """What people say is readable by nobody else: not the folder, the database or its log."""
    with closing(Store.open(url)) as store:
        store.add_user("anna")
        assert file.parent.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}


def test_a_percent_sign_and_a_space_in_the_folder_do_no_harm(data: Path) -> None:
    """A folder may be called anything."""
    with closing(Store.open(f"sqlite:///{data}/100%s of it/remanence.db")) as store:
        assert store.users() == []


def test_a_question_mark_in_the_folder_does_not_end_the_name(tmp_path: Path) -> None:
    """As it would in a URL: a path is taken as it is."""
    file = tmp_path / "what? where#" / "remanence.db"
    with closing(Store.open(file)) as store:
        assert store.users() == []
    assert file.is_file()


def test_processes_that_open_at_once_migrate_once(database: str, tmp_path: Path) -> None:
    """The first makes the schema, the others wait for it; all of them can work."""
    program = """if True:
        import sys, time
        from pathlib import Path
        from storage.store import Store
        url, start, name = sys.argv[1:]
        Path(start, name).touch()
        while not Path(start, "go").exists():
            time.sleep(0.001)
        store = Store.open(url)
        store.add_user(name)
        store.close()
    """
    start = tmp_path / "start"
    start.mkdir()
    names = ["anna", "bob", "carl", "dora"]
    processes = [
        subprocess.Popen([sys.executable, "-c", program, database, str(start), name], stderr=subprocess.PIPE)
        for name in names
    ]
    while len(list(start.iterdir())) < len(names):
        assert all(process.poll() is None for process in processes)
    (start / "go").touch()
    assert [process.communicate(timeout=60)[1] for process in processes] == [b""] * len(names)
    with closing(Store.open(database)) as store:
        assert [user.name for user in store.users()] == names


# failures


def test_a_locked_database_is_told(url: str, file: Path) -> None:
    """A writer waits for another process, then says so; readers, and opening, do not wait at all."""
    with closing(Store.open(url)) as store, closing(connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"remanence\.db is locked by another process"):
            store.add_user("anna")
        assert store.users() == []
        Store.open(url).close()
        other.execute("ROLLBACK")
        store.add_user("anna")


def test_a_database_that_cannot_be_written_is_told(url: str, file: Path) -> None:
    """A read-only database is read, and a write says what is wrong and changes nothing."""
    with closing(Store.open(url)) as store:
        user = store.add_user("anna")
    # The format's own mark for "written by something newer: do not write" holds for the superuser too.
    content = bytearray(file.read_bytes())
    content[18] = 9
    file.write_bytes(content)
    with closing(Store.open(url)) as store:
        with pytest.raises(StoreUnavailable, match=r"remanence\.db cannot be written to"):
            store.add_user("bob")
        assert store.users() == [user]


def test_a_file_that_is_no_database_is_told_and_kept(url: str, file: Path) -> None:
    """Somebody's own file of that name is not touched."""
    file.parent.mkdir()
    file.write_text("Dear diary, " * 100)
    with pytest.raises(StoreUnavailable, match=r"remanence\.db is not a database"):
        Store.open(url)
    assert file.read_text() == "Dear diary, " * 100


def test_a_damaged_database_is_told(url: str, file: Path) -> None:
    """Damage inside the file comes out as a sentence, not as an error of the driver."""
    with closing(Store.open(url)) as store:
        user = store.add_user("anna")
        store.add_sessions(user.id, [NewSession("first", [("hi " * 50, "hello")] * 200)])
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xaa" * (len(content) - 8192)
    file.write_bytes(content)
    with (
        pytest.raises(StoreUnavailable, match=r"remanence\.db is damaged"),
        closing(Store.open(url)) as store,
    ):
        list(store.turns(user.id))


def test_a_database_of_a_newer_version_is_told(database: str) -> None:
    """A schema from the future is not guessed at."""
    Store.open(database).close()
    execute(database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match="made by a newer version of Remanence"):
        Store.open(database)


def test_a_database_of_another_program_is_told_and_kept(database: str, kind: str, tmp_path: Path) -> None:
    """Where a table of ours is somebody else's already, nothing at all is changed."""
    if kind == "sqlite":
        (tmp_path / "data").mkdir()
    execute(database, "CREATE TABLE sessions (what TEXT)")
    with pytest.raises(StoreUnavailable, match=r'cannot be used: \w+ "?sessions"? already exists\.$'):
        Store.open(database)
    engine = create_engine(database)
    assert inspect(engine).get_table_names() == ["sessions"]
    engine.dispose()


@pytest.fixture
def on_postgresql(kind: str, database: str) -> str:
    """A database of PostgreSQL."""
    if kind != "postgresql":
        pytest.skip("this is about PostgreSQL")
    return database


def test_what_postgresql_refuses_is_told(on_postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, without the password and the hints for its administrator."""
    monkeypatch.setattr("storage.database.BUSY_TIMEOUT_S", 1)
    url = make_url(on_postgresql).set(password="hunter2")
    nowhere = [url.set(database="nowhere"), url.update_query_dict({"host": "/nowhere"})]
    for wrong, reason in zip(nowhere, ['database "nowhere" does not exist', "No such file"], strict=True):
        with pytest.raises(StoreUnavailable, match=f"cannot be used: connection.*{reason}.*[.]$") as caught:
            Store.open(wrong.render_as_string(hide_password=False))
        assert "\n" not in str(caught.value)
        assert "hunter2" not in str(caught.value)
    engine = create_engine(url)
    with closing(Store.open(on_postgresql)) as store:
        anna = store.add_user("anna")
        with engine.begin() as connection:
            connection.execute(text("SELECT 1 FROM users FOR UPDATE"))
            with pytest.raises(StoreUnavailable, match="is locked by another process"):
                store.add_session(anna.id, "first")
            assert store.users() == [anna]
        store.add_session(anna.id, "first")
    execute(on_postgresql, f"ALTER DATABASE {url.database} SET default_transaction_read_only = on")
    with closing(Store.open(on_postgresql)) as store:
        with pytest.raises(StoreUnavailable, match=r"cannot be written to\.$"):
            store.add_user("bob")
        assert store.users() == [anna]
    engine.dispose()


def test_a_connection_that_postgresql_closed_is_made_anew(on_postgresql: str) -> None:
    """As when the server was started again."""
    with closing(Store.open(on_postgresql)) as store:
        anna = store.add_user("anna")
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        execute(on_postgresql, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        assert store.users() == [anna]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite://", "A database in memory would lose everything: name a file."),
        ("remanence.db", "The database URL cannot be used: Could not parse SQLAlchemy URL"),
        ("oracl://host/db", "The database URL cannot be used: Can't load plugin"),
        (
            "sqlite:////dev/null/x/remanence.db",
            "The database /dev/null/x/remanence.db cannot be made: Not a directory.",
        ),
        ("sqlite:////dev", "The database /dev cannot be opened."),
    ],
)
def test_a_url_that_cannot_work_is_told(url: str, sentence: str) -> None:
    """Each in a sentence of its own."""
    with pytest.raises(StoreUnavailable) as caught:
        Store.open(url)
    assert str(caught.value).startswith(sentence)


def test_a_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL in a message hides its password; a missing driver is named."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreUnavailable, match="psycopg") as caught:
        Store.open("postgresql+psycopg://anna:hunter2@localhost/remanence")
    assert "hunter2" not in str(caught.value)
