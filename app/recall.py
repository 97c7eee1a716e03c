"""`eval recall`: tell a memory about people, ask it, and count what comes back.

Every person starts with an empty memory, which reads their sessions turn by turn exactly as a chat would;
every question is then asked in a session of its own, or all of a person's in one, one after the other. There
is no database: the states live here.

| method | what the model has to answer with |
|---|---|
| memory | the adapter of the person's memory |
| none | nothing: the base alone |
| history | no adapter, and everything that was said in the prompt, as far back as it fits |

The metrics are those of SQuAD 1.1 (Rajpurkar et al., arXiv 1606.05250): lower case, no punctuation, no
articles, single spaces, then words compared.
"""

import re
import string
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal, TypeVar, get_args

from app.errors import BadRequest, NotFound
from app.settings import Settings
from app.transcript import exchanges, read_jsonl
from memory.adapter import Adapter
from memory.generator import Generator
from memory.state import MemoryState
from model.base import BaseModel
from model.conversation import Exchange, TurnTokens, fold, prompt_ids, turn_tokens
from model.generation import Sampling, stream

T = TypeVar("T")
Method = Literal["memory", "none", "history"]
METHODS: tuple[Method, ...] = get_args(Method)

# The ways to say that one was never told, after the text is lower case and its apostrophes are gone.
ABSTENTION = re.compile(
    r"\b(do not|dont|cannot|cant|can not) (really |actually |quite )?(know|remember|recall|say|tell)\b"
    r"|\b(not|isnt|arent|wasnt) (really |quite |entirely )?(sure|certain)\b"
    r"|\bno idea\b|\bunsure\b|\bnot aware\b"
    r"|\b(have not|havent|has not|hasnt|never|did not|didnt) (\w+ )?"
    r"(tell|told|say|said|mention|mentioned|share|shared)\b"
)


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `answer` is None where the person never said it."""

    text: str
    answer: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class Person:
    """What one person says, session by session, and is asked."""

    id: str
    sessions: tuple[tuple[Exchange, ...], ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back to one question, at what cost.

    Attributes:
        first_token_seconds: from the finished prompt to the first piece of the reply, or to the end of an
            empty one.
        seconds: from the finished prompt to the end.
    """

    reply: str
    prompt_tokens: int
    first_token_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question asked: under which method, what came back, at what cost."""

    id: str
    method: Method
    question: Question
    reply: str
    prompt_tokens: int
    seconds: float

    def line(self) -> dict[str, Any]:
        """Return what a file of replies says of it."""
        return {
            "id": self.id,
            "method": self.method,
            "q": self.question.text,
            "a": self.question.answer,
            "kind": self.question.kind,
            "reply": self.reply,
            "prompt_tokens": self.prompt_tokens,
        }


@dataclass(frozen=True, slots=True)
class Score:
    """A group of outcomes in figures; a share of nothing is None.

    Attributes:
        n: questions, of both sorts.
        contains, em, f1: means over the questions that have an answer.
        abstained: share of the questions without an answer that were declined.
        prompt_tokens: mean.
        seconds: median.
    """

    n: int
    contains: float | None
    em: float | None
    f1: float | None
    abstained: float | None
    prompt_tokens: float
    seconds: float


@dataclass(frozen=True, slots=True)
class MethodScores:
    """The scores of one method, over everything and by kind of question."""

    all: Score
    kinds: Mapping[str, Score]


def normalise(text: str) -> str:
    """Return `text` as SQuAD compares it."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def contains(answer: str, reply: str) -> bool:
    """Return whether the normalised answer stands in the normalised reply, as whole words."""
    return bool(normalise(answer)) and f" {normalise(answer)} " in f" {normalise(reply)} "


def exact_match(answer: str, reply: str) -> bool:
    """Return whether answer and reply are the same once normalised."""
    return normalise(answer) == normalise(reply)


def f1(answer: str, reply: str) -> float:
    """Return the harmonic mean of precision and recall of the reply's words, 0 to 1."""
    gold, said = normalise(answer).split(), normalise(reply).split()
    common = sum((Counter(gold) & Counter(said)).values())
    return 2 * common / (len(gold) + len(said)) if common else float(gold == said)


def abstained(reply: str) -> bool:
    """Return whether the reply says that the answer is not known."""
    return bool(ABSTENTION.search(re.sub("['\u2019]", "", reply.lower())))


def score(outcomes: Sequence[Outcome]) -> Score:
    """Return the figures of at least one outcome."""
    told = [(o.question.answer, o.reply) for o in outcomes if o.question.answer is not None]
    untold = [o.reply for o in outcomes if o.question.answer is None]
    return Score(
        n=len(outcomes),
        contains=_mean(contains(a, r) for a, r in told),
        em=_mean(exact_match(a, r) for a, r in told),
        f1=_mean(f1(a, r) for a, r in told),
        abstained=_mean(abstained(r) for r in untold),
        prompt_tokens=fmean(o.prompt_tokens for o in outcomes),
        seconds=median(o.seconds for o in outcomes),
    )


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None


def report(outcomes: Sequence[Outcome]) -> dict[Method, MethodScores]:
    """Return the scores of each method that was asked."""
    table = {}
    for method in dict.fromkeys(o.method for o in outcomes):
        own = [o for o in outcomes if o.method == method]
        kinds = sorted({o.question.kind for o in own})
        by_kind = {kind: score([o for o in own if o.question.kind == kind]) for kind in kinds}
        table[method] = MethodScores(score(own), by_kind)
    return table


def parse_methods(text: str) -> tuple[Method, ...]:
    """Return the methods named in `text`, with commas between; raises BadRequest for another name."""
    names = dict.fromkeys(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in METHODS]:
        raise BadRequest(f"--methods takes {', '.join(METHODS)}, got {unknown[0]!r}.")
    return tuple(method for method in METHODS if method in names)


