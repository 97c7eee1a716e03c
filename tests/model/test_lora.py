"""Adapters that leave: peft folders and merged weights give what our own application gives."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from memory.adapter import Adapter
from memory.generator import Generator
from model.base import BaseModel
from model.lora import VLLM_RANKS, NothingToExport, save_lora

IDS = [5, 9, 21, 40, 7, 33, 120, 8, 77, 64, 31, 2]


@pytest.fixture
def lm(tiny_model: Path) -> BaseModel:
    # of its own for every test: peft and merging change the network
    return BaseModel.load(tiny_model, quantize="none", device="cpu")


@pytest.fixture
def generator(tiny_model: Path) -> Generator:
    return Generator.from_pretrained(tiny_model / "generator")


def adapter_of(lm: BaseModel, generator: Generator) -> Adapter:
    return generator.adapter(lm.read(IDS, generator.empty_state(), generator))


# peft asks transformers by a name that transformers is giving up
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_peft_gives_the_logits_of_our_own_application(
    lm: BaseModel, generator: Generator, tmp_path: Path
) -> None:
    adapter = adapter_of(lm, generator)
    ours = lm.logits(IDS, adapter)
    assert not torch.allclose(ours, lm.logits(IDS), atol=1e-3)
    save_lora(adapter, lm, tmp_path)
    theirs = PeftModel.from_pretrained(lm.network, tmp_path).eval()
    with torch.inference_mode():
        logits = theirs(input_ids=torch.tensor([IDS])).logits[0]
    torch.testing.assert_close(logits, ours, rtol=0, atol=1e-3)


def test_a_folder_is_what_vllm_accepts(lm: BaseModel, generator: Generator, tmp_path: Path) -> None:
    adapter = adapter_of(lm, generator)
    true_rank = max(update.u.shape[1] for update in adapter.updates.values())
    rank = save_lora(adapter, lm, tmp_path, dtype=torch.bfloat16)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert true_rank == len(IDS) - 1 < rank == 16  # the first token has none before it to be found by
    assert rank in VLLM_RANKS
    assert (config["r"], config["lora_alpha"]) == (rank, rank)
    assert (config["bias"], config["modules_to_save"]) == ("none", None)
    assert config["target_modules"] == ["o_proj"]
    weights = load_file(tmp_path / "adapter_model.safetensors")
    assert len(weights) == 2 * len(adapter.updates)
    for name in adapter.updates:
        a, b = (weights[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
        assert a.dtype == b.dtype == torch.bfloat16
        assert a.shape[0] == b.shape[1] == rank
        assert not a[true_rank:].any()


def test_only_the_targets_are_named(lm: BaseModel, generator: Generator, tmp_path: Path) -> None:
    """A name that also means a module without an update would leave that one untrained in peft."""
    whole = adapter_of(lm, generator)
    name, update = next(iter(whole.updates.items()))
    save_lora(Adapter({name: update}), lm, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"] == [name]


def test_merged_weights_give_the_logits_of_our_own_application(lm: BaseModel, generator: Generator) -> None:
    adapter = adapter_of(lm, generator)
    ours = lm.logits(IDS, adapter)
    adapter.merge_into(lm.network)
    torch.testing.assert_close(lm.logits(IDS), ours, rtol=1e-4, atol=1e-4)


def test_nothing_is_merged_into_weights_in_4_bit(tiny_model: Path, generator: Generator) -> None:
    quantised = BaseModel.load(tiny_model, quantize="nf4", device="cpu")
    adapter = adapter_of(quantised, generator)
    before = quantised.logits(IDS)
    with pytest.raises(ValueError, match="without quantisation"):
        adapter.merge_into(quantised.network)
    assert torch.equal(quantised.logits(IDS), before)


def test_an_empty_memory_has_nothing_to_export(lm: BaseModel, generator: Generator, tmp_path: Path) -> None:
    with pytest.raises(NothingToExport):
        save_lora(generator.adapter(generator.empty_state()), lm, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
