"""Texts by how well they match a question: BM25, as the full-text search of SQLite (FTS5) computes it.

Nothing is kept: the index lives in memory, for one question.
"""

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing


def best_matches(texts: Sequence[str], question: str, limit: int) -> list[int]:
    """Return the places of at most `limit` texts that share a word with `question`, the best match first.

    Words are compared by their English stems, without case and accents.
    """
    words = re.findall(r"\w+", question)
    if not words:
        return []
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE VIRTUAL TABLE said USING fts5(text, tokenize = 'porter unicode61')")
        database.executemany("INSERT INTO said (rowid, text) VALUES (?, ?)", enumerate(texts))
        rows = database.execute(
            "SELECT rowid FROM said WHERE said MATCH ? ORDER BY rank, rowid LIMIT ?",
            # in quotes, so that no word is an operator
            (" OR ".join(f'"{word}"' for word in words), limit),
        )
        return [place for (place,) in rows]
