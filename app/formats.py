"""What other programs call a conversation, and we ourselves: recognised from what stands there.

    [{"role", "content"}, ...]                            a session of Remanence, or a list of messages
    {"messages": [...], "name"?, "created_at"?, ...}      the same with what is known of it (`app.takeout`)
    {"mapping": {...}, "current_node"?, "title"?}         a conversation of ChatGPT's conversations.json
    {"dialog": [...], "previous_dialogs"?: [...]}         a chat of MSC, several sessions of two speakers

A file is JSONL of such values, one a line, or one JSON document, which may be a list of them. Messages of
other sides than the two (system, tool) and parts that are not text are left out. Everything wrong is a
`BadRequest` that begins with its place: "FILE, line N" or "FILE, conversation N".
"""

import gzip
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, BinaryIO, Protocol

from app.errors import BadRequest, TooLong
from app.transcript import GZIP_MAGIC, exchanges, shown
from model.conversation import Exchange

READ_BYTES = 1 << 20
# An empty list takes three bytes in a file and sixty here; conversations have one in thirty bytes at most.
BYTES_PER_VALUE = 16
HOW_TO_ALLOW_MORE = "the setting max_import_bytes allows more"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What else takes part in a list of messages, and is nothing that was said between the two.
SILENT_ROLES = ("system", "developer", "tool", "function")
CHATGPT_TEXT = ("text", "multimodal_text")
CHATGPT_HIDDEN = "is_visually_hidden_from_conversation"
# Where MSC names its speakers, it does so like this; elsewhere they take turns.
MSC_ROLES = {"Speaker 1": "user", "Speaker 2": "assistant"}


class Readable(Protocol):
    """A file of bytes, packed or not."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Conversation:
    """A finished session as a file tells it.

    Attributes:
        name: None where the file has none.
        created_at: when it began; None is not known.
        order: the place of each exchange among those of all conversations of its file; None is after each
            other.
        in_memory: whether memory reads each exchange; None is what the person's switch says.
        said_at: when each exchange was; None is when the session began.
        source: the document whose passages are the exchanges; None for a conversation.
    """

    exchanges: tuple[Exchange, ...]
    name: str | None = None
    created_at: datetime | None = None
    order: tuple[int, ...] | None = None
    in_memory: tuple[bool, ...] | None = None
    said_at: tuple[datetime, ...] | None = None
    is_pinned: bool = False
    source: str | None = None


def read_conversations(
    where: str, file: BinaryIO, max_bytes: int, max_message_chars: int
) -> list[Conversation]:
    """Return the conversations of a JSON or JSONL file, plain or gzip.

    Args:
        where: the file, for messages.
        file: open at its beginning.
        max_bytes: how large it may be, unpacked.
        max_message_chars: how long one message may be.

    Raises:
        BadRequest: it holds something else.
        TooLong: it, or a message in it, is larger than that.
        OSError, EOFError, zlib.error: it cannot be read.
    """
    packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    with gzip.open(file) if packed else nullcontext(file) as content:
        text = read_at_most(content, max_bytes, where)
    return conversations(where, text, max_message_chars)


def read_at_most(content: Readable, max_bytes: int, where: str) -> bytes:
    """Return all of `content`, a JSON text or several.

    Raises:
        TooLong: it is more than `max_bytes`, or its values would take far more room than its text.
    """
    portions, num_bytes = [], 0
    while portion := content.read(READ_BYTES):
        num_bytes += len(portion)
        if num_bytes > max_bytes:
            raise TooLong(
                f"{where}: more than {max_bytes:,} bytes; the setting max_import_bytes allows more."
            )
        portions.append(portion)
    text, max_values = b"".join(portions), max_bytes // BYTES_PER_VALUE
    if text.count(b"[") + text.count(b"{") > max_values:
        raise TooLong(f"{where}: more than {max_values:,} lists and objects; {HOW_TO_ALLOW_MORE}.")
    return text


def conversations(where: str, content: bytes, max_message_chars: int) -> list[Conversation]:
    """Return the conversations of a file's content in which anything was said.

    Args:
        where: the file, for messages.

    Raises:
        BadRequest: it holds something else, or nothing.
        TooLong: a message is longer than `max_message_chars`.
    """
    found: list[Conversation] = []
    used: set[int] = set()
    for place, value in values(where, content):
        for conversation in _conversations_of(place, value, max_message_chars):
            if conversation.order is not None:
                if not used.isdisjoint(conversation.order):
                    raise BadRequest(f'{place}: "order" holds a number that another session has.')
                used.update(conversation.order)
            if conversation.exchanges:
                found.append(conversation)
    return found


def values(where: str, content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield every value of a file's content that stands for a conversation, with its place.

    Raises:
        BadRequest: there is none, or what stands there is not JSON.
    """
    content = content.removeprefix(BYTE_ORDER_MARK)
    lines = ((n, line) for n, line in enumerate(io.BytesIO(content), start=1) if line.strip())
    beginning = list(islice(lines, 2))
    if not beginning:
        raise BadRequest(f"{where} holds no conversation.")
    if len(beginning) == 1 or _is_document(content):
        value = _parsed(where, content, first_line=1)
        if _is_list_of_conversations(value):
            yield from ((f"{where}, conversation {n}", one) for n, one in enumerate(value, start=1))
        else:
            yield f"{where}, line {beginning[0][0]}", value
        return
    for number, line in chain(beginning, lines):
        yield f"{where}, line {number}", _parsed(where, line, first_line=number)


