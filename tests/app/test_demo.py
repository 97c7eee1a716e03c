"""The demo of recall: what may be brought, what each step costs, and what the four methods answer with."""

import json
from itertools import pairwise

import pytest

from app import demo as module
from app.demo import MAX_DIALOGUE_BYTES, MAX_QUESTIONS, MAX_TURNS, METHODS, Demo
from app.errors import BadRequest, RemanenceError, TooLong
from app.recall import Answered, Question
from app.settings import Settings
from model.conversation import Exchange
from tests.app.conftest import Loaded

SAID = [
    {"role": "user", "content": "My dog is called Biscuit."}, {"role": "assistant", "content": "Nice."},
    {"role": "user", "content": "I live in Lisbon."}, {"role": "assistant", "content": "Ah."},
]  # fmt: skip
# Tokens of prompt that the tiny model can hold.
ROOM = 1024 - 256
QUESTION = {"q": "What is my dog called?", "a": "Biscuit", "kind": "pet"}
PERSON = {"id": "p1", "sessions": [SAID[:2], SAID[2:]], "questions": [QUESTION]}
MSC = {"dialog": [{"text": "I live in Lisbon."}, {"text": "Ah."}], "previous_dialogs": [
    {"dialog": [{"text": "My dog is called Biscuit."}, {"text": "Nice."}]}
]}  # fmt: skip


@pytest.fixture
def demo(loaded: Loaded, settings: Settings) -> Demo:
    """The demo over the tiny model."""
    return Demo(*loaded, settings)


def lines(*values: object) -> str:
    """The values as JSON lines."""
    return "\n".join(json.dumps(value) for value in values)


def test_the_samples_are_people_of_several_sessions_with_questions(demo: Demo) -> None:
    """As many as the page promises, and no answer but what was said."""
    assert len(demo.samples) == 6
    for person in demo.samples:
        assert 3 <= len(person.sessions) <= 5
        assert 5 <= len(person.questions) <= 8
        told = "\n".join(e.user for session in person.sessions for e in session)
        assert all(q.answer is None or q.answer in told for q in person.questions)


