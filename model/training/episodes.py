"""Episodes: what one person's memory is made from, and what it must be good for; batches of them as tokens.

An episode has rows that are read into a state, and rows that are predicted under the adapter of that state:

* read rows again (reconstruction), dialogues that go on, questions with the session still in view;
* questions and their replies, also with the whole history before them instead of the adapter; facts told
  again in other words than those read; replies to small talk.

In a reply or a retelling the words of the value weigh most: the rest is a choice of wording. Rows are
right-padded; padding comes after everything that counts, so no attention mask is needed.

Shapes: G people, N rows, T tokens.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

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
BUCKETS = 6
Row = tuple[int, list[int], list[float]]  # whose it is, tokens, weights


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
    """One person's rows as text."""

    reads: tuple[str, ...]
    continued: tuple[str, ...]
    cues: tuple[Cue, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Right-padded rows of tokens, N of them.

    Attributes:
        ids: int64 `[N, T]`.
        weight: float32 `[N, T]`; how much predicting this token counts, or whether it is read.
        person: int64 `[N]`; whose rows these are.
        is_real: float32 `[N, T]`; 0 at padding.
    """

    ids: Tensor
    weight: Tensor
    person: Tensor
    is_real: Tensor

    def to(self, device: torch.device) -> "Rows":
        """Return the rows on `device`."""
        return Rows(*(t.to(device) for t in (self.ids, self.weight, self.person, self.is_real)))


@dataclass(frozen=True, slots=True)
class Batch:
    """Episodes of G people as tokens; rows of about one length stand together, to spare padding."""

    reads: tuple[Rows, ...]
    predicted: tuple[Rows, ...]
    cues: tuple[Rows, ...]
    prompted: tuple[Rows, ...]
    num_people: int

    @property
    def num_tokens(self) -> int:
        """How many tokens are in it, without padding."""
        parts = (self.reads, self.predicted, self.cues, self.prompted)
        return sum(int(rows.is_real.sum()) for part in parts for rows in part)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`."""
        parts = (self.reads, self.predicted, self.cues, self.prompted)
        reads, predicted, cues, prompted = (tuple(rows.to(device) for rows in part) for part in parts)
        return Batch(reads, predicted, cues, prompted, self.num_people)


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
        reads = [self._read_row(i, row) for i, e in enumerate(episodes) for row in e.reads]
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
        )

    def _made_up(self, rng: random.Random, mixture: Mixture) -> Episode:
        # now and then somebody has said nothing: then nothing is known
        num_facts = 0 if rng.random() < 0.04 else rng.randint(*mixture.num_facts)
        person = self.people.draw(rng, num_facts, mixture.num_questions, mixture.num_retellings)
        cues = [Cue(opened(q.text), f"{q.reply}{END}", q.value, WORDING) for q in person.questions]
        cues += [Cue(USER, f"{r.text}{END}", r.value, RETOLD_WORDING) for r in person.retellings]
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
        return Episode(tuple(reads), tuple(continued), tuple(cues))

    def _story(self, rng: random.Random) -> Episode:
        story = rng.choice(self.stories)
        row = rendered([Exchange(story.passage, rng.choice(PHRASES["acknowledgement"]))])
        return Episode(
            (row,), (), tuple(Cue(opened(q), f"{a}{END}", a, WORDING) for q, a in story.questions[:4])
        )

    def _dialogue(self, rng: random.Random) -> Episode:
        exchanges = rng.choice(self.dialogues)
        start = rng.randrange(0, max(1, len(exchanges) - 4))
        middle = start + rng.randint(1, 4)
        reads = self._split(exchanges[start:middle])
        later = self._split(exchanges[middle : middle + 5])[:1]
        chats = [rng.choice(exchanges) for _ in range(2)]
        cues = tuple(Cue(opened(e.user), f"{e.assistant}{END}", None, WORDING) for e in chats)
        return Episode(tuple(reads[:2]), tuple(later), cues)

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

    def _read_row(self, person: int, text: str) -> Row:
        ids = self._ids(text)[:MAX_ROW_TOKENS]
        weights, is_person = [], False
        for token in ids:
            if token == self.special[USER]:
                is_person = True
            elif token == self.special[ASSISTANT]:
                is_person = False
            weights.append(float(is_person))
        return person, ids, weights

    def _passed_over(self, row: Row) -> Row:
        """Return a read row as it is passed over: each message `passes` times, of which the last counts."""
        person, ids, weights = row
        passed: list[int] = []
        counts: list[float] = []
        for is_message, group in groupby(zip(ids, weights, strict=True), key=lambda pair: pair[1] > 0):
            tokens, own = zip(*group, strict=True)
            for weight in [0.0] * (self.passes - 1) * is_message + [1.0]:
                passed += tokens
                counts += [w * weight for w in own]
        return person, passed, counts

    def _continued_row(self, person: int, text: str) -> Row:
        _, ids, is_person = self._read_row(person, text)
        return person, ids, [0.5 if p else 1.0 for p in is_person]

    def _cue_row(self, person: int, cue: Cue) -> Row:
        asked = self._ids(cue.prompt)[-MAX_PROMPT_TOKENS:]
        encoded = self.tokenizer(cue.target, add_special_tokens=False, return_offsets_mapping=True)
        start = cue.target.lower().find(cue.value.lower()) if cue.value else -1
        end = start + len(cue.value or "")
        weights = [
            1.0 if start >= 0 and first < end and start < last else cue.weight
            for first, last in encoded["offset_mapping"]
        ]
        ids = asked + encoded["input_ids"][:MAX_TARGET_TOKENS]
        return person, ids, [0.0] * len(asked) + weights[:MAX_TARGET_TOKENS]

    def _prompted_row(self, person: int, episode: Episode) -> Row:
        """Return the whole history and then questions about it, each value asked for once."""
        ids = self._ids("".join(episode.reads))[-MAX_HISTORY_TOKENS:]
        weights = [0.0] * len(ids)
        asked: set[str | None] = set()
        for cue in episode.cues:
            if cue.prompt != USER and (cue.value is None or cue.value not in asked):
                asked.add(cue.value)
                _, more, own = self._cue_row(person, cue)
                ids += more
                weights += own
        return person, ids, weights

    def _bucketed(self, rows: Sequence[Row]) -> tuple[Rows, ...]:
        ordered = sorted(rows, key=lambda row: len(row[1]))
        size = max(1, -(-len(ordered) // BUCKETS))
        return tuple(self._padded(ordered[i : i + size]) for i in range(0, len(ordered), size))

    def _padded(self, rows: Sequence[Row]) -> Rows:
        longest = max(len(ids) for _, ids, _ in rows)
        tokens = torch.full((len(rows), longest), self.special[PAD])
        weight, is_real = torch.zeros(len(rows), longest), torch.zeros(len(rows), longest)
        for i, (_, ids, weights) in enumerate(rows):
            tokens[i, : len(ids)] = torch.tensor(ids)
            weight[i, : len(ids)] = torch.tensor(weights)
            is_real[i, : len(ids)] = 1.0
        return Rows(tokens, weight, torch.tensor([person for person, _, _ in rows]), is_real)
