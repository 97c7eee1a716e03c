"""Recall by quoting: a question about memory is answered with the value, and with the words that told it.

The value comes first: its words are hardly in any other message, so they tell best which message was found,
where half of all messages begin with "I" or "my". Then the message, each word found by those before it, which
stand in the reply now as they stood when they were read; a value that was taken from the right message but is
not what was asked for is set right by it. All of it comes out of the adapter, word by word, like any other
reply.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

MOST_QUOTED = 100  # characters; of a longer message the sentence is quoted
# no quotation marks: after a space the first word has the tokens that it had in the message
MENTION = "You said: {quote}"
REPLY = "{value}. You said: {quote}"


@dataclass(frozen=True, slots=True)
class Cue:
    """A message and the reply to it.

    Attributes:
        quote: the part of `reply` that only the memory can know; None where there is none.
        value: with which the reply begins, a part of the quotation; None where it does not.
        is_question: whether it asks for something that may have been said.
    """

    message: str
    reply: str
    quote: str | None = None
    value: str | None = None
    is_question: bool = True


def quotation(messages: Iterable[str], question: str, value: str) -> str | None:
    """Return the words that tell `value`, to be quoted in reply to `question`: a message, or a part of it.

    Of several messages it is the one that shares most words with the question. None where no message has
    `value` in it as whole words.
    """
    whole = whole_words(value)
    asked = _words(question)
    telling = [message for message in messages if whole.search(message)]
    if not telling:
        return None
    message = max(telling, key=lambda each: len(asked & _words(each)))
    if len(message) > MOST_QUOTED:
        message = next((s for s in sentences(message) if whole.search(s)), message)
    found = whole.search(message)
    if found is not None and len(message) > MOST_QUOTED:
        message = _around(message, found.start(), found.end())
    return message.strip()


def answered(value: str, quote: str) -> str:
    """Return the reply that names `value`, spelled as in `quote`, and quotes."""
    found = whole_words(value).search(quote)
    return REPLY.format(value=found[0] if found else value, quote=quote)


def whole_words(value: str) -> re.Pattern[str]:
    """Return what finds `value` as whole words, in any case."""
    return re.compile(rf"(?<!\w){re.escape(value)}(?!\w)", re.IGNORECASE)


def sentences(message: str) -> list[str]:
    """Return the sentences of `message`."""
    return [s for s in re.split(r"(?<=[.!?])\s+|\n+", message) if s]


def _around(text: str, first: int, last: int) -> str:
    """Return whole words of `text` around a span, MOST_QUOTED characters or little more."""
    start = max(0, first - MOST_QUOTED * 2 // 3)
    start = text.find(" ", start, first) + 1 if start else 0
    end = max(last, start + MOST_QUOTED)
    return text[start:] if end >= len(text) else text[start : max(last, text.rfind(" ", last, end))]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text.lower()))
