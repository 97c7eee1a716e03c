"""Natural text from the data folder: dialogues and stories with questions.

Files are gzip JSON lines; dialogues `{"turns": [{"speaker", "text"}]}`, passages `{"passage", "questions":
[{"q", "a"}]}`.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.conversation import Exchange

DIALOGUES = ["synthetic_persona_chat", "self_dialogue", "topical_chat"]
SHORT_DIALOGUES = "chatterbot"
STORIES = "fairytaleqa"
MAX_TURN_CHARS = 220
MAX_PASSAGE_CHARS = 480


@dataclass(frozen=True, slots=True)
class Story:
    """A short passage, and questions whose answers stand in it word for word."""

    passage: str
    questions: tuple[tuple[str, str], ...]


def records(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield the records of `name`.jsonl.gz; raises FileNotFoundError naming the file that is missing."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def paired(turns: Sequence[dict[str, str]]) -> list[Exchange]:
    """Return the exchanges of a dialogue, the first speaker as the person; turns of one in a row are one."""
    merged: list[tuple[str, str]] = []
    for turn in turns:
        if merged and merged[-1][0] == turn["speaker"]:
            merged[-1] = (turn["speaker"], f"{merged[-1][1]} {turn['text']}")
        else:
            merged.append((turn["speaker"], turn["text"]))
    texts = [text for _, text in merged]
    return [Exchange(a, b) for a, b in zip(texts[::2], texts[1::2], strict=False)]


def dialogues(folder: Path) -> list[list[Exchange]]:
    """Return the dialogues of at least four exchanges whose turns are of chat length."""
    found = []
    for name in DIALOGUES:
        for record in records(folder, name):
            exchanges = paired(record["turns"])
            if len(exchanges) >= 4 and all(
                max(len(e.user), len(e.assistant)) <= MAX_TURN_CHARS for e in exchanges
            ):
                found.append(exchanges)
    return found


def small_talk(folder: Path) -> list[tuple[str, str]]:
    """Return short exchanges: something said, and a natural reply."""
    pairs = []
    for record in records(folder, SHORT_DIALOGUES):
        pairs += [(e.user, e.assistant) for e in paired(record["turns"])]
    for record in records(folder, DIALOGUES[0]):
        pairs += [(e.user, e.assistant) for e in paired(record["turns"])]
    return [p for p in pairs if max(map(len, p)) <= 70]


def stories(folder: Path) -> list[Story]:
    """Return passages cut to whole sentences, with the questions that can be answered from what is left."""
    found = []
    for record in records(folder, STORIES):
        passage = record["passage"]
        if len(passage) > MAX_PASSAGE_CHARS:
            end = passage.rfind(". ", 0, MAX_PASSAGE_CHARS)
            passage = passage[: end + 1] if end > 0 else passage[:MAX_PASSAGE_CHARS]
        questions = tuple(
            (q["q"], q["a"])
            for q in record["questions"]
            if len(q["a"]) <= 60 and q["a"].lower().rstrip(".") in passage.lower()
        )
        if questions:
            found.append(Story(passage, questions))
    return found
