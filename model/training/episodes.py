"""Episodes: what one person's memory is made from, and what it must be good for; batches of them as tokens.

An episode has rows that are read into a state, and rows that are predicted under the adapter of that state:

* read rows again (reconstruction), dialogues that go on, also such as have nothing to do with the memory, and
  questions with the session still in view;
* questions and their replies, also with the whole history before them instead of the adapter; replies to
  small talk.

G is the number of people.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from model.conversation import Exchange
from model.training.corpus import Story
from model.training.people import PHRASES, SMALL_TALK, MadeUpPerson, People
from model.training.quoting import MENTION, Cue, answered, quotation, sentences
from model.training.rows import MAX_ROW_TOKENS, ReadRow, Row, RowEncoder, Rows
from model.training.tokenizer import END, opened, rendered

BEGUN = 0.6  # share of the quotations of which only the first tokens are asked for: the rest is soon learnt

# shares of the made-up people who change something they said, and who chat of something else: a memory must
# not get in the way of what has nothing to do with it
CHANGED, UNRELATED = 0.5, 0.4
UNKNOWN = 0.25  # share of their questions that cannot be answered
NUM_MENTIONS = 4  # questions about what was said in a dialogue
MENTIONED = 0.15  # share of the questions of made-up people that only name a word of what was said


@dataclass(frozen=True, slots=True)
class Episode:
    """One person's rows as text; `quotes` are the words that tell `values` in `reads`, as far as known."""

    reads: tuple[str, ...]
    continued: tuple[str, ...]
    cues: tuple[Cue, ...]
    quotes: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Episodes of G people as tokens; rows of about one length stand together, to spare padding.

    The made-up people come first: of them it is known which tokens tell a value. Of more people there is
    only what they say and what they ask (`messages`, `asking`), for the lesson of finding. With the
    tokens `declining` begins a reply that says that something was never said.
    """

    reads: tuple[Rows, ...]
    predicted: tuple[Rows, ...]
    cues: tuple[Rows, ...]
    prompted: tuple[Rows, ...]
    messages: tuple[Rows, ...]
    asking: tuple[Rows, ...]
    num_people: int
    num_made_up: int
    num_seekers: int
    declining: tuple[int, ...]

    @property
    def num_tokens(self) -> int:
        """How many tokens are in it, without padding."""
        return sum(int(rows.is_real.sum()) for part in self._parts() for rows in part)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`."""
        reads, predicted, cues, prompted, messages, asking = (
            tuple(rows.to(device) for rows in part) for part in self._parts()
        )
        sizes = self.num_people, self.num_made_up, self.num_seekers
        return Batch(reads, predicted, cues, prompted, messages, asking, *sizes, self.declining)

    def _parts(self) -> tuple[tuple[Rows, ...], ...]:
        return self.reads, self.predicted, self.cues, self.prompted, self.messages, self.asking


