"""Training a generator for a frozen base: it learns, it can be resumed, and the base stays as it was."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from memory.generator import Generator
from model.base import BaseModel
from model.conversation import Exchange, fold, prompt_ids, turn_tokens
from model.training.generator import GeneratorTraining, Training
from model.training.samples import UNKNOWN, Sample, sample_of

NAMES = ["Biscuit", "Lisbon", "welder", "sister", "park", "ball", "dog", "home"]
# without questions: what follows is predicted
LONGER = [
    Sample(((Exchange("My dog is Biscuit.", "Nice."), Exchange("I live in Lisbon.", "Lovely.")),), ()),
    Sample(((Exchange(" ".join(NAMES * 9), ""),),), ()),
] * 8
SMALL = GeneratorTraining(
    steps=6, batch=4, state_size=16, window_tokens=24, rank=16, num_questions=1, warmup_steps=2, held_out=0.1,
    validation_steps=100, checkpoint_steps=3,
)  # fmt: skip


def samples() -> list[Sample]:
    """What each of many people's two words were, which nothing but the memory can know."""
    return [
        Sample(((Exchange(f"It is {a} and {b}, number {i}.", ""),),), (("What is it?", f"{a} and {b}"),))
        for i, (a, b) in enumerate((a, b) for a in NAMES for b in NAMES)
    ]


@pytest.fixture
def lm(tiny_model: Path) -> BaseModel:
    return BaseModel.load(tiny_model, quantize="none", device="cpu")


def test_200_steps_make_answers_likelier_with_memory_than_without(lm: BaseModel, tmp_path: Path) -> None:
    """And likelier than with somebody else's memory: it is not only a manner of speaking that is learned."""
    settings = GeneratorTraining(
        steps=200, batch=8, state_size=16, rank=16, num_questions=1, held_out=0.2,
        learning_rate=1e-2, matrix_learning_rate=3e-2, validation_steps=1000, checkpoint_steps=1000,
    )  # fmt: skip
    lm.network.lm_head.weight *= 10.0  # fresh from its random beginnings a model can be sure of nothing
    before = {name: weight.clone() for name, weight in lm.network.state_dict().items()}
    training = Training(lm, samples(), tmp_path, settings)
    training.run()
    losses = training.validate()
    assert losses["memory"] < losses["none"] - 1.0
    assert losses["memory"] < losses["other_memory"] - 1.0
    for name, weight in lm.network.state_dict().items():
        assert torch.equal(weight, before[name]), name
    card = (training.result / "README.md").read_text()
    assert str(losses["memory"]) in card
    generator = Generator.from_pretrained(training.result)
    lm.require_fit(generator)
    turn = turn_tokens(lm, samples()[0].sessions[0][0])
    state = fold(lm, generator, generator.empty_state(), [], turn)
    adapted = lm.logits(prompt_ids(lm, [], "What is it?", 0), generator.adapter(state))
    assert bool(adapted.isfinite().all())


@pytest.mark.parametrize("reading", ["independent", "sequential"])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(
    lm: BaseModel, tmp_path: Path, reading: str
) -> None:
    settings = GeneratorTraining(**{**{f: getattr(SMALL, f) for f in SMALL.__slots__}, "reading": reading})
    told = [*samples(), *LONGER]
    whole = Training(lm, told, tmp_path / "whole", settings)
    whole.run()
    stopped = Training(lm, told, tmp_path / "stopped", settings)

    def stop_after_it() -> None:
        Training._checkpoint(stopped)
        raise KeyboardInterrupt

    stopped._checkpoint = stop_after_it  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = Training(lm, told, tmp_path / "stopped", settings)
    resumed.run()
    assert resumed.step == settings.steps
    for name, weight in whole.generator.state_dict().items():
        torch.testing.assert_close(resumed.generator.state_dict()[name], weight, msg=name)


