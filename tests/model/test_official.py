"""The mathematics against golden outputs of the authors' code (tests/official/README.md)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from memory.generator import Generator
from model.base import BaseModel

OFFICIAL = Path(__file__).parents[1] / "official"


def pair(name: str) -> tuple[BaseModel, Generator, dict[str, Tensor]]:
    folder = OFFICIAL / name
    golden = {
        # their name of a decoder layer has their wrapper in it
        key.replace(".base_layer", ""): tensor
        for key, tensor in load_file(folder / "golden.safetensors").items()
    }
    lm = BaseModel.load(folder / "base", quantize="none", device="cpu")
    return lm, Generator.from_pretrained(folder / "generator"), golden


def distance(got: Tensor, expected: Tensor) -> float:
    """Relative distance of two tensors of one shape."""
    assert got.shape == expected.shape
    return ((got - expected).norm() / expected.norm()).item()


def test_states_updates_and_logits_are_those_of_the_authors_after_every_chunk() -> None:
    lm, generator, golden = pair("mistral_full_rank")
    query = golden["query_ids"][0].tolist()
    assert distance(lm.logits(query), golden["query_logits_base"][0]) < 1e-4
    state = generator.empty_state()
    for chunk in range(3):
        state = lm.read(golden[f"chunk{chunk}_ids"][0].tolist(), state, generator)
        adapter = generator.adapter(state)
        for target in generator.config.targets:
            assert distance(state.sums[target.name], golden[f"chunk{chunk}.state.{target.name}"]) < 1e-4
            assert distance(adapter.delta(target.name), golden[f"chunk{chunk}.delta.{target.name}"]) < 1e-4
        assert distance(lm.logits(query, adapter), golden[f"chunk{chunk}_query_logits"][0]) < 1e-4


@pytest.mark.parametrize("name", ["mistral_low_rank", "mistral_few_tokens"])
def test_the_first_state_is_that_of_the_authors(name: str) -> None:
    """From the second chunk on theirs depends on an unseeded random number."""
    lm, generator, golden = pair(name)
    state = lm.read(golden["chunk0_ids"][0].tolist(), generator.empty_state(), generator)
    for target in generator.config.targets:
        assert distance(state.sums[target.name], golden[f"chunk0.state.{target.name}"]) < 1e-4


def test_one_state_has_one_adapter_bit_for_bit() -> None:
    lm, generator, golden = pair("mistral_low_rank")
    state = lm.read(golden["chunk0_ids"][0].tolist(), generator.empty_state(), generator)
    first, second = generator.adapter(state), generator.adapter(state)
    for target in generator.config.targets:
        assert torch.equal(first.delta(target.name), second.delta(target.name))


def test_an_adapter_has_no_direction_that_the_tokens_do_not_span() -> None:
    lm, generator, golden = pair("mistral_few_tokens")
    ids = golden["chunk0_ids"][0].tolist()
    adapter = generator.adapter(lm.read(ids, generator.empty_state(), generator))
    for target in generator.config.targets:
        assert len(ids) < generator.config.rank
        assert adapter.updates[target.name].u.shape[1] == len(ids)
        singular = torch.linalg.svdvals(adapter.delta(target.name))
        assert singular[len(ids)] < 1e-5 * singular[0]


def test_a_chunk_is_read_under_the_adapter_of_those_before_it() -> None:
    lm, generator, golden = pair("mistral_full_rank")
    first, second = (golden[f"chunk{i}_ids"][0].tolist() for i in range(2))
    after_first = lm.read(first, generator.empty_state(), generator)
    both = lm.read(second, after_first, generator)
    alone = lm.read(second, generator.empty_state(), generator)
    deepest = generator.config.targets[-1].name
    assert distance(both.sums[deepest] - after_first.sums[deepest], alone.sums[deepest]) > 1e-3
