"""`eval recall`: the metrics against values worked out by hand, the report, and reading recall files."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from app import recall, recognition
from app.chat import Chat
from app.cli import main
from app.errors import BadRequest, NotFound
from app.formats import Conversation
from app.perplexity import Continuation, Surprise, read_continuations, surprise
from app.recall import METHODS, Examination, Outcome, Question, parse_methods, read_people, report, score
from app.recognition import Choice, likelihood, ranked_first, read_choices
from app.settings import Settings
from memory.generator import Generator
from memory.state import MemoryState
from model.base import BaseModel
from model.conversation import Exchange, message_ids, session_ids
from storage.store import Store

PERSON = {
    "id": "p1",
    "sessions": [
        [{"role": "user", "content": "My dog is called Biscuit."}, {"role": "assistant", "content": "Nice."}],
        [{"role": "user", "content": "I live in Lisbon."}, {"role": "assistant", "content": "Ah."}],
    ],
    "questions": [
        {"q": "What is my dog called?", "a": "Biscuit", "kind": "pet"},
        {"q": "Where do I work?", "a": None, "kind": "work"},
    ],
}


@pytest.mark.parametrize(
    ("answer", "reply", "contains", "em", "f1"),
    [
        ("Biscuit", "Biscuit", True, True, 1.0),
        ("Biscuit", "biscuit.", True, True, 1.0),
        ("the Alps", "Alps", True, True, 1.0),
        # 2 * 1 / (1 + 5): "your dog is called biscuit"
        ("Biscuit", "Your dog is called Biscuit!", True, False, 1 / 3),
        # 2 * 2 / (2 + 4), the article gone: "you are marine biologist"
        ("marine biologist", "You are a marine biologist.", True, False, 2 / 3),
        # 2 * 1 / (2 + 1)
        ("marine biologist", "biologist", False, False, 2 / 3),
        # whole words only
        ("14", "since 2014", False, False, 0.0),
        # every word counts as often as both have it: 2 * 2 / (3 + 2)
        ("bora bora island", "bora bora", False, False, 0.8),
        # the apostrophe goes, as in SQuAD
        ("O'Brien", "it is obrien", True, False, 0.5),
        ("Biscuit", "", False, False, 0.0),
        # nothing left of the answer
        ("The", "The", False, True, 1.0),
        ("The", "Biscuit", False, False, 0.0),
    ],
)
def test_metrics_are_what_squad_says(answer: str, reply: str, contains: bool, em: bool, f1: float) -> None:
    """Worked out by hand from the definition."""
    assert recall.contains(answer, reply) is contains
    assert recall.exact_match(answer, reply) is em
    assert recall.f1(answer, reply) == pytest.approx(f1)


@pytest.mark.parametrize(
    "reply",
    [
        "I don't know that yet.",
        "I don\u2019t know.",
        "i dont know",
        "I do not really know",
        "Sorry, I don't remember.",
        "I can't recall.",
        "I'm not sure.",
        "You haven't told me that.",
        "You never mentioned it.",
        "You have not said.",
        "You didn't tell me!",
        "No idea.",
    ],
)
def test_saying_that_one_does_not_know_is_abstaining(reply: str) -> None:
    """In any of the usual ways, with any apostrophe or none."""
    assert recall.abstained(reply)


@pytest.mark.parametrize(
    "reply", ["", "Biscuit", "You told me: Lisbon.", "I know, Lisbon.", "Surely Lisbon."]
)
def test_an_answer_is_not_abstaining(reply: str) -> None:
    """Neither is saying nothing."""
    assert not recall.abstained(reply)


def outcome(
    answer: str | None, reply: str, kind: str = "pet", method: Any = "memory", **costs: Any
) -> Outcome:
    """One question asked."""
    return Outcome(
        "p1", method, Question("?", answer, kind), reply, **{"prompt_tokens": 10, "seconds": 1.0} | costs
    )


def test_a_score_is_the_mean_over_the_questions_it_is_about() -> None:
    """Recall over those with an answer, abstention over those without, cost over all."""
    outcomes = [
        outcome("Biscuit", "Biscuit", seconds=1.0, prompt_tokens=10),
        outcome("Lisbon", "Rome", seconds=2.0, prompt_tokens=11),
        outcome(None, "I don't know", seconds=9.0, prompt_tokens=15),
    ]
    found = score(outcomes)
    assert (found.n, found.contains, found.em, found.f1, found.abstained) == (3, 0.5, 0.5, 0.5, 1.0)
    assert (found.prompt_tokens, found.seconds) == (12.0, 2.0)
    assert score(outcomes[:2]).abstained is None
    assert score(outcomes[2:]).contains is None


def test_a_report_is_by_method_and_by_kind() -> None:
    """In the order asked, kinds by name."""
    table = report(
        [
            outcome("Biscuit", "Biscuit"),
            outcome("Lisbon", "Rome", kind="city"),
            outcome("Biscuit", "Rex", method="none"),
        ]
    )
    assert list(table) == ["memory", "none"]
    assert list(table["memory"].kinds) == ["city", "pet"]
    assert table["memory"].all.contains == 0.5
    assert table["memory"].kinds["pet"].contains == 1.0
    assert table["none"].all.contains == 0.0


def test_an_examined_memory_is_the_one_a_chat_would_have(
    tmp_path: Path,
    chat: Chat,
    store: Store,
    loaded: tuple[BaseModel, Generator],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The state that is asked is, to the bit, that of the same sessions imported into a chat."""
    file = tmp_path / "people.jsonl"
    file.write_text(json.dumps(PERSON))
    [person] = read_people(file, settings.max_message_chars)
    asked: list[MemoryState] = []
    lm, generator = loaded
    adapter = generator.adapter
    monkeypatch.setattr(generator, "adapter", lambda state: asked.append(state) or adapter(state))
    outcomes = list(Examination(lm, generator, settings).ask(person, ("memory", "none")))

    chat.import_sessions("Ada", [Conversation(tuple(s)) for s in person.sessions])
    chat.settle("Ada")
    row = store.state(chat.welcome("Ada").id)
    assert row is not None
    assert [state.to_bytes() for state in asked] == [row.payload]
    assert [(o.method, o.question.answer) for o in outcomes] == [
        ("memory", "Biscuit"),
        ("memory", None),
        ("none", "Biscuit"),
        ("none", None),
    ]
    assert set(outcomes[0].line()) == {"id", "method", "q", "a", "kind", "reply", "prompt_tokens"}


