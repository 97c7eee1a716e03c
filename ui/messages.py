"""What the conversation shows: messages, replies as they grow, and the line about the memory under them."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from app.recollection import MemoryFigures
from app.reply import Answer
from ui import texts

# How often a growing reply is sent to the browser.
UPDATE_SECONDS = 1 / 15

Message = dict[str, str]

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


def memory_text(memory: MemoryFigures, answer: Answer | None = None) -> str:
    """Return the line about the memory, and about the answer if there is one."""
    if answer is not None and not answer.memory_on:
        line = texts.MEMORY_OFF
    else:
        line = texts.MEMORY.format(turns=memory.turns, tokens=memory.tokens, revision=memory.revision)
    if answer is None:
        return line
    return line + texts.ANSWERED.format(prompt_tokens=answer.prompt_tokens, seconds=answer.seconds)


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
