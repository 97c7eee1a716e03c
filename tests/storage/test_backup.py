"""Backups: one moment of a database in use, and no file but a sound one takes a database's place."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest

from storage.backup import BackupRefused, back_up, restore
from storage.store import NewSession, Store


def fill(database: Path, name: str = "anna", num_turns: int = 3) -> None:
    """Let somebody have said something in the store at `database`."""
    with closing(Store.open(database)) as store:
        texts = [(f"text {number}", "I see.") for number in range(num_turns)]
        store.add_sessions(store.add_user(name).id, [NewSession("first", texts)])


def people(database: Path) -> dict[str, int]:
    """How many turns everybody has."""
    with closing(Store.open(database)) as store:
        return {user.name: store.count_turns(user.id) for user in store.users()}


def alter(file: Path, *statements: str) -> None:
    """Change a database behind everybody's back."""
    with closing(connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A sound backup of a store in which anna said three things."""
    fill(tmp_path / "origin.db")
    back_up(tmp_path / "origin.db", tmp_path / "backup.db")
    return tmp_path / "backup.db"


def test_a_backup_holds_one_moment_while_others_write(file: Path, tmp_path: Path) -> None:
    """Sessions are stored whole, so in every backup the number of turns is that of its sessions; the writer
    is not kept waiting, and the database goes on as it was.
    """
    written, stop = threading.Event(), threading.Event()
    with closing(Store.open(file)) as store:
        user_id = store.add_user("anna").id

        def write() -> None:
            for number in range(10_000):
                texts = [(f"text {number} " * 50, "I see.")] * 5
                store.add_sessions(user_id, [NewSession(f"session {number}", texts)])
                written.set()
                if stop.is_set():
                    return

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(5):
                written.clear()
                assert written.wait(10)
                back_up(file, tmp_path / f"{number}.db")
        finally:
            stop.set()
            writer.join()
        sessions = len(store.sessions(user_id))
    counts = []
    for number in range(5):
        with closing(Store.open(tmp_path / f"{number}.db")) as copy:
            assert copy.count_turns(user_id) == 5 * len(copy.sessions(user_id)) > 0
            counts.append(len(copy.sessions(user_id)))
    assert counts == sorted(set(counts))
    assert counts[-1] <= sessions == people(file)["anna"] / 5


def test_a_backup_is_one_file_for_its_owner_alone(backup: Path) -> None:
    """Nothing lies beside it, and nobody else reads it."""
    assert backup.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in backup.parent.glob("backup*")) == ["backup.db"]


def test_a_backup_takes_nobodys_place(backup: Path, tmp_path: Path) -> None:
    """A file that is there stays as it is, and a folder that is not there is told."""
    before = backup.read_bytes()
    with pytest.raises(BackupRefused, match=r"backup\.db is there already"):
        back_up(tmp_path / "origin.db", backup)
    assert backup.read_bytes() == before
    with pytest.raises(BackupRefused, match="cannot be written: No such file"):
        back_up(tmp_path / "origin.db", tmp_path / "nowhere" / "backup.db")


def test_what_is_not_there_is_not_backed_up(tmp_path: Path) -> None:
    """Neither a database nor a backup is made of nothing."""
    with pytest.raises(BackupRefused, match="no database"):
        back_up(tmp_path / "none.db", tmp_path / "backup.db")
    assert list(tmp_path.glob("*.db")) == []


def test_a_damaged_database_leaves_no_backup(tmp_path: Path) -> None:
    """Half a backup would be taken for one."""
    (tmp_path / "none.db").write_bytes(b"a letter " * 1000)
    with pytest.raises(RuntimeError, match=r"none\.db is not a database"):
        back_up(tmp_path / "none.db", tmp_path / "backup.db")
    assert not (tmp_path / "backup.db").exists()


@pytest.mark.parametrize("database", ["postgresql://anna:secret@host/db", "mysql://anna:secret@host/db"])
def test_another_database_has_its_own_tool(database: str, backup: Path, tmp_path: Path) -> None:
    """Which is said without its password."""
    for call in (
        lambda: back_up(database, tmp_path / "other.db"),
        lambda: restore(backup, database, replace=True),
    ):
        with pytest.raises(BackupRefused, match="its own tool") as refused:
            call()
        assert "secret" not in str(refused.value)


def test_a_database_in_memory_or_by_uri_is_refused(backup: Path) -> None:
    """There is no file to put in its place."""
    for database in ("sqlite://", "sqlite:///file:x.db?uri=true"):
        with pytest.raises(BackupRefused, match="named by its file"):
            restore(backup, database, replace=True)


@pytest.mark.parametrize("replace", [False, True])
def test_a_backup_comes_back(backup: Path, file: Path, replace: bool) -> None:
    """Into a folder that is not there yet, with everything in it, for its owner alone."""
    restore(backup, file, replace=replace)
    assert people(file) == {"anna": 3}
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_database_is_given_up_only_when_asked(backup: Path, file: Path) -> None:
    """And then the whole of it, what lies beside it too."""
    fill(file, "bob", 7)
    with pytest.raises(BackupRefused, match="--replace"):
        restore(backup, file, replace=False)
    assert people(file) == {"bob": 7}
    restore(backup, file, replace=True)
    assert people(file) == {"anna": 3}


def test_a_damaged_database_is_replaced(backup: Path, file: Path) -> None:
    """That is what backups are for; what lay beside it does not follow the new one."""
    file.parent.mkdir()
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).write_bytes(b"a letter " * 1000)
    restore(backup, file, replace=True)
    assert people(file) == {"anna": 3}


def test_a_database_in_use_is_not_replaced(backup: Path, file: Path) -> None:
    """Whoever has it open would write into a file that is gone."""
    fill(file, "bob", 7)
    with closing(Store.open(file)) as store:
        assert store.users()
        with pytest.raises(BackupRefused, match="stop Remanence first"):
            restore(backup, file, replace=True)
        assert store.count_turns(store.users()[0].id) == 7
    assert people(file) == {"bob": 7}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-4096])


def scribble(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[8192:16384] = b"\xa5" * 8192
    file.write_bytes(content)


UNSOUND: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda file: file.unlink(), "There is no file"),
    "empty": (lambda file: file.write_bytes(b""), "is not a database of Remanence"),
    "a letter": (lambda file: file.write_bytes(b"a letter " * 1000), "is not a database"),
    "cut short": (cut, "is damaged"),
    "overwritten": (scribble, "is damaged|is not a database"),
    "of a later version": (
        lambda file: alter(file, "UPDATE alembic_version SET version_num = '9999'"),
        "newer version",
    ),
    "without a version": (lambda file: alter(file, "DELETE FROM alembic_version"), "not a database of Rem"),
    "without a table": (lambda file: alter(file, "DROP TABLE states"), "not a database of Remanence"),
    "with a table more": (lambda file: alter(file, "CREATE TABLE more (x)"), "not a database of Remanence"),
    "with a trigger": (
        lambda file: alter(file, "CREATE TRIGGER t AFTER INSERT ON turns BEGIN DELETE FROM users; END"),
        "not a database of Remanence",
    ),
    "with lost rows": (lambda file: alter(file, "DELETE FROM users"), "does not hold"),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_only_a_sound_backup_is_restored(case: str, backup: Path, file: Path) -> None:
    """Anything else is refused in one sentence that names the file, and nothing is touched."""
    spoil, message = UNSOUND[case]
    fill(file, "bob", 7)
    spoil(backup)
    before = file.read_bytes()
    with pytest.raises(BackupRefused, match=message) as refused:
        restore(backup, file, replace=True)
    assert "backup.db" in str(refused.value)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_database_in_use_is_restored_from_as_it_is(tmp_path: Path, file: Path) -> None:
    """A database that somebody has open is as good as a backup of this moment."""
    with closing(Store.open(tmp_path / "origin.db")) as store:
        store.add_user("anna")
        restore(tmp_path / "origin.db", file, replace=False)
    assert people(file) == {"anna": 0}
