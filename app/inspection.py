"""Looking into a memory: what it has read and how full it is, what each session added, which turns an answer
leans on, and what the model says when it is asked about the person.

Nothing that is asked here is stored or read into a memory.

A turn is weighed by leaving it out: where chunks are read independently a memory is a plain sum, so what one
turn added can be subtracted and the same answer measured again. The drop of its log-likelihood is how much
the answer leans on the turn, given all the others; the same is done to the sources in a prompt
(ContextCite, arXiv 2409.00729). What it does not say:

* where an answer comes from: a turn may hold the fact and another one the words;
* that a turn does not matter: of two turns that say the same each covers for the other, and neither drops;
* anything, near zero: all directions of a memory share their strength, so leaving out any turn moves them all
  a little, and an answer may get likelier too.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from app.recall import abstained
from app.recollection import OnTurn, saved_memory
from memory.adapter import Adapter
from memory.gauge import FILLING_UP, Gauge, measure
from memory.state import MemoryState
from model.base import BaseModel
from model.conversation import prompt_ids
from model.generation import Sampling, answer
from storage.rows import SessionRow, TurnRow, UserRow
from storage.store import Store

# What people tell of themselves, asked as the person would ask it.
QUESTIONS = (
    "What is my name?",
    "Where do I live?",
    "Where did I grow up?",
    "What do I do for a living?",
    "Where do I work?",
    "Who do I work with?",
    "Who do I live with?",
    "What is my partner called?",
    "What are my children called?",
    "What is my sister called?",
    "What is my brother called?",
    "Who is my best friend?",
    "What is my pet called?",
    "What is my favourite food?",
    "What can't I eat?",
    "What do I like to drink?",
    "What do I do in my free time?",
    "What am I learning?",
    "What music do I like?",
    "What am I reading?",
    "When is my birthday?",
    "Where am I going on holiday?",
    "What am I planning?",
    "What am I worried about?",
)


@dataclass(frozen=True, slots=True)
class Leaning:
    """How much an answer leans on one turn: the nats that its log-likelihood loses without the turn."""

    turn: TurnRow
    drop: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer, and the turns it leans on.

    Attributes:
        answer: the likeliest one, word by word, under the whole memory, in a session of its own.
        num_tokens: of the answer, with what ended it.
        log_likelihood: of those tokens, their sum, under the whole memory; in nats.
        without_memory: the same under the base model alone.
        leanings: of every turn that was read, the largest drop first.
    """

    answer: str
    num_tokens: int
    log_likelihood: float
    without_memory: float
    leanings: tuple[Leaning, ...]

    def summary(self, limit: int) -> dict[str, Any]:
        """Return what `memory why --json` says of it, with the first `limit` turns."""
        return {
            "answer": self.answer,
            "tokens": self.num_tokens,
            "log_likelihood": self.log_likelihood,
            "without_memory": self.without_memory,
            "turns": len(self.leanings),
            "leans_on": [
                {
                    "turn": leaning.turn.id,
                    "session": leaning.turn.session_id,
                    "said_at": leaning.turn.created_at.isoformat(timespec="seconds"),
                    "user": leaning.turn.user_text,
                    "assistant": leaning.turn.reply_text,
                    "drop": leaning.drop,
                }
                for leaning in self.leanings[:limit]
            ],
        }


def explain(
    lm: BaseModel,
    prompt: Sequence[int],
    sampling: Sampling,
    adapter: Adapter,
    leaving_out: Iterable[tuple[TurnRow, Adapter]],
    on_turn: OnTurn,
) -> Explanation:
    """Return the answer to `prompt` under `adapter`, and how much it leans on each turn.

    Args:
        prompt: the tokens of the question, ending where the answer begins.
        adapter: of the whole memory.
        leaving_out: each turn, and the adapter of the memory without it.
        on_turn: called after each turn, with the number of turns left out so far.
    """
    token_ids, text = answer(lm, prompt, adapter, sampling)

    def log_likelihood(under: Adapter | None) -> float:
        return float(lm.log_likelihoods(prompt, token_ids, under).sum())

    whole = log_likelihood(adapter)
    leanings = []
    for turn, without in leaving_out:
        leanings.append(Leaning(turn, whole - log_likelihood(without)))
        on_turn(len(leanings))
    leanings.sort(key=lambda leaning: leaning.drop, reverse=True)
    return Explanation(text, len(token_ids), whole, log_likelihood(None), tuple(leanings))


