"""Rows of tokens: what is read into a memory and what is predicted under it, as the training sees it.

In a reply the first words of its value and of what it quotes weigh most. Rows are right-padded; padding comes
after everything that counts, so no attention mask is needed.

Shapes: N rows, T tokens.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import groupby, islice
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from model.training.quoting import Cue, whole_words
from model.training.tokenizer import ASSISTANT, END, PAD, USER, opened, token_id

MAX_ROW_TOKENS = 144
MAX_HISTORY_TOKENS = 400
MAX_PROMPT_TOKENS = 48
MAX_TARGET_TOKENS = 56
# weights in a reply: of what could have been worded in any way; of the value, the first tokens of a quotation
# and the first of declining, which the question decides; of the others, which follow from them
WORDING, SOUGHT, FOLLOWING = 0.3, 1.0, 0.15
NUM_SOUGHT = 3
BUCKETS = 6


class Mark(IntEnum):
    """What a token tells: nothing known; of one that is read, a word of what tells a value, or the first of a
    value; of one in a reply, whether a question can be answered."""

    NOTHING = 0
    WORD = 1
    VALUE = 2
    DECISION = 3


class Token(NamedTuple):
    """One token of a row.

    Attributes:
        weight: how much predicting it counts, or whether it is read.
        place: of a token read, its own number in the batch; of one in a reply that is to be found in the
            memory, the number of the token where the value was told, or of that with which the message
            begins that is quoted; 0 otherwise.
        message: of a token read, the number of the token with which its message begins; 0 otherwise.
        mark: what it tells, see `Mark`.
    """

    id: int
    weight: float
    place: int = 0
    message: int = 0
    mark: Mark = Mark.NOTHING


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
class Rows:
    """Right-padded rows of tokens, N of them.

    Attributes:
        ids: int64 `[N, T]`.
        weight: float32 `[N, T]`; how much predicting this token counts, or whether it is read.
        place, message, mark: int64 `[N, T]`; as in `Token`.
        person: int64 `[N]`; whose rows these are.
        is_real: float32 `[N, T]`; 0 at padding.
    """

    ids: Tensor
    weight: Tensor
    place: Tensor
    message: Tensor
    mark: Tensor
    person: Tensor
    is_real: Tensor

    def to(self, device: torch.device) -> "Rows":
        """Return the rows on `device`."""
        parts = (self.ids, self.weight, self.place, self.message, self.mark, self.person, self.is_real)
        return Rows(*(t.to(device) for t in parts))


class RowEncoder:
    """Makes rows of texts."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, passes: int) -> None:
        self.tokenizer = tokenizer
        self.passes = passes
        self.special = {name: token_id(tokenizer, name) for name in (PAD, USER, ASSISTANT, END)}

    def ids(self, text: str) -> list[int]:
        """Return the tokens of `text`."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _encoded(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yield the tokens of `text`, each with where it starts and ends in it."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        for token, (first, last) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            yield token, first, last

    def read(
        self, person: int, text: str, number: int, quotes: Sequence[str] = (), values: Sequence[str] = ()
    ) -> ReadRow:
        """Return the row number `number` of a batch; `quotes` are the words in it that tell `values`."""
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
            mark = Mark.NOTHING
            if is_person and any(start < last and first < end for start, end in quoted):
                mark = Mark.VALUE if any(first <= start < last for start in starts) else Mark.WORD
            place = 1 + number * MAX_ROW_TOKENS + i
            if token == self.special[USER]:
                message = place
            tokens.append(Token(token, float(is_person), place, message if is_person else 0, mark))
            token_at += [i] * (last - len(token_at))
        return ReadRow(person, text, tokens, token_at)

    def passed_over(self, row: ReadRow) -> Row:
        """Return a read row as it is passed over: each message `passes` times, of which the last counts."""
        passed: list[Token] = []
        for is_message, group in groupby(row.tokens, key=lambda token: token.weight > 0):
            own = list(group)
            if is_message:
                passed += [token._replace(weight=0.0) for token in own] * (self.passes - 1)
            passed += own
        return row.person, passed

    def continued(self, person: int, text: str) -> Row:
        """Return `text` as a row of which every token is predicted, the person's own count half."""
        tokens = self.read(person, text, 0).tokens
        return person, [Token(token.id, 0.5 if token.weight else 1.0) for token in tokens]

    def reply(self, person: int, cue: Cue, reads: Sequence[ReadRow], is_begun: bool = False) -> Row | None:
        """Return the message and its reply as a row; None where what is quoted was cut off in `reads`."""
        row = [Token(token, 0.0) for token in self.ids(opened(cue.message))[-MAX_PROMPT_TOKENS:]]
        places, start, end = (0, 0), 0, 0
        if cue.quote is not None:
            found = next((found for read in reads if (found := read.places(cue.quote, cue.value))), None)
            if found is None:
                return None
            places = found
            start = cue.reply.rindex(cue.quote)
            end = start + len(cue.quote)
        num_quoted, first_token = 0, len(row)
        for token, first, last in islice(self._encoded(f"{cue.reply}{END}"), MAX_TARGET_TOKENS):
            if cue.value and first < len(cue.value):
                row.append(Token(token, SOUGHT, places[0]))
            elif not (first < end and start < last):
                row.append(Token(token, SOUGHT if cue.is_question and not first else WORDING))
            elif is_begun and num_quoted == NUM_SOUGHT + 1:
                break
            else:
                row.append(Token(token, SOUGHT if num_quoted < NUM_SOUGHT else FOLLOWING, places[1]))
                num_quoted += 1
        if cue.is_question:
            row[first_token] = row[first_token]._replace(mark=Mark.DECISION)
        return person, row

    def prompted(self, person: int, reads: Sequence[str], cues: Sequence[Cue]) -> Row:
        """Return the whole history and then questions about it, each value asked for once."""
        tokens = [Token(token, 0.0) for token in self.ids("".join(reads))[-MAX_HISTORY_TOKENS:]]
        asked: set[str | None] = set()
        for cue in cues:
            if cue.quote is None or cue.quote not in asked:
                asked.add(cue.quote)
                row = self.reply(person, replace(cue, quote=None, value=None), ())
                tokens += row[1] if row else []
        return person, tokens

    def bucketed(self, rows: Sequence[Row]) -> tuple[Rows, ...]:
        """Return the rows in a few groups, each of rows of about one length."""
        ordered = sorted(rows, key=lambda row: len(row[1]))
        size = max(1, -(-len(ordered) // BUCKETS))
        return tuple(self.padded(ordered[i : i + size]) for i in range(0, len(ordered), size))

    def padded(self, rows: Sequence[Row]) -> Rows:
        """Return the rows as tensors."""
        shape = len(rows), max(len(tokens) for _, tokens in rows)
        ids = torch.full(shape, self.special[PAD])
        weight, is_real = torch.zeros(shape), torch.zeros(shape)
        place, message, mark = (torch.zeros(shape, dtype=torch.int64) for _ in range(3))
        for i, (_, tokens) in enumerate(rows):
            length = len(tokens)
            ids[i, :length] = torch.tensor([token.id for token in tokens])
            weight[i, :length] = torch.tensor([token.weight for token in tokens])
            place[i, :length] = torch.tensor([token.place for token in tokens])
            message[i, :length] = torch.tensor([token.message for token in tokens])
            mark[i, :length] = torch.tensor([token.mark for token in tokens])
            is_real[i, :length] = 1.0
        people = torch.tensor([person for person, _ in rows])
        return Rows(ids, weight, place, message, mark, people, is_real)