@dataclass(frozen=True, slots=True)
class Mixture:
    """What the episodes of one step are made of.

    Attributes:
        people: made-up people.
        stories, dialogues: episodes of natural text.
        num_facts: fewest and most facts of a made-up person.
        num_questions: of a made-up person.
        reconstructed: share of the read rows that are predicted again.
        prompted: share of the made-up people who are also asked with the history in the prompt.
        seekers: made-up people of whom only messages have to be found.
    """

    people: int
    stories: int
    dialogues: int
    num_facts: tuple[int, int]
    num_questions: int
    reconstructed: float
    prompted: float = 0.0
    seekers: int = 0


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
        self.rows = RowEncoder(tokenizer, passes)
        self.declining = tuple(sorted({self.rows.ids(reply)[0] for reply in PHRASES["unknown"]}))
        self.people = people
        self.stories = stories
        self.dialogues = dialogues

    def batch(self, rng: random.Random, mixture: Mixture) -> Batch:
        """Return one step's batch."""
        episodes = [self._made_up(rng, mixture) for _ in range(mixture.people)]
        episodes += [self._story(rng) for _ in range(mixture.stories)]
        episodes += [self._dialogue(rng) for _ in range(mixture.dialogues)]
        reads: list[ReadRow] = []
        cues: list[Row] = []
        for i, e in enumerate(episodes):
            own = [
                self.rows.read(i, row, len(reads) + j, e.quotes, e.values) for j, row in enumerate(e.reads)
            ]
            reads += own
            for cue in e.cues:
                row = self.rows.reply(i, cue, own, is_begun=rng.random() < BEGUN)
                cues += [row] if row else []
        predicted = [(r.person, r.tokens) for r in reads if rng.random() < mixture.reconstructed]
        predicted += [self.rows.continued(i, row) for i, e in enumerate(episodes) for row in e.continued]
        prompted = [
            self.rows.prompted(i, e.reads, e.cues)
            for i, e in enumerate(episodes[: mixture.people])
            if rng.random() < mixture.prompted
        ]
        messages, asking = self._seeking(rng, mixture, len(reads))
        return Batch(
            self.rows.bucketed([self.rows.passed_over(row) for row in reads]),
            self.rows.bucketed(predicted),
            self.rows.bucketed(cues),
            self.rows.bucketed(prompted),
            self.rows.bucketed([self.rows.passed_over(row) for row in messages]),
            self.rows.bucketed(asking),
            len(episodes),
            mixture.people,
            mixture.seekers,
            self.declining,
        )

    def _seeking(self, rng: random.Random, mixture: Mixture, number: int) -> tuple[list[ReadRow], list[Row]]:
        """Return what the people who only seek tell, in rows from `number` on, and their questions."""
        messages: list[ReadRow] = []
        asking: list[Row] = []
        for i in range(mixture.seekers):
            num_facts = rng.randint(*mixture.num_facts)
            person = self.people.draw(rng, num_facts, mixture.num_questions, unknown=0.0)
            first = number + len(messages)
            own = [
                self.rows.read(i, row, first + j, person.quotes, person.values)
                for j, row in enumerate(self._told(person))
            ]
            messages += own
            asks = (self.rows.reply(i, cue, own, is_begun=True) for cue in person.questions)
            asking += [row for row in asks if row]
        return messages, asking

    def _made_up(self, rng: random.Random, mixture: Mixture) -> Episode:
        # now and then somebody has said nothing: then nothing is known
        num_facts = 0 if rng.random() < 0.04 else rng.randint(*mixture.num_facts)
        num_changes = rng.randint(1, 2) if rng.random() < CHANGED else 0
        person = self.people.draw(rng, num_facts, mixture.num_questions, UNKNOWN, num_changes=num_changes)
        cues = list(person.questions)
        cues += [Cue(e.user, e.assistant, is_question=False) for e in person.statements]
        if rng.random() < 0.5:
            said, reply = rng.choice(self.people.small_talk if rng.random() < 0.7 else SMALL_TALK)
            cues.append(Cue(said, reply, is_question=False))
        cues += self._mentions(rng, person.messages, int(mixture.num_questions * MENTIONED))
        reads = self._told(person)
        continued = []
        if reads and rng.random() < 0.2:
            # the fact may still be in view, or something else may stand between
            seen = (
                rng.choice(reads)
                if rng.random() < 0.6
                else rendered([Exchange(*rng.choice(self.people.small_talk))])
            )
            question = rng.choice(person.questions)
            continued.append(f"{seen}{opened(question.message)}{question.reply}{END}")
        if rng.random() < UNRELATED:
            exchanges = rng.choice(self.dialogues)
            start = rng.randrange(max(1, len(exchanges) - 4))
            continued += self._split(exchanges[start : start + 5])[:1]
        return Episode(tuple(reads), tuple(continued), tuple(cues), person.quotes, person.values)

    def _story(self, rng: random.Random) -> Episode:
        story = rng.choice(self.stories)
        row = rendered([Exchange(story.passage, rng.choice(PHRASES["acknowledgement"]))])
        quotes = [(q, a, quotation([story.passage], q, a)) for q, a in story.questions]
        cues = [Cue(q, answered(a, quote), quote, a) for q, a, quote in quotes if quote]
        cues += self._mentions(rng, sentences(story.passage), NUM_MENTIONS)
        return Episode((row,), (), tuple(cues))

    def _dialogue(self, rng: random.Random) -> Episode:
        exchanges = rng.choice(self.dialogues)
        start = rng.randrange(0, max(1, len(exchanges) - 4))
        middle = start + rng.randint(1, 8)
        reads = self._split(exchanges[start:middle])
        later = self._split(exchanges[middle : middle + 5])[:1]
        chats = [rng.choice(exchanges) for _ in range(2)]
        cues = [Cue(e.user, e.assistant, is_question=False) for e in chats]
        cues += self._mentions(rng, [e.user for e in exchanges[start:middle]], NUM_MENTIONS)
        return Episode(tuple(reads[:4]), tuple(later), tuple(cues))

    def _mentions(self, rng: random.Random, messages: Sequence[str], number: int) -> list[Cue]:
        """Return questions that name words which only one of the messages has, or none.

        Words of what is looked for as the query for it (the inverse cloze task, Lee et al., arXiv 1906.00300)
        teach to find in any text.
        """
        cues = []
        of_each = [set(re.findall(r"[a-z]{4,}", m.lower())) for m in messages]
        for _ in range(number if messages else 0):
            i = rng.randrange(len(messages))
            own = of_each[i].difference(*of_each[:i], *of_each[i + 1 :])
            if rng.random() < 0.15:
                words = re.findall(r"[a-z]{4,}", rng.choice(rng.choice(self.dialogues)).user.lower())
                own = set(words).difference(*of_each)
                reply, quote = rng.choice(PHRASES["unknown"]), None
            else:
                quote = quotation(messages[i : i + 1], "", rng.choice(sorted(own))) if own else None
                reply = MENTION.format(quote=quote)
                own = {word for word in own if quote and word in quote.lower()}
            if own:
                named = " ".join(rng.sample(sorted(own), min(len(own), rng.choice([1, 1, 2, 3]))))
                cues.append(Cue(rng.choice(PHRASES["ask_about"]).format(words=named), reply, quote))
        return cues

    def _told(self, person: MadeUpPerson) -> list[str]:
        return [row for session in person.sessions for row in self._split(session)]

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
