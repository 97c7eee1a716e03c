"""Decoder families, each a tiny random model: read, adapted, left as it was."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Phi3Config,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
)

from memory.config import GeneratorConfig
from memory.generator import Generator
from model.base import BaseModel, ModelUnavailable, attention_output_targets, layer_inputs

IDS = [5, 9, 21, 40, 7, 33, 12, 8, 77]
SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
GROUPED = {"num_key_value_heads": 2}
FAMILIES: dict[str, tuple[Callable[..., Any], dict[str, Any], str]] = {
    "llama": (LlamaConfig, GROUPED, "self_attn.o_proj"),
    "mistral": (MistralConfig, GROUPED, "self_attn.o_proj"),
    "qwen2": (Qwen2Config, GROUPED, "self_attn.o_proj"),
    "qwen3": (Qwen3Config, {**GROUPED, "head_dim": 12}, "self_attn.o_proj"),
    "gemma": (GemmaConfig, {**GROUPED, "head_dim": 8}, "self_attn.o_proj"),
    "gemma2": (Gemma2Config, {**GROUPED, "head_dim": 8}, "self_attn.o_proj"),
    "gemma3": (Gemma3TextConfig, {**GROUPED, "head_dim": 8}, "self_attn.o_proj"),
    "phi": (PhiConfig, {}, "self_attn.dense"),
    "phi3": (Phi3Config, GROUPED, "self_attn.o_proj"),
    "gpt_neox": (GPTNeoXConfig, {}, "attention.dense"),
}


def tiny(make_config: Callable[..., Any], **sizes: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(make_config(**sizes)).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_read_adapted_and_left_as_it_was(family: str) -> None:
    make_config, more, expected = FAMILIES[family]
    lm = BaseModel(tiny(make_config, **SIZES, **more), None, family, "0")
    targets = attention_output_targets(lm.network)
    assert [(t.layer, t.name.partition(f".{t.layer}.")[2]) for t in targets] == [
        (i, expected) for i in range(3)
    ]
    torch.manual_seed(1)
    generator = Generator(GeneratorConfig(targets, state_size=12, rank=12)).eval().requires_grad_(False)
    before = lm.logits(IDS)
    adapter = generator.adapter(lm.read(IDS, generator.empty_state(), generator))
    assert not torch.allclose(lm.logits(IDS, adapter), before, atol=1e-4)
    assert torch.equal(lm.logits(IDS), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_read_of_a_family_is_the_input_of_each_of_its_layers(family: str) -> None:
    make_config, more, expected = FAMILIES[family]
    network = tiny(make_config, **SIZES, **more)
    seen: list[Tensor] = []
    for target in attention_output_targets(network):
        layer = network.get_submodule(target.name.removesuffix(f".{expected}"))
        layer.register_forward_pre_hook(
            lambda _module, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
    with torch.inference_mode():
        hidden = layer_inputs(network, {"input_ids": torch.tensor([IDS]), "use_cache": False})
    assert len(seen) == len(hidden) == 3
    assert all(torch.equal(hidden[i], h) for i, h in enumerate(seen))


@pytest.mark.parametrize(
    ("make_config", "sizes", "reason"),
    [
        (MambaConfig, {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2}, "no attention"),
        (GPT2Config, {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 2}, "more than one token"),
    ],
)
def test_a_family_that_cannot_be_adapted_is_refused_with_the_reason(
    make_config: Callable[..., Any], sizes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelUnavailable, match=reason):
        attention_output_targets(tiny(make_config, **sizes))
