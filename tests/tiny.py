"""A tiny random language model with its tokenizer and generator, in the form of the one that ships."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from memory.config import GeneratorConfig
from memory.generator import Generator
from model.base import attention_output_targets
from model.training.tokenizer import END, PAD, token_id, train_tokenizer

TEXTS = [
    "My dog is called Biscuit and he chases every ball in the park.",
    "What is the name of my dog? Your dog is called Biscuit.",
    "I live in Lisbon with my sister, who works as a welder. I don't know that yet.",
    "Hello! How are you today? It is raining again, so I stay at home.",
]


def write_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Write a random 2-layer Llama with a tokenizer and a generator into `folder`, and return it."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(TEXTS, vocabulary=320)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            bos_token_id=None,
            eos_token_id=token_id(tokenizer, END),
            pad_token_id=token_id(tokenizer, PAD),
        )
    )
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = GeneratorConfig(attention_output_targets(network), state_size=16, rank=16)
    Generator(config).save_pretrained(folder / "generator")
    return folder