def _is_document(content: bytes) -> bool:
    """Say whether this is one JSON text over several lines: neither the first nor the last is a value."""
    stripped = content.strip()
    ends = stripped[: stripped.find(b"\n")], stripped[stripped.rfind(b"\n") + 1 :]
    return not any(_is_value(line) for line in ends)


def _is_value(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode()), list | dict)
    except (ValueError, RecursionError):
        return False


def _parsed(where: str, content: bytes, first_line: int) -> Any:
    """Return the value of a JSON text that begins in line `first_line`."""
    try:
        return json.loads(content.rstrip().decode())
    except UnicodeDecodeError as exc:
        line = first_line + content.count(b"\n", 0, exc.start)
        raise BadRequest(f"{where}, line {line}: this is not text in UTF-8.") from exc
    except json.JSONDecodeError as exc:
        line = first_line + exc.lineno - 1
        raise BadRequest(f"{where}, line {line}: this is not JSON.") from exc
    # numbers of thousands of digits, lists in lists in lists
    except (ValueError, RecursionError) as exc:
        raise BadRequest(f"{where}, line {first_line}: this is not JSON that can be read.") from exc


def _is_list_of_conversations(value: Any) -> bool:
    match value:
        case [{"messages": _} | {"mapping": _} | {"dialog": _} | [*_], *_]:
            return True
    return False


def _conversations_of(where: str, value: Any, max_message_chars: int) -> Iterator[Conversation]:
    """Yield the conversations that one value tells: several for one of MSC's."""
    match value:
        case {"mapping": _}:
            yield _of_chatgpt(where, value, max_message_chars)
        case {"messages": messages}:
            yield _of_object(where, value, _said(where, messages, max_message_chars))
        case {"dialog": _}:
            for messages in _of_msc(where, value):
                yield Conversation(exchanges(where, messages, max_message_chars))
        case [*messages]:
            yield Conversation(_said(where, messages, max_message_chars))
        case _:
            raise BadRequest(
                f'{where}: expected a list of messages, or an object with "messages", "mapping" or "dialog",'
                f" got {shown(value)}."
            )


# lists of messages


def _said(where: str, messages: Any, max_message_chars: int) -> tuple[Exchange, ...]:
    """Return what the two said in a list of messages, which may hold more."""
    if isinstance(messages, list):
        messages = [plain for plain in map(_plain, messages) if plain is not None]
    return exchanges(where, messages, max_message_chars)


def _plain(message: Any) -> Any:
    """Return a message with its text as one string, None for one that says nothing to anybody."""
    match message:
        case {"role": str(role)} if role in SILENT_ROLES:
            return None
        case {"role": "assistant", "content": None}:
            # it called a tool
            return None
        case {"role": role, "content": [*parts]} if all(isinstance(part, dict) for part in parts):
            texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
            return {"role": role, "content": "\n".join(texts)} if texts else None
    return message


def _of_object(where: str, value: Mapping[str, Any], said: tuple[Exchange, ...]) -> Conversation:
    name, order, in_memory = value.get("name"), value.get("order"), value.get("in_memory")
    if not isinstance(name, str | None):
        raise BadRequest(f'{where}: "name" is a text, got {shown(name)}.')
    if in_memory is not None and (
        not isinstance(in_memory, list)
        or len(in_memory) != len(said)
        or not all(type(is_read) is bool for is_read in in_memory)
    ):
        raise BadRequest(f'{where}: "in_memory" is true or false for each turn, got {shown(in_memory)}.')
    if order is not None:
        if not isinstance(order, list) or not all(type(place) is int for place in order):
            raise BadRequest(f'{where}: "order" is a list of whole numbers, got {shown(order)}.')
        if len(order) != len(said) or order != sorted(set(order)) or min(order, default=0) < 0:
            raise BadRequest(f'{where}: "order" has a number for each turn, growing from 0 or more.')
    is_pinned, source = value.get("is_pinned", False), value.get("source")
    if not isinstance(is_pinned, bool):
        raise BadRequest(f'{where}: "is_pinned" is true or false, got {shown(is_pinned)}.')
    if source is not None and not (isinstance(source, str) and source.isprintable()):
        raise BadRequest(f'{where}: "source" is the name of a file, got {shown(source)}.')
    return Conversation(
        said,
        name,
        _moment(where, value.get("created_at")),
        None if order is None else tuple(order),
        None if in_memory is None else tuple(in_memory),
        _moments(where, value.get("said_at"), len(said)),
        is_pinned,
        source,
    )


