"""The layer that pools: it compares a question with whole messages, by all of their words at once.

A key made of one token's hidden state has to hold what its whole message is about, and hardly learns to.
Where words are simply pooled, on both sides and in the same way, question and message find each other almost
from the first step (as bags of words do, trained as Karpukhin et al., arXiv 2004.04906, train encoders). In
this layer attention begins as a mean over all that stands before, so what its output projection gets, of
which the queries are made, is a mean hidden state; its keys are the means of the messages (`chunk_key`), with
the words near the token once more (`near_key`: many a message tells several things), and all begin in the
same space.

A lesson of its own lets many more people's questions find their messages and name the value told there, at
the cost of a few layers only: what the memory of this target returns is read as the next token, as if it were
all that the last layer gets (the logit lens, nostalgebraist, 2020).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaForCausalLM

from memory.generator import Generator
from model.training.episodes import Batch
from model.training.retrieval import Places, caught_inputs, first_sought

POOLING = 2  # the layer
EVEN = 0.02  # deviation of the weights of attention that begins as a mean
NEAR = 0.5  # share of the neighbours in a mean of the message, where they begin


@torch.no_grad()
def start_pooling(network: LlamaForCausalLM, generator: Generator) -> None:
    """Make the layer begin as it should: a mean of hidden states, compared with means of messages."""
    layer: Any = network.model.layers[POOLING]
    maps: Any = generator.maps[POOLING]
    nn.init.normal_(layer.self_attn.q_proj.weight, std=EVEN)
    nn.init.normal_(layer.self_attn.k_proj.weight, std=EVEN)
    nn.init.eye_(layer.self_attn.v_proj.weight)
    nn.init.ones_(layer.input_layernorm.weight)
    nn.init.orthogonal_(maps.a1)
    maps.a5.copy_(maps.a1)
    start_near(maps)
    nn.init.zeros_(maps.a2)
    nn.init.zeros_(maps.a4)


@torch.no_grad()
def start_near(maps: Any) -> None:
    """Let the neighbours of a token begin with a share of what its chunk gives to its key."""
    maps.a6.copy_(NEAR * maps.a5)
    maps.a5.mul_(1 - NEAR)


def hold_together(generator: Generator) -> None:
    """Let the keys of the layer that pools be means for good, of messages and of what is near: they learn no
    other part."""
    maps: Any = generator.maps[POOLING]
    maps.a2.requires_grad_(False)
    maps.a4.requires_grad_(False)


def finding_losses(
    network: LlamaForCausalLM, generator: Generator, batch: Batch
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the losses of the people who only seek, each with the number of questions that it is a sum over.

    `finding` is that of retrieval, `naming` that of the first token of the value.
    """
    places = Places()
    size = generator.config.state_size
    sums = torch.zeros(batch.num_seekers, size, size, device=network.device)
    asked: list[tuple[Tensor, Tensor, Tensor]] = []
    name = generator.config.targets[POOLING].name
    depth = network.config.num_hidden_layers
    network.config.num_hidden_layers = POOLING + 1
    try:
        for rows in batch.messages:
            states = network.model(input_ids=rows.ids, use_cache=False, output_hidden_states=True)
            tokens = generator.tokens({POOLING: states.hidden_states[POOLING]}, rows.weight)
            places.add_keys(tokens, rows)
            sums = sums.index_add(0, rows.person, tokens[name].sum(rows.weight))
        for rows in batch.asking:
            with caught_inputs(network, [name]) as inputs:
                network.model(input_ids=rows.ids, use_cache=False)
            places.add_queries(generator, inputs, rows)
            first = first_sought(rows)
            first &= first.cumsum(1) == 1
            asked.append((inputs[name][first.roll(-1, dims=1)], rows.ids[first], rows.person[first.any(1)]))
    finally:
        network.config.num_hidden_layers = depth
    read, named, person = (torch.cat(each) for each in zip(*asked, strict=True))
    adapter = generator.training_adapter({name: sums}).rows(person)
    returned = adapter.updates[name](read.unsqueeze(1)).squeeze(1)
    logits = network.lm_head(network.model.norm(returned))
    naming = functional.cross_entropy(logits, named, reduction="sum")
    return {"finding": places.loss(), "naming": (naming, naming.new_tensor(float(len(named))))}
