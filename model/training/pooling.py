"""The layer that pools: it compares a question with whole messages, by all of their words at once.

A key made of one token's hidden state has to hold what its whole message is about, and hardly learns to.
Where words are simply pooled, on both sides and in the same way, question and message find each other almost
from the first step (as bags of words do, trained as Karpukhin et al., arXiv 2004.04906, train encoders). In
this layer attention begins as a mean over all that stands before, so what its output projection gets, of
which the queries are made, is a mean hidden state; its keys are the means of the messages (`chunk_key`), and
both begin in the same space.

A lesson of its own lets many more people's questions find their messages, at the cost of a few layers only.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from memory.generator import Generator
from model.training.episodes import Batch
from model.training.retrieval import Places, caught_inputs

POOLING = 2  # the layer
EVEN = 0.02  # deviation of the weights of attention that begins as a mean


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
    nn.init.zeros_(maps.a2)
    nn.init.zeros_(maps.a4)


def finding_loss(network: LlamaForCausalLM, generator: Generator, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the retrieval loss of the people who only seek, and the number of their questions."""
    places = Places()
    name = generator.config.targets[POOLING].name
    depth = network.config.num_hidden_layers
    network.config.num_hidden_layers = POOLING + 1
    try:
        for rows in batch.messages:
            states = network.model(input_ids=rows.ids, use_cache=False, output_hidden_states=True)
            tokens = generator.tokens({POOLING: states.hidden_states[POOLING]}, rows.weight)
            places.add_keys(tokens, rows)
        for rows in batch.asking:
            with caught_inputs(network, [name]) as inputs:
                network.model(input_ids=rows.ids, use_cache=False)
            places.add_queries(generator, inputs, rows)
    finally:
        network.config.num_hidden_layers = depth
    return places.loss()
