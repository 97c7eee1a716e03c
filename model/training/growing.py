"""A model and a generator that begin as smaller trained ones, and answer as those did.

A larger state gets faint new directions that say nothing yet. New layers stand before the last: each is a
copy of a trained one whose outputs are zero, its memory's too, so that nothing changes until they learn.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor
from transformers import LlamaForCausalLM

from memory.generator import Generator

FAINT = 0.1  # strength of new directions of a state beside trained ones
LAYER = re.compile(r"(?<=layers\.)\d+|(?<=maps\.)\d+")
# what a layer says: to the layers after it, and by its memory
SPOKEN = ("o_proj.weight", "down_proj.weight", ".b")


def grow(
    network: LlamaForCausalLM, generator: Generator, small: LlamaForCausalLM, small_generator: Generator
) -> None:
    """Make `network` and `generator` answer as the smaller ones do.

    Raises:
        ValueError: the models differ in more than the number of layers, the size of the state, own keys and
            gates; or the smaller one has more of them, or less than half the layers.
    """
    few, many = small.config.num_hidden_layers, network.config.num_hidden_layers
    ours, theirs = generator.config, small_generator.config
    wanted = replace(
        ours,
        targets=theirs.targets,
        state_size=theirs.state_size,
        rank=theirs.state_size,
        own_key=theirs.own_key and ours.own_key,
        gate=theirs.gate and ours.gate,
    )
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
    if (
        theirs != wanted
        or theirs.state_size > ours.state_size
        or not few <= many < 2 * few
        or [t.layer for t in theirs.targets] != [min(t.layer, few - 1) for t in ours.targets[:few]]
        or any(getattr(small.config, size) != getattr(network.config, size) for size in sizes)
    ):
        raise ValueError("the model to start from is of other sizes")
    network.load_state_dict(_deeper(small.float().state_dict(), few, many))
    own = generator.state_dict()
    for name, weight in _deeper(small_generator.state_dict(), few, many).items():
        own[name].mul_(0.0 if name.endswith(".b") else FAINT)
        own[name][tuple(slice(length) for length in weight.shape)] = weight
    generator.load_state_dict(own)


def _deeper(weights: Mapping[str, Tensor], few: int, many: int) -> dict[str, Tensor]:
    """Return the weights of `few` layers, and of the generator's maps for them, as those of `many`."""
    deeper = {name: weight for name, weight in weights.items() if not LAYER.search(name)}
    for layer in range(many):
        is_new = few - 1 <= layer < many - 1
        # the last stays the last; the new ones are copies of those before it, no two of the same
        source = layer if layer < few - 1 else layer - (many - few)
        for name, weight in weights.items():
            found = LAYER.search(name)
            if found and int(found[0]) == source:
                silent = is_new and name.endswith(SPOKEN)
                deeper[LAYER.sub(str(layer), name)] = weight * 0 if silent else weight.clone()
    return deeper
