"""Finding a session by something that was said in it."""

import re
from dataclasses import dataclass

from storage.rows import SessionRow, TurnRow

# Of what was said, shown around what was looked for.
CHARS_BEFORE, CHARS_AFTER = 24, 72


@dataclass(frozen=True, slots=True)
class Hit:
    """A session in which something was said, and a line of what stands around it."""

    session: SessionRow
    excerpt: str


def excerpt(turn: TurnRow, text: str) -> str:
    """Return what was said around the first `text` in the turn, in one line."""
    for said in (turn.user_text, turn.reply_text):
        if found := re.search(re.escape(text), said, re.IGNORECASE):
            first, last = max(0, found.start() - CHARS_BEFORE), found.end() + CHARS_AFTER
            around = " ".join(said[first:last].split())
            return f"{'…' if first else ''}{around}{'…' if last < len(said) else ''}"
    # the database has another mind of capitals
    return " ".join(turn.user_text[: CHARS_BEFORE + CHARS_AFTER].split())
