"""The generator against a slow reference: the paper's sum, token by token."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from memory.config import GeneratorConfig, Target
from memory.generator import (
    OPEN,
    Generator,
    GeneratorMismatch,
    GeneratorUnavailable,
    TargetMaps,
    _chunk_means,
    _chunk_numbers,
    _near_means,
)

WIDTH, SIZE = 12, 8
TARGETS = (Target("layers.0.o_proj", 0, WIDTH, 10, 14), Target("layers.1.o_proj", 1, WIDTH, 10, 14))


def some_generator(seed: int = 0, **changes: object) -> Generator:
    torch.manual_seed(seed)
    config = GeneratorConfig(TARGETS, state_size=SIZE, rank=SIZE, **changes)  # type: ignore[arg-type]
    return Generator(config)


def some_hidden(num_tokens: int, seed: int = 1) -> dict[int, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {layer: torch.randn(num_tokens, WIDTH, generator=random) for layer in (0, 1)}


def slow_sum(maps: TargetMaps, hidden: Tensor, mask: list[bool], key_shift: int) -> Tensor:
    """S, one token after the other, in double precision."""
    total = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    rows = [h.double() / (h.double().square().mean() + 1e-6).sqrt() * maps.norm.double() for h in hidden]
    for t, counts in enumerate(mask):
        if not counts:
            continue
        before = rows[t - key_shift] if t >= key_shift else torch.zeros(WIDTH, dtype=torch.float64)
        key, value, weight = maps.a2.double() @ before, maps.a3.double() @ rows[t], 1.0
        if maps.a4 is not None:
            key = key + maps.a4.double() @ rows[t]
        if maps.a5 is not None and maps.pooling is not None:
            first = last = t
            while first > 0 and mask[first - 1]:
                first -= 1
            while last + 1 < len(mask) and mask[last + 1]:
                last += 1
            shares = [math.exp((maps.pooling.double() @ row).item()) for row in rows[first : last + 1]]
            mean = sum(share * row for share, row in zip(shares, rows[first : last + 1], strict=True))
            key = key + maps.a5.double() @ (mean / sum(shares))
            if maps.a6 is not None and maps.length is not None and maps.length_bias is not None:
                odds = [(maps.length.double() @ row + maps.length_bias.double()).item() for row in rows]
                lengths = [math.log1p(math.exp(x)) for x in odds]
                for i in range(first, last + 1):
                    shares[i - first] *= math.exp(-sum(lengths[min(i, t) + 1 : max(i, t) + 1]))
                mean = sum(share * row for share, row in zip(shares, rows[first : last + 1], strict=True))
                key = key + maps.a6.double() @ (mean / sum(shares))
        if maps.gate is not None and maps.gate_bias is not None:
            weight = 1 / (1 + math.exp(-(maps.gate.double() @ rows[t] + maps.gate_bias.double()).item()))
        total += weight * torch.outer(key, value)
    return total


@pytest.mark.parametrize(
    "options",
    [
        {"key_shift": 0},
        {"key_shift": 1},
        {"key_shift": 1, "own_key": True, "gate": True},
        {"key_shift": 0, "chunk_key": True},
        {"key_shift": 1, "own_key": True, "chunk_key": True, "gate": True},
        {"key_shift": 1, "own_key": True, "chunk_key": True, "near_key": True, "gate": True},
    ],
)
@pytest.mark.parametrize(("num_context", "num_tokens"), [(0, 1), (0, 7), (3, 63), (7, 7)])
def test_fold_is_the_sum_over_the_tokens_that_count(
    num_context: int, num_tokens: int, options: dict[str, int]
) -> None:
    generator, hidden = some_generator(**options), some_hidden(num_tokens)
    for name, parameter in generator.named_parameters():
        # which begin without effect
        if any(part in name for part in ("gate", "a4", "a5", "a6", "pooling", "length")):
            torch.nn.init.normal_(parameter)
    mask = [t >= num_context and t % 3 != 1 for t in range(num_tokens)]
    state = generator.fold(generator.empty_state(), hidden, torch.tensor(mask))
    assert state.num_tokens == sum(mask)
    for target, maps in zip(TARGETS, generator.maps, strict=True):
        assert isinstance(maps, TargetMaps)
        expected = slow_sum(maps, hidden[target.layer], mask, options["key_shift"]).float()
        torch.testing.assert_close(state.sums[target.name], expected, rtol=1e-4, atol=1e-4)


def test_keys_and_a_gate_beside_those_of_the_paper_begin_as_if_they_were_not_there() -> None:
    plain, more = some_generator(), some_generator(own_key=True, chunk_key=True, near_key=True, gate=True)
    hidden, mask = some_hidden(20), torch.ones(20, dtype=torch.bool)
    for target in TARGETS:
        sums = [g.fold(g.empty_state(), hidden, mask).sums[target.name] for g in (plain, more)]
        torch.testing.assert_close(sums[1], torch.sigmoid(torch.tensor(OPEN)) * sums[0])


def test_each_chunk_has_a_mean_however_much_less_its_words_weigh_than_another_ones() -> None:
    """Of two chunks in one row the one is e^1000 times as heavy; each goes by its own heaviest word."""
    scores = torch.tensor([[0.0, -1000.0, 0.0, 500.0, 1500.0]])
    x, chunks = torch.eye(5).unsqueeze(0), _chunk_numbers(torch.tensor([[1, 1, 0, 1, 1]]))
    expected = torch.stack([x[0, 0], x[0, 0], torch.zeros(5), x[0, 4], x[0, 4]])
    torch.testing.assert_close(_chunk_means(x, scores, chunks)[0], expected)
    torch.testing.assert_close(_near_means(x, scores, torch.ones(1, 5), chunks)[0], expected)


def test_fold_leaves_the_state_it_was_given_as_it_was() -> None:
    generator = some_generator()
    before = generator.fold(generator.empty_state(), some_hidden(5), torch.ones(5, dtype=torch.bool))
    digest = before.digest
    generator.fold(before, some_hidden(9, seed=2), torch.ones(9, dtype=torch.bool))
    assert before.digest == digest


def test_the_size_of_a_state_does_not_depend_on_how_much_was_read() -> None:
    generator = some_generator()
    few = generator.fold(generator.empty_state(), some_hidden(2), torch.ones(2, dtype=torch.bool))
    many = generator.fold(generator.empty_state(), some_hidden(500), torch.ones(500, dtype=torch.bool))
    assert {n: s.shape for n, s in few.sums.items()} == {n: s.shape for n, s in many.sums.items()}


def test_the_adapter_is_the_low_rank_update_written_out() -> None:
    generator = some_generator(scale=0.5)
    state = generator.fold(generator.empty_state(), some_hidden(4), torch.ones(4, dtype=torch.bool))
    adapter = generator.adapter(state)
    y = torch.randn(2, 3, 10)
    for name, update in adapter.updates.items():
        assert update.v is not None
        delta = update.b @ update.v @ update.u.T @ update.a1
        torch.testing.assert_close(adapter.delta(name), delta)
        torch.testing.assert_close(update(y), 0.5 * y @ delta.T)
        assert update.u.shape[1] == 3  # four tokens make three pairs of a token and the one before


def test_the_same_state_gives_the_same_adapter_to_the_last_bit() -> None:
    generator = some_generator()
    state = generator.fold(generator.empty_state(), some_hidden(30), torch.ones(30, dtype=torch.bool))
    first, second = generator.adapter(state), generator.adapter(state)
    assert all(torch.equal(first.delta(t.name), second.delta(t.name)) for t in TARGETS)


def test_the_adapter_of_an_empty_state_adds_nothing_at_all() -> None:
    generator = some_generator()
    for update in generator.adapter(generator.empty_state()).updates.values():
        assert torch.equal(update(torch.randn(1, 6, 10)), torch.zeros(1, 6, 14))


def test_training_adapts_each_row_as_its_own_person_would_be() -> None:
    generator = some_generator()
    masks = torch.ones(3, 9, dtype=torch.bool)
    hidden = [some_hidden(9, seed) for seed in range(3)]
    batched = generator.sums({layer: torch.stack([h[layer] for h in hidden]) for layer in (0, 1)}, masks)
    owners = torch.tensor([2, 0, 0, 1])
    adapter = generator.training_adapter(batched).rows(owners)
    y = torch.randn(4, 5, 10)
    for row, owner in enumerate(owners.tolist()):
        alone = generator.adapter(generator.fold(generator.empty_state(), hidden[owner], masks[0]))
        for name, update in adapter.updates.items():
            expected = alone.updates[name](y[row : row + 1])[0]
            torch.testing.assert_close(update(y)[row], expected, rtol=1e-3, atol=1e-4)


def test_a_generator_comes_back_from_its_folder_bit_for_bit(tmp_path: Path) -> None:
    generator = some_generator(scale=0.7, key_shift=0)
    generator.save_pretrained(tmp_path)
    loaded = Generator.from_pretrained(tmp_path)
    assert loaded.config == generator.config
    assert loaded.fingerprint == generator.fingerprint
    assert all(torch.equal(w, loaded.state_dict()[n]) for n, w in generator.state_dict().items())


def test_a_state_of_another_generator_is_refused() -> None:
    state = some_generator(seed=0).empty_state()
    other = some_generator(seed=1)
    with pytest.raises(GeneratorMismatch):
        other.adapter(state)
    with pytest.raises(GeneratorMismatch):
        other.fold(state, some_hidden(2), torch.ones(2, dtype=torch.bool))


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[]",
        "{}",
        '{"format": "remanence-generator-1"}',
        '{"format": "remanence-generator-1", "targets": [{}]}',
    ],
)
def test_a_folder_that_is_no_generator_is_refused_with_its_name(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(GeneratorUnavailable, match=tmp_path.name):
        Generator.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"rank": 0}, {"rank": 99}, {"normalisation": "no"}, {"key_shift": 2}, {"passes": 3}]
)
def test_a_config_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    values: dict[str, object] = {"targets": TARGETS, "state_size": SIZE, "rank": SIZE, **wrong}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GeneratorConfig(**values)  # type: ignore[arg-type]


def test_a_generator_without_weights_or_with_an_unknown_option_is_refused(tmp_path: Path) -> None:
    some_generator().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "surprise": 1}))
    with pytest.raises(GeneratorUnavailable, match="surprise"):
        Generator.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(GeneratorUnavailable):
        Generator.from_pretrained(tmp_path)
