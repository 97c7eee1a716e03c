"""Episodes: what one person's memory is made from, and what it must be good for; batches of them as tokens.

An episode has rows that are read into a state, and rows that are predicted under the adapter of that state:

* read rows again (reconstruction), dialogues that go on, also such as have nothing to do with the memory, and
  questions with the session still in view;
* questions and their replies, also with the whole history before them instead of the adapter; replies to
  small talk.

In a reply the first words it quotes weigh most. Rows are right-padded; padding comes after everything that
counts, so no attention mask is needed.

Shapes: G people, N rows, T tokens.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby, islice
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from model.conversation import Exchange
from model.training.corpus import Story
from model.training.people import PHRASES, SMALL_TALK, MadeUpPerson, People
from model.training.quoting import MENTION, answered, quotation, sentences, whole_words
from model.training.tokenizer import ASSISTANT, END, PAD, USER, opened, rendered, token_id

MAX_ROW_TOKENS = 144
MAX_HISTORY_TOKENS = 400
MAX_PROMPT_TOKENS = 48
MAX_TARGET_TOKENS = 56
# weights in a reply: of what could have been worded in any way; of the value and the first tokens of a
# quotation, which must be found by the question, and of the first token of all, which says whether there is
# anything to be found; of the others, which follow from them
WORDING, SOUGHT, FOLLOWING = 0.3, 1.0, 0.15
NUM_SOUGHT = 3
BEGUN = 0.6  # share of the quotations of which only the first tokens are asked for: the rest is soon learnt
# shares of the made-up people who change something they said, and who chat of something else: a memory must
# not get in the way of what has nothing to do with it
CHANGED, UNRELATED = 0.5, 0.4
NUM_MENTIONS = 4  # questions about what was said in a dialogue
MENTIONED = 0.15  # share of the questions of made-up people that only name a word of what was said
BUCKETS = 6


class Told(IntEnum):
    """What a token that is read tells: nothing known, a word of what tells a value, the first of a value."""

    NOTHING = 0
    WORD = 1
    VALUE = 2


class Token(NamedTuple):
    """One token of a row.

    Attributes:
        weight: how much predicting it counts, or whether it is read.
        place: of a token read, its own number in the batch; of one in a reply that is to be found in the
            memory, the number of the token where the value was told, or of that with which the message
            begins that is quoted; 0 otherwise.
        message: of a token read, the number of the token with which its message begins; 0 otherwise.
        told: how much it tells, see `Told`.
    """

    id: int
    weight: float
    place: int = 0
    message: int = 0
    told: Told = Told.NOTHING


Row = tuple[int, list[Token]]  # whose it is


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A row that is read, once over: whose, as text, as tokens, and which token each character is in."""

    person: int
    text: str
    tokens: list[Token]
    token_at: list[int]

    def places(self, quote: str, value: str | None) -> tuple[int, int] | None:
        """Return the places of `value` and of the message where `quote` was said; None where it was not."""
        for found in re.finditer(re.escape(quote), self.text):
            within = self.token_at[found.start() : found.end()]
            if len(within) == len(quote) and all(self.tokens[i].weight for i in within):
                told = whole_words(value).search(quote) if value else None
                first = found.start() + (told.start() if told else 0)
                token = self.tokens[self.token_at[_beginning(self.text, first)]]
                return token.place, token.message
        return None


def _beginning(text: str, at: int) -> int:
    """Return the character with which the first token of the word at `at` begins: the space before it."""
    return at - 1 if text[at - 1 : at] == " " else at


@dataclass(frozen=True, slots=True)
class Cue:
    """A message and the reply to it.

    Attributes:
        quote: the part of `reply` that only the memory can know; None where there is none.
        value: with which the reply begins, a part of the quotation; None where it does not.
    """

    message: str
    reply: str
    quote: str | None = None
    value: str | None = None


def _asked(person: MadeUpPerson) -> list[Cue]:
    return [Cue(q.text, q.reply, q.quote, q.value) for q in person.questions]


