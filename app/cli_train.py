"""`remanence train`: making the model that ships."""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from app.errors import BadRequest

train_commands = typer.Typer(help="Train models.", no_args_is_help=True)


@train_commands.callback()
def _group() -> None:
    """Keep `embedded` a command of its own while it is the only one."""


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