@pytest.mark.parametrize(
    "text", [lines(PERSON), lines(SAID[:2], SAID[2:]), lines({"messages": SAID[:2]}, SAID[2:]), lines(MSC)]
)
def test_a_dialogue_is_read_in_every_form_that_an_import_or_a_recall_file_has(demo: Demo, text: str) -> None:
    person = demo.read(text)
    assert person.sessions == (
        (Exchange("My dog is called Biscuit.", "Nice."),),
        (Exchange("I live in Lisbon.", "Ah."),),
    )
    assert len(person.questions) == (1 if "questions" in text else 0)


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ("", BadRequest, "no conversation"),
        ("hello", BadRequest, "line 1: this is not JSON"),
        ("[" * 9000, BadRequest, "line 1"),
        ("\ud800", BadRequest, "line 1"),
        ("{}", BadRequest, "line 1"),
        (lines(PERSON, PERSON | {"id": "p2"}), BadRequest, "of 2 people"),
        (lines({"id": "p", "sessions": [], "questions": []}), BadRequest, "nothing that was said"),
        (lines({"sessions": [SAID]}), BadRequest, "a person is"),
        ("x" * (MAX_DIALOGUE_BYTES + 1), TooLong, "50,000 bytes"),
        ("é" * (MAX_DIALOGUE_BYTES // 2 + 1), TooLong, "50,000 bytes"),
        (lines(SAID * (MAX_TURNS // 2 + 1)), TooLong, "200 turns"),
        (lines(PERSON | {"questions": [QUESTION] * (MAX_QUESTIONS + 1)}), TooLong, "20 questions"),
    ],
)
def test_what_is_no_dialogue_or_too_much_is_refused_in_one_sentence(
    demo: Demo, text: str, error: type[RemanenceError], why: str
) -> None:
    with pytest.raises(error, match=why) as refusal:
        demo.read(text)
    assert str(refusal.value).startswith("The dialogue")
    assert str(refusal.value).endswith(".")


def test_the_memory_stays_as_large_while_the_history_grows(demo: Demo) -> None:
    """Every turn is a step; of the methods only those without history in the prompt stay as short."""
    person = demo.samples[0]
    steps = list(demo.fold(person, "What is my dog called?"))
    assert [step.turns for step in steps] == list(range(1, sum(map(len, person.sessions)) + 1))
    assert {step.session for step in steps} == {1, 2, 3, 4}
    assert len({step.state_bytes for step in steps}) == 1
    assert all(a.tokens < b.tokens and a.history_tokens < b.history_tokens for a, b in pairwise(steps))
    costs = [{cost.method: cost.prompt_tokens for cost in step.costs} for step in steps]
    assert {cost["memory"] for cost in costs} == {cost["none"] for cost in costs} == {costs[0]["none"]}
    whole = [step.history_tokens for step in steps if step.history_tokens <= ROOM]
    assert [cost["history"] for cost in costs][: len(whole)] == whole
    assert all(cost["history"] <= ROOM for cost in costs)


def test_the_costs_of_a_long_dialogue_are_measured_now_and_then(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And at its end."""
    monkeypatch.setattr(module, "MEASUREMENTS", 2)
    person = demo.read(lines(SAID + SAID + SAID[:2]))
    assert [step.turns for step in demo.fold(person, "hello") if step.costs] == [3, 5]


def test_a_question_is_answered_by_every_method(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory in the adapter, the history in the prompt, retrieval with the turn that matches."""
    given: dict[str, tuple[bool, list[str]]] = {}
    state_bytes = next(demo.fold(demo.samples[0], "hello")).state_bytes

    def answer(
        _self: object, adapter: object, window: list[Exchange], _text: str, *_most: object
    ) -> Answered:
        given[METHODS[len(given)]] = (adapter is not None, [exchange.user for exchange in window])
        return Answered("It is biscuit!", 9, 0.1, 0.2)

    monkeypatch.setattr(module.Examination, "answer", answer)
    monkeypatch.setattr(module, "RETRIEVED_TURNS", 1)
    trials = list(demo.ask(demo.read(lines(PERSON)), "What is my dog called?"))
    dog, city = "My dog is called Biscuit.", "I live in Lisbon."
    assert given == {
        "none": (False, []),
        "history": (False, [dog, city]),
        "retrieval": (False, [dog]),
        "memory": (True, []),
    }
    assert [trial.is_right for trial in trials] == [True] * 4
    text_bytes = sum(len(message["content"]) for message in SAID)
    assert [trial.kept_bytes for trial in trials][:3] == [0, text_bytes, text_bytes]
    assert trials[3].kept_bytes == state_bytes


def test_whether_an_answer_is_right_is_said_of_known_questions_only(demo: Demo) -> None:
    """Of what was never said, it is right to say that one does not know."""

    def is_right(answer: str | None, reply: str) -> bool | None:
        return module.Trial("memory", Question("?", answer, "x"), Answered(reply, 1, 0, 0), 0, False).is_right

    assert is_right("Biscuit", "It is biscuit.") is True
    assert is_right("Biscuit", "It is Rex.") is False
    assert is_right(None, "I don't know that yet.") is True
    assert is_right(None, "It is Rex.") is False
    trials = list(demo.ask(demo.read(lines(PERSON)), "Who am I?"))
    assert [trial.is_right for trial in trials] == [None] * 4


def test_a_history_that_does_not_fit_is_said_to_be_cut(demo: Demo) -> None:
    """And only then."""
    short, long = demo.read(lines(SAID)), demo.read(lines(SAID * 40))
    assert [t.is_cut for t in demo.ask(short, "Who am I?")] == [False] * 4
    assert [t.is_cut for t in demo.ask(long, "Who am I?")] == [False, True, False, False]


def test_what_was_folded_is_not_read_again(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until other dialogues have taken its place."""
    monkeypatch.setattr(module, "KEPT_STATES", 1)
    person, other = demo.read(lines(PERSON)), demo.read(lines(SAID))
    list(demo.fold(person, "hello"))
    read = []
    listen = module.Examination.listen
    monkeypatch.setattr(module.Examination, "listen", lambda *of: read.append(of[1]) or listen(*of))
    list(demo.ask(person, "Who am I?"))
    assert read == []
    list(demo.ask(other, "Who am I?"))
    list(demo.ask(person, "Who am I?"))
    assert read == [other.sessions, person.sessions]


@pytest.mark.parametrize(("text", "error"), [(" ", BadRequest), ("x" * 501, TooLong), ("\ud800", BadRequest)])
def test_a_question_that_is_none_or_too_long_is_refused(
    demo: Demo, text: str, error: type[RemanenceError]
) -> None:
    with pytest.raises(error):
        list(demo.ask(demo.samples[0], text))
