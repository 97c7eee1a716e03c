"""`remanence memory`: what is remembered of a person, rebuilding, exporting, forgetting."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

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
    turn_progress,
)

memory_commands = typer.Typer(
    help="See, rebuild or forget what was remembered of a person.", no_args_is_help=True
)

ROOM = {
    False: "There is room: {share:.0%} of the directions are in use in the fullest layer.",
    True: "It is filling up: {share:.0%} of the directions are in use in the fullest layer; what is read from"
    " now on is laid over what is there.",
}
NOT_FACTS = "That counts directions, not facts: how much can be recalled is another matter."


@memory_commands.command()
def show(user: User, as_json: AsJson = False, data: Data = None, model: Model = None) -> None:
    """Say what memory has read of a person, how full it is, and what it was made with."""
    from app.inspection import overview
    from app.wiring import open_store

    with open_store(settings_in_force(data=data, model=model)) as store:
        found = overview(store, existing(store, user))
    if as_json:
        print_about(found.summary(), as_json)
        return
    about = found.summary()
    for name in ("fullness", "is_filling_up", "gauge"):
        del about[name]
    print_about(about, as_json)
    for gauge in found.gauges:
        print(
            f"{gauge.name}: {gauge.num_directions} of {gauge.state_size} directions in use,"
            f" effective rank {gauge.effective_rank:.1f}"
        )
    if found.gauges:
        print(ROOM[found.is_filling_up].format(share=found.fullness))
        print(NOT_FACTS)


@memory_commands.command()
def rebuild(
    user: User,
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Read everything a person said again, also over a damaged memory."""
    from app.wiring import open_chat

    with (
        open_chat(settings_in_force(data=data, model=model, generator=generator)) as chat,
        turn_progress("reading what was said", chat.count_turns(user)) as on_turn,
    ):
        figures = chat.rebuild(user, on_turn)
    print_about({"user": user, **asdict(figures)}, as_json)


@memory_commands.command("export-lora")
def export_lora(
    folder: Annotated[Path, typer.Argument(help="New folder to write.")],
    user: User,
    dtype: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="bfloat16 is half as large, and rounded.")
    ] = "float32",
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Write a person's adapter as a LoRA folder that peft and vLLM load."""
    from app.wiring import open_chat

    with open_chat(settings_in_force(data=data, model=model, generator=generator)) as chat:
        figures = settle(chat, user)
        rank = chat.export_lora(user, folder, dtype)
    print_about({"user": user, "folder": str(folder), "rank": rank, **asdict(figures)}, as_json)


@memory_commands.command()
def reset(user: User, as_json: AsJson = False, data: Data = None, model: Model = None) -> None:
    """Forget everything a person said: the sessions, the turns and the memory. It cannot be undone."""
    from app.wiring import open_store

    with open_store(settings_in_force(data=data, model=model)) as store:
        person = existing(store, user)
        about = {
            "user": person.name,
            "forgotten_sessions": len(store.sessions(person.id)),
            "forgotten_turns": store.count_turns(person.id),
        }
        store.forget_everything(person.id)
    print_about(about, as_json)