def _moments(where: str, value: Any, num_turns: int) -> tuple[datetime, ...] | None:
    """Return the moment of each turn; None is not known."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != num_turns or None in value:
        raise BadRequest(f'{where}: "said_at" has a time for each turn, got {shown(value)}.')
    return tuple(moment for one in value if (moment := _moment(where, one)) is not None)


def _moment(where: str, value: Any) -> datetime | None:
    """Return the moment that `value` tells, in seconds since 1970 or as ISO 8601; None is not known."""
    try:
        match value:
            case None:
                return None
            case str():
                moment = datetime.fromisoformat(value)
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
            case int() | float():
                return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise BadRequest(f"{where}: this is not a time: {shown(value)}.")


# ChatGPT


def _of_chatgpt(where: str, value: Mapping[str, Any], max_message_chars: int) -> Conversation:
    """Return the branch of a conversation that was shown last: from its current node up to the root."""
    title = value.get("title")
    if not isinstance(title, str | None):
        raise BadRequest(f'{where}: "title" is a text, got {shown(title)}.')
    messages = [
        plain
        for node in _branch(where, value["mapping"], value.get("current_node"))
        if (plain := _chatgpt_message(where, node.get("message"))) is not None
    ]
    said = exchanges(where, messages, max_message_chars)
    return Conversation(said, title, _moment(where, value.get("create_time")))


def _branch(where: str, mapping: Any, current: Any) -> list[Mapping[str, Any]]:
    """Return the nodes from the root to `current`; without one, to the last node that nothing follows."""
    if not isinstance(mapping, dict) or not all(isinstance(node, dict) for node in mapping.values()):
        raise BadRequest(f'{where}: "mapping" is an object of objects, got {shown(mapping)}.')
    if current is None:
        parents = {parent for node in mapping.values() if isinstance(parent := node.get("parent"), str)}
        current = next((name for name in reversed(mapping) if name not in parents), None)
    branch: dict[str, Mapping[str, Any]] = {}
    while current is not None:
        if not isinstance(current, str) or current not in mapping:
            raise BadRequest(f"{where}: there is no message {shown(current)}.")
        if current in branch:
            raise BadRequest(f"{where}: the messages follow each other in a circle.")
        branch[current] = mapping[current]
        current = mapping[current].get("parent")
    return list(branch.values())[::-1]


def _chatgpt_message(where: str, message: Any) -> dict[str, str] | None:
    """Return the message of a node as lists have it, None where it is nothing that one said to the other."""
    match message:
        case None:
            return None
        case {"author": {"role": str(role)}, "content": {"content_type": str(kind), **content}}:
            pass
        case _:
            raise BadRequest(f"{where}: a message has an author and a content, got {shown(message)}.")
    metadata = message.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise BadRequest(f'{where}: "metadata" is an object, got {shown(metadata)}.')
    # what a model says to its tools, and what a program adds in the name of the person
    is_aside = message.get("recipient", "all") != "all" or metadata.get(CHATGPT_HIDDEN)
    if role not in ("user", "assistant") or kind not in CHATGPT_TEXT or is_aside:
        return None
    parts = content.get("parts")
    if not isinstance(parts, list):
        raise BadRequest(f'{where}: "parts" is a list, got {shown(parts)}.')
    text = "\n".join(part for part in parts if isinstance(part, str))
    return {"role": role, "content": text} if text.strip() else None


# MSC


def _of_msc(where: str, value: Mapping[str, Any]) -> Iterator[list[dict[str, str]]]:
    """Yield the messages of the sessions before, then of the session itself; speaker 1 is the person."""
    before = value.get("previous_dialogs") or []
    if not isinstance(before, list):
        raise BadRequest(f'{where}: "previous_dialogs" is a list, got {shown(before)}.')
    for session in [*before, value]:
        match session:
            case {"dialog": [*dialog]}:
                yield [_msc_message(where, position, said) for position, said in enumerate(dialog)]
            case _:
                raise BadRequest(f'{where}: expected an object with a list "dialog", got {shown(session)}.')


def _msc_message(where: str, position: int, said: Any) -> dict[str, str]:
    match said:
        case {"text": str(text)}:
            by_turns = ("user", "assistant")[position % 2]
            speaker = said.get("id")
            role = MSC_ROLES.get(speaker, by_turns) if isinstance(speaker, str) else by_turns
            return {"role": role, "content": text}
    raise BadRequest(f'{where}: what was said is {{"text": text}}, got {shown(said)}.')