@dataclass(frozen=True, slots=True)
class Overview:
    """What the saved memory of a person is; None and zeros where nothing is saved.

    Attributes:
        user: the person's name.
        revision: grows with every save.
        turns, tokens, sessions: how much was read.
        unread: turns that memory has yet to read; where something was taken out of it, all of them.
        bytes: of the state.
        generator, base: the fingerprints of what it was made with.
        since: when the first turn was said that it has read.
        updated_at: when it was saved.
        gauges: how full it is, by target.
    """

    user: str
    revision: int
    turns: int
    tokens: int
    sessions: int
    unread: int
    bytes: int
    generator: str | None
    base: str | None
    since: datetime | None
    updated_at: datetime | None
    gauges: tuple[Gauge, ...]

    @property
    def fullness(self) -> float:
        """Of the fullest target, 0 to 1; see `Gauge.fullness` for what it says and what it does not."""
        return max((gauge.fullness for gauge in self.gauges), default=0.0)

    @property
    def is_filling_up(self) -> bool:
        """Whether a target has hardly a direction left that is not in use."""
        return self.fullness >= FILLING_UP

    def summary(self) -> dict[str, Any]:
        """Return what `memory show --json` says of it."""
        about = asdict(self)
        del about["gauges"]
        for name in ("since", "updated_at"):
            about[name] = about[name] and about[name].isoformat(timespec="seconds")
        return {
            **about,
            "fullness": self.fullness,
            "is_filling_up": self.is_filling_up,
            "gauge": [{**asdict(gauge), "fullness": gauge.fullness} for gauge in self.gauges],
        }


def overview(store: Store, person: UserRow) -> Overview:
    """Return what the saved memory of `person` is, whichever generator made it.

    Raises:
        MemoryDamaged: the saved memory is not what was saved.
    """
    saved = saved_memory(store, person)
    if saved is None:
        unread = store.count_memory_turns(person.id)
        return Overview(person.name, 0, 0, 0, 0, unread, 0, None, None, None, None, ())
    row, state = saved
    read_through = row.through_turn_id if row.ledger == store.ledger(person.id) else 0
    # a turn is told apart by its session and its time, not kept: there may be very many
    turns = store.memory_turns(person.id)
    said = [(t.session_id, t.created_at) for t in turns if t.id <= row.through_turn_id]
    return Overview(
        user=person.name,
        revision=row.revision,
        turns=row.num_turns,
        tokens=row.num_tokens,
        sessions=len({session for session, _ in said}),
        unread=store.count_memory_turns(person.id, read_through),
        bytes=len(row.payload),
        generator=row.generator,
        base=row.base,
        since=min((when for _, when in said), default=None),
        updated_at=row.updated_at,
        gauges=measure(state),
    )


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one session adds to a memory that reads them one after the other.

    Attributes:
        turns, tokens: how much of it memory reads.
        effective_ranks: by target, of the memory with it and all sessions before it; see `Gauge`.
    """

    session: SessionRow
    turns: int
    tokens: int
    effective_ranks: tuple[float, ...]


def contributions(memories: Iterable[tuple[SessionRow, int, MemoryState]]) -> Iterator[Contribution]:
    """Yield the contribution of each session.

    Args:
        memories: each session, how many turns of it are read, and the memory that has read it last.
    """
    before = 0
    for session, turns, state in memories:
        ranks = tuple(gauge.effective_rank for gauge in measure(state))
        yield Contribution(session, turns, state.num_tokens - before, ranks)
        before = state.num_tokens


@dataclass(frozen=True, slots=True)
class Recollected:
    """A question about the person, and what the model says under the memory alone: true or not."""

    question: str
    answer: str

    @property
    def is_known(self) -> bool:
        """Whether the model gives an answer, rather than saying that it knows none."""
        return bool(self.answer) and not abstained(self.answer)


def ask_each(
    lm: BaseModel, questions: Iterable[str], sampling: Sampling, adapter: Adapter
) -> Iterator[Recollected]:
    """Yield the answer to each question, which is all that its prompt holds."""
    for question in questions:
        _, text = answer(lm, prompt_ids(lm, [], question, 0), adapter, sampling)
        yield Recollected(question, text)
