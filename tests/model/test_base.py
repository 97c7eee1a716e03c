"""Loading a model, reading with it, and putting an adapter on it and taking it off for certain."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from memory.generator import Generator, GeneratorUnavailable
from memory.state import MemoryState
from model.application import applied
from model.base import BaseModel, ModelUnavailable, layer_inputs

IDS = [5, 9, 21, 40, 7, 33, 120, 8, 77]


@pytest.fixture(scope="module")
def lm(tiny_model: Path) -> BaseModel:
    return BaseModel.load(tiny_model, quantize="none", device="cpu")


@pytest.fixture(scope="module")
def generator(tiny_model: Path) -> Generator:
    return Generator.from_pretrained(tiny_model / "generator")


@pytest.fixture
def state(lm: BaseModel, generator: Generator) -> MemoryState:
    return lm.read(IDS, generator.empty_state(), generator)


def test_an_adapter_changes_the_logits_as_merged_weights_would(
    lm: BaseModel, generator: Generator, state: MemoryState
) -> None:
    adapter = generator.adapter(state)
    adapted = lm.logits(IDS, adapter)
    assert not torch.allclose(adapted, lm.logits(IDS))
    for name in adapter.updates:
        lm.network.get_submodule(name).weight += adapter.delta(name)
    merged = lm.logits(IDS)
    for name in adapter.updates:
        lm.network.get_submodule(name).weight -= adapter.delta(name)
    torch.testing.assert_close(adapted, merged, rtol=1e-4, atol=1e-4)


def test_likelihoods_are_those_of_one_token_after_the_other(
    lm: BaseModel, generator: Generator, state: MemoryState
) -> None:
    """Each asked for alone, with all that stands before it, under a memory and under none."""
    for adapter in (None, generator.adapter(state)):
        slow = [lm.logits(IDS[:i], adapter)[-1].log_softmax(-1)[IDS[i]] for i in range(4, len(IDS))]
        fast = lm.log_likelihoods(IDS[:4], IDS[4:], adapter)
        torch.testing.assert_close(fast, torch.stack(slow), rtol=1e-4, atol=1e-4)


def test_an_empty_memory_is_exactly_the_base_model(lm: BaseModel, generator: Generator) -> None:
    assert torch.equal(lm.logits(IDS, generator.adapter(generator.empty_state())), lm.logits(IDS))


def test_the_base_model_is_untouched_to_the_last_bit_after_an_exception_inside(
    lm: BaseModel, generator: Generator, state: MemoryState
) -> None:
    before = lm.logits(IDS)
    with pytest.raises(KeyError), applied(lm.network, generator.adapter(state)):
        raise KeyError
    with pytest.raises(IndexError):
        lm.logits([10**6], generator.adapter(state))
    assert torch.equal(lm.logits(IDS), before)


def test_reading_counts_the_marked_tokens_and_sees_the_rest(lm: BaseModel, generator: Generator) -> None:
    empty = generator.empty_state()
    whole = lm.read(IDS, empty, generator)
    first = lm.read(IDS[:4], empty, generator)
    rest = lm.read(IDS, first, generator, counts=[i >= 4 for i in range(len(IDS))])
    assert rest.num_tokens == whole.num_tokens == len(IDS)
    for name, expected in whole.sums.items():
        torch.testing.assert_close(rest.sums[name], expected, rtol=1e-4, atol=1e-4)
    alone = lm.read(IDS[4:], first, generator)
    assert any(not torch.allclose(alone.sums[n], s, rtol=1e-3) for n, s in whole.sums.items())


def test_what_is_read_is_the_input_of_each_decoder_layer(lm: BaseModel) -> None:
    seen = []
    layers = lm.network.model.layers
    handles = [layer.register_forward_pre_hook(lambda _m, args: seen.append(args[0])) for layer in layers]
    with torch.inference_mode():
        hidden = layer_inputs(lm.network, {"input_ids": torch.tensor([IDS]), "use_cache": False})
    for handle in handles:
        handle.remove()
    assert len(seen) == len(hidden) == 2
    assert all(torch.equal(hidden[i], h) for i, h in enumerate(seen))


def test_reading_leaves_no_adapter_behind_and_none_in_the_way(
    lm: BaseModel, generator: Generator, state: MemoryState
) -> None:
    again = lm.read(IDS, generator.empty_state(), generator)
    assert again.digest == state.digest


def test_nf4_loads_and_stays_near_the_full_precision(lm: BaseModel, tiny_model: Path) -> None:
    quantised = BaseModel.load(tiny_model, quantize="nf4", device="cpu")
    assert type(quantised.network.model.layers[0].self_attn.o_proj).__name__ == "Linear4bit"
    assert quantised.fingerprint != lm.fingerprint
    a, b = quantised.logits(IDS), lm.logits(IDS)
    assert (a - b).norm() < 0.5 * b.norm()


def test_one_folder_has_one_fingerprint_wherever_it_lies(
    tiny_model: Path, tmp_path: Path, lm: BaseModel
) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    assert BaseModel.load(copy, quantize="none", device="cpu").fingerprint == lm.fingerprint
    (copy / "tokenizer_config.json").write_text((copy / "tokenizer_config.json").read_text() + "\n")
    assert BaseModel.load(copy, quantize="none", device="cpu").fingerprint != lm.fingerprint


def test_a_generator_of_another_model_is_refused(lm: BaseModel, generator: Generator) -> None:
    lm.require_fit(generator)
    target = generator.config.targets[0]
    for wrong in (replace(target, name="model.layers.9.self_attn.o_proj"), replace(target, in_features=5)):
        config = replace(generator.config, targets=(wrong,))
        with pytest.raises(GeneratorUnavailable, match=r"o_proj"):
            lm.require_fit(Generator(config))


def test_weights_cut_short_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelUnavailable, match="is not a language model"):
        BaseModel.load(copy, device="cpu")


@pytest.mark.parametrize("content", [None, "{}", "[]", '{"model_type": "no-such-type"}', "not json"])
def test_a_folder_that_is_no_model_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelUnavailable, match="is not a language model that can be loaded") as caught:
        BaseModel.load(tmp_path, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_name_that_is_nowhere_is_refused_without_asking_a_hub() -> None:
    with pytest.raises(ModelUnavailable, match="nobody/nothing"):
        BaseModel.load("nobody/nothing", device="cpu")
