"""What every command has: options, settings in force with the log in its place, and results printed."""

import json
import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Annotated, Any

import typer

from app.errors import Unavailable
from app.settings import Settings, load_settings

Data = Annotated[Path | None, typer.Option(help="Folder of the database, the settings file and the log.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def settings_in_force(**flags: Any) -> Settings:
    """Return the settings in force; from here on the log goes to the data folder."""
    settings = load_settings(**flags)
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise Unavailable(f"The data folder {settings.data} cannot be used: {exc.strerror}.") from exc
    handler = RotatingFileHandler(
        settings.data / "remanence.log", maxBytes=1_000_000, backupCount=1, encoding="utf-8", delay=True
    )
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[handler],
        force=True,
    )
    return settings


def print_facts(about: dict[str, Any], as_json: bool) -> None:
    """Print `about` as one JSON object, or a line a fact."""
    if as_json:
        print(json.dumps(about, ensure_ascii=False))
        return
    for name, value in about.items():
        print(f"{name.replace('_', ' ')}: {'-' if value is None else value}")
