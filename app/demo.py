"""The demo of recall: somebody's sessions are folded one by one, then a question is answered in four ways.

| method | what the model has to answer with |
|---|---|
| none | nothing: the base alone |
| history | everything that was said in the prompt, as far back as it fits |
| retrieval | the turns that match the question best (BM25, `storage.ranking`) in the prompt |
| memory | the adapter of the memory that read the sessions |

The methods and their costs are those of `app.recall`. Anybody may use the demo, so everything is bounded:
what may be pasted, how many turns are read, how long a question is. Nothing that is told here is written
anywhere; of the dialogues used last, the states are kept in memory, each under its whole text.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal, get_args

from app.errors import BadRequest, TooLong
from app.formats import conversations, values
from app.recall import (
    Answered,
    Examination,
    Person,
    Question,
    abstained,
    contains,
    last,
    person_of,
    read_people,
)
from app.settings import Settings
from app.transcript import check_message
from memory.generator import Generator
from memory.state import MemoryState
from model.base import BaseModel
from model.conversation import Exchange, count_tokens, prompt_ids
from storage.ranking import best_matches

Method = Literal["none", "history", "retrieval", "memory"]
METHODS: tuple[Method, ...] = get_args(Method)
SAMPLES = Path(__file__).parent / "samples" / "people.jsonl"

MAX_DIALOGUE_BYTES = 50_000
MAX_TURNS = 200
MAX_QUESTIONS = 20
MAX_QUESTION_CHARS = 500
RETRIEVED_TURNS = 3
# How often the costs are measured while a dialogue is folded.
MEASUREMENTS = 24
# Dialogues whose states are kept: to ask about one does not read it again.
KEPT_STATES = 8

Sessions = tuple[tuple[Exchange, ...], ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What the first token of an answer costs by one method."""

    method: Method
    prompt_tokens: int
    first_token_seconds: float


