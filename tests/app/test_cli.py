"""The command line: what each command prints, and that mistakes end with one line and exit code 2."""

import io
import json
import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

import app.console
import app.wiring
from app.chat import Chat
from app.cli import main
from app.jobs import Jobs
from app.settings import Settings
from memory.generator import Generator
from model.training.loop import TrainingConfig
from storage.store import Store
from tests.app.test_recall import PERSON
from tests.tiny import write_tiny_model

Out = pytest.CaptureFixture[str]

SESSION = PERSON["sessions"][0]  # type: ignore[index]


@pytest.fixture
def ada(settings: Settings, tmp_path: Path, capsys: Out) -> None:
    """Ada, of whom one session was imported."""
    file = tmp_path / "sessions.jsonl"
    file.write_text(json.dumps(SESSION) + "\n")
    assert main(["import", "--user", "Ada", str(file)]) == 0
    capsys.readouterr()


def stored(settings: Settings) -> dict[str, int]:
    """How many turns each person has."""
    store = Store.open(settings.database)
    try:
        return {user.name: store.count_turns(user.id) for user in store.users()}
    finally:
        store.close()


def alter(settings: Settings, statement: str) -> None:
    """Change the database behind everybody's back."""
    engine = sqlalchemy.create_engine(f"sqlite:///{settings.database}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()


@pytest.mark.usefixtures("ada")
def test_ask_prints_the_reply_and_nothing_else(capsys: Out) -> None:
    """On stdout, as text."""
    assert main(["ask", "--user", "Ada", "What is my dog called?"]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("\n")
    assert err == ""


@pytest.mark.usefixtures("ada")
def test_ask_tells_in_json_what_the_reply_cost(capsys: Out, settings: Settings) -> None:
    """One object with the reply, the length of the prompt, the memory it was made under, and the time."""
    assert main(["ask", "--user", "Ada", "--memory", "off", "--json", "What is my dog called?"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"reply", "turn", "prompt_tokens", "memory", "seconds"}
    assert set(told["memory"]) == {"revision", "turns", "tokens", "unread"}
    assert (told["memory"]["revision"], told["memory"]["turns"]) == (1, 1)
    assert stored(settings) == {"Ada": 2}


@pytest.mark.usefixtures("ada")
def test_what_was_said_is_listed_left_out_and_forgotten(capsys: Out, settings: Settings) -> None:
    """Turns come with the numbers that forget takes; verify finds the memory equal to one read anew."""
    assert main(["ask", "--user", "Ada", "--memory", "off", "I juggle."]) == 0
    capsys.readouterr()
    assert main(["memory", "turns", "--user", "Ada", "--json"]) == 0
    [first, second] = json.loads(capsys.readouterr().out)["turns"]
    assert [first["in_memory"], second["in_memory"]] == [True, False]
    assert main(["memory", "off", "--user", "Ada", "--session", str(first["session"])]) == 0
    assert main(["memory", "on", "--user", "Ada", "--session", str(first["session"])]) == 0
    assert main(["memory", "turns", "--user", "Ada"]) == 0
    assert f"turn {second['turn']}, session {second['session']}," in capsys.readouterr().out
    assert main(["memory", "forget", "--user", "Ada", "--turn", str(first["turn"]), "--yes", "--json"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert (receipt["turns"], receipt["kept_turns"]) == (1, 0)
    assert main(["memory", "verify", "--user", "Ada", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["live"], told["rebuilt"], told["equal"]) == (receipt["after"], receipt["after"], True)
    assert stored(settings) == {"Ada": 1}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name one thing to forget"),
        (["--turn", "1", "--all"], "Name one thing to forget"),
        (["--turn", "77"], "Ada has no turn number 77."),
        (["--session", "77"], "Ada has no session number 77."),
        (["--before", "yesterday"], "--before"),
    ],
)
@pytest.mark.usefixtures("ada")
def test_nothing_is_forgotten_by_mistake(
    arguments: list[str], sentence: str, capsys: Out, settings: Settings
) -> None:
    """What is not named clearly, or is not there, is one sentence and exit code 2."""
    assert main(["memory", "forget", "--user", "Ada", "--yes", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert stored(settings) == {"Ada": 1}


@pytest.mark.usefixtures("ada")
def test_ask_reads_a_long_text_from_standard_input(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no shell takes as an argument is said, or refused for its length, all the same."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("What is my dog called?\n"))
    assert main(["ask", "--user", "Ada", "-"]) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("x" * 1_000_000))
    assert main(["ask", "--user", "Ada", "-"]) == 2
    assert "20,000" in capsys.readouterr().err


@pytest.mark.usefixtures("ada")
def test_ask_goes_on_in_a_session_that_it_is_given(capsys: Out, settings: Settings) -> None:
    """The second prompt of a named session repeats the first turn; in a new session none does."""
    lengths = []
    for session in ("talk", "talk", "new"):
        assert main(["ask", "--user", "Ada", "--session", session, "--json", "Hello!"]) == 0
        lengths.append(json.loads(capsys.readouterr().out)["prompt_tokens"])
    assert lengths[0] == lengths[2] < lengths[1]


NOT_A_MODEL = "not-a-model"

BAD = {
    "no such user": (["ask", "--user", "Nobody", "hello"], "nobody called 'Nobody'"),
    "a name nobody has": (["ask", "--user", "a\nb", "hello"], "A name has"),
    "no text": (["ask", "--user", "Ada", ""], "empty"),
    "blank text": (["ask", "--user", "Ada", " \n "], "empty"),
    "a million characters": (["ask", "--user", "Ada", "x" * 1_000_000], "20,000"),
    "half a character": (["ask", "--user", "Ada", "\udcff"], "not valid text"),
    "no argument": (["ask", "--user", "Ada"], "text"),
    "no user": (["ask", "hello"], "--user"),
    "an unknown option": (["ask", "--user", "Ada", "--loud", "hello"], "--loud"),
    "an unknown command": (["shout"], "shout"),
    "neither on nor off": (["ask", "--user", "Ada", "--memory", "perhaps", "hello"], "--memory"),
    "a bad session name": (["ask", "--user", "Ada", "--session", "x" * 65, "hello"], "A name has"),
    "a missing model": (["ask", "--user", "Ada", "--model", "/no/such/folder", "hello"], "/no/such/folder"),
    "a folder that is no model": (["ask", "--user", "Ada", "--model", NOT_A_MODEL, "hello"], NOT_A_MODEL),
    "a missing file": (["import", "--user", "Ada", "missing.jsonl"], "missing.jsonl"),
    "memory of nobody": (["memory", "show", "--user", "Nobody"], "nobody called"),
    "forgetting nobody": (["memory", "reset", "--user", "Nobody"], "nobody called"),
    "rebuilding nobody": (["memory", "rebuild", "--user", "Nobody"], "nobody called"),
    "a question about nobody": (["memory", "why", "--user", "Nobody", "hello"], "nobody called"),
    "an empty question": (["memory", "why", "--user", "Ada", " "], "empty"),
    "no question": (["memory", "why", "--user", "Ada"], "question"),
    "no turns to print": (["memory", "why", "--user", "Ada", "--limit", "0", "hello"], "--limit"),
    "no recall file": (["eval", "recall", "missing.jsonl"], "missing.jsonl"),
    "an unknown method": (["eval", "recall", "missing.jsonl", "--methods", "guess"], "guess"),
    "no people": (["eval", "recall", "missing.jsonl", "--limit", "0"], "--limit"),
    "a host for everybody": (["serve", "--host", "0.0.0.0"], "passwords"),
    "a name as host": (["serve", "--host", "example.org"], "passwords"),
    "an impossible port": (["serve", "--port", "70000"], "port"),
}


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("case", BAD)
def test_a_mistake_ends_with_one_line_and_loses_nothing(
    case: str, settings: Settings, capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one sentence on stderr that names the trouble, nothing on stdout, nothing changed."""
    arguments, names = BAD[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / NOT_A_MODEL).mkdir()
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("remanence: ")
    assert err.count("\n") == 1
    assert names in err
    assert stored(settings) == {"Ada": 1}


@pytest.mark.usefixtures("ada")
def test_a_damaged_memory_is_told_and_rebuilt(capsys: Out, settings: Settings) -> None:
    """Asking ends with one line that names the command which reads everything again; that command does."""
    alter(settings, "UPDATE states SET payload = x'00'")
    for arguments in (["ask", "--user", "Ada", "hello"], ["memory", "show", "--user", "Ada"]):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "remanence memory rebuild --user Ada" in err
    assert stored(settings) == {"Ada": 1}
    assert main(["memory", "rebuild", "--user", "Ada", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["turns"] == 1
    assert main(["ask", "--user", "Ada", "hello"]) == 0


def test_a_database_that_is_none_is_told(capsys: Out, settings: Settings) -> None:
    """And left as it is."""
    settings.data.mkdir(parents=True)
    file = settings.data / "remanence.db"
    file.write_text("hello, I am a letter and no database at all. " * 100)
    assert main(["ask", "--user", "Ada", "hello"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert file.read_text().startswith("hello, I am a letter")


def test_an_unknown_setting_is_told(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name."""
    monkeypatch.setenv("REMANENCE_COLOUR", "blue")
    assert main(["memory", "show", "--user", "Ada"]) == 2
    assert "REMANENCE_COLOUR" in capsys.readouterr().err


@pytest.mark.usefixtures("ada")
def test_a_defect_ends_with_one_line_and_its_traceback_in_the_log(
    capsys: Out, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, so that scripts can tell it from a mistake."""

    def broken(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Chat, "reply", broken)
    assert main(["ask", "--user", "Ada", "hello"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert "ZeroDivisionError: a defect" in (settings.data / "remanence.log").read_text()


def test_import_takes_all_sessions_or_none(capsys: Out, settings: Settings, tmp_path: Path) -> None:
    """A file with one bad line leaves nobody and nothing behind."""
    file = tmp_path / "sessions.jsonl"
    file.write_text(f"{json.dumps(SESSION)}\nnonsense\n")
    assert main(["import", "--user", "Ada", str(file)]) == 2
    assert "line 2" in capsys.readouterr().err
    file.write_text(f"{json.dumps(SESSION)}\n{json.dumps(SESSION)}\n")
    assert main(["import", "--user", "Ada", str(file)]) == 0
    assert stored(settings) == {"Ada": 2}


@pytest.mark.usefixtures("ada")
def test_memory_show_says_what_was_read_and_with_what(capsys: Out) -> None:
    """As lines, or as one object."""
    assert main(["memory", "show", "--user", "Ada"]) == 0
    assert "turns: 1\n" in capsys.readouterr().out
    assert main(["memory", "show", "--user", "Ada", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {k: told[k] for k in ("user", "revision", "turns", "unread")} == {
        "user": "Ada",
        "revision": 1,
        "turns": 1,
        "unread": 0,
    }
    assert told["tokens"] > 0
    assert told["bytes"] > 0
    assert told["sessions"] == 1
    assert told["since"] <= told["updated_at"]


@pytest.mark.usefixtures("ada")
def test_memory_show_says_how_full_every_layer_is(capsys: Out) -> None:
    """A line a layer and what it comes to; in JSON the singular values too."""
    assert main(["memory", "show", "--user", "Ada", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [g["name"] for g in told["gauge"]] == [f"model.layers.{i}.self_attn.o_proj" for i in range(2)]
    assert all(len(g["singular_values"]) == g["state_size"] == 16 for g in told["gauge"])
    assert told["fullness"] == max(g["fullness"] for g in told["gauge"])
    assert main(["memory", "show", "--user", "Ada"]) == 0
    out = capsys.readouterr().out
    for g in told["gauge"]:
        assert f"{g['name']}: {g['num_directions']} of 16 directions in use, effective rank" in out
    assert not told["is_filling_up"]
    assert f"There is room: {told['fullness']:.0%} of the directions" in out
    assert "gauge" not in out
    # more tokens than directions
    assert main(["ask", "--user", "Ada", "I live in Lisbon with my sister, who works as a welder."]) == 0
    assert main(["memory", "show", "--user", "Ada"]) == 0
    assert "It is filling up: 100% of the directions" in capsys.readouterr().out


def test_memory_show_of_somebody_who_said_nothing_shows_no_layer(chat: Chat, capsys: Out) -> None:
    assert main(["memory", "show", "--user", "Ada"]) == 0
    out = capsys.readouterr().out
    assert "turns: 0\n" in out
    assert "directions" not in out


@pytest.mark.usefixtures("ada")
def test_memory_why_says_what_an_answer_leans_on(capsys: Out, settings: Settings) -> None:
    """As lines, with what they do not mean, or as one object; nothing is stored."""
    assert main(["memory", "why", "--user", "Ada", "What is my dog called?"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert SESSION[0]["content"] in out
    assert "it is no proof" in out
    assert "cover for each other" in out
    assert main(["memory", "why", "--user", "Ada", "--json", "What is my dog called?"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert f"answer: {told['answer']}\n" in out
    assert (told["user"], told["turns"], len(told["leans_on"])) == ("Ada", 1, 1)
    [turn] = told["leans_on"]
    # the only turn is all that memory is
    assert turn["drop"] == pytest.approx(told["log_likelihood"] - told["without_memory"], abs=1e-4)
    assert stored(settings) == {"Ada": 1}


@pytest.mark.usefixtures("ada")
def test_memory_why_prints_the_turns_that_it_is_asked_for(
    capsys: Out, settings: Settings, tmp_path: Path
) -> None:
    """One line each, however long a turn is and whatever it would do to a terminal."""
    long = [{"role": "user", "content": "\x1b[31mred\n" + "x" * 500}, {"role": "assistant", "content": "Oh."}]
    file = tmp_path / "more.jsonl"
    file.write_text(f"{json.dumps(long)}\n")
    assert main(["import", "--user", "Ada", str(file)]) == 0
    capsys.readouterr()
    assert main(["memory", "why", "--user", "Ada", "--limit", "1", "Hello?"]) == 0
    assert "the 1 most of 2:" in capsys.readouterr().out
    assert main(["memory", "why", "--user", "Ada", "Hello?"]) == 0
    out = capsys.readouterr().out
    [line] = [line for line in out.splitlines() if "xxx" in line]
    assert "[31mred xxx" in line
    assert line.endswith("...")
    assert len(line) <= 115
    assert "\x1b" not in line


@pytest.mark.usefixtures("ada")
def test_memory_reset_forgets_everything_of_one_person(capsys: Out, settings: Settings) -> None:
    """What was said and what was read of it; the person stays, and is as one who never spoke."""
    assert main(["memory", "reset", "--user", "Ada", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"user": "Ada", "forgotten_sessions": 1, "forgotten_turns": 1}
    assert stored(settings) == {"Ada": 0}
    assert b"Biscuit" not in (settings.data / "remanence.db").read_bytes()
    assert main(["memory", "show", "--user", "Ada", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["turns"] == 0


@pytest.mark.parametrize(
    ("is_terminal", "said", "options", "is_gone"),
    [
        (True, "n\n", [], False),
        (True, "y\n", [], True),
        (True, "", ["--yes"], True),
        (True, "", ["--json"], True),
        (False, "", [], True),
    ],
)
@pytest.mark.usefixtures("ada")
def test_memory_reset_asks_whoever_sits_there(
    is_terminal: bool,
    said: str,
    options: list[str],
    is_gone: bool,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But no program; and `--yes` and `--json` are an answer."""
    stdin = io.StringIO(said)
    monkeypatch.setattr(stdin, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert (main(["memory", "reset", "--user", "Ada", *options]) == 0) == is_gone
    assert stored(settings) == {"Ada": 0 if is_gone else 1}


@pytest.mark.parametrize(
    "arguments", [["reset"], ["forget", "--yes", "--turn", "1"], ["forget", "--yes", "--all"]]
)
@pytest.mark.usefixtures("ada")
def test_what_is_forgotten_here_stands_in_the_audit_log(arguments: list[str], capsys: Out) -> None:
    """As all that the command line does to somebody; what is not there was not forgotten."""
    assert main(["memory", "forget", "--yes", "--turn", "77", "--user", "Ada"]) == 2
    assert main(["memory", *arguments, "--user", "Ada"]) == 0
    capsys.readouterr()
    assert main(["audit", "--json"]) == 0
    [entry] = json.loads(capsys.readouterr().out)
    assert (entry["actor"], entry["action"], entry["subject"]) == ("command line", "forget", "Ada")


@pytest.mark.usefixtures("ada")
def test_ctrl_c_while_catching_up_ends_ask(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no reply to stop yet; nothing is said."""
    monkeypatch.setattr(Chat, "settle", lambda *_args: signal.raise_signal(signal.SIGINT))
    # a process that was started in the background may have been told to ignore it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["ask", "--user", "Ada", "hello"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert stored(settings) == {"Ada": 1}


@pytest.mark.usefixtures("ada")
def test_ctrl_c_while_rebuilding_leaves_the_memory_as_it_was(
    capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers as before, and nothing is left to be read."""
    assert main(["memory", "rebuild", "--user", "Ada"]) == 0
    shown: list[dict[str, Any]] = []

    def show() -> None:
        capsys.readouterr()
        assert main(["memory", "show", "--user", "Ada", "--json"]) == 0
        shown.append(json.loads(capsys.readouterr().out))

    show()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "_note", lambda *_args: signal.raise_signal(signal.SIGINT))
        try:
            assert main(["memory", "rebuild", "--user", "Ada"]) == 130
        finally:
            signal.signal(signal.SIGINT, before)
    show()
    assert shown[0]["turns"] == shown[1]["turns"] == 1
    assert shown[1]["unread"] == 0
    revision = shown[1]["revision"]
    assert main(["ask", "--user", "Ada", "--memory", "off", "hello"]) == 0
    show()
    assert shown[2]["revision"] == revision


def test_a_defect_before_the_log_is_known_shows_no_traceback(
    capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, as ever."""

    def broken(**_flags: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(app.console, "load_settings", broken)
    logging.getLogger().handlers[:] = []
    assert main(["memory", "show", "--user", "Ada"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "problem", [PermissionError(13, "Permission denied"), RuntimeError("size\nmismatch")]
)
def test_a_training_that_cannot_begin_is_told(
    problem: Exception, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be written, or weights that do not fit."""

    def refuse(*_args: object) -> None:
        raise problem

    monkeypatch.setattr("model.training.loop.Training", refuse)
    assert main(["train", "embedded", "--corpus", "data", "--out", "out"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_training_is_like_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of its configuration; what is not said stays as it is."""
    asked: list[TrainingConfig] = []

    def remember(config: TrainingConfig, *_args: object) -> None:
        asked.append(config)
        raise OSError("far enough")

    monkeypatch.setattr("model.training.loop.Training", remember)
    changes = ["--set", "layers=6", "--set", "learning_rate=1e-3", "--set", "passes=1"]
    main(["train", "embedded", "--corpus", "data", "--out", "out", *changes])
    assert asked == [replace(TrainingConfig(), layers=6, learning_rate=1e-3, passes=1)]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("layer=6", "layer;"),
        ("layers=six", "'six'"),
        ("layers", "''"),
        ("layers=2", "layers=2"),
        ("passes=3", "passes=3"),
    ],
)
def test_what_a_training_cannot_be_is_told(change: str, named: str, capsys: Out) -> None:
    assert main(["train", "embedded", "--corpus", "data", "--out", "out", "--set", change]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1


def typed(lines: list[str]) -> Callable[[str], str]:
    """`input` for somebody who types `lines` and then ends."""
    waiting = iter(lines)

    def read(_prompt: str) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    return read


def test_a_chat_in_the_terminal_goes_on_after_a_mistake(
    capsys: Out, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything typed goes into one session; what is too long is told, and the chat goes on."""
    monkeypatch.setattr("builtins.input", typed(["Hello!", "x" * 30_000, "I live in Lisbon."]))
    assert main(["chat", "--user", "Ada"]) == 0
    assert "20,000" in capsys.readouterr().out
    store = Store.open(settings.database)
    [ada] = store.users()
    [session] = store.sessions(ada.id)
    assert [t.user_text for t in store.session_turns(ada.id, session.id)] == ["Hello!", "I live in Lisbon."]
    state = store.state(ada.id)
    store.close()
    assert state is not None
    assert state.num_turns == 2


def test_eval_recall_reports_and_writes_every_reply(capsys: Out, settings: Settings, tmp_path: Path) -> None:
    """As a table or as one object; the replies one a line; no database is touched."""
    file, replies = tmp_path / "people.jsonl", tmp_path / "replies.jsonl"
    file.write_text(json.dumps(PERSON) + "\n")
    assert main(["eval", "recall", str(file), "--json", "--replies", str(replies)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["memory", "none"]
    assert told["memory"]["all"]["n"] == 2
    assert set(told["memory"]["kinds"]) == {"pet", "work"}
    lines = [json.loads(line) for line in replies.read_text().splitlines()]
    assert [(line["method"], line["kind"]) for line in lines] == [
        ("memory", "pet"),
        ("memory", "work"),
        ("none", "pet"),
        ("none", "work"),
    ]
    assert main(["eval", "recall", str(file), "--methods", "memory"]) == 0
    table = capsys.readouterr().out
    assert "contains" in table
    assert "method: none" not in table
    assert not (settings.data / "remanence.db").exists()


def test_a_model_is_not_loaded_for_a_mistake(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading may take minutes; an empty message or a stranger is refused before."""
    monkeypatch.setattr(app.wiring, "load_model", lambda _settings: pytest.fail("the model was loaded"))
    assert main(["ask", "--user", "Ada", ""]) == 2
    assert main(["ask", "--user", "Nobody", "hello"]) == 2


@pytest.mark.usefixtures("ada")
def test_an_adapter_leaves_as_a_lora_folder(tmp_path: Path, capsys: Out) -> None:
    folder = tmp_path / "lora"
    assert main(["memory", "export-lora", "--user", "Ada", str(folder), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["user"], about["turns"]) == ("Ada", len(SESSION) // 2)
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == about["rank"]
    assert main(["memory", "export-lora", "--user", "Ada", str(folder)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_an_empty_memory_is_not_exported(chat: Chat, tmp_path: Path, capsys: Out) -> None:
    assert main(["memory", "export-lora", "--user", "Ada", str(tmp_path / "lora")]) == 2
    assert "this memory is empty" in capsys.readouterr().err
    assert not (tmp_path / "lora").exists()


def test_the_models_are_listed_and_nothing_is_downloaded(settings: Settings, capsys: Out) -> None:
    assert main(["models", "--json"]) == 0
    listed = {line["name"]: line for line in json.loads(capsys.readouterr().out)}
    assert listed["embedded"]["is_present"] is listed[settings.model]["is_present"] is True
    assert listed["mistral-7b"]["is_present"] is False
    assert [name for name, line in listed.items() if line["is_configured"]] == [settings.model]
    assert main(["models"]) == 0
    assert f"* {settings.model} (here)" in capsys.readouterr().out


def test_the_doctor_says_how_large_the_model_and_a_memory_are(settings: Settings, capsys: Out) -> None:
    code = main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {"device", "memory", "processor", "4 bit", "disk", "model", "generator"} <= set(found)
    assert "0.1M parameters" in found["model"]["found"]
    assert found["a person's memory"]["found"].startswith("2.0 KiB")  # 2 targets, R 16, 4 bytes
    assert code == any(finding["problem"] for finding in found.values())


@pytest.mark.usefixtures("settings")
def test_the_doctor_says_what_is_missing(capsys: Out) -> None:
    assert main(["doctor", "--model", "mistral-7b"]) == 1
    printed = capsys.readouterr().out
    assert "7,241.7M parameters" in printed
    assert "it is not on this machine; starting with it downloads it" in printed
    assert "a person's memory: 128.0 MiB" in printed


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model", "mistral-7b"], "not in the local cache"),
        (["--model", "somebody/some-model"], "--generator"),
        (["--model", "somebody/some-model", "--generator", "somebody/some-generator"], "not in the local"),
        (["--generator", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_a_model_that_is_not_there_is_one_clear_line(flags: list[str], said: str, capsys: Out) -> None:
    assert main(["chat", "--user", "Ada", *flags]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.usefixtures("ada")
def test_a_memory_of_another_generator_is_read_anew(settings: Settings, tmp_path: Path, capsys: Out) -> None:
    other = write_tiny_model(tmp_path / "other", seed=7) / "generator"
    rows = []
    for flags in ([], ["--generator", str(other)]):
        assert main(["ask", "--user", "Ada", "hello", *flags]) == 0
        capsys.readouterr()
        assert main(["memory", "show", "--user", "Ada", "--json"]) == 0
        rows.append(json.loads(capsys.readouterr().out))
    before, after = rows
    assert after["generator"] == Generator.from_pretrained(other).fingerprint != before["generator"]
    assert (after["turns"], after["unread"]) == (len(SESSION) // 2 + 2, 0)
    assert after["revision"] > before["revision"]


def test_a_generator_is_trained_for_a_base_and_used_with_it(
    settings: Settings, tmp_path: Path, capsys: Out
) -> None:
    lines = [
        {"passage": f"My dog is number {i}.", "questions": [{"q": "Which number?", "a": str(i)}]}
        for i in range(30)
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "run"
    train = ["train", "generator", "--base", settings.model, "--data", str(data), "--out", str(out)]
    assert main([*train, "--steps", "2", "--batch", "2", "--state-size", "8"]) == 0
    assert "The trained generator is in" in capsys.readouterr().out
    assert (out / "generator" / "README.md").is_file()
    alone = tmp_path / "alone.jsonl"
    alone.write_text(json.dumps(SESSION) + "\n")
    with_it = ["--generator", str(out / "generator")]
    assert main(["import", "--user", "Ada", str(alone), *with_it]) == 0
    assert main(["ask", "--user", "Ada", "hello", *with_it]) == 0
    data.write_text('{"passage": "x", "questions": []}\n{"text": "x"}\n')
    capsys.readouterr()
    assert main(train) == 2
    assert "data.jsonl, line 2" in capsys.readouterr().err
