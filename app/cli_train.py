"""`remanence train`: making the model that ships, and generators for other models."""

import json
import logging
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import TypeAdapter, ValidationError

from app.errors import BadRequest

if TYPE_CHECKING:
    # it brings torch along, which most commands do without
    from model.training.loop import TrainingConfig

train_commands = typer.Typer(help="Train models.", no_args_is_help=True)


@train_commands.command()
def embedded(
    corpus: Annotated[Path, typer.Option(help="Folder of the training data (model/README.md lists it).")],
    out: Annotated[Path, typer.Option(help="Folder of the tokenizer, the checkpoint and the result.")],
    start: Annotated[
        Path | None, typer.Option(help="Model folder to begin with; without it, nothing.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=NUMBER of TrainingConfig, such as steps=500; may be repeated."),
    ] = None,
) -> None:
    """Train the embedded model and its generator, or go on from the last checkpoint in OUT.

    The result is OUT/model, a folder that --model takes. On every core or GPU: torchrun --nproc_per_node N
    -m app -- train embedded ... with the same options; each process draws people of its own.
    """
    from model.training.loop import Training, TrainingConfig

    _log_to_the_terminal()
    config = _changed(TrainingConfig(), changes or [])
    try:
        training = Training(config, corpus, out, start)
    # weights that do not fit are a RuntimeError of torch's
    except (OSError, RuntimeError, ValueError) as exc:
        raise BadRequest(f"The training cannot begin: {exc}.") from exc
    try:
        training.run()
    except (OSError, ValueError) as exc:
        raise BadRequest(f"The training cannot go on: {exc}.") from exc
    if training.processes.is_main_process:
        print(f"The trained model is in {training.result}.")


@train_commands.command()
def generator(
    base: Annotated[
        str, typer.Option(help="'embedded', a model folder or a Hugging Face name; it is not changed.")
    ],
    data: Annotated[
        list[Path], typer.Option(help="JSONL file of dialogues, passages or people; may be repeated.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoints and the result.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps in all.")] = 2000,
    batch: Annotated[int, typer.Option(min=1, help="Samples in a step, in each process.")] = 8,
    state_size: Annotated[
        int, typer.Option(min=1, help="R; a person's memory is R x R for each layer.")
    ] = 256,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Most directions of an adapter; without it, R.")
    ] = None,
    reading: Annotated[
        Literal["independent", "sequential"], typer.Option(help="sequential reads under the memory so far.")
    ] = "independent",
    window_tokens: Annotated[int, typer.Option(min=1, help="Most tokens that are read at once.")] = 256,
    quantize: Annotated[Literal["auto", "nf4", "none"], typer.Option(help="auto: nf4 on a GPU.")] = "auto",
    device: Annotated[str, typer.Option(help="'auto', 'cpu' or 'cuda'.")] = "auto",
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="Less memory, more time.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights and order.")] = 1,
) -> None:
    """Train a memory generator for a frozen base, or go on from the last checkpoint in OUT.

    The result is OUT/generator, a folder that --generator takes. On many GPUs or cores: torchrun
    --nproc_per_node N -m app -- train generator ... with the same options.
    """
    import torch

    from app.errors import translated
    from app.transcript import read_jsonl
    from model.base import BaseModel
    from model.training.generator import GeneratorTraining, Training
    from model.training.samples import sample_of

    _log_to_the_terminal()
    samples = []
    for file in data:
        for where, record in read_jsonl(file):
            try:
                samples.append(sample_of(record))
            except ValueError as exc:
                raise BadRequest(f"{where}: {exc}.") from exc
    if quantize == "auto" and not (torch.cuda.is_available() and device != "cpu"):
        quantize = "none"
    settings = GeneratorTraining(
        steps=steps,
        batch=batch,
        state_size=state_size,
        rank=rank or state_size,
        reading=reading,
        window_tokens=window_tokens,
        checkpointing=checkpointing,
        seed=seed,
    )
    with translated():
        lm = BaseModel.load(base, quantize, device)
        try:
            training = Training(lm, samples, out, settings)
            training.run()
        except (OSError, ValueError) as exc:
            raise BadRequest(f"The generator cannot be trained: {exc}.") from exc
    print(f"The trained generator is in {training.result}.")


