"""What the conversation shows: messages, replies as they grow, and the line about the memory under them."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from app.chat import Chat
from app.recollection import MemoryFigures
from app.reply import Answer
from ui import texts

# How often a growing reply is sent to the browser.
UPDATE_SECONDS = 1 / 15

# What a browser draws at once of a long session: it draws all of it anew at each update.
SHOWN_TURNS = 50

Message = dict[str, Any]

# What is shown after a reply, by how it ended.
ENDINGS = {"complete": "", "stopped": f" {texts.STOPPED}", "failed": f" {texts.REPLY_FAILED}"}


def throttled(pieces: Iterator[str]) -> Iterator[str]:
    """Yield the text so far, not more often than every UPDATE_SECONDS, and the whole of it at the end."""
    shown, sent_at = "", time.monotonic()
    for piece in pieces:
        shown += piece
        if time.monotonic() - sent_at >= UPDATE_SECONDS:
            sent_at = time.monotonic()
            yield shown
    yield shown


def memory_text(memory: MemoryFigures, line: str = texts.MEMORY) -> str:
    """Return the line about the memory, in the words of `line`."""
    about = line.format(turns=memory.turns, tokens=memory.tokens, revision=memory.revision)
    return about + (texts.UNREAD.format(unread=memory.unread) if memory.unread else "")


def answer_text(answer: Answer, history_tokens: int | None = None) -> str:
    """Return what the answer took.

    Args:
        history_tokens: the prompt with all that was said before, None where that is not known.
    """
    line = texts.ANSWERED if history_tokens is None else texts.ANSWERED_FOR_LESS
    return line.format(
        prompt_tokens=answer.prompt_tokens, history_tokens=history_tokens, seconds=answer.seconds
    )


def first_shown(chat: Chat, user: str, session: int | None) -> int:
    """Return the number of the turn from which on a session is shown when it is opened, 0 for all of it."""
    if session is None or chat.is_document(user, session):
        return 0
    turns = chat.turns(user, session)
    return turns[-SHOWN_TURNS].id if len(turns) > SHOWN_TURNS else 0


def said_in(
    chat: Chat, user: str, session: int | None, first: int | None = 0, before: int | None = None
) -> list[Message]:
    """Return what was said in a session of the person; of a document, which nobody answered, no replies.

    Args:
        first: the number of the turn from which on; those of a later session are all greater.
        before: the number of the turn before which, None for the end.
    """
    if session is None:
        return []
    is_document = chat.is_document(user, session)
    messages = []
    for turn in chat.turns(user, session):
        if turn.id == before:
            break
        if turn.id < (first or 0):
            continue
        messages.append(message("user", turn.user_text))
        if not is_document:
            messages.append(message("assistant", f"{turn.reply_text}{ENDINGS[turn.status]}"))
            if turn.status == "failed":
                messages[-1]["options"] = [{"value": texts.TRY_AGAIN}]
    return messages


def plain(conversation: Sequence[dict[str, Any]]) -> list[Message]:
    """Return messages as the browser has them as plain texts; what is none of ours is left out."""
    messages = []
    for sent in conversation:
        content = sent.get("content")
        if isinstance(content, list):
            content = "".join(str(block.get("text", "")) for block in content if isinstance(block, dict))
        messages.append(message(str(sent.get("role")), str(content)))
    return messages


def pairs(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Return messages and replies in turn as pairs."""
    said = [m["content"] for m in messages]
    return list(zip(said[::2], said[1::2], strict=False))


def message(role: str, text: str) -> Message:
    """Return a message as the conversation shows it."""
    return {"role": role, "content": text}
