"""Ten thousand spoilt files: each is read as a whole or refused in one sentence, and takes little memory.

A thousand of them in the usual run. Bytes are turned over, cut, repeated and swapped, values inside the JSON
are replaced, and zips are spoilt outside and inside, with true hashes, so that what is inside is reached.
"""

import gzip
import hashlib
import io
import json
import random
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.chat import Chat
from app.errors import BadRequest
from app.takeout import LORA, MANIFEST, SESSIONS, STATE, Contents, read_file
from storage.store import Store
from tests.app.test_formats import DOG, HELLO, MSC, lines

MAX_BYTES = 100_000
MAX_CHARS = 200

ODD: list[Any] = [
    None,
    True,
    -1,
    1e308,
    float("nan"),
    10**30,
    "",
    "\ud800",
    "\0\u202e\n",
    "x" * 300,
    "9999-12-31T23:59:59-23:59",
    [],
    [[]],
    {},
    {"messages": HELLO},
    {"mapping": {}},
    {"dialog": []},
    [{"role": "user", "content": []}],
]

OURS = [
    {"name": "a", "created_at": "2024-02-29T12:00:00+00:00", "order": [0, 2], "messages": [*HELLO, *HELLO]},
    {"name": "b", "created_at": None, "order": [1], "messages": HELLO},
]
PARTS = {"role": "user", "content": [{"type": "text", "text": "x"}]}
OPENAI = {"messages": [{"role": "system", "content": "x"}, *HELLO, PARTS]}


def packed(sessions: bytes, **more: Any) -> bytes:
    """An export of `sessions` with true hashes, and `more` in the manifest."""
    members = {SESSIONS: sessions, STATE: bytes(range(256)) * 4, LORA[0]: b"{}", LORA[1]: bytes(100)}
    about = {
        "format": "remanence-export-1",
        "generator": "g",
        "base": "b",
        "members": {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in members.items()
        },
        **more,
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {MANIFEST: json.dumps(about).encode(), **members}.items():
            archive.writestr(name, content)
    return file.getvalue()


SOUND: list[bytes] = [
    lines(HELLO, HELLO),
    lines(*OURS),
    lines(OPENAI),
    json.dumps([OPENAI, OPENAI], indent=1).encode(),
    json.dumps([DOG, DOG]).encode(),
    json.dumps([DOG, DOG], indent=2).encode(),
    lines(MSC, MSC),
    gzip.compress(lines(*OURS), mtime=0),
    packed(lines(*OURS)),
]
VALUES: list[list[Any]] = [[HELLO, HELLO], OURS, [OPENAI], [[DOG, DOG]], [MSC, MSC]]


def spoilt_value(value: Any, rng: random.Random) -> Any:
    """A copy of a JSON value in which one value somewhere is another, gone, or there twice."""
    keys: list[Any] = []
    if isinstance(value, dict | list):
        keys = list(value if isinstance(value, dict) else range(len(value)))
    if not keys or rng.random() < 0.15:
        return rng.choice(ODD)
    key, copy = rng.choice(keys), value.copy()
    match rng.randrange(8):
        case 0:
            del copy[key]
        case 1 if isinstance(copy, list):
            copy.insert(key, copy[key])
        case 2 if isinstance(copy, dict):
            copy[rng.choice(["messages", "mapping", "dialog", "role", "parent"])] = copy[key]
        case _:
            copy[key] = spoilt_value(copy[key], rng)
    return copy


def spoilt_bytes(content: bytes, rng: random.Random) -> bytes:
    """`content` with a few bytes turned over, cut out, put in, repeated or swapped."""
    for _ in range(rng.choice([1, 1, 2, 5])):
        start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        end = min(end, start + rng.choice([1, 4, 60, 10_000]))
        match rng.randrange(6):
            case 0:
                content = content[:start]
            case 1:
                content = content[:start] + content[end:]
            case 2:
                content = content[:end] + content[start:end] * rng.choice([1, 3]) + content[end:]
            case 3:
                odd = rng.choice([b"\n", b'"', b"[", b"}", b"\xff\xff"])
                content = content[:start] + odd + content[start:]
            case 4:
                content = content[:start] + rng.randbytes(end - start) + content[end:]
            case _ if content:
                at = rng.randrange(len(content))
                content = content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
    return content


def spoilt(rng: random.Random) -> bytes:
    """A file that was sound once, of any of the formats."""
    kind = rng.random()
    if kind < 0.5:
        return spoilt_bytes(rng.choice(SOUND), rng)
    values = rng.choice(VALUES)
    for _ in range(rng.choice([1, 1, 3])):
        values = spoilt_value(values, rng)
    written = lines(*values) if isinstance(values, list) else lines(values)
    if kind < 0.8:
        return written
    if kind < 0.9:
        return packed(written)
    entry = rng.choice(["format", "generator", "base", "members"])
    return packed(lines(*OURS), **{entry: spoilt_value({STATE: {"size": 1, "sha256": "x"}}, rng)})


def check(contents: Contents) -> int:
    """Hold what was read to what is promised of it; return how many turns it has."""
    places = [place for told in contents.conversations for place in told.order or ()]
    assert len(places) == len(set(places))
    for told in contents.conversations:
        assert told.exchanges
        assert told.name is None or isinstance(told.name, str)
        assert told.created_at is None or told.created_at.utcoffset() is not None
        for exchange in told.exchanges:
            for text in (exchange.user, exchange.assistant):
                assert len(text.encode()) <= 4 * MAX_CHARS
    return sum(len(told.exchanges) for told in contents.conversations)


def read(file: Path) -> Contents | str:
    """What a file holds, or why it is refused."""
    try:
        return read_file(file, MAX_BYTES, MAX_CHARS)
    except BadRequest as error:
        return str(error)


@pytest.fixture
def traced() -> Iterator[None]:
    """Count memory during a test."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("number", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_spoilt_file_is_read_as_a_whole_or_refused(
    number: int, chat: Chat, store: Store, tmp_path: Path
) -> None:
    """No error but ours, in one sentence that begins with the file; what is read is stored, all of it
    (of every fifth file)."""
    ada = chat.welcome("Ada").id
    file, refused = tmp_path / "file", 0
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    for seed in range(number):
        file.write_bytes(spoilt(random.Random(f"{number}/{seed}")))
        outcome = read(file)
        if isinstance(outcome, str):
            assert outcome.startswith(("file", str(file))), seed
            assert "\n" not in outcome, seed
            refused += 1
        else:
            num_turns = check(outcome)
            if seed % 5 == 0:
                assert chat.import_sessions("Ada", outcome.conversations) == num_turns, seed
                assert store.count_turns(ada) == num_turns, seed
                store.forget_everything(ada)
    _, peak = tracemalloc.get_traced_memory()
    assert 0.3 * number < refused < 0.9 * number
    assert peak - before < 20 * 2**20


@pytest.mark.parametrize("number", range(len(SOUND)))
def test_what_is_spoilt_was_sound(number: int, tmp_path: Path) -> None:
    """Otherwise the test above would refuse everything for one mistake of ours."""
    (tmp_path / "file").write_bytes(SOUND[number])
    outcome = read(tmp_path / "file")
    assert isinstance(outcome, Contents)
    assert check(outcome) >= 2