def test_questions_in_one_chat_are_asked_as_the_chat_asks_them(
    tmp_path: Path, loaded: tuple[BaseModel, Generator], settings: Settings, chat: Chat
) -> None:
    """The replies and the lengths of the prompts are those of the chat, which repeats and reads."""
    file = tmp_path / "people.jsonl"
    file.write_text(json.dumps(PERSON))
    [person] = read_people(file, settings.max_message_chars)
    chat.welcome("Ada")
    chat.import_sessions("Ada", [Conversation(tuple(s)) for s in person.sessions])
    expected = []
    for question in person.questions:
        reply = chat.reply("Ada", "questions", question.text)
        expected.append(("".join(reply), reply.result.prompt_tokens))
        chat.settle("Ada")
    outcomes = list(Examination(*loaded, settings).ask(person, ("memory", "none"), in_one_chat=True))
    assert [(o.reply, o.prompt_tokens) for o in outcomes if o.method == "memory"] == expected
    assert expected[1][1] > expected[0][1] + 10
    assert [o.prompt_tokens for o in outcomes if o.method == "none"][1] > expected[0][1]


def test_the_history_is_in_the_prompt_and_only_there(
    tmp_path: Path, loaded: tuple[BaseModel, Generator], settings: Settings
) -> None:
    file = tmp_path / "people.jsonl"
    file.write_text(json.dumps(PERSON))
    [person] = read_people(file, settings.max_message_chars)
    examination = Examination(*loaded, settings)
    adapter, window = examination.memory_and_window(person.sessions, "history")
    assert adapter is None
    assert [e.user for e in window] == ["My dog is called Biscuit.", "I live in Lisbon."]
    without, with_history = (next(examination.ask(person, (m,))).prompt_tokens for m in ("none", "history"))
    assert with_history > without + 10


def test_methods_are_named_with_commas_between() -> None:
    """In any order, each once."""
    assert parse_methods("memory,none") == parse_methods("none, memory,none") == ("memory", "none")
    assert parse_methods("none") == ("none",)
    assert parse_methods("history") == ("history",)
    for unknown in ("", "retrieval", "memory,retrieval"):
        with pytest.raises(BadRequest, match="memory, none, history"):
            parse_methods(unknown)


def test_no_more_people_are_read_than_asked_for(tmp_path: Path) -> None:
    """What stands after them is not even looked at."""
    file = tmp_path / "people.jsonl"
    file.write_text(f"{json.dumps(PERSON)}\n{json.dumps(PERSON)}\nnonsense\n")
    assert len(read_people(file, 100, limit=2)) == 2
    with pytest.raises(BadRequest, match="line 3"):
        read_people(file, 100)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        '{"id": "p1"}',
        json.dumps(PERSON | {"sessions": [["hello"]]}),
        json.dumps(PERSON | {"questions": ["?"]}),
        json.dumps(PERSON | {"questions": [{"q": " ", "a": "x", "kind": "y"}]}),
        json.dumps(PERSON | {"questions": [{"q": "?", "a": 4, "kind": "y"}]}),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: str) -> None:
    """One sentence names the file, and the line where there is one."""
    file = tmp_path / "people.jsonl"
    file.write_text(line)
    with pytest.raises(BadRequest, match=r"people\.jsonl"):
        read_people(file, 100)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(NotFound, match="people"):
        read_people(tmp_path / "people.jsonl", 100)


