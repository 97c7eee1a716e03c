"""Where settings come from, which source wins, and what a wrong one says."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import SettingsError
from app.settings import load_settings


@pytest.fixture
def config(data: Path) -> Path:
    """Where `remanence.toml` belongs; the folder is there."""
    data.mkdir()
    return data / "remanence.toml"


def test_defaults_need_nothing(data: Path) -> None:
    """With nothing but a data folder that does not exist yet, everything is set."""
    settings = load_settings()
    assert settings.data == data
    assert settings.database == data / "remanence.db"
    assert (settings.model, settings.generator, settings.host) == ("embedded", None, "127.0.0.1")
    assert (settings.window_tokens, settings.memory_roles, settings.max_message_chars) == (
        None,
        "user",
        20_000,
    )
    assert not data.exists()


def test_without_any_word_the_data_lies_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or where XDG_DATA_HOME says."""
    monkeypatch.delenv("REMANENCE_DATA")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/anna")
    assert load_settings().data == Path("/home/anna/.local/share/remanence")
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/anna")
    assert load_settings().data == Path("/srv/anna/remanence")


def test_the_command_line_wins_over_variables_over_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source decides what no stronger one says; a flag that was not given says nothing."""
    config.write_text('port = 1\nwindow_tokens = 1\ntop_p = 0.1\nmodel = "file"')
    monkeypatch.setenv("REMANENCE_PORT", "2")
    monkeypatch.setenv("REMANENCE_WINDOW_TOKENS", "2")
    monkeypatch.setenv("REMANENCE_MODEL", "")
    settings = load_settings(port=3, top_p=None)
    assert (settings.port, settings.window_tokens, settings.top_p, settings.model) == (3, 2, 0.1, "file")


def test_the_file_lies_in_the_data_folder_that_is_meant(tmp_path: Path) -> None:
    """A flag that names the data folder names the file too, and a relative folder is made absolute."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "remanence.toml").write_text("port = 1")
    assert load_settings(data=folder).port == 1
    assert load_settings(data="here").data == Path.cwd() / "here"
    assert load_settings(data="~/here").data == Path.home() / "here"


def test_another_file_may_be_named(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REMANENCE_CONFIG takes the place of the data folder's file, and may say where the data lies."""
    config.write_text("port = 1")
    named = tmp_path / "mine.toml"
    named.write_text('port = 2\ndata = "/srv/data"')
    monkeypatch.setenv("REMANENCE_CONFIG", str(named))
    monkeypatch.delenv("REMANENCE_DATA")
    assert (load_settings().port, load_settings().data) == (2, Path("/srv/data"))


def test_another_database_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL takes the place of the file in the data folder."""
    monkeypatch.setenv("REMANENCE_DATABASE_URL", "postgresql://db/remanence")
    assert load_settings().database == "postgresql://db/remanence"


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("REMANENCE_PROT", "1", "REMANENCE_PROT is not a setting of Remanence."),
        ("REMANENCE_PORT", "x", "REMANENCE_PORT should be a valid integer, .*, got 'x'."),
        ("REMANENCE_PORT", "70000", "REMANENCE_PORT should be less than or equal to 65535, got '70000'."),
        ("REMANENCE_QUANTIZE", "q4", "REMANENCE_QUANTIZE should be 'auto', 'nf4' or 'none', got 'q4'."),
        ("REMANENCE_MEMORY_ROLES", "all", "REMANENCE_MEMORY_ROLES should be 'user' or 'both', got 'all'."),
        ("REMANENCE_TEMPERATURE", "nan", "REMANENCE_TEMPERATURE should be a finite number, got 'nan'."),
        ("REMANENCE_DATA", "~nobody-here/x", "The home folder that ~nobody-here/x begins with is not known."),
        ("REMANENCE_CONFIG", "~nobody-here", "The home folder that ~nobody-here begins with is not known."),
        ("REMANENCE_CONFIG", "/none", "REMANENCE_CONFIG names /none, which is not a file."),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    """An unknown variable or a bad value is one sentence with its name."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{sentence}$"):
        load_settings()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("prot = 1", ": 'prot' is not a setting of Remanence."),
        ("[server]\nport = 1", ": 'server' is not a setting of Remanence."),
        ("port = -1", ": port should be greater than or equal to 0, got -1."),
        ("model = 7", ": model should be a valid string, got 7."),
        ("port = x", " is not valid TOML: Invalid value (at line 1, column 8)."),
        (
            '"\udcff"',
            " is not valid TOML: 'utf-8' codec can't decode byte 0xff in position 1: invalid start byte.",
        ),
    ],
)
def test_a_wrong_file_is_named(config: Path, content: str, sentence: str) -> None:
    """So is an unknown key or a bad value of the file, or a file that cannot be understood."""
    config.write_text(content, errors="surrogateescape")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == f"{config}{sentence}"


def test_a_file_that_cannot_be_read_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are there and cannot be read are not passed over."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    config.touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SettingsError, match=r"remanence\.toml cannot be read: Permission denied\.$"):
        load_settings()


def test_a_wrong_flag_is_named() -> None:
    """As it is typed."""
    with pytest.raises(SettingsError, match=r"^--max-new-tokens should be .* equal to 1, got 0\.$"):
        load_settings(max_new_tokens=0)


def test_settings_do_not_change() -> None:
    """What was checked stays as it was checked."""
    with pytest.raises(ValidationError):
        load_settings().port = 1
