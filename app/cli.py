"""The command line: `remanence COMMAND`, also `python -m app`.

Every command takes `--data` and `--model`, which win over the variables and the file (see `app.settings`).
A mistake or something that cannot be used ends with one line on stderr and exit code 2; a defect of ours
with one line, exit code 1, and its traceback in `remanence.log` in the data folder. Only results go to
stdout.

Commands import what needs torch themselves, so that help and usage errors come at once.
"""

import json
import logging
import signal
import sys
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from app.cli_memory import memory_commands
from app.cli_takeout import takeout_commands
from app.cli_train import train_commands
from app.cli_user import add_user_commands
from app.console import (
    AsJson,
    Data,
    GeneratorName,
    Model,
    User,
    existing,
    progress_bar,
    settings_in_force,
    settle,
)
from app.errors import BadRequest, RemanenceError

if TYPE_CHECKING:
    from app.recall import Examination, Method, MethodScores
    from app.settings import Settings
    from model.base import BaseModel

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)

commands = typer.Typer(
    help="A chat that remembers each person in a generated adapter.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
eval_commands = typer.Typer(help="Measure.", no_args_is_help=True)
commands.add_typer(takeout_commands)
commands.add_typer(memory_commands, name="memory")
commands.add_typer(eval_commands, name="eval")
commands.add_typer(train_commands, name="train")
add_user_commands(commands)

Methods = Annotated[str, typer.Option(help="Which to compare, with commas between: memory, none, history.")]
Limit = Annotated[int | None, typer.Option(min=1, help="How many people at most.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are printed, never raised."""
    # until a command knows its data folder, a traceback goes nowhere rather than to the terminal
    logging.basicConfig(handlers=[logging.NullHandler()])
    try:
        code = commands(args=arguments, prog_name="remanence", standalone_mode=False)
    except RemanenceError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        return _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception:
        log.exception("remanence failed")
        return _fail("Something went wrong that should not; remanence.log in the data folder says what.", 1)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    print(f"remanence: {' '.join(message.split())}", file=sys.stderr)
    return code


@commands.command()
def serve(
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
    host: Annotated[str | None, typer.Option(help="A loopback address, or with accounts any.")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes any free one.")] = None,
    browser: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Start the chat page and the JSON API."""
    from app.server import listen, run_server
    from app.wiring import open_chat, open_store

    settings = settings_in_force(data=data, model=model, generator=generator, host=host, port=port)
    with open_store(settings) as store:
        is_closed = store.is_closed()
    with (
        suppress(KeyboardInterrupt),
        listen(settings.host, settings.port, is_closed=is_closed) as (listening, url),
        open_chat(settings) as chat,
    ):
        run_server(chat, listening, lambda: _announce(url, browser), settings.served_hosts)


def _announce(url: str, browser: bool) -> None:
    print(f"Remanence is at {url} (Ctrl-C ends it).", flush=True)
    if browser:
        webbrowser.open(url)


@commands.command()
def chat(user: User, data: Data = None, model: Model = None, generator: GeneratorName = None) -> None:
    """Chat in the terminal. An empty line or Ctrl-D ends it, Ctrl-C stops a reply."""
    from app.wiring import open_chat

    with open_chat(settings_in_force(data=data, model=model, generator=generator)) as chat:
        person = chat.welcome(user)
        settle(chat, person.name)
        session: int | None = None
        while text := _typed_line():
            try:
                with _ctrl_c() as stop, closing(chat.reply(person.name, session, text, stop=stop)) as reply:
                    for piece in reply:
                        print(piece, end="", flush=True)
                print()
                session = reply.result.session_id
            except BadRequest as error:
                print(f"({error})")
        settle(chat, person.name)


def _typed_line() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        print()
        return ""


@commands.command()
def ask(
    text: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    user: User,
    session: Annotated[str, typer.Option(help="Name of a session, begun if there is none.")] = "new",
    memory: Annotated[Literal["on", "off"], typer.Option(help="off: answer as the base model alone.")] = "on",
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Say one thing and print the reply."""
    from app.transcript import check_message
    from app.wiring import open_chat, open_store

    settings = settings_in_force(data=data, model=model, generator=generator)
    said = _standard_input() if text == "-" else text
    # a mistake need not wait for the model
    check_message(said, settings.max_message_chars)
    with open_store(settings) as store:
        existing(store, user)
    where = None if session == "new" else session
    with open_chat(settings) as chat:
        # before Ctrl-C means stopping the reply: here it ends the program
        settle(chat, user)
        with (
            _ctrl_c() as stop,
            closing(chat.reply(user, where, said, memory=memory == "on", stop=stop)) as reply,
        ):
            for piece in reply:
                if not as_json:
                    print(piece, end="", flush=True)
        print(json.dumps(reply.result.summary(), ensure_ascii=False) if as_json else "", flush=True)
        settle(chat, user)


def _standard_input() -> str:
    try:
        return sys.stdin.read().removesuffix("\n")
    except UnicodeDecodeError as exc:
        raise BadRequest("The message is not text in UTF-8.") from exc


@contextmanager
def _ctrl_c() -> Iterator[Event]:
    """Within the block Ctrl-C sets the event instead of ending the program."""
    stop = Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@commands.command()
def models(
    as_json: AsJson = False, data: Data = None, model: Model = None, generator: GeneratorName = None
) -> None:
    """List the models there are names for and the one that is set, and which are on this machine."""
    from app.presets import listed_models

    listed = listed_models(settings_in_force(data=data, model=model, generator=generator))
    if as_json:
        print(json.dumps([asdict(line) for line in listed]))
        return
    for line in listed:
        where = "here" if line.is_present else "would be downloaded"
        print(
            f"{'*' if line.is_configured else ' '} {line.name} ({where}): {line.model} with {line.generator}"
        )


@commands.command()
def doctor(
    as_json: AsJson = False, data: Data = None, model: Model = None, generator: GeneratorName = None
) -> int:
    """Say what this machine can run, how large the model and a person's memory are, and what is wrong."""
    from app.doctor import examine

    findings = examine(settings_in_force(data=data, model=model, generator=generator))
    if as_json:
        about = {f.subject: {"found": f.found, "problem": f.problem} for f in findings}
        print(json.dumps(about, ensure_ascii=False))
    else:
        for finding in findings:
            print(
                f"{finding.subject}: {finding.found}" + (f"  <- {finding.problem}" if finding.problem else "")
            )
    return int(any(finding.problem for finding in findings))


@eval_commands.command()
def recall(
    file: Annotated[Path, typer.Argument(help="JSONL, plain or gzip: one person a line.")],
    methods: Methods = "memory,none",
    limit: Limit = None,
    replies: Annotated[Path | None, typer.Option(help="JSONL file to write every reply to.")] = None,
    one_chat: Annotated[
        bool, typer.Option("--one-chat", help="Ask each person's questions one after the other in one chat.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Tell a memory about people, ask it, and count what comes back."""
    from app.recall import Examination, parse_methods, read_people, report
    from app.wiring import load_model

    settings = settings_in_force(data=data, model=model, generator=generator)
    chosen = parse_methods(methods)
    people = read_people(file, settings.max_message_chars, limit)
    outcomes = []
    with _writing(replies) as write, progress_bar() as progress:
        examination = Examination(*load_model(settings), settings)
        for person in progress.track(people, description="asking"):
            for outcome in examination.ask(person, chosen, in_one_chat=one_chat):
                outcomes.append(outcome)
                write(json.dumps(outcome.line(), ensure_ascii=False) + "\n")
    scores = report(outcomes)
    if as_json:
        print(json.dumps({method: asdict(of_method) for method, of_method in scores.items()}))
    else:
        Console().print(*(_table(method, of_method) for method, of_method in scores.items()))


@eval_commands.command()
def recognise(
    file: Annotated[Path, typer.Argument(help="JSONL, plain or gzip: one person and ten sentences a line.")],
    methods: Methods = "memory,none,history",
    limit: Limit = None,
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Tell a memory about people, and see whether it takes the sentence about each for the likeliest."""
    from app.recall import parse_methods
    from app.recognition import ranked_first, read_choices

    settings = settings_in_force(data=data, model=model, generator=generator)
    chosen = parse_methods(methods)
    choices = read_choices(file, settings.max_message_chars, limit)
    right = _measured(settings, chosen, choices, ranked_first, "choosing")
    found = {method: {"n": len(each), "accuracy": sum(each) / len(each)} for method, each in right.items()}
    if as_json:
        print(json.dumps(found))
        return
    for method, figures in found.items():
        print(f"{method}: {figures['accuracy']:.3f} of {figures['n']}")


@eval_commands.command()
def perplexity(
    file: Annotated[
        Path, typer.Argument(help="JSONL, plain or gzip: one person and a later session a line.")
    ],
    methods: Methods = "memory,none,history",
    limit: Limit = None,
    as_json: AsJson = False,
    data: Data = None,
    model: Model = None,
    generator: GeneratorName = None,
) -> None:
    """Tell a memory about people, and see how surprising it finds what they say later."""
    from app.perplexity import Surprise, read_continuations, surprise
    from app.recall import parse_methods

    settings = settings_in_force(data=data, model=model, generator=generator)
    chosen = parse_methods(methods)
    continuations = read_continuations(file, settings.max_message_chars, limit)
    surprises = _measured(settings, chosen, continuations, surprise, "reading on")
    totals = {method: sum(each, start=Surprise(0.0, 0)) for method, each in surprises.items()}
    found = {
        method: {"n": len(continuations), "tokens": total.tokens, "perplexity": total.perplexity}
        for method, total in totals.items()
    }
    if as_json:
        print(json.dumps(found))
        return
    for method, figures in found.items():
        print(f"{method}: {figures['perplexity']:.2f}, {figures['tokens']} tokens of {figures['n']} people")


def _measured(
    settings: "Settings",
    methods: "Sequence[Method]",
    people: Sequence[T],
    measure: "Callable[[Examination, BaseModel, T, Method], R]",
    description: str,
) -> "dict[Method, list[R]]":
    """Return what `measure` finds of each of `people` under every method."""
    from app.recall import Examination
    from app.wiring import load_model

    found: dict[Method, list[R]] = {method: [] for method in methods}
    with progress_bar() as progress:
        lm, maker = load_model(settings)
        examination = Examination(lm, maker, settings)
        for person in progress.track(people, description=description):
            for method in methods:
                found[method].append(measure(examination, lm, person, method))
    return found


@contextmanager
def _writing(file: Path | None) -> Iterator[Callable[[str], object]]:
    """Within the block, a function that writes to `file`, or nowhere."""
    if file is None:
        yield len
        return
    try:
        opened = file.open("w", encoding="utf-8")
    except OSError as exc:
        raise BadRequest(f"{file} cannot be written: {exc.strerror}.") from exc
    with opened:
        yield opened.write


def _table(method: "Method", scores: "MethodScores") -> Table:
    table = Table(title=f"method: {method}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("kind", overflow="fold")
    for heading in ("n", "contains", "em", "f1", "abstained", "prompt", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind, score in [("all", scores.all), *scores.kinds.items()]:
        shares = (score.contains, score.em, score.f1, score.abstained)
        table.add_row(
            kind,
            str(score.n),
            *("-" if share is None else f"{share:.3f}" for share in shares),
            f"{score.prompt_tokens:.1f}",
            f"{score.seconds:.2f}",
        )
    return table