def read_people(path: Path, max_message_chars: int, limit: int | None = None) -> list[Person]:
    """Return the people of a recall file, at most `limit`.

    Raises:
        NotFound: there is no such file.
        BadRequest: it is not a recall file, or holds nobody; the message says where.
    """
    return read_lines(path, lambda where, value: person_of(where, value, max_message_chars), limit)


def read_lines(path: Path, parse: Callable[[str, Any], T], limit: int | None) -> list[T]:
    """Return what `parse` makes of the place and the value of each line, of at most `limit` lines.

    Raises:
        NotFound: there is no such file.
        BadRequest: it cannot be read, or holds nobody.
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    found = [parse(where, value) for where, value in islice(read_jsonl(path), limit)]
    if not found:
        raise BadRequest(f"{path} holds nobody to ask.")
    return found


def person_of(where: str, value: Any, max_message_chars: int) -> Person:
    """Return the person that a line of a recall file tells; raises BadRequest, which begins with `where`."""
    match value:
        case {"id": str() | int() as name, "sessions": list(sessions), "questions": list(questions)}:
            told = (exchanges(where, s, max_message_chars) for s in sessions)
            return Person(str(name), tuple(told), tuple(_question(where, q) for q in questions))
    raise BadRequest(f'{where}: a person is {{"id", "sessions", "questions"}}, got {value!r:.40}.')


def _question(where: str, value: Any) -> Question:
    match value:
        case {"q": str(text), "a": str() | None as answer, "kind": str(kind)} if text.strip():
            return Question(text, answer, kind)
    raise BadRequest(f'{where}: a question is {{"q", "a", "kind"}}, got {value!r:.40}.')


class Examination:
    """One model and generator under examination, with the settings a chat would have."""

    def __init__(self, lm: BaseModel, generator: Generator, settings: Settings) -> None:
        self._lm = lm
        self._generator = generator
        self._settings = settings
        self._sampling = Sampling(settings.temperature, settings.top_p, settings.max_new_tokens)

    def ask(
        self, person: Person, methods: Sequence[Method], *, in_one_chat: bool = False
    ) -> Iterator[Outcome]:
        """Yield the outcome of every question of `person` under every method.

        Args:
            in_one_chat: whether memory reads, and the prompt repeats, the questions before and their replies,
                as in a chat in which all are asked; otherwise each is asked as if it were the first.
        """
        for method in methods:
            state, window = self._heard(person.sessions, method)
            adapter = self._generator.adapter(state) if state else None
            room = self._lm.context_tokens if method == "history" else self._settings.window_tokens
            chat: list[Exchange] = []
            turns: list[TurnTokens] = []
            for question in person.questions:
                answered = self.answer(adapter, window + chat, question.text, window_tokens=room)
                yield Outcome(
                    person.id, method, question, answered.reply, answered.prompt_tokens, answered.seconds
                )
                if in_one_chat:
                    chat.append(Exchange(question.text, answered.reply))
                    if state:
                        turns.append(turn_tokens(self._lm, chat[-1]))
                        state = self._read_last(state, turns)
                        adapter = self._generator.adapter(state)

    def memory_and_window(
        self, sessions: Sequence[Sequence[Exchange]], method: Method
    ) -> tuple[Adapter | None, list[Exchange]]:
        """Return what `method` gives the model of `sessions`: an adapter, and exchanges to go on from."""
        state, window = self._heard(sessions, method)
        return self._generator.adapter(state) if state else None, window

    def _heard(
        self, sessions: Sequence[Sequence[Exchange]], method: Method
    ) -> tuple[MemoryState | None, list[Exchange]]:
        state = last(self.listen(sessions)) if method == "memory" else None
        return state, [e for session in sessions for e in session] if method == "history" else []

    def listen(self, sessions: Sequence[Sequence[Exchange]]) -> Iterator[MemoryState]:
        """Yield an empty memory, and then the memory after each turn of `sessions`."""
        state = self._generator.empty_state()
        yield state
        for session in sessions:
            turns: list[TurnTokens] = []
            for exchange in session:
                turns.append(turn_tokens(self._lm, exchange))
                state = self._read_last(state, turns)
                yield state

    def _read_last(self, state: MemoryState, turns: Sequence[TurnTokens]) -> MemoryState:
        """Return the memory `state` after the last of the turns of a session."""
        roles = self._settings.memory_roles
        return fold(self._lm, self._generator, state, turns[:-1], turns[-1], roles=roles)

    def answer(
        self,
        adapter: Adapter | None,
        window: Sequence[Exchange],
        text: str,
        max_new_tokens: int | None = None,
        window_tokens: int | None = None,
    ) -> Answered:
        """Return the answer to `text`, as many exchanges of `window` in front of it as fit.

        Args:
            max_new_tokens: where it is cut; None is what the settings say.
            window_tokens: most tokens that the exchanges take, as in `prompt_ids`.
        """
        sampling = replace(self._sampling, max_new_tokens=max_new_tokens or self._sampling.max_new_tokens)
        token_ids = prompt_ids(self._lm, window, text, window_tokens)
        started = time.perf_counter()
        pieces: list[str] = []
        first: float | None = None
        for piece in stream(self._lm, token_ids, adapter, sampling):
            first = first or time.perf_counter() - started
            pieces.append(piece)
        seconds = time.perf_counter() - started
        return Answered("".join(pieces), len(token_ids), first or seconds, seconds)


def last(values: Iterable[T]) -> T:
    """Return the last of at least one value."""
    *_, value = values
    return value