def test_a_sentence_is_as_likely_as_its_tokens_one_after_the_other(
    loaded: tuple[BaseModel, Generator],
) -> None:
    lm, generator = loaded
    window = [Exchange("I live in Lisbon.", "Ah.")]
    before, said = message_ids(lm, window, "My dog is Biscuit.")
    for adapter in (None, generator.adapter(lm.read(said, generator.empty_state(), generator))):
        total = 0.0
        for i in range(1, len(said)):
            last = lm.logits(before + said[:i], adapter)[-1]
            total += torch.log_softmax(last, -1)[said[i]].item()
        assert likelihood(lm, adapter, window, "My dog is Biscuit.") == pytest.approx(
            total / (len(said) - 1), rel=1e-4
        )


def test_the_likeliest_sentence_is_chosen(
    loaded: tuple[BaseModel, Generator], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognition, "likelihood", lambda _lm, _adapter, _window, text: len(text))
    examination = Examination(*loaded, settings)
    right, wrong = (Choice("p", (), ("I run.", "I keep eleven bees.", "No."), answer) for answer in (1, 0))
    assert ranked_first(examination, loaded[0], right, "none")
    assert not ranked_first(examination, loaded[0], wrong, "none")


def test_a_later_session_is_as_surprising_as_its_tokens_one_after_the_other(
    loaded: tuple[BaseModel, Generator], settings: Settings
) -> None:
    """Every method predicts the same tokens, with the history in the prompt after what is in it."""
    lm, generator = loaded
    examination = Examination(lm, generator, settings)
    sessions = ((Exchange("I live in Lisbon.", "Ah."),),)
    then = (Exchange("Hello.", "Hi!"), Exchange("It rains in Lisbon.", "Oh."))
    for method in METHODS:
        adapter, window = examination.memory_and_window(sessions, method)
        before, ids = session_ids(lm, window, then)
        assert bool(before) == (method == "history")
        total = sum(
            torch.log_softmax(lm.logits(before + ids[:i], adapter)[-1], -1)[ids[i]].item()
            for i in range(1, len(ids))
        )
        found = surprise(examination, lm, Continuation("p", sessions, then), method)
        assert found.tokens == len(session_ids(lm, [], then)[1]) - 1
        assert found.nats == pytest.approx(-total, rel=1e-4)
    assert (Surprise(2.0, 2) + Surprise(4.0, 1)).perplexity == pytest.approx(math.e**2)


CONTINUATION = {"id": "p1", "sessions": PERSON["sessions"], "then": PERSON["sessions"][0]}


def test_perplexity_is_told_of_every_method(tmp_path: Path, settings: Settings, capsys: Any) -> None:
    file = tmp_path / "later.jsonl"
    file.write_text(json.dumps(CONTINUATION))
    assert main(["eval", "perplexity", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["memory", "none", "history"]
    assert all(figures["n"] == 1 and figures["perplexity"] > 1 for figures in found.values())


@pytest.mark.parametrize("wrong", [{"then": []}, {"then": "Hi."}, {"sessions": 3}, {"id": None}])
def test_continuations_that_are_none_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    file = tmp_path / "later.jsonl"
    file.write_text(json.dumps(CONTINUATION | wrong))
    with pytest.raises(BadRequest, match=r"later\.jsonl, line 1"):
        read_continuations(file, 100)


CHOICE = {"id": "p1", "sessions": PERSON["sessions"], "candidates": ["I run.", "I have a dog."], "answer": 1}


def test_choices_are_made_by_every_method(tmp_path: Path, settings: Settings, capsys: Any) -> None:
    file = tmp_path / "choices.jsonl"
    file.write_text(json.dumps(CHOICE))
    assert main(["eval", "recognise", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["memory", "none", "history"]
    assert all(figures["n"] == 1 and figures["accuracy"] in (0.0, 1.0) for figures in found.values())


@pytest.mark.parametrize(
    "wrong", [{"answer": 2}, {"candidates": ["only one"]}, {"sessions": 3}, {"id": None}]
)
def test_choices_that_are_none_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    file = tmp_path / "choices.jsonl"
    file.write_text(json.dumps(CHOICE | wrong))
    with pytest.raises(BadRequest, match=r"choices\.jsonl, line 1"):
        read_choices(file, 100)
