"""Episodes: what one person's memory is made from, and what it must be good for; batches of them as tokens.

An episode has rows that are read into a state, and rows that are predicted under the adapter of that state:

* read rows again (reconstruction), dialogues that go on, also such as have nothing to do with the memory, and
  questions with the session still in view;
* questions and their replies, also with the whole history before them instead of the adapter; facts told
  again in other words than those read; replies to small talk.

In a reply or a retelling the words of the value weigh most: the rest is a choice of wording. Rows are
right-padded; padding comes after everything that counts, so no attention mask is needed.

Shapes: G people, N rows, T tokens.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from model.conversation import Exchange
from model.training.corpus import Story
from model.training.people import PHRASES, SMALL_TALK, People
from model.training.tokenizer import ASSISTANT, END, PAD, USER, opened, rendered, token_id

MAX_ROW_TOKENS = 144
MAX_HISTORY_TOKENS = 400
MAX_PROMPT_TOKENS = 48
MAX_TARGET_TOKENS = 36
# weights of what is not the value: of a reply, and of a retelling, which could have been worded in any way
WORDING, RETOLD_WORDING = 0.3, 0.05
# shares of the made-up people who change something they said, and who chat of something else: a memory must
# not get in the way of what has nothing to do with it
CHANGED, UNRELATED = 0.3, 0.4
BUCKETS = 6


class Token(NamedTuple):
    """One token of a row; `weight` is how much predicting it counts, or whether it is read."""

    id: int
    weight: float
    is_value: bool = False


Row = tuple[int, list[Token]]  # whose it is


@dataclass(frozen=True, slots=True)
class Cue:
    """A prompt and what must follow it.

    Attributes:
        value: the part of `target` that only the memory can know; None where there is none.
        weight: how much each token outside the value counts; one inside counts 1.
    """

    prompt: str
    target: str
    value: str | None
    weight: float


@dataclass(frozen=True, slots=True)
class Episode:
    """One person's rows as text; `values` are those told in `reads`, as far as they are known."""

    reads: tuple[str, ...]
    continued: tuple[str, ...]
    cues: tuple[Cue, ...]
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """Right-padded rows of tokens, N of them.

    Attributes:
        ids: int64 `[N, T]`.
        weight: float32 `[N, T]`; how much predicting this token counts, or whether it is read.
        is_value: bool `[N, T]`; whether the token is in a value that was told, or is asked for.
        person: int64 `[N]`; whose rows these are.
        is_real: float32 `[N, T]`; 0 at padding.
    """

    ids: Tensor
    weight: Tensor
    is_value: Tensor
    person: Tensor
    is_real: Tensor

    def to(self, device: torch.device) -> "Rows":
        """Return the rows on `device`."""
        parts = (self.ids, self.weight, self.is_value, self.person, self.is_real)
        return Rows(*(t.to(device) for t in parts))


