"""What a person takes along or brings: `remanence import`."""

from pathlib import Path
from typing import Annotated

import typer

from app.terminal import Data, GeneratorName, Model, User, settings_in_force, settle

takeout_commands = typer.Typer()


@takeout_commands.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="JSONL, plain or gzip: one session a line.")],
    user: User,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Let a person have said what stands in FILE: one session a line, [{"role", "content"}, ...]."""
    from app.transcript import exchanges, read_jsonl
    from app.wiring import open_chat

    settings = settings_in_force(data=data, model=model, generator=generator)
    sessions = [exchanges(where, value, settings.max_message_chars) for where, value in read_jsonl(file)]
    with open_chat(settings) as chat:
        person = chat.welcome(user)
        num_turns = chat.import_sessions(person.name, sessions)
        figures = settle(chat, person.name)
    print(f"Turns imported: {num_turns}; turns in the memory of {person.name}: {figures.turns}.")