@dataclass(frozen=True, slots=True)
class Episode:
    """One person's rows as text; `quotes` are the words that tell `values` in `reads`, as far as known."""

    reads: tuple[str, ...]
    continued: tuple[str, ...]
    cues: tuple[Cue, ...]
    quotes: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """Right-padded rows of tokens, N of them.

    Attributes:
        ids: int64 `[N, T]`.
        weight: float32 `[N, T]`; how much predicting this token counts, or whether it is read.
        place, message, told: int64 `[N, T]`; as in `Token`.
        person: int64 `[N]`; whose rows these are.
        is_real: float32 `[N, T]`; 0 at padding.
    """

    ids: Tensor
    weight: Tensor
    place: Tensor
    message: Tensor
    told: Tensor
    person: Tensor
    is_real: Tensor

    def to(self, device: torch.device) -> "Rows":
        """Return the rows on `device`."""
        parts = (self.ids, self.weight, self.place, self.message, self.told, self.person, self.is_real)
        return Rows(*(t.to(device) for t in parts))


@dataclass(frozen=True, slots=True)
class Batch:
    """Episodes of G people as tokens; rows of about one length stand together, to spare padding.

    The made-up people come first: of them it is known which tokens tell a value. Of more people there are
    only messages and questions about them (`messages`, `asking`), for the lesson of finding.
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
        return Batch(reads, predicted, cues, prompted, messages, asking, *sizes)

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
        reads: list[ReadRow] = []
        cues: list[Row] = []
        for i, e in enumerate(episodes):
            own = [
                self._read_row(i, row, len(reads) + j, e.quotes, e.values) for j, row in enumerate(e.reads)
            ]
            reads += own
            for cue in e.cues:
                row = self._cue_row(i, cue, own, is_begun=rng.random() < BEGUN)
                cues += [row] if row else []
        predicted = [(r.person, r.tokens) for r in reads if rng.random() < mixture.reconstructed]
        predicted += [self._continued_row(i, row) for i, e in enumerate(episodes) for row in e.continued]
        prompted = [
            self._prompted_row(i, e)
            for i, e in enumerate(episodes[: mixture.people])
            if rng.random() < mixture.prompted
        ]
        messages, asking = self._seeking(rng, mixture, len(reads))
        return Batch(
            self._bucketed([self._passed_over(row) for row in reads]),
            self._bucketed(predicted),
            self._bucketed(cues),
            self._bucketed(prompted),
            self._bucketed([self._passed_over(row) for row in messages]),
            self._bucketed(asking),
            len(episodes),
            mixture.people,
            mixture.seekers,
        )

    def _seeking(self, rng: random.Random, mixture: Mixture, number: int) -> tuple[list[ReadRow], list[Row]]:
        """Return the messages of the people who only seek, numbered from `number` on, and their questions."""
        messages: list[ReadRow] = []
        asking: list[Row] = []
        for i in range(mixture.seekers):
            num_facts = rng.randint(*mixture.num_facts)
            person = self.people.draw(rng, num_facts, mixture.num_questions, unknown=0.0)
            first = number + len(messages)
            own = [
                self._read_row(i, f"{USER}{message}{END}", first + j, person.quotes, person.values)
                for j, message in enumerate(person.messages)
            ]
            messages += own
            rows = (self._cue_row(i, cue, own, is_begun=True) for cue in _asked(person))
            asking += [row for row in rows if row]
        return messages, asking

    def _made_up(self, rng: random.Random, mixture: Mixture) -> Episode:
        # now and then somebody has said nothing: then nothing is known
        num_facts = 0 if rng.random() < 0.04 else rng.randint(*mixture.num_facts)
        num_changes = rng.randint(1, 2) if rng.random() < CHANGED else 0
        person = self.people.draw(rng, num_facts, mixture.num_questions, num_changes=num_changes)
        cues = _asked(person)
        cues += [Cue(e.user, e.assistant) for e in person.statements]
        if rng.random() < 0.5:
            cues.append(Cue(*rng.choice(self.people.small_talk if rng.random() < 0.7 else SMALL_TALK)))
        cues += self._mentions(rng, person.messages, int(mixture.num_questions * MENTIONED))
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
        cues = [Cue(e.user, e.assistant) for e in chats]
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

    def _encoded(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yield the tokens of `text`, each with where it starts and ends in it."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        for token, (first, last) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            yield token, first, last

    def _read_row(
        self, person: int, text: str, number: int, quotes: Sequence[str] = (), values: Sequence[str] = ()
    ) -> ReadRow:
        quoted = [found.span() for quote in quotes for found in re.finditer(re.escape(quote), text)]
        found = (found for value in values for found in whole_words(value).finditer(text))
        starts = {_beginning(text, each.start()) for each in found}
        tokens: list[Token] = []
        token_at: list[int] = []
        is_person, message = False, 0
        for i, (token, first, last) in enumerate(islice(self._encoded(text), MAX_ROW_TOKENS)):
            if token == self.special[USER]:
                is_person = True
            elif token == self.special[ASSISTANT]:
                is_person = False
            told = Told.NOTHING
            if is_person and any(start < last and first < end for start, end in quoted):
                told = Told.VALUE if any(first <= start < last for start in starts) else Told.WORD
            place = 1 + number * MAX_ROW_TOKENS + i
            if token == self.special[USER]:
                message = place
            tokens.append(Token(token, float(is_person), place, message if is_person else 0, told))
            token_at += [i] * (last - len(token_at))
        return ReadRow(person, text, tokens, token_at)

    def _passed_over(self, row: ReadRow) -> Row:
        """Return a read row as it is passed over: each message `passes` times, of which the last counts."""
        passed: list[Token] = []
        for is_message, group in groupby(row.tokens, key=lambda token: token.weight > 0):
            own = list(group)
            if is_message:
                passed += [token._replace(weight=0.0) for token in own] * (self.passes - 1)
            passed += own
        return row.person, passed

    def _continued_row(self, person: int, text: str) -> Row:
        tokens = self._read_row(person, text, 0).tokens
        return person, [Token(token.id, 0.5 if token.weight else 1.0) for token in tokens]

    def _cue_row(self, person: int, cue: Cue, reads: Sequence[ReadRow], is_begun: bool = False) -> Row | None:
        """Return the message and its reply as a row; None where what is quoted was cut off in `reads`."""
        row = [Token(token, 0.0) for token in self._ids(opened(cue.message))[-MAX_PROMPT_TOKENS:]]
        places, start, end = (0, 0), 0, 0
        if cue.quote is not None:
            found = next((found for read in reads if (found := read.places(cue.quote, cue.value))), None)
            if found is None:
                return None
            places = found
            start = cue.reply.rindex(cue.quote)
            end = start + len(cue.quote)
        num_quoted = 0
        for token, first, last in islice(self._encoded(f"{cue.reply}{END}"), MAX_TARGET_TOKENS):
            if cue.value and first < len(cue.value):
                row.append(Token(token, SOUGHT, places[0]))
            elif not (first < end and start < last):
                row.append(Token(token, WORDING if first else SOUGHT))
            elif is_begun and num_quoted == NUM_SOUGHT + 1:
                break
            else:
                row.append(Token(token, SOUGHT if num_quoted < NUM_SOUGHT else FOLLOWING, places[1]))
                num_quoted += 1
        return person, row

    def _prompted_row(self, person: int, episode: Episode) -> Row:
        """Return the whole history and then questions about it, each value asked for once."""
        tokens = [Token(token, 0.0) for token in self._ids("".join(episode.reads))[-MAX_HISTORY_TOKENS:]]
        asked: set[str | None] = set()
        for cue in episode.cues:
            if cue.quote is None or cue.quote not in asked:
                asked.add(cue.quote)
                row = self._cue_row(person, Cue(cue.message, cue.reply), ())
                tokens += row[1] if row else []
        return person, tokens

    def _bucketed(self, rows: Sequence[Row]) -> tuple[Rows, ...]:
        ordered = sorted(rows, key=lambda row: len(row[1]))
        size = max(1, -(-len(ordered) // BUCKETS))
        return tuple(self._padded(ordered[i : i + size]) for i in range(0, len(ordered), size))

    def _padded(self, rows: Sequence[Row]) -> Rows:
        shape = len(rows), max(len(tokens) for _, tokens in rows)
        ids = torch.full(shape, self.special[PAD])
        weight, is_real = torch.zeros(shape), torch.zeros(shape)
        place, message, told = (torch.zeros(shape, dtype=torch.int64) for _ in range(3))
        for i, (_, tokens) in enumerate(rows):
            length = len(tokens)
            ids[i, :length] = torch.tensor([token.id for token in tokens])
            weight[i, :length] = torch.tensor([token.weight for token in tokens])
            place[i, :length] = torch.tensor([token.place for token in tokens])
            message[i, :length] = torch.tensor([token.message for token in tokens])
            told[i, :length] = torch.tensor([token.told for token in tokens])
            is_real[i, :length] = 1.0
        people = torch.tensor([person for person, _ in rows])
        return Rows(ids, weight, place, message, told, people, is_real)
