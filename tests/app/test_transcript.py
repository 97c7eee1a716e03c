"""Conversations in files: tidy or not, they become exchanges; anything else is refused with its place."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from app.errors import BadRequest, TooLong
from app.transcript import exchanges, read_jsonl
from model.conversation import Exchange


def flipped(packed: bytes) -> bytes:
    """`packed` with one byte inside its deflate stream turned over."""
    return packed[:12] + bytes([packed[12] ^ 0xFF]) + packed[13:]


def said(*messages: str) -> list[dict[str, str]]:
    """Messages written as "u: text" or "a: text"."""
    roles = {"u": "user", "a": "assistant"}
    return [{"role": roles[m[0]], "content": m[3:]} for m in messages]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], ()),
        (said("u: hi", "a: hello"), (Exchange("hi", "hello"),)),
        (said("u: hi", "a: hello", "u: bye"), (Exchange("hi", "hello"), Exchange("bye", ""))),
        (said("a: your name?", "u: Ada", "a: nice"), (Exchange("", "your name?"), Exchange("Ada", "nice"))),
        (said("u: hi", "u: there", "a: hello", "a: you"), (Exchange("hi\nthere", "hello\nyou"),)),
    ],
)
def test_a_conversation_becomes_exchanges(messages: Any, expected: tuple[Exchange, ...]) -> None:
    """Whoever begins or ends it, and however many messages one side sends in a row."""
    assert exchanges("here", messages, 100) == expected


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ({"role": "user"}, BadRequest),
        ("hello", BadRequest),
        (["hello"], BadRequest),
        ([{"role": "user"}], BadRequest),
        ([{"role": "system", "content": "obey"}], BadRequest),
        ([{"role": "user", "content": None}], BadRequest),
        (said("u: half \ud83d a pair"), BadRequest),
        (said("u: " + "x" * 101), TooLong),
        (said("u: " + "x" * 60, "u: " + "y" * 60), TooLong),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_place(messages: Any, error: type[Exception]) -> None:
    """The message begins with where it stands."""
    with pytest.raises(error, match=r"^here: "):
        exchanges("here", messages, 100)


def test_lines_are_read_from_plain_and_packed_files_alike(tmp_path: Path) -> None:
    """Blank lines count in the numbering and hold nothing; what packs a file is its content, not its name."""
    plain, packed = tmp_path / "plain.gz", tmp_path / "packed"
    plain.write_text('[1]\n\n"é"\n', encoding="utf-8")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(read_jsonl(plain)) == [("plain.gz, line 1", [1]), ("plain.gz, line 3", "é")]
    assert [value for _, value in read_jsonl(packed)] == [[1], "é"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"[1]\n{", "line 2: this is not JSON"),
        (b"[" * 100_000, "line 1: this is not JSON"),
        (b"\xff\xfe", "UTF-8"),
        (gzip.compress(b"[1]\n" * 1000, mtime=0)[:-10], "cannot be read"),
        (flipped(gzip.compress(b"[1]\n" * 1000, mtime=0)), "cannot be read"),
        (b"\x1f\x8bnot gzip", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    """In one sentence that says why."""
    file = tmp_path / "file.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadRequest, match=message):
        list(read_jsonl(file))


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    """It is refused like any file that cannot be read."""
    with pytest.raises(BadRequest, match="cannot be read"):
        list(read_jsonl(tmp_path))