def test_checkpointing_changes_memory_and_time_but_not_the_result(tiny_model: Path, tmp_path: Path) -> None:
    weights = []
    for checkpointing in (False, True):
        settings = GeneratorTraining(
            **{**{f: getattr(SMALL, f) for f in SMALL.__slots__}, "checkpointing": checkpointing}
        )
        fresh = BaseModel.load(tiny_model, quantize="none", device="cpu")
        training = Training(fresh, samples(), tmp_path / str(checkpointing), settings)
        assert fresh.network.is_activation_checkpointing == checkpointing
        training.run()
        weights.append(training.generator.state_dict())
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-4, atol=1e-5, msg=name)


def test_a_training_of_other_sizes_is_not_gone_on_with(lm: BaseModel, tmp_path: Path) -> None:
    Training(lm, samples(), tmp_path, SMALL).run()
    other = GeneratorTraining(**{**{f: getattr(SMALL, f) for f in SMALL.__slots__}, "state_size": 8})
    with pytest.raises(ValueError, match="state_size"):
        Training(lm, samples(), tmp_path, other).run()


def test_the_three_shapes_of_records_become_samples() -> None:
    dialogue = {"turns": [{"speaker": "a", "text": "Hi."}, {"speaker": "b", "text": "Hello."}]}
    assert sample_of(dialogue) == Sample(((Exchange("Hi.", "Hello."),),), ())
    passage = {"passage": "The fox ran.", "questions": [{"q": "Who ran?", "a": "the fox"}]}
    assert sample_of(passage) == Sample(((Exchange("The fox ran.", ""),),), (("Who ran?", "the fox"),))
    messages = [
        {"role": "assistant", "content": "Welcome!"},
        {"role": "user", "content": "I am Ada."},
        {"role": "assistant", "content": "Hello."},
    ]
    last = [{"role": "user", "content": "I like figs."}]
    person = {"sessions": [messages, last], "questions": [{"q": "Where do I live?", "a": None}]}
    told = ((Exchange("I am Ada.", "Hello."),), (Exchange("I like figs.", ""),))
    assert sample_of(person) == Sample(told, (("Where do I live?", UNKNOWN),))


def test_a_session_is_no_context_of_the_next(lm: BaseModel, tmp_path: Path) -> None:
    """As in the chat."""
    first, second = Exchange("My dog is Biscuit.", "Nice."), Exchange("I live in Lisbon.", "Lovely.")
    training = Training(lm, samples(), tmp_path, SMALL)
    together, apart, alone = (
        list(training._chunks(Sample(sessions, ())))
        for sessions in (((first, second),), ((first,), (second,)), ((second,),))
    )
    assert apart[-1] == alone[-1] != together[-1]


@pytest.mark.parametrize("template", [True, False])
def test_a_reply_is_learned_as_the_template_writes_it(
    template: bool, tiny_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "base")
    if not template:
        (folder / "chat_template.jinja").unlink()
    lm = BaseModel.load(folder, quantize="none", device="cpu")
    training = Training(lm, samples(), tmp_path / "out", SMALL)
    ids, is_predicted = training._answer_row("Where?", "Oslo")
    asked = turn_tokens(lm, Exchange("Where?", "Oslo"))
    written = [*asked.preamble, *asked.message, *asked.reply]
    assert ids[: len(written)] == written
    assert ids[len(written) :] in ([], [lm.tokenizer.eos_token_id])
    assert is_predicted.index(True) == len(prompt_ids(lm, [], "Where?", 0))


@pytest.mark.parametrize("record", [[], {}, {"passage": " "}, {"sessions": [["x"]]}, {"turns": 3}, "text"])
def test_a_record_that_is_none_of_them_is_refused(record: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        sample_of(json.loads(json.dumps(record)))


def test_a_training_for_another_base_is_not_gone_on_with(lm: BaseModel, tmp_path: Path) -> None:
    Training(lm, samples(), tmp_path, SMALL).run()
    lm.fingerprint = "another"
    with pytest.raises(ValueError, match="another base"):
        Training(lm, samples(), tmp_path, SMALL).run()


def test_too_few_samples_are_refused(lm: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected samples"):
        Training(lm, samples()[:2], tmp_path, SMALL)
