"""What this machine can run, how large it will be, and what is wrong; nothing is loaded or downloaded."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
import torch
from safetensors import safe_open

from app.presets import Pair, model_folder, pair_of
from app.settings import Settings
from memory.generator import Generator, GeneratorUnavailable
from memory.hub import cached_folder

# a weight in NF4 with its share of the block's scale; one in 16 bit; one in 32 bit
NF4_BYTES, HALF_BYTES, FLOAT_BYTES = 0.5625, 2.0, 4.0
ENOUGH_DISK = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what was found, and what is wrong with it, None where nothing is."""

    subject: str
    found: str
    problem: str | None = None


def examine(settings: Settings) -> list[Finding]:
    """Return what was found about this machine and the model of `settings`."""
    return [*_machine(settings), *_model(settings, pair_of(settings))]


def _machine(settings: Settings) -> Iterator[Finding]:
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        yield Finding("device", f"{properties.name}, {_size(properties.total_memory)}")
    else:
        wanted = settings.device.startswith("cuda")
        problem = f"the setting device is {settings.device}, and torch sees no GPU" if wanted else None
        yield Finding("device", f"cpu, {os.cpu_count()} cores", problem)
    memory = psutil.virtual_memory()
    yield Finding("memory", f"{_size(memory.total)}, {_size(memory.available)} of it free")
    capability = torch.backends.cpu.get_cpu_capability()
    slow = (
        None if "AVX512" in capability else "without AVX-512 the 4-bit model is slower than --quantize none"
    )
    yield Finding("processor", capability, slow if not torch.cuda.is_available() else None)
    yield _bitsandbytes()
    free = shutil.disk_usage(settings.data if settings.data.exists() else Path.home()).free
    problem = None if free > ENOUGH_DISK else f"less than {_size(ENOUGH_DISK)} is left for the database"
    yield Finding("disk", f"{_size(free)} free", problem)


def _bitsandbytes() -> Finding:
    from bitsandbytes.nn.modules import Linear4bit

    name = f"bitsandbytes {version('bitsandbytes')}"
    try:
        layer = Linear4bit(64, 64, bias=False, quant_type="nf4", compute_dtype=torch.float32)
        layer.to("cuda" if torch.cuda.is_available() else "cpu")
        with torch.inference_mode():
            layer.eval()(torch.ones(1, 64, device=layer.weight.device))
    except (RuntimeError, NotImplementedError, OSError) as exc:
        return Finding("4 bit", name, f"a product in 4 bit fails ({exc}); use REMANENCE_QUANTIZE=none")
    return Finding("4 bit", f"{name} works")


def _model(settings: Settings, pair: Pair) -> Iterator[Finding]:
    folder = model_folder(pair)
    absent = None if folder else "it is not on this machine; starting with it downloads it"
    parameters = _num_parameters(folder) if folder else pair.num_parameters
    if not parameters:
        yield Finding("model", pair.model, absent)
    else:
        needed = int(parameters * _bytes_each(settings))
        room = (
            torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available
        )
        short = f"it needs {_size(needed)}, and {_size(room)} are free" if needed > room else None
        about = f"{pair.model}, {parameters / 1e6:,.1f}M parameters, {_size(needed)}"
        yield Finding("model", about, " and ".join(filter(None, (short, absent))) or None)
    state_bytes = pair.state_bytes
    if cached_folder(pair.generator) is None:
        yield Finding("generator", pair.generator, "it is not on this machine")
    else:
        try:
            config = Generator.from_pretrained(pair.generator).config
        except GeneratorUnavailable as exc:
            yield Finding("generator", pair.generator, str(exc))
            return
        state_bytes = 4 * config.state_size**2 * len(config.targets)
        about = f"{pair.generator}, {len(config.targets)} targets, R {config.state_size}, {config.reading}"
        yield Finding("generator", about)
    if state_bytes:
        yield Finding("a person's memory", f"{_size(state_bytes)}, however much is said")


def _bytes_each(settings: Settings) -> float:
    """Return what one weight takes as `settings` load the model."""
    if settings.quantize != "none":
        return NF4_BYTES
    return HALF_BYTES if torch.cuda.is_available() else FLOAT_BYTES


def _num_parameters(folder: Path) -> int:
    """Return how many numbers the weights in `folder` hold, from the heads of the files."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            for key in weights.keys():  # noqa: SIM118 - it is no dictionary
                total += torch.Size(weights.get_slice(key).get_shape()).numel()
    return total


def _size(num_bytes: int) -> str:
    """Return a number of bytes as people read it."""
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
