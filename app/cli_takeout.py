"""What a person takes along or brings, and what the owner of a database keeps of it.

`remanence export`, `import`, `backup`, `restore`. All of them change everything or nothing.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.console import (
    AsJson,
    Data,
    GeneratorName,
    Model,
    User,
    existing,
    print_about,
    settings_in_force,
    settle,
)
from app.errors import BadRequest, translated

takeout_commands = typer.Typer()


@takeout_commands.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(help="New zip file to write.")],
    user: User,
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Write all that is kept of a person into one zip: sessions, memory, LoRA and their hashes."""
    from app.wiring import open_chat, open_store

    settings = settings_in_force(data=data, model=model, generator=generator)
    # a mistake need not wait for the model
    if file.exists():
        raise BadRequest(f"{file} is there already; name a new file.")
    with open_store(settings) as store:
        existing(store, user)
    with open_chat(settings) as chat:
        settle(chat, user)
        manifest = chat.export(user, file)
    about = {
        "user": user,
        "file": str(file),
        "bytes": file.stat().st_size,
        "turns": manifest["turns"],
        "members": list(manifest["members"]),
    }
    if not as_json:
        about["members"] = ", ".join(manifest["members"])
    print_about(about, as_json)


@takeout_commands.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="An export, sessions as JSONL, lists of messages, ChatGPT's conversations.json, MSC,"
            " or a document (.txt, .md, .pdf)."
        ),
    ],
    user: User,
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Let a person have said what stands in FILE, in any known format: all of it or nothing."""
    from app.documents import is_document, open_document
    from app.takeout import Contents, read_file
    from app.wiring import open_chat

    settings = settings_in_force(data=data, model=model, generator=generator)
    if is_document(file.name):
        document = open_document(file, settings.max_document_bytes, settings.max_document_chars)
        contents = Contents([document])
    else:
        contents = read_file(file, settings.max_import_bytes, settings.max_message_chars)
    with open_chat(settings) as chat:
        person = chat.welcome(user)
        is_new = chat.count_turns(person.name) == 0
        num_turns = chat.import_sessions(person.name, contents.conversations)
        figures = settle(chat, person.name)
        same = contents.is_same_memory(chat.mark(person.name)) if is_new else None
    if as_json:
        about = {
            "user": person.name,
            "sessions": len(contents.conversations),
            "turns": num_turns,
            "memory": asdict(figures),
            "same": same,
        }
        print(json.dumps(about, ensure_ascii=False))
        return
    print(f"Turns imported: {num_turns}; turns in the memory of {person.name}: {figures.turns}.")
    if same is not None:
        print(f"The memory {'is' if same else 'differs from'} that of the export.")


@takeout_commands.command()
def backup(
    file: Annotated[Path, typer.Argument(help="New file to write.")],
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Copy the database, everybody in it, into FILE, also while Remanence is running."""
    from storage.backup import back_up

    settings = settings_in_force(data=data)
    with translated():
        num_bytes = back_up(settings.database, file)
    print_about({"file": str(file), "bytes": num_bytes}, as_json)


@takeout_commands.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Give up the database that is there.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Put a backup in the place of the database, once it is found sound; Remanence must not be running."""
    from app.wiring import open_store
    from storage.backup import restore as put_back

    settings = settings_in_force(data=data)
    with translated():
        put_back(file, settings.database, replace=replace)
    with open_store(settings) as store:
        people = store.users()
        num_turns = sum(store.count_turns(person.id) for person in people)
    print_about({"file": str(file), "people": len(people), "turns": num_turns}, as_json)
