"""Conversations as files hold them: lists of `{"role", "content"}` become finished exchanges.

A file may come from anywhere, so a conversation need not be tidy: one that the assistant opens starts with
an exchange without words of the person, one that the person closes ends with an exchange without a reply,
and neighbouring messages of one side are one message of several lines. Everything wrong is a `BadRequest`
that says where.
"""

import gzip
import json
import reprlib
import zlib
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from app.errors import BadRequest, TooLong
from model.conversation import Exchange

# A session without a name is called by the beginning of its first message.
SESSION_NAME_CHARS = 40
GZIP_MAGIC = b"\x1f\x8b"


def read_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each line's place, for messages, and its value; blank lines are skipped.

    Args:
        path: a JSONL file in UTF-8, plain or gzip.

    Raises:
        BadRequest: it cannot be read, or a line is not JSON.
    """
    with readable(path):
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP_MAGIC
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    where = f"{path.name}, line {number}"
                    yield where, _parse(where, line)


@contextmanager
def readable(path: Path | str) -> Iterator[None]:
    """Let what keeps the file `path` from being read leave the block as a `BadRequest`."""
    try:
        yield
    except UnicodeDecodeError as exc:
        raise BadRequest(f"{path} is not a text file in UTF-8.") from exc
    except (OSError, EOFError, zlib.error) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise BadRequest(f"{path} cannot be read: {reason}.") from exc


def shown(value: Any) -> str:
    """Return the beginning of how `value` is written, however large and deep it is."""
    return f"{reprlib.repr(value):.40}"


def _parse(where: str, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise BadRequest(f"{where}: this is not JSON.") from exc


def exchanges(where: str, messages: Any, max_message_chars: int) -> tuple[Exchange, ...]:
    """Return the exchanges of one conversation.

    Args:
        where: the place in the file, for messages.
        messages: a list of `{"role": "user" | "assistant", "content": str}`.
        max_message_chars: how long one message may be.

    Raises:
        BadRequest: `messages` is something else.
        TooLong: a message, or neighbouring ones together, are longer than that.
    """
    if not isinstance(messages, list):
        raise BadRequest(f"{where}: expected a list of messages, got {shown(messages)}.")
    said = [_message(where, m) for m in messages]
    blocks = [(role, "\n".join(text for _, text in run)) for role, run in groupby(said, key=lambda m: m[0])]
    for _, text in blocks:
        _check_text(f"{where}: ", text, max_message_chars)
    if blocks and blocks[0][0] == "assistant":
        blocks.insert(0, ("user", ""))
    if len(blocks) % 2:
        blocks.append(("assistant", ""))
    return tuple(
        Exchange(user, reply) for (_, user), (_, reply) in zip(blocks[::2], blocks[1::2], strict=True)
    )


def _message(where: str, message: Any) -> tuple[str, str]:
    """Return the role and the text of one message of a file."""
    match message:
        case {"role": "user" | "assistant" as role, "content": str(text)}:
            return role, text
    raise BadRequest(
        f'{where}: a message is {{"role": "user" or "assistant", "content": text}}, got {shown(message)}.'
    )


def check_message(text: str, max_chars: int) -> None:
    """Let a message pass that can be answered.

    Raises:
        TooLong: it has more than `max_chars` characters.
        BadRequest: there is nothing in it, or half a character (a lone surrogate), which no database takes.
    """
    if not text.strip():
        raise BadRequest("There is nothing to answer: the message is empty.")
    _check_text("", text, max_chars)


def _check_text(where: str, text: str, max_chars: int) -> None:
    if len(text) > max_chars:
        raise TooLong(f"{where}A message may have {max_chars:,} characters, this one has {len(text):,}.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise BadRequest(f"{where}The message is not valid text.")


def session_name(text: str, taken: Collection[str] = ()) -> str:
    """Return a name for a session that begins with `text`, unlike all those in `taken`."""
    words = "".join(c for c in " ".join(text.split()) if c.isprintable())
    name = words[:SESSION_NAME_CHARS].strip() or "Chat"
    if name not in taken:
        return name
    # numbers are given one after the other: the next is found without asking for each
    number = 2
    while f"{name} ({number})" in taken:
        number *= 2
    number = bisect_left(range(number), True, lo=2, key=lambda n: f"{name} ({n})" not in taken)
    return f"{name} ({number})"


def new_session_name(name: str, gone: Iterable[str], first: str, taken: Collection[str]) -> str | None:
    """Return a new name for a session that is called by the beginning of a message that goes, else None.

    Args:
        name: the session's.
        gone: the messages that go.
        first: what the session begins with afterwards.
        taken: names that the new one must be unlike.
    """
    if any(name.startswith(session_name(text)) for text in gone):
        return session_name(first, taken)
    return None
