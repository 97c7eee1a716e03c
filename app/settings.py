"""What can be set, and where: on the command line, in `REMANENCE_*` variables, in `remanence.toml`.

The first that says something wins, then the default. `remanence.toml` is read from the data folder, or from
the file that REMANENCE_CONFIG names. An empty variable counts as not set. An unknown key or variable, or a
bad value, is a `SettingsError` that says which and where.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from app.errors import SettingsError

PREFIX = "REMANENCE_"


def default_data() -> Path:
    """The folder that holds everything when none is named."""
    return _expanded(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "remanence"


def _expanded(path: Path | str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SettingsError(f"The home folder that {path} begins with is not known.") from error


class Settings(BaseSettings):
    """Every setting, checked; make one with `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        # "model" is a setting here, not a method of pydantic's.
        protected_namespaces=(),
    )

    data: Path = Field(default_factory=default_data, description="folder of the database and the logs")
    database_url: str | None = Field(
        None, description="any SQLAlchemy URL; None is SQLite in the data folder"
    )

    model: str = Field("embedded", description="'embedded', a Hugging Face name or a model folder")
    generator: str | None = Field(None, description="name or folder; None is the one beside the model")
    quantize: Literal["auto", "nf4", "none"] = "auto"
    device: str = Field("auto", description="'auto', or a torch device such as 'cpu' or 'cuda:0'")

    host: str = Field("127.0.0.1", description="where to listen; without accounts, a loopback address")
    port: int = Field(7860, ge=0, le=65535, description="0 takes any free one")
    public_hosts: str = Field(
        "", description="names that browsers call the server by, with commas between; only with accounts"
    )

    demo: bool = Field(True, description="whether anybody, without an account too, may try the demo at /demo")

    window_tokens: int | None = Field(
        None, ge=0, description="tokens of the running session that a prompt repeats; None as suits the model"
    )
    memory_roles: Literal["user", "both"] = Field("user", description="whose words count in the memory")
    max_message_chars: int = Field(20_000, ge=1)
    max_import_bytes: int = Field(64 * 2**20, ge=1, description="how large a file to import may be, unpacked")
    max_document_bytes: int = Field(
        16 * 2**20, ge=1, description="how large a document to remember may be, as a file"
    )
    max_document_chars: int = Field(200_000, ge=1, description="how much text may be in it")
    max_new_tokens: int = Field(128, ge=1)
    temperature: float = Field(
        0.0, ge=0.0, allow_inf_nan=False, description="0 always takes the likeliest token"
    )
    top_p: float = Field(1.0, gt=0.0, le=1.0)

    @field_validator("data")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return _expanded(folder).absolute()

    @field_validator("public_hosts")
    @classmethod
    def _are_names(cls, hosts: str) -> str:
        if bad := [name for name in split_names(hosts) if set(name) & set("/:*@ ")]:
            raise ValueError(f"should be names without scheme and port, not '{bad[0]}'")
        return hosts

    @property
    def served_hosts(self) -> frozenset[str]:
        """The names that requests may be for once there are accounts, beside those of this machine."""
        return frozenset({self.host.lower(), *split_names(self.public_hosts)})

    @property
    def database(self) -> str | Path:
        """The database that is meant: a URL, or the SQLite file in the data folder."""
        return self.database_url or self.data / "remanence.db"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The three sources, the strongest first."""
        file = config_file(init_settings().get("data"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)


def split_names(names: str) -> list[str]:
    """Return the names that stand in `names` with commas between, in lower case."""
    return [name.strip().lower() for name in names.split(",") if name.strip()]


def config_file(data: Path | str | None = None) -> Path:
    """Return the file that settings are read from, which need not exist when it is the data folder's own.

    Args:
        data: the data folder that the command line names, if it does.

    Raises:
        SettingsError: REMANENCE_CONFIG names something that is not a file, or a home folder is not known.
    """
    if named := os.environ.get(f"{PREFIX}CONFIG"):
        if not (file := _expanded(named)).is_file():
            raise SettingsError(f"{PREFIX}CONFIG names {file}, which is not a file.")
        return file
    folder = data or os.environ.get(f"{PREFIX}DATA") or default_data()
    return _expanded(folder) / "remanence.toml"


def load_settings(**flags: Any) -> Settings:
    """Return the settings in force.

    Args:
        flags: settings from the command line by name; None where the flag was not given.

    Raises:
        SettingsError: a key or variable is unknown, a value is bad, or the file cannot be read.
    """
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG"}
    if unknown := sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known):
        raise SettingsError(f"{unknown[0]} is not a setting of Remanence.")

    given = {name: value for name, value in flags.items() if value is not None}
    file = config_file(given.get("data"))
    try:
        return Settings(**given)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}.") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise SettingsError(_sentence(error, file, given)) from error


def _sentence(error: ValidationError, file: Path, given: dict[str, Any]) -> str:
    """Say what is wrong with the first bad setting, and which of the sources said it."""
    problem = error.errors()[0]
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return f"{file}: '{name}' is not a setting of Remanence."
    if name in given:
        where = f"--{name.replace('_', '-')}"
    elif os.environ.get(f"{PREFIX}{name.upper()}"):
        where = f"{PREFIX}{name.upper()}"
    else:
        where = f"{file}: {name}"
    expected = problem["msg"].removeprefix("Input ")
    return f"{where} {expected}, got {problem['input']!r}."
