"""Made-up people, batches and the training loop, on a corpus of a few words."""

import gzip
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from memory.generator import Generator
from model.base import BaseModel
from model.conversation import Exchange, fold
from model.training.corpus import paired
from model.training.episodes import Batch, Cue, Mixture
from model.training.loop import Training, TrainingConfig, losses
from model.training.muon import Muon
from model.training.people import PHRASES, SMALL_TALK, Kind, People, Style, load_kinds, load_scenes
from model.training.tokenizer import opened, rendered
from model.training.values import SOURCES, Values

KINDS = load_kinds()
SCENES = load_scenes()


def write_lines(file: Path, records: list[dict[str, Any]]) -> None:
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder with a little of everything."""
    folder = tmp_path_factory.mktemp("corpus")
    names = sorted({name for names in SOURCES.values() for name in names.split()})
    lists = [
        {"id": f"data/x/{name}.json", "data": {"words": [f"{name}{c}" for c in "abcdef"]}} for name in names
    ]
    write_lines(folder / "word_lists.jsonl.gz", lists)
    turns = [{"speaker": "ab"[i % 2], "text": f"I said this as number {i}."} for i in range(12)]
    for name in ("synthetic_persona_chat", "self_dialogue", "topical_chat", "chatterbot"):
        write_lines(folder / f"{name}.jsonl.gz", [{"turns": turns}] * 3)
    story = {
        "passage": "The fox had a red hat. It ran away.",
        "questions": [{"q": "Whose hat?", "a": "the fox"}],
    }
    write_lines(folder / "fairytaleqa.jsonl.gz", [story])
    return folder


@pytest.fixture(scope="module")
def people(corpus: Path) -> People:
    return People(KINDS, SCENES, Values(corpus / "word_lists.jsonl.gz"), SMALL_TALK)


SMALL = TrainingConfig(
    steps=4, hidden_size=64, layers=2, heads=2, intermediate_size=128, vocabulary=600, state_size=16,
    people=3, stories=1, dialogues=1, num_questions=2, num_retellings=1, warmup_steps=2,
    tokenizer_people=100, checkpoint_steps=2,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_says_its_value_and_tells_its_slots_apart(kind: Kind) -> None:
    slots = set(kind.slots)
    for text in (*kind.say, *kind.reply):
        assert len(re.findall(r"\{(?:v|a_v)\}", text)) == 1, text
    for text in (*kind.ask, *kind.prompt):
        assert not re.search(r"\{(?:v|a_v)\}", text), text
    for text in (*kind.say, *kind.ask, *kind.prompt, *kind.reply):
        assert set(re.findall(r"\{(\w+)\}", text)) <= slots | {"v", "a_v"}, text
    assert len(kind.say) >= 10
    assert len(kind.ask) >= 8
    assert len(set(kind.say)) == len(kind.say)


def test_no_two_kinds_have_one_name() -> None:
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names) >= 150


def test_a_scene_says_each_of_its_values_once_and_never_asks_with_one() -> None:
    assert len(SCENES) >= 1000
    blank = re.compile(r"\{(?:a_)?(\w+)\}")
    for scene in SCENES:
        names = [kind.name for kind in scene.kinds]
        said = [name for text, _ in scene.talk for name in blank.findall(text)]
        assert sorted(said) == sorted(names), scene.talk
        questions = [q for kind in scene.kinds for q in kind.ask] + list(scene.unknown)
        assert not any("{" in text for text in questions + [reply for _, reply in scene.talk]), scene.talk
        for kind in scene.kinds:
            assert len(kind.ask) >= 3, kind.ask
            assert all(len(re.findall(r"\{(?:v|a_v)\}", text)) == 1 for text in kind.reply), kind.reply


def test_what_is_asked_about_was_said_and_what_is_unknown_was_not(people: People) -> None:
    for seed in range(60):
        person = people.draw(random.Random(seed), num_facts=5, num_questions=8)
        said = " ".join(e.user for session in person.sessions for e in session).lower()
        for question in person.questions:
            assert (question.value is None) == (question.reply in PHRASES["unknown"])
            assert question.value is None or (
                question.value in question.reply and question.value.lower() in said
            )


def test_the_same_seed_makes_the_same_person(people: People) -> None:
    assert people.draw(random.Random(3), 6, 4) == people.draw(random.Random(3), 6, 4)


def test_a_slip_never_touches_what_must_be_remembered() -> None:
    style = Style(lower=True, no_end=True, no_apostrophe=True, short_forms=True, slips=1.0)
    typed = style.typed(
        random.Random(0), "My neighbour's hamster is called biscuit windermere.", ["biscuit windermere"]
    )
    assert "biscuit windermere" in typed
    assert "hamster" not in typed


def test_a_word_list_that_is_missing_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "lists.gz", [{"id": "data/x/firstNames.json", "data": ["Ada"]}])
    with pytest.raises(ValueError, match="lastNames"):
        Values(tmp_path / "lists.gz")


def test_turns_of_one_speaker_in_a_row_are_one() -> None:
    turns = [
        {"speaker": s, "text": t} for s, t in [("a", "Hi."), ("a", "You?"), ("b", "Fine."), ("a", "Bye.")]
    ]
    assert paired(turns) == [Exchange("Hi. You?", "Fine.")]


def test_a_row_counts_what_the_person_said_just_as_reading_does(corpus: Path, tmp_path: Path) -> None:
    training = Training(SMALL, corpus, tmp_path)
    exchange = Exchange("I have a parrot.", "Lovely!")
    _, ids, weights = training.episodes._read_row(0, rendered([exchange]))
    training.export(tmp_path / "model")
    lm = BaseModel.load(tmp_path / "model", quantize="none", device="cpu")
    generator = Generator.from_pretrained(tmp_path / "model" / "generator")
    state = fold(lm, generator, generator.empty_state(), [], exchange)
    assert state.num_tokens == sum(weights)
    assert ids == lm.tokenizer.encode(rendered([exchange]), add_special_tokens=False)


def test_a_batch_is_decided_by_seed_and_step(corpus: Path, tmp_path: Path) -> None:
    episodes = Training(SMALL, corpus, tmp_path).episodes
    mixture = Mixture(4, 1, 1, (1, 6), 3, 2, reconstructed=0.5)
    first, second = (episodes.batch(random.Random("1/7"), mixture) for _ in range(2))
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(first.cues, second.cues, strict=True))
    assert sum(len(rows.ids) for rows in first.cues) >= 4 * 3


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(corpus: Path, tmp_path: Path) -> None:
    whole = Training(SMALL, corpus, tmp_path / "whole")
    whole.run()
    stopped = Training(SMALL, corpus, tmp_path / "stopped")
    stopped.checkpoint = lambda: (Training.checkpoint(stopped), (_ for _ in ()).throw(KeyboardInterrupt))  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = Training(SMALL, corpus, tmp_path / "stopped")
    resumed.run()
    for name, weight in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], weight, msg=name)


def test_a_checkpoint_of_other_sizes_is_refused(corpus: Path, tmp_path: Path) -> None:
    Training(SMALL, corpus, tmp_path).checkpoint()
    with pytest.raises(ValueError, match="other sizes"):
        Training(replace(SMALL, state_size=8), corpus, tmp_path).resume()


def test_steps_on_one_batch_lower_every_loss(corpus: Path, tmp_path: Path) -> None:
    training = Training(SMALL, corpus, tmp_path)
    batch = training.episodes.batch(random.Random(0), SMALL.mixture(0))
    before = losses(training.network, training.generator, batch)
    for _ in range(15):
        for optimiser in training.optimisers:
            optimiser.zero_grad()
        sum(losses(training.network, training.generator, batch).values()).backward()
        for optimiser in training.optimisers:
            optimiser.step()
    after = losses(training.network, training.generator, batch)
    assert all(after[name] < before[name] - 0.5 for name in before)


def test_the_loss_of_a_batch_is_that_of_each_person_alone(corpus: Path, tmp_path: Path) -> None:
    """Adapters of a batch are put on row by row: nobody's memory reaches another's loss."""
    training = Training(SMALL, corpus, tmp_path)
    for _, parameter in training.generator.named_parameters():
        parameter.data.mul_(2.0)  # so that an adapter of somebody else would show
    episodes = training.episodes
    texts = [
        ("My dog is Rex.", "Rex?"),
        ("I live in Oslo, far from Rome.", "Oslo then?"),
        ("Tea is best.", "Tea!"),
    ]
    alone = []
    for said, asked in texts:
        rows = [episodes._read_row(0, rendered([Exchange(said, "Nice.")]))]
        question = [episodes._cue_row(0, Cue(opened(asked), "It is.<|end|>", None, 1.0))]
        alone.append(_answer_loss(training, [rows], [question], 1))
    reads = [episodes._read_row(i, rendered([Exchange(s, "Nice.")])) for i, (s, _) in enumerate(texts)]
    asks = [
        episodes._cue_row(i, Cue(opened(q), "It is.<|end|>", None, 1.0)) for i, (_, q) in enumerate(texts)
    ]
    together = _answer_loss(training, [reads], [asks], 3)
    assert together == pytest.approx(sum(alone) / 3, rel=1e-4)


def _answer_loss(training: Training, reads: list[Any], questions: list[Any], num_people: int) -> float:
    padded = training.episodes._padded
    batch = Batch(
        tuple(padded(r) for r in reads),
        tuple(padded(r) for r in reads),
        tuple(padded(q) for q in questions),
        num_people,
    )
    return losses(training.network, training.generator, batch)["answer"].item()


def test_muon_steps_along_an_orthogonal_matrix_of_the_size_of_an_adamw_step() -> None:
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.zeros(32, 16)), torch.nn.Parameter(torch.zeros(16, 32))]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    Muon(parameters, lr=0.1, momentum=0.9, weight_decay=0.0).step()
    for parameter in parameters:
        singular = torch.linalg.svdvals(parameter.detach()) / (0.1 * 0.2 * 32**0.5)
        assert bool(((singular > 0.6) & (singular < 1.3)).all())
        assert (parameter.detach() * parameter.grad).sum() < 0


def test_a_training_can_begin_with_a_trained_model(corpus: Path, tmp_path: Path) -> None:
    trained = Training(SMALL, corpus, tmp_path / "first")
    trained.run()
    begun = Training(SMALL, corpus, tmp_path / "second", start=trained.result)
    for name, weight in trained.network.state_dict().items():
        torch.testing.assert_close(begun.network.state_dict()[name], weight, atol=1e-2, rtol=1e-2, msg=name)
    with pytest.raises(ValueError, match="other sizes"):
        Training(replace(SMALL, state_size=8), corpus, tmp_path / "third", start=trained.result)


def test_a_training_can_begin_with_a_smaller_state_and_loses_nothing_by_it(
    corpus: Path, tmp_path: Path
) -> None:
    trained = Training(SMALL, corpus, tmp_path / "first")
    trained.run()
    same, grown = (
        Training(replace(SMALL, state_size=size), corpus, tmp_path / str(size), start=trained.result)
        for size in (16, 24)
    )
    batch = same.episodes.batch(random.Random(5), SMALL.mixture(0))
    before, after = (losses(t.network, t.generator, batch) for t in (same, grown))
    assert grown.generator.config.state_size == grown.generator.config.rank == 24
    for name in before:
        assert after[name].item() == pytest.approx(before[name].item(), rel=0.02)
