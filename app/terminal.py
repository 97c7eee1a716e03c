"""What the commands share at the terminal: options, the settings in force, progress, results.

Only results go to stdout; progress goes to stderr, and only to a person who watches.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from app.errors import NotFound, Unavailable
from app.settings import Settings, load_settings

if TYPE_CHECKING:
    from app.chat import Chat
    from app.recollection import MemoryFigures
    from storage.store import Store, UserRow

console = Console(stderr=True, highlight=False)

Data = Annotated[Path | None, typer.Option(help="Folder of the database, the settings file and the log.")]
Model = Annotated[str | None, typer.Option(help="'embedded', a model folder or a Hugging Face name.")]
GeneratorName = Annotated[
    str | None, typer.Option("--generator", help="Folder or name; without it, the model's own.")
]
User = Annotated[str, typer.Option(help="Name of the person.")]
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


def settle(chat: "Chat", user: str) -> "MemoryFigures":
    """Let memory read now what it has not read yet, with progress."""
    with reading(chat.count_turns(user)) as on_turn:
        return chat.settle(user, on_turn)


@contextmanager
def reading(num_turns: int) -> Iterator[Callable[[int], None]]:
    """Within the block, a function that shows how many of `num_turns` are read, in a terminal."""
    with progress_bar() as progress:
        task = progress.add_task("reading what was said", total=num_turns, visible=False)
        yield lambda done: progress.update(task, completed=done, visible=True)


def progress_bar() -> Progress:
    """Return a progress that shows itself in a terminal only, and goes when it is done."""
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def existing(store: "Store", name: str) -> "UserRow":
    """Return the person called `name`; raises NotFound."""
    person = store.find_user(name)
    if person is None:
        raise NotFound(f"There is nobody called {name!r} here.")
    return person


def print_result(about: dict[str, Any], as_json: bool) -> None:
    """Print `about` as one JSON object, or a line for each of its entries."""
    if as_json:
        print(json.dumps(about, ensure_ascii=False))
        return
    for name, value in about.items():
        print(f"{name.replace('_', ' ')}: {'-' if value is None else value}")
