"""`remanence train`: making the model that ships."""

import json
import logging
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import BadRequest

if TYPE_CHECKING:
    from model.conversation import Exchange

train_commands = typer.Typer(help="Train models.", no_args_is_help=True)


@train_commands.command()
def embedded(
    corpus: Annotated[Path, typer.Option(help="Folder of the training data (model/README.md lists it).")],
    out: Annotated[Path, typer.Option(help="Folder of the tokenizer, the checkpoint and the result.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps in all.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and data.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Model folder to begin with; without it, nothing.")
    ] = None,
) -> None:
    """Train the embedded model and its generator, or go on from the last checkpoint in OUT.

    The result is OUT/model, a folder that --model takes.
    """
    from model.training.loop import Training, TrainingConfig

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout, force=True)
    usual = TrainingConfig()
    config = replace(usual, steps=steps or usual.steps, seed=usual.seed if seed is None else seed)
    try:
        training = Training(config, corpus, out, start)
    # weights that do not fit are a RuntimeError of torch's
    except (OSError, RuntimeError, ValueError) as exc:
        raise BadRequest(f"The training cannot begin: {exc}.") from exc
    try:
        training.run()
    except (OSError, ValueError) as exc:
        raise BadRequest(f"The training cannot go on: {exc}.") from exc
    print(f"The trained model is in {training.result}.")


@train_commands.command()
def people(
    corpus: Annotated[Path, typer.Option(help="Folder of the training data, for its word lists.")],
    out: Annotated[Path, typer.Option(help="File to write: JSONL that `eval recall` reads.")],
    count: Annotated[int, typer.Option(min=1, help="How many people.")] = 40,
    facts: Annotated[int, typer.Option(min=1, help="How many facts each says.")] = 5,
) -> None:
    """Make people up in the phrasings of the training, with values of their own, to measure recall on."""
    from model.training.corpus import small_talk
    from model.training.people import People, load_kinds, load_scenes
    from model.training.values import Values

    try:
        made_up = People(
            load_kinds(), load_scenes(), Values(corpus / "word_lists.jsonl.gz"), small_talk(corpus)
        )
        with out.open("w", encoding="utf-8") as lines:
            for number in range(count):
                # training seeds its steps with numbers: none of these people was in it
                person = made_up.draw(random.Random(f"people/{number}"), facts, num_questions=6)
                sessions = [
                    [message for e in session for message in _messages(e)] for session in person.sessions
                ]
                questions = [{"q": q.text, "a": q.value, "kind": "made_up"} for q in person.questions]
                lines.write(
                    json.dumps({"id": f"m{number}", "sessions": sessions, "questions": questions}) + "\n"
                )
    except (OSError, ValueError) as exc:
        raise BadRequest(f"No people can be made up: {exc}.") from exc
    print(f"{count} people are in {out}.")


def _messages(exchange: "Exchange") -> list[dict[str, str]]:
    return [
        {"role": "user", "content": exchange.user},
        {"role": "assistant", "content": exchange.assistant},
    ]
