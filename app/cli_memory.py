"""`remanence memory`: what is remembered of a person, what an answer leans on, rebuilding, forgetting."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from app.errors import BadRequest

if TYPE_CHECKING:
    from app.inspection import Explanation

memory_commands = typer.Typer(
    help="See, explain, rebuild or forget what was remembered of a person.", no_args_is_help=True
)

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

# How much of a turn is printed.
LINE_CHARS = 80

ROOM = {
    False: "There is room: {share:.0%} of the directions are in use in the fullest layer.",
    True: "It is filling up: {share:.0%} of the directions are in use in the fullest layer; what is read from"
    " now on is laid over what is there.",
}
NOT_FACTS = "That counts directions, not facts: how much can be recalled is another matter."

CAUTION = """
Each turn was taken out alone, and the same answer measured again. A clear loss means that this answer, in
these words, leans on the turn; it is no proof that the answer is true, nor of where it comes from. Turns
that say the same cover for each other: then neither shows a loss. Numbers near 0, of either sign, say
nothing: taking out any turn shifts the whole memory a little.""".strip()


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
def turns(user: User, as_json: AsJson = False, data: Data = None, model: Model = None) -> None:
    """List what a person said, with the numbers that forget takes, and whether memory reads it."""
    from app.wiring import open_store

    with open_store(settings_in_force(data=data, model=model)) as store:
        person = existing(store, user)
        sessions = {session.id: session for session in store.sessions(person.id)}
        listed: list[dict[str, Any]] = [
            {
                "turn": turn.id,
                "session": turn.session_id,
                "name": sessions[turn.session_id].name,
                "at": turn.created_at.isoformat(timespec="seconds"),
                "in_memory": turn.in_memory and sessions[turn.session_id].memory_on,
                "status": turn.status,
                "text": turn.user_text,
            }
            for turn in store.turns(person.id)
        ]
    if as_json:
        print_about({"user": user, "turns": listed}, as_json)
        return
    for line in listed:
        read = "in memory" if line["in_memory"] else "not in memory"
        print(f"turn {line['turn']}, session {line['session']}, {line['at']}, {read}: {_line(line['text'])}")


def _line(text: str) -> str:
    """Return `text` as one line of the terminal."""
    said = "".join(c for c in " ".join(text.split()) if c.isprintable())
    return said if len(said) <= LINE_CHARS else f"{said[: LINE_CHARS - 3]}..."


@memory_commands.command()
def why(
    question: Annotated[str, typer.Argument(help="What to ask; it is not stored.")],
    user: User,
    limit: Annotated[int, typer.Option(min=1, help="How many turns to print.")] = 5,
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Answer a question, and say which turns the answer leans on, by leaving out each."""
    from app.transcript import check_message
    from app.wiring import open_chat, open_store

    settings = settings_in_force(data=data, model=model, generator=generator)
    # a mistake need not wait for the model
    check_message(question, settings.max_message_chars)
    with open_store(settings) as store:
        existing(store, user)
    with open_chat(settings) as chat:
        figures = settle(chat, user)
        with turn_progress("leaving out turns", figures.turns) as on_turn:
            explanation = chat.why(user, question, on_turn)
    if as_json:
        print_about({"user": user, "question": question, **explanation.summary(limit)}, as_json)
    else:
        _print_explanation(explanation, limit)


