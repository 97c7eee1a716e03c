"""Taking along and bringing at the terminal: what each command prints, and that it does all or nothing."""

import json
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

import app.wiring
from app.cli import main
from app.settings import Settings
from storage.store import Store
from tests.app.test_formats import DOG, HELLO, MSC, lines

Out = pytest.CaptureFixture[str]


def stored(settings: Settings) -> dict[str, list[str]]:
    """What each person said."""
    with closing(Store.open(settings.database)) as store:
        return {user.name: [turn.user_text for turn in store.turns(user.id)] for user in store.users()}


@pytest.fixture
def ada(settings: Settings, tmp_path: Path, capsys: Out) -> None:
    """Ada, who said something in two sessions, and once more in the first."""
    (tmp_path / "said.jsonl").write_bytes(lines(HELLO))
    assert main(["import", "--user", "Ada", str(tmp_path / "said.jsonl")]) == 0
    for session in ("work", HELLO[0]["content"], "work"):
        assert main(["ask", "--user", "Ada", "--session", session, "I sing."]) == 0
    capsys.readouterr()


@pytest.mark.usefixtures("ada")
def test_a_person_moves_to_another_machine(
    tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export says what is in it, and the import elsewhere that the memory is the same."""
    file = tmp_path / "ada.zip"
    assert main(["export", "--user", "Ada", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "user": "Ada",
        "file": str(file),
        "bytes": file.stat().st_size,
        "turns": 4,
        "members": zipfile.ZipFile(file).namelist()[1:],
    }
    monkeypatch.setenv("REMANENCE_DATA", str(tmp_path / "elsewhere"))
    assert main(["import", "--user", "Ada", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {name: told[name] for name in ("user", "sessions", "turns", "same")} == {
        "user": "Ada",
        "sessions": 2,
        "turns": 4,
        "same": True,
    }
    assert told["memory"]["turns"] == 4
    assert main(["import", "--user", "Ada", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is None
    assert main(["import", "--user", "Eve", str(file)]) == 0
    assert capsys.readouterr().out == (
        "Turns imported: 4; turns in the memory of Eve: 4.\nThe memory is that of the export.\n"
    )
    monkeypatch.setenv("REMANENCE_MEMORY_ROLES", "both")
    assert main(["import", "--user", "Bob", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is None


@pytest.mark.parametrize("value", [HELLO, {"messages": HELLO}, [DOG], MSC])
def test_what_other_programs_wrote_is_imported(
    value: object, settings: Settings, tmp_path: Path, capsys: Out
) -> None:
    """The format is recognised from the content, not from the name."""
    file = tmp_path / "file.zip"
    file.write_bytes(lines(value))
    assert main(["import", "--user", "Ada", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["turns"] == told["memory"]["turns"] == len(stored(settings)["Ada"]) > 0
    assert told["same"] is None


def test_a_document_is_imported(settings: Settings, tmp_path: Path, capsys: Out) -> None:
    """By its ending; one that is too large or damaged is a sentence, and stores nothing."""
    (tmp_path / "log.md").write_text("The keeper is called Ola.", "utf-8")
    assert main(["import", "--user", "Ada", str(tmp_path / "log.md"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["sessions"], told["turns"], told["memory"]["turns"]) == (1, 1, 1)
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.4")
    for name in ("bad.pdf", "missing.txt"):
        assert main(["import", "--user", "Ada", str(tmp_path / name)]) == 2
        assert "cannot be read" in capsys.readouterr().err
    assert stored(settings) == {"Ada": ["The keeper is called Ola."]}


@pytest.mark.usefixtures("ada")
def test_an_export_needs_a_new_file_and_somebody(
    settings: Settings, tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake is told before the model is loaded, and no file is made or changed."""
    monkeypatch.setattr(app.wiring, "load_model", lambda _settings: pytest.fail("the model was loaded"))
    before = (tmp_path / "said.jsonl").read_bytes()
    assert main(["export", "--user", "Ada", str(tmp_path / "said.jsonl")]) == 2
    assert "said.jsonl is there already" in capsys.readouterr().err
    assert (tmp_path / "said.jsonl").read_bytes() == before
    assert main(["export", "--user", "Nobody", str(tmp_path / "nobody.zip")]) == 2
    assert "nobody called 'Nobody'" in capsys.readouterr().err
    assert not (tmp_path / "nobody.zip").exists()


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lines(HELLO, 7), "file, line 2: expected a list of messages"),
        (lines([DOG, {**DOG, "current_node": "gone"}]), "file, conversation 2: there is no message"),
        (lines(HELLO) * 100, "file: more than 5,000 bytes; the setting max_import_bytes allows more"),
        (b"PK\3\4 and no more", "file: this zip is damaged"),
    ],
)
def test_a_bad_file_stores_nothing(
    content: bytes,
    sentence: str,
    settings: Settings,
    tmp_path: Path,
    capsys: Out,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 2, one line that names the place; neither the model nor the database is asked."""
    before = stored(settings)
    monkeypatch.setenv("REMANENCE_MAX_IMPORT_BYTES", "5000")
    monkeypatch.setattr(app.wiring, "load_model", lambda _settings: pytest.fail("the model was loaded"))
    (tmp_path / "file").write_bytes(content)
    for user in ("Ada", "Eve"):
        assert main(["import", "--user", user, str(tmp_path / "file")]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"remanence: {sentence}")
        assert printed.err.count("\n") == 1
    assert stored(settings) == before


@pytest.mark.usefixtures("ada")
def test_everybody_is_backed_up_and_restored(settings: Settings, tmp_path: Path, capsys: Out) -> None:
    """What was said after the backup is gone, what was said before is there, the memory too."""
    file = tmp_path / "backup.db"
    assert main(["backup", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(file), "bytes": file.stat().st_size}
    before = stored(settings)
    assert main(["ask", "--user", "Ada", "I dance."]) == 0
    assert main(["restore", str(file)]) == 2
    assert "--replace" in capsys.readouterr().err
    assert stored(settings) != before
    assert main(["restore", str(file), "--replace", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(file), "people": 1, "turns": 4}
    assert stored(settings) == before
    assert main(["memory", "show", "--user", "Ada", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["turns"], shown["unread"]) == (4, 0)


@pytest.mark.usefixtures("ada")
def test_a_backup_that_cannot_be_is_one_line(
    settings: Settings, tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and nothing is made or touched."""
    (tmp_path / "letter").write_text("hello " * 100)
    cases = {
        ("backup", str(tmp_path / "letter")): "is there already",
        ("restore", str(tmp_path / "letter"), "--replace"): "letter is not a database",
        ("restore", str(tmp_path / "nothing"), "--replace"): "There is no file",
    }
    before = settings.data.joinpath("remanence.db").read_bytes()
    for arguments, sentence in cases.items():
        assert main(list(arguments)) == 2
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        assert sentence in printed.err
    assert settings.data.joinpath("remanence.db").read_bytes() == before
    monkeypatch.setenv("REMANENCE_DATABASE_URL", "postgresql://host/db")
    assert main(["backup", str(tmp_path / "new")]) == 2
    assert "its own tool" in capsys.readouterr().err