@dataclass(frozen=True, slots=True)
class Step:
    """What is, once a turn was folded.

    Attributes:
        session, turns: the number of the session that it is in, from 1, and of turns folded so far.
        tokens: counted in the memory so far.
        state_bytes: of the memory.
        history_tokens: length of a prompt with everything said so far in it, were there no limit.
        costs: measured now; empty where they were not.
    """

    session: int
    turns: int
    tokens: int
    state_bytes: int
    history_tokens: int
    costs: tuple[Cost, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """One question answered by one method.

    Attributes:
        question: None where nobody has said what the answer is.
        kept_bytes: what has to be kept of the dialogue to answer so: its text, or the state.
        is_cut: whether the prompt holds less than all that was said, because more does not fit.
    """

    method: Method
    question: Question | None
    answered: Answered
    kept_bytes: int
    is_cut: bool

    @property
    def is_right(self) -> bool | None:
        """Whether the reply holds the answer, or declines where there is none; None where nobody knows."""
        if self.question is None:
            return None
        if self.question.answer is None:
            return abstained(self.answered.reply)
        return contains(self.question.answer, self.answered.reply)


class Demo:
    """A model and a generator that anybody may try."""

    def __init__(self, lm: BaseModel, generator: Generator, settings: Settings) -> None:
        self.samples = tuple(read_people(SAMPLES, MAX_DIALOGUE_BYTES))
        self._lm = lm
        self._generator = generator
        self._examination = Examination(lm, generator, settings)
        self._max_message_chars = settings.max_message_chars
        self._states: OrderedDict[Sessions, MemoryState] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, text: str) -> Person:
        """Return who a dialogue is of, in a form that `eval recall` reads or, without questions, `import`.

        Raises:
            TooLong: it is longer than a visitor's may be.
            BadRequest: it is no dialogue, or the dialogues of several people.
        """
        where, content = "The dialogue", text.encode(errors="replace")
        if len(content) > MAX_DIALOGUE_BYTES:
            raise TooLong(f"{where} may have {MAX_DIALOGUE_BYTES:,} bytes, this one has {len(content):,}.")
        found = [(place, value) for place, value in values(where, content) if _is_person(value)]
        if len(found) > 1:
            raise BadRequest(f"{where} is of {len(found)} people: leave one line, that of one person.")
        if found:
            person = person_of(*found[0], self._max_message_chars)
        else:
            told = conversations(where, content, self._max_message_chars)
            person = Person("", tuple(c.exchanges for c in told), ())
        num_turns = sum(map(len, person.sessions))
        if not num_turns:
            raise BadRequest(f"{where} holds nothing that was said.")
        if num_turns > MAX_TURNS:
            raise TooLong(f"{where} may have {MAX_TURNS} turns, this one has {num_turns:,}.")
        if (num_questions := len(person.questions)) > MAX_QUESTIONS:
            raise TooLong(f"{where} may have {MAX_QUESTIONS} questions, this one has {num_questions:,}.")
        return person

    def fold(self, person: Person, probe: str) -> Iterator[Step]:
        """Read the sessions of `person` into an empty memory, and yield what is after each turn.

        Args:
            probe: the question whose costs are measured on the way.
        """
        told = [(number, e) for number, session in enumerate(person.sessions, 1) for e in session]
        every = ceil(len(told) / MEASUREMENTS)
        states = self._examination.listen(person.sessions)
        next(states)
        history_tokens = self._examination.answer(None, [], probe, max_new_tokens=1).prompt_tokens
        for turns, ((session, exchange), state) in enumerate(zip(told, states, strict=True), 1):
            history_tokens += count_tokens(self._lm, [exchange])
            is_last = turns == len(told)
            is_measured = is_last or turns % every == 0
            costs = self._costs([e for _, e in told[:turns]], state, probe) if is_measured else ()
            if is_last:
                self._keep(person.sessions, state)
            yield Step(session, turns, state.num_tokens, len(state.to_bytes()), history_tokens, costs)

    def ask(self, person: Person, text: str) -> Iterator[Trial]:
        """Yield the answer to `text` by each method, a question of the person's with whether it is right.

        Raises:
            BadRequest: empty or impossible text.
            TooLong: more than MAX_QUESTION_CHARS characters.
        """
        check_message(text, MAX_QUESTION_CHARS)
        question = next((q for q in person.questions if q.text == text), None)
        told = [e for session in person.sessions for e in session]
        text_bytes = sum(len(f"{e.user}{e.assistant}".encode()) for e in told)
        state = self._state(person.sessions)
        kept_bytes = {"none": 0, "memory": len(state.to_bytes())}
        for method in METHODS:
            answered = self._answer(method, told, state, text)
            # the same prompt without the oldest turn: that turn was not in it
            is_cut = method == "history" and answered.prompt_tokens == self._prompt_tokens(told[1:], text)
            yield Trial(method, question, answered, kept_bytes.get(method, text_bytes), is_cut)

    def _costs(self, told: Sequence[Exchange], state: MemoryState, probe: str) -> tuple[Cost, ...]:
        first = ((m, self._answer(m, told, state, probe, max_new_tokens=1)) for m in METHODS)
        return tuple(Cost(m, a.prompt_tokens, a.first_token_seconds) for m, a in first)

    def _answer(
        self,
        method: Method,
        told: Sequence[Exchange],
        state: MemoryState,
        text: str,
        max_new_tokens: int | None = None,
    ) -> Answered:
        """Return the answer to `text` by `method`; an adapter is made beforehand, as in a chat."""
        adapter = self._generator.adapter(state) if method == "memory" else None
        window: Sequence[Exchange] = told if method == "history" else []
        if method == "retrieval":
            found = best_matches([f"{e.user}\n{e.assistant}" for e in told], text, RETRIEVED_TURNS)
            window = [told[place] for place in sorted(found)]
        return self._examination.answer(adapter, window, text, max_new_tokens, self._lm.context_tokens)

    def _prompt_tokens(self, window: Sequence[Exchange], text: str) -> int:
        return len(prompt_ids(self._lm, window, text, self._lm.context_tokens))

    def _state(self, sessions: Sessions) -> MemoryState:
        with self._lock:
            state = self._states.get(sessions)
        if state is None:
            state = last(self._examination.listen(sessions))
            self._keep(sessions, state)
        return state

    def _keep(self, sessions: Sessions, state: MemoryState) -> None:
        with self._lock:
            self._states[sessions] = state
            self._states.move_to_end(sessions)
            while len(self._states) > KEPT_STATES:
                self._states.popitem(last=False)


def _is_person(value: object) -> bool:
    return isinstance(value, dict) and "sessions" in value
