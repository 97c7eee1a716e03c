"""The mean of several trained models of one origin and one size.

Weights of one training, or of trainings that began with the same weights, lie in one basin: their mean is
often better than each of them, at no cost when it runs (model soups, Wortsman et al., arXiv 2203.05482).
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

WEIGHTS = ("model.safetensors", "generator/model.safetensors")


def average(models: Sequence[Path], out: Path) -> None:
    """Write the mean of the models into the new folder `out`, everything but the weights as in the last.

    Args:
        models: folders as `train embedded` writes them; one that is named twice counts twice.

    Raises:
        FileExistsError: `out` is there already.
        ValueError: there are no models, or they are damaged or not of one size.
    """
    if not models:
        raise ValueError("expected at least one model, got none")
    try:
        means = {file: _mean([load_file(model / file) for model in models]) for file in WEIGHTS}
    except SafetensorError as exc:
        raise ValueError(f"a file of weights is damaged ({exc})") from exc
    shutil.copytree(models[-1], out)
    for file, weights in means.items():
        with safe_open(models[-1] / file, "pt") as last:
            save_file(weights, out / file, metadata=last.metadata())


def _mean(parts: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    shapes = [{name: tensor.shape for name, tensor in part.items()} for part in parts]
    if any(other != shapes[0] for other in shapes):
        raise ValueError("the models are not of one size")
    return {
        name: torch.stack([part[name].float() for part in parts]).mean(0).to(last.dtype)
        for name, last in parts[-1].items()
    }
