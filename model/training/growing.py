"""A model and a generator that begin as smaller trained ones, and answer as those did.

A larger state gets faint new directions that say nothing yet. A model without chunk keys gets the layer that
pools (`model.training.pooling`), further new layers stand before the last: each is a copy of a trained one
whose outputs are zero, its memory's too, so that nothing changes until they learn. Only near keys change
something from the first step: they take over a share of the chunk keys.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor
from transformers import LlamaForCausalLM

from memory.generator import Generator
from model.training.pooling import POOLING, start_near, start_pooling

FAINT = 0.1  # strength of new directions of a state beside trained ones
LAYER = re.compile(r"(?<=layers\.)\d+|(?<=maps\.)\d+")
# what a layer says: to the layers after it, and by its memory
SPOKEN = ("o_proj.weight", "down_proj.weight", ".b")


def grow(
    network: LlamaForCausalLM, generator: Generator, small: LlamaForCausalLM, small_generator: Generator
) -> None:
    """Make `network` and `generator` answer as the smaller ones do.

    Raises:
        ValueError: the models differ in more than the number of layers, the size of the state, own, chunk
            and near keys and gates; or the smaller one has more of them, or less than half the layers.
    """
    few, many = small.config.num_hidden_layers, network.config.num_hidden_layers
    ours, theirs = generator.config, small_generator.config
    wanted = replace(
        ours,
        targets=theirs.targets,
        state_size=theirs.state_size,
        rank=theirs.state_size,
        own_key=theirs.own_key and ours.own_key,
        chunk_key=theirs.chunk_key and ours.chunk_key,
        near_key=theirs.near_key and ours.near_key,
        gate=theirs.gate and ours.gate,
    )
    pools = ours.chunk_key and not theirs.chunk_key
    sources, is_new = _sources(few, many, pools)
    # a layer that is read is the first, that which pools, or the last
    same = {0: 0, POOLING: POOLING, many - 1: few - 1}
    reads = [
        new or theirs.targets[source].layer == same.get(target.layer)
        for target, source, new in zip(ours.targets, sources, is_new, strict=False)
    ]
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
    if (
        theirs != wanted
        or theirs.state_size > ours.state_size
        or not few + pools <= many < 2 * few
        or not all(reads)
        or any(getattr(small.config, size) != getattr(network.config, size) for size in sizes)
    ):
        raise ValueError("the model to start from is of other sizes")
    network.load_state_dict(_deeper(small.float().state_dict(), sources, is_new))
    own = generator.state_dict()
    for name, weight in _deeper(small_generator.state_dict(), sources, is_new).items():
        own[name].mul_(0.0 if name.endswith(".b") else FAINT)
        own[name][tuple(slice(length) for length in weight.shape)] = weight
    generator.load_state_dict(own)
    if pools:
        start_pooling(network, generator)
    elif ours.near_key and not theirs.near_key:
        for maps in generator.maps:
            start_near(maps)


def _sources(few: int, many: int, pools: bool) -> tuple[list[int], list[bool]]:
    """Return of each of `many` layers which of `few` it is or is a copy of, and whether it is new."""
    num_copies = max(0, many - few - pools)
    # the last stays the last, the copies are of those before it, no two of the same
    sources = [*range(few - 1), *range(max(0, few - 1 - num_copies), few - 1), few - 1]
    is_new = [False] * (few - 1) + [True] * (len(sources) - few) + [False]
    if pools:
        sources.insert(POOLING, POOLING)
        is_new.insert(POOLING, True)
    return sources, is_new


def _deeper(
    weights: Mapping[str, Tensor], sources: Sequence[int], is_new: Sequence[bool]
) -> dict[str, Tensor]:
    """Return weights of as many layers, and of the generator's maps for them, as there are sources."""
    deeper = {name: weight for name, weight in weights.items() if not LAYER.search(name)}
    for layer, (source, new) in enumerate(zip(sources, is_new, strict=True)):
        for name, weight in weights.items():
            found = LAYER.search(name)
            if found and int(found[0]) == source:
                silent = new and name.endswith(SPOKEN)
                deeper[LAYER.sub(str(layer), name)] = weight * 0 if silent else weight.clone()
    return deeper