@train_commands.command()
def average(
    models: Annotated[
        list[Path], typer.Argument(help="Model folders of one origin; one named twice counts twice.")
    ],
    out: Annotated[Path, typer.Option(help="New folder to write.")],
) -> None:
    """Write the mean of several trained models: often better than each of them."""
    from model.training.averaging import average as write_mean

    try:
        write_mean(models, out)
    except (OSError, ValueError) as exc:
        raise BadRequest(f"The models cannot be averaged: {exc}.") from exc
    print(f"The mean of {len(models)} models is in {out}.")


@train_commands.command()
def people(
    corpus: Annotated[Path, typer.Option(help="Folder of the training data, for its word lists.")],
    out: Annotated[Path, typer.Option(help="File to write: JSONL that `eval recall` reads.")],
    count: Annotated[int, typer.Option(min=1, help="How many people.")] = 40,
    facts: Annotated[int, typer.Option(min=1, help="How many facts each says.")] = 5,
    sessions: Annotated[
        int | None, typer.Option(min=1, help="In how many sessions; without it, a few drawn by the facts.")
    ] = None,
    changes: Annotated[
        int, typer.Option(min=0, help="How many of its facts each changes; asked with the kind `changed`.")
    ] = 0,
    seed: Annotated[str, typer.Option(help="Any text; another one makes other people.")] = "people",
) -> None:
    """Make people up in the phrasings of the training, with values of their own, to measure recall on."""
    from model.training.corpus import small_talk
    from model.training.facts import load_kinds, load_scenes
    from model.training.people import People
    from model.training.values import Values

    try:
        made_up = People(
            load_kinds(), load_scenes(), Values(corpus / "word_lists.jsonl.gz"), small_talk(corpus)
        )
        with out.open("w", encoding="utf-8") as lines:
            for number in range(count):
                # training seeds its steps with numbers: none of these people was in it
                rng = random.Random(f"{seed}/{number}")
                person = made_up.draw(rng, facts, num_questions=6, num_sessions=sessions, num_changes=changes)
                told = [[m for e in session for m in e.messages] for session in person.sessions]
                questions = [
                    {
                        "q": q.message,
                        "a": q.value,
                        "kind": "changed" if q.value in person.changed else "made_up",
                    }
                    for q in person.questions
                ]
                lines.write(json.dumps({"id": f"m{number}", "sessions": told, "questions": questions}) + "\n")
    except (OSError, ValueError) as exc:
        raise BadRequest(f"No people can be made up: {exc}.") from exc
    print(f"{count} people are in {out}.")


def _changed(config: "TrainingConfig", changes: Sequence[str]) -> "TrainingConfig":
    """Return `config` with what `changes` say, each NAME=NUMBER; raises BadRequest."""
    given = dict(change.partition("=")[::2] for change in changes)
    if unknown := set(given) - {field.name for field in fields(config)}:
        known = ", ".join(field.name for field in fields(config))
        raise BadRequest(f"--set knows no {', '.join(sorted(unknown))}; there are {known}.")
    try:
        numbers = {name: json.loads(value) for name, value in given.items()}
        return TypeAdapter(type(config)).validate_python({**asdict(config), **numbers})
    except json.JSONDecodeError as exc:
        raise BadRequest(f"--set takes NAME=NUMBER, got {exc.doc!r} for a number.") from exc
    except ValidationError as exc:
        problem = exc.errors()[0]
        raise BadRequest(f"--set {problem['loc'][0]}={problem['input']}: {problem['msg']}.") from exc


def _log_to_the_terminal() -> None:
    """Print what a training logs: its steps are its result as long as it runs."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout, force=True)