def _print_explanation(explanation: "Explanation", limit: int) -> None:
    print(f"answer: {explanation.answer}")
    print(
        f"its log-likelihood: {explanation.log_likelihood:.2f} nats with the memory,"
        f" {explanation.without_memory:.2f} without any ({explanation.num_tokens} tokens)"
    )
    if not explanation.leanings:
        print("Memory has read nothing yet: the answer is the model's alone.")
        return
    shown = explanation.leanings[:limit]
    print(f"what it loses without a turn, the {len(shown)} most of {len(explanation.leanings)}:")
    for leaning in shown:
        turn = leaning.turn
        print(f"{leaning.drop:+9.2f}  turn {turn.id}, {turn.created_at:%Y-%m-%d}: {_line(turn.user_text)}")
    print(CAUTION)


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
def reset(
    user: User, yes: Yes = False, as_json: AsJson = False, data: Data = None, model: Model = None
) -> None:
    """Forget everything a person said: the sessions, the turns and the memory. It cannot be undone."""
    from app.accounts import from_command_line
    from app.wiring import open_store

    with open_store(settings_in_force(data=data, model=model)) as store:
        person = existing(store, user)
        # programs call it too, and have nobody to ask
        if sys.stdin.isatty() and not (yes or as_json):
            typer.confirm(f"Forget everything {user} said, for good?", abort=True, err=True)
        gone = store.forget_everything(person.id, from_command_line())
    about = {"user": person.name, "forgotten_sessions": gone.sessions, "forgotten_turns": gone.turns}
    print_about(about, as_json)


@memory_commands.command()
def forget(
    user: User,
    turn: Annotated[int | None, typer.Option(min=1, help="Number of a turn.")] = None,
    session: Annotated[int | None, typer.Option(min=1, help="Number of a session.")] = None,
    before: Annotated[
        datetime | None, typer.Option(help="A date, in UTC: everything said before it.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that the person ever said.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Delete what a person said for good, read the rest anew, and show the hashes of both memories."""
    from app.accounts import from_command_line
    from app.forgetting import Selection
    from app.wiring import open_chat, open_store

    if sum([turn is not None, session is not None, before is not None, everything]) != 1:
        raise BadRequest("Name one thing to forget: --turn, --session, --before or --all.")
    settings = settings_in_force(data=data, model=model, generator=generator)
    with open_store(settings) as store:
        existing(store, user)
    if not yes:
        typer.confirm(f"Forget this of {user} for good?", abort=True, err=True)
    with open_chat(settings) as chat, turn_progress("reading the rest", chat.count_turns(user)) as on_turn:
        since = before.replace(tzinfo=UTC) if before else None
        receipt = chat.forget(user, Selection(turn, session, since), on_turn, from_command_line())
    print_about({"user": user, **asdict(receipt)}, as_json)


@memory_commands.command()
def verify(
    user: User,
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> int:
    """Read everything again beside the memory, and say whether it is the same; exit code 1 where not."""
    from app.wiring import open_chat

    with open_chat(settings_in_force(data=data, model=model, generator=generator)) as chat:
        settle(chat, user)
        with turn_progress("reading it again", chat.count_turns(user)) as on_turn:
            live, rebuilt = chat.verify(user, on_turn)
    print_about({"user": user, "live": live, "rebuilt": rebuilt, "equal": live == rebuilt}, as_json)
    return int(live != rebuilt)


Session = Annotated[int | None, typer.Option(min=1, help="Number of one session; without it, everything.")]


@memory_commands.command()
def on(
    user: User, session: Session = None, as_json: AsJson = False, data: Data = None, model: Model = None
) -> None:
    """Switch memory on for a person, or take a session in again."""
    _switch(user, session, True, as_json, data, model)


@memory_commands.command()
def off(
    user: User, session: Session = None, as_json: AsJson = False, data: Data = None, model: Model = None
) -> None:
    """Switch memory off for a person, or leave a session out; seeing and forgetting stay possible."""
    _switch(user, session, False, as_json, data, model)


def _switch(
    user: str, session: int | None, on: bool, as_json: bool, data: Path | None, model: str | None
) -> None:
    from app.wiring import open_store

    with open_store(settings_in_force(data=data, model=model)) as store:
        person = existing(store, user)
        if session is None:
            store.set_memory(person.id, on)
        else:
            store.set_session_memory(person.id, session, on)
    print_about({"user": user, "session": session, "memory": "on" if on else "off"}, as_json)