@dataclass(frozen=True, slots=True)
class Batch:
    """Episodes of G people as tokens; rows of about one length stand together, to spare padding.

    The made-up people come first: of them it is known which tokens are in a value.
    """

    reads: tuple[Rows, ...]
    predicted: tuple[Rows, ...]
    cues: tuple[Rows, ...]
    prompted: tuple[Rows, ...]
    num_people: int
    num_made_up: int

    @property
    def num_tokens(self) -> int:
        """How many tokens are in it, without padding."""
        parts = (self.reads, self.predicted, self.cues, self.prompted)
        return sum(int(rows.is_real.sum()) for part in parts for rows in part)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`."""
        parts = (self.reads, self.predicted, self.cues, self.prompted)
        reads, predicted, cues, prompted = (tuple(rows.to(device) for rows in part) for part in parts)
        return Batch(reads, predicted, cues, prompted, self.num_people, self.num_made_up)


@dataclass(frozen=True, slots=True)
class Mixture:
    """What the episodes of one step are made of.

    Attributes:
        people: made-up people.
        stories, dialogues: episodes of natural text.
        num_facts: fewest and most facts of a made-up person.
        num_questions, num_retellings: of a made-up person.
        reconstructed: share of the read rows that are predicted again.
        prompted: share of the made-up people who are also asked with the history in the prompt.
    """

    people: int
    stories: int
    dialogues: int
    num_facts: tuple[int, int]
    num_questions: int
    num_retellings: int
    reconstructed: float
    prompted: float = 0.0


class Episodes:
    """Draws batches; the same seed and step give the same batch."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        people: People,
        stories: Sequence[Story],
        dialogues: Sequence[Sequence[Exchange]],
        passes: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.people = people
        self.stories = stories
        self.dialogues = dialogues
        self.passes = passes
        self.special = {name: token_id(tokenizer, name) for name in (PAD, USER, ASSISTANT, END)}

    def batch(self, rng: random.Random, mixture: Mixture) -> Batch:
        """Return one step's batch."""
        episodes = [self._made_up(rng, mixture) for _ in range(mixture.people)]
        episodes += [self._story(rng) for _ in range(mixture.stories)]
        episodes += [self._dialogue(rng) for _ in range(mixture.dialogues)]
        reads = [self._read_row(i, row, e.values) for i, e in enumerate(episodes) for row in e.reads]
        predicted = [row for row in reads if rng.random() < mixture.reconstructed]
        predicted += [self._continued_row(i, row) for i, e in enumerate(episodes) for row in e.continued]
        cues = [self._cue_row(i, cue) for i, e in enumerate(episodes) for cue in e.cues]
        prompted = [
            self._prompted_row(i, e)
            for i, e in enumerate(episodes[: mixture.people])
            if rng.random() < mixture.prompted
        ]
        reads = [self._passed_over(row) for row in reads]
        return Batch(
            self._bucketed(reads),
            self._bucketed(predicted),
            self._bucketed(cues),
            self._bucketed(prompted),
            len(episodes),
            mixture.people,
        )

    def _made_up(self, rng: random.Random, mixture: Mixture) -> Episode:
        # now and then somebody has said nothing: then nothing is known
        num_facts = 0 if rng.random() < 0.04 else rng.randint(*mixture.num_facts)
        num_changes = rng.randint(1, 2) if rng.random() < CHANGED else 0
        person = self.people.draw(
            rng, num_facts, mixture.num_questions, mixture.num_retellings, num_changes=num_changes
        )
        cues = [Cue(opened(q.text), f"{q.reply}{END}", q.value, WORDING) for q in person.questions]
        cues += [Cue(USER, f"{r.text}{END}", r.value, RETOLD_WORDING) for r in person.retellings]
        cues += [Cue(opened(e.user), f"{e.assistant}{END}", None, WORDING) for e in person.statements]
        if rng.random() < 0.5:
            said, reply = rng.choice(self.people.small_talk if rng.random() < 0.7 else SMALL_TALK)
            cues.append(Cue(opened(said), f"{reply}{END}", None, WORDING))
        reads = [row for session in person.sessions for row in self._split(session)]
        continued = []
        if reads and rng.random() < 0.2:
            # the fact may still be in view, or something else may stand between
            seen = (
                rng.choice(reads)
                if rng.random() < 0.6
                else rendered([Exchange(*rng.choice(self.people.small_talk))])
            )
            question = rng.choice(person.questions)
            continued.append(f"{seen}{opened(question.text)}{question.reply}{END}")
        if rng.random() < UNRELATED:
            exchanges = rng.choice(self.dialogues)
            start = rng.randrange(max(1, len(exchanges) - 4))
            continued += self._split(exchanges[start : start + 5])[:1]
        return Episode(tuple(reads), tuple(continued), tuple(cues), person.values)

    def _story(self, rng: random.Random) -> Episode:
        story = rng.choice(self.stories)
        row = rendered([Exchange(story.passage, rng.choice(PHRASES["acknowledgement"]))])
        return Episode(
            (row,), (), tuple(Cue(opened(q), f"{a}{END}", a, WORDING) for q, a in story.questions[:4])
        )

    def _dialogue(self, rng: random.Random) -> Episode:
        exchanges = rng.choice(self.dialogues)
        start = rng.randrange(0, max(1, len(exchanges) - 4))
        middle = start + rng.randint(1, 8)
        reads = self._split(exchanges[start:middle])
        later = self._split(exchanges[middle : middle + 5])[:1]
        chats = [rng.choice(exchanges) for _ in range(2)]
        cues = tuple(Cue(opened(e.user), f"{e.assistant}{END}", None, WORDING) for e in chats)
        return Episode(tuple(reads[:4]), tuple(later), cues)

    def _split(self, exchanges: Sequence[Exchange]) -> list[str]:
        """Return the session as rows of whole exchanges, about as long as a row may be."""
        rows: list[str] = []
        length = MAX_ROW_TOKENS
        for exchange in exchanges:
            text = rendered([exchange])
            size = len(text) // 3  # tokens, roughly; a row is cut to its size later
            if length + size > MAX_ROW_TOKENS:
                rows.append(text)
                length = size
            else:
                rows[-1] += text
                length += size
        return rows

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _encoded(self, text: str, values: Sequence[str]) -> Iterator[tuple[int, bool]]:
        """Yield the tokens of `text`, and whether each is in one of the values."""
        spans = [
            found.span()
            for value in values
            for found in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE)
        ]
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        for token, (first, last) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            yield token, any(start < last and first < end for start, end in spans)

    def _read_row(self, person: int, text: str, values: Sequence[str] = ()) -> Row:
        tokens, is_person = [], False
        for token, is_value in islice(self._encoded(text, values), MAX_ROW_TOKENS):
            if token == self.special[USER]:
                is_person = True
            elif token == self.special[ASSISTANT]:
                is_person = False
            tokens.append(Token(token, float(is_person), is_value and is_person))
        return person, tokens

    def _passed_over(self, row: Row) -> Row:
        """Return a read row as it is passed over: each message `passes` times, of which the last counts."""
        person, tokens = row
        passed: list[Token] = []
        for is_message, group in groupby(tokens, key=lambda token: token.weight > 0):
            own = list(group)
            if is_message:
                passed += [token._replace(weight=0.0) for token in own] * (self.passes - 1)
            passed += own
        return person, passed

    def _continued_row(self, person: int, text: str) -> Row:
        _, tokens = self._read_row(person, text)
        return person, [token._replace(weight=0.5 if token.weight else 1.0) for token in tokens]

    def _cue_row(self, person: int, cue: Cue) -> Row:
        asked = [Token(token, 0.0) for token in self._ids(cue.prompt)[-MAX_PROMPT_TOKENS:]]
        target = self._encoded(cue.target, [cue.value] if cue.value else [])
        return person, asked + [
            Token(token, 1.0 if is_value else cue.weight, is_value)
            for token, is_value in islice(target, MAX_TARGET_TOKENS)
        ]

    def _prompted_row(self, person: int, episode: Episode) -> Row:
        """Return the whole history and then questions about it, each value asked for once."""
        tokens = [Token(token, 0.0) for token in self._ids("".join(episode.reads))[-MAX_HISTORY_TOKENS:]]
        asked: set[str | None] = set()
        for cue in episode.cues:
            if cue.prompt != USER and (cue.value is None or cue.value not in asked):
                asked.add(cue.value)
                tokens += self._cue_row(person, cue)[1]
        return person, tokens

    def _bucketed(self, rows: Sequence[Row]) -> tuple[Rows, ...]:
        ordered = sorted(rows, key=lambda row: len(row[1]))
        size = max(1, -(-len(ordered) // BUCKETS))
        return tuple(self._padded(ordered[i : i + size]) for i in range(0, len(ordered), size))

    def _padded(self, rows: Sequence[Row]) -> Rows:
        shape = len(rows), max(len(tokens) for _, tokens in rows)
        ids = torch.full(shape, self.special[PAD])
        weight, is_real = torch.zeros(shape), torch.zeros(shape)
        is_value = torch.zeros(shape, dtype=torch.bool)
        for i, (_, tokens) in enumerate(rows):
            length = len(tokens)
            ids[i, :length] = torch.tensor([token.id for token in tokens])
            weight[i, :length] = torch.tensor([token.weight for token in tokens])
            is_value[i, :length] = torch.tensor([token.is_value for token in tokens])
            is_real[i, :length] = 1.0
        return Rows(ids, weight, is_value, torch.tensor([person for person, _ in rows]), is_real)
