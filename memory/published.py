"""The checkpoint format of the paper's authors, read as one of our generators.

A folder in the shape of peft's: `adapter_config.json` with `peft_type` FASTLORA, `adapter_model.safetensors`
with five maps per target. Their code has many more variants than they published weights for; any other is
refused, never guessed at.

Shapes: D hidden size, R state size (`fastlora_inter_size`), r rank (`fastlora_max_rank`).
Source: generative-adaptor/Generative-Adapter-Mistral-7B-Instruct-v0.2 on the hub; arXiv 2411.05877.
"""

import json
import re
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from memory.config import GeneratorConfig, Target

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PEFT_TYPE = "FASTLORA"
# the one variant that was published: what to keep of a state, how to add to it, how to normalise it
VARIANT = {"fastlora_arch": "aassbb", "fastlora_merge": "pre-norm-sum", "fastlora_norm": "svd", "lora_r": 0}
KEY = re.compile(
    r"base_model\.model\.(?P<path>.+)\.(?P<layer>\d+)\.base_layer\.(?P<module>.+)"
    r"\.fastlora_(?P<map>hidden_state_norm|A1|A2|A3|B)\.weight"
)
OUR_MAPS = {"hidden_state_norm": "norm", "A1": "a1", "A2": "a2", "A3": "a3", "B": "b"}


def is_published(folder: Path) -> bool:
    """Whether `folder` holds an adapter in the authors' format."""
    config = folder / CONFIG_FILE
    return config.is_file() and json.loads(config.read_text(encoding="utf-8")).get("peft_type") == PEFT_TYPE


def read_published(folder: Path) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """Return the config of the published generator in `folder` and its weights, `TARGET.MAP` by name.

    Raises:
        ValueError: it is a variant that was never published, or its weights do not belong together.
    """
    published = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    for key, expected in VARIANT.items():
        if published[key] != expected:
            raise ValueError(f"{key}: expected {expected!r}, got {published[key]!r}, which is not supported")
    weights: dict[str, Tensor] = {}
    layers: dict[str, int] = {}
    for key, tensor in load_file(folder / WEIGHTS_FILE).items():
        if not (found := KEY.fullmatch(key)):
            raise ValueError(f"unexpected weight {key}")
        name = f"{found['path']}.{found['layer']}.{found['module']}"
        layers[name] = int(found["layer"])
        weights[f"{name}.{OUR_MAPS[found['map']]}"] = tensor
    state_size = int(published["fastlora_inter_size"])
    ordered = sorted(layers.items(), key=lambda item: (item[1], item[0]))
    return GeneratorConfig(
        targets=tuple(_target(name, layer, weights) for name, layer in ordered),
        state_size=state_size,
        rank=min(int(published["fastlora_max_rank"]), state_size),
        scale=published["fastlora_alpha"] / state_size,
        normalisation="svd",
        key_shift=0,
        reading="sequential",
        window_tokens=int(published["fastlora_window"]),
    ), weights


def _target(name: str, layer: int, weights: dict[str, Any]) -> Target:
    (hidden_size,) = weights[f"{name}.norm"].shape
    in_features, out_features = weights[f"{name}.a1"].shape[1], weights[f"{name}.b"].shape[0]
    return Target(name, layer, hidden_size, in_features, out_features)
