"""The authors' checkpoint format: what is read and what is refused; test_official.py holds the numbers."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from memory.generator import Generator, GeneratorUnavailable

OFFICIAL = Path(__file__).parents[1] / "official"


def test_a_published_folder_becomes_a_generator_of_ours_bit_for_bit(tmp_path: Path) -> None:
    published = Generator.from_pretrained(OFFICIAL / "mistral_low_rank" / "generator")
    published.save_pretrained(tmp_path)
    ours = Generator.from_pretrained(tmp_path)
    assert ours.config == published.config
    assert ours.fingerprint == published.fingerprint
    for name, weight in published.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weight)


def test_a_published_config_says_how_it_reads() -> None:
    config = Generator.from_pretrained(OFFICIAL / "mistral_low_rank" / "generator").config
    assert (config.state_size, config.rank, config.scale) == (24, 6, 12 / 24)
    assert (config.reading, config.window_tokens, config.key_shift, config.passes) == (
        "sequential",
        1024,
        0,
        1,
    )
    assert [target.name for target in config.targets] == [
        f"model.layers.{i}.self_attn.o_proj" for i in range(3)
    ]


@pytest.mark.parametrize(
    ("key", "value"), [("fastlora_norm", "frobenius"), ("fastlora_arch", "ab"), ("lora_r", 8)]
)
def test_a_variant_that_was_never_published_is_refused(tmp_path: Path, key: str, value: object) -> None:
    folder = shutil.copytree(OFFICIAL / "mistral_low_rank" / "generator", tmp_path / "generator")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(GeneratorUnavailable, match=key):
        Generator.from_pretrained(folder)


def test_a_name_nobody_can_look_up_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(GeneratorUnavailable, match="not in the local cache"):
        Generator.from_pretrained("somebody/something-that-is-not-there")
    with pytest.raises(GeneratorUnavailable, match="no folder"):
        Generator.from_pretrained(tmp_path / "nothing")
