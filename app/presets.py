"""Which base and which generator a name of a model means, and what of them is on this machine.

| name | base | generator |
|---|---|---|
| embedded | the model that ships | its own |
| mistral-7b | Mistral-7B-Instruct-v0.2 | the published one of the paper's authors |
| a folder | that folder | its subfolder `generator` |
| a hub name | that model | must be named |

Nothing is downloaded here, and nothing ever but what somebody named (`memory.hub`).
"""

from dataclasses import dataclass
from pathlib import Path

from app.errors import BadRequest
from app.settings import Settings
from memory.hub import cached_folder
from model.base import EMBEDDED


@dataclass(frozen=True, slots=True)
class Pair:
    """A base model and the generator made for it, each a folder or a hub name.

    Attributes:
        num_parameters: of the base; 0 where only its files could tell.
        state_bytes: of a person's memory; 0 where only the generator could tell.
    """

    model: str
    generator: str
    num_parameters: int = 0
    state_bytes: int = 0


PRESETS = {
    "embedded": Pair("embedded", str(EMBEDDED / "generator")),
    "mistral-7b": Pair(
        "mistralai/Mistral-7B-Instruct-v0.2",
        "generative-adaptor/Generative-Adapter-Mistral-7B-Instruct-v0.2",
        num_parameters=7_241_732_096,
        state_bytes=32 * 1024 * 1024 * 4,  # layers, R, R, float32
    ),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of `remanence models`: a name, what it means, and whether all of it is on this machine."""

    name: str
    model: str
    generator: str
    is_present: bool
    is_configured: bool


def pair_of(settings: Settings) -> Pair:
    """Return the base and the generator that `settings` mean.

    Raises:
        BadRequest: a base of the hub needs a generator, and none is named.
    """
    preset = PRESETS.get(settings.model)
    model = preset.model if preset else settings.model
    if settings.generator:
        return Pair(model, settings.generator)
    if preset:
        return preset
    if Path(model).is_dir():
        return Pair(model, str(Path(model) / "generator"))
    raise BadRequest(
        f"{model} is not a folder with a generator of its own; name one with --generator,"
        " or train one with 'remanence train generator'."
    )


def listed_models(settings: Settings) -> list[Listed]:
    """Return the presets and, where it is none of them, the model of `settings`."""
    pairs = dict(PRESETS)
    if settings.model not in pairs or settings.generator:
        pairs[settings.model] = pair_of(settings)
    return [
        Listed(name, pair.model, pair.generator, is_present(pair), name == settings.model)
        for name, pair in pairs.items()
    ]


def is_present(pair: Pair) -> bool:
    """Whether base and generator are on this machine already."""
    return model_folder(pair) is not None and cached_folder(pair.generator) is not None


def model_folder(pair: Pair) -> Path | None:
    """Return the folder of the base on this machine, None where it would have to be downloaded."""
    return EMBEDDED if pair.model == "embedded" else cached_folder(pair.model)
