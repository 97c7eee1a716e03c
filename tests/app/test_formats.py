"""What other programs call a conversation: each format is recognised, and each mistake has its sentence."""

import gzip
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from app.errors import BadRequest, TooLong
from app.formats import Conversation, conversations
from app.takeout import read_file
from model.conversation import Exchange

HELLO = [{"role": "user", "content": "My dog is called Biscuit."}, {"role": "assistant", "content": "Nice!"}]
SAID = (Exchange("My dog is called Biscuit.", "Nice!"),)


def lines(*values: Any) -> bytes:
    """JSONL of the values."""
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def node(name: str, parent: str | None, role: str = "user", *parts: Any, **more: Any) -> dict[str, Any]:
    """A node of a conversation of ChatGPT's."""
    content = {"content_type": "text", "parts": list(parts), **more.pop("content", {})}
    message = {"id": name, "author": {"role": role}, "content": content, **more}
    return {"id": name, "parent": parent, "children": [], "message": message if parts else None}


def chatgpt(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A conversation of ChatGPT's."""
    return {"title": "A dog", "create_time": 1_700_000_000.5, "mapping": {n["id"]: n for n in nodes}, **more}


PICTURE = "multimodal_text"
DOG = chatgpt(
    node("root", None),
    node("rules", "root", "system", "Be kind."),
    node("first", "rules", "user", "My cat is called Tom."),
    node("edited", "rules", "user", "My dog is called Biscuit."),
    node("search", "edited", "assistant", "dogs", recipient="browser"),
    node("found", "search", "tool", "a page about dogs"),
    node("thinking", "found", "assistant", "Hm.", content={"content_type": "thoughts"}),
    node(
        "picture", "thinking", "assistant", {"asset": 1}, "Nice!", content={"content_type": "multimodal_text"}
    ),
    node("dropped", "first", "assistant", "A cat!"),
    current_node="picture",
)

MSC = {
    "personas": [["I have a dog."], ["I sing."]],
    "previous_dialogs": [
        {"dialog": [{"text": "Hi, I'm Ada."}, {"text": "Hello Ada."}, {"text": "I sing."}], "time_num": 2}
    ],
    "dialog": [
        {"id": "Speaker 2", "text": "How is your dog?"},
        {"id": "Speaker 1", "text": "Biscuit is well."},
        {"id": "Speaker 1", "text": "He eats."},
    ],
}

KNOWN: dict[str, tuple[Any, list[Conversation]]] = {
    "a list of messages": (HELLO, [Conversation(SAID)]),
    "an object with messages": ({"messages": HELLO}, [Conversation(SAID)]),
    "a session of ours": (
        {
            "name": "dogs",
            "created_at": "2024-02-29T12:00:00+01:00",
            "order": [4],
            "said_at": ["2024-02-29T12:05:00+01:00"],
            "messages": HELLO,
        },
        [
            Conversation(
                SAID,
                "dogs",
                datetime(2024, 2, 29, 11, tzinfo=UTC),
                (4,),
                said_at=(datetime(2024, 2, 29, 11, 5, tzinfo=UTC),),
            )
        ],
    ),
    "a document of ours": (
        {"name": "dogs", "is_pinned": True, "source": "dogs.pdf", "messages": HELLO},
        [Conversation(SAID, "dogs", is_pinned=True, source="dogs.pdf")],
    ),
    "sides that say nothing": (
        {
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
                HELLO[0],
                {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
                {"role": "tool", "content": "42"},
                HELLO[1],
            ]
        },
        [Conversation(SAID)],
    ),
    "content in parts": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "My dog"},
                    {"type": "image_url", "image_url": {"url": "x"}},
                    {"type": "text", "text": "is called Biscuit."},
                ],
            }
        ],
        [Conversation((Exchange("My dog\nis called Biscuit.", ""),))],
    ),
    "the branch of ChatGPT's that was shown": (
        DOG,
        [Conversation(SAID, "A dog", datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC))],
    ),
    "a conversation of ChatGPT's that names no current message": (
        chatgpt(node("a", None), node("b", "a", "user", "no"), node("c", "a", "user", "Hi."), title=None),
        [Conversation((Exchange("Hi.", ""),), None, datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC))],
    ),
    "what a program says in the name of a person": (
        chatgpt(
            node("a", None, "user", "I am Ada.", metadata={"is_visually_hidden_from_conversation": True}),
            current_node="a",
        ),
        [],
    ),
    "two speakers in several sessions": (
        MSC,
        [
            Conversation((Exchange("Hi, I'm Ada.", "Hello Ada."), Exchange("I sing.", ""))),
            Conversation((Exchange("", "How is your dog?"), Exchange("Biscuit is well.\nHe eats.", ""))),
        ],
    ),
    "the first session of two speakers": ({**MSC, "previous_dialogs": [], "dialog": []}, []),
    "nothing said": ({"messages": []}, []),
}


@pytest.mark.parametrize("case", KNOWN)
def test_a_conversation_is_recognised_by_what_stands_in_it(case: str) -> None:
    """Alone, in a list, one a line, indented, and after a mark of the order of bytes."""
    value, expected = KNOWN[case]
    assert conversations("f", lines(value), 100) == expected
    assert conversations("f", b"\xef\xbb\xbf" + lines(value), 100) == expected
    assert conversations("f", json.dumps(value, indent=2).encode(), 100) == expected
    assert conversations("f", b"\n" + lines(value) + b"\r\n" + lines(HELLO), 100) == [
        *expected,
        Conversation(SAID),
    ]
    if value is not KNOWN["a session of ours"][0]:
        listed = json.dumps([value, {"messages": HELLO}]).encode()
        assert conversations("f", listed, 100) == [*expected, Conversation(SAID)]


def test_a_time_without_a_zone_is_in_utc() -> None:
    """And one with another zone is brought there."""
    told = [{"messages": HELLO, "created_at": at} for at in ("2024-01-01T00:00", "2024-01-01T02:00+02:00", 0)]
    moments = [conversation.created_at for conversation in conversations("f", lines(*told), 100)]
    new_year = datetime(2024, 1, 1, tzinfo=timezone(timedelta(0)))
    assert moments == [new_year, new_year, datetime(1970, 1, 1, tzinfo=UTC)]


def ours(**more: Any) -> bytes:
    """A line of ours with something changed."""
    return lines({"messages": HELLO, **more})


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b" \n\n", "f holds no conversation."),
    "no JSON": (b"nonsense\n", "f, line 1: this is not JSON."),
    "a line that is no JSON": (lines(HELLO) + b"{\n" + lines(HELLO), "f, line 2: this is not JSON."),
    "a first line that is no JSON": (b"{\n" + lines(HELLO), "f, line 1: this is not JSON."),
    "a last line cut short": (lines(HELLO, HELLO)[:-9], "f, line 2: this is not JSON."),
    "a document cut short": (
        json.dumps([DOG, DOG], indent=1).encode()[:200],
        "f, line 13: this is not JSON.",
    ),
    "no UTF-8": (lines(HELLO) + b'["\xff"]\n', "f, line 2: this is not text in UTF-8."),
    "a document that is no UTF-8": (b'[\n"\xff"\n]', "f, line 2: this is not text in UTF-8."),
    "too deep": (b"[" * 100_000, "f, line 1: this is not JSON that can be read."),
    "a number of 5,000 digits": (b"[" + b"1" * 5000 + b"]", "f, line 1: this is not JSON that can be read."),
    "a number": (
        lines(HELLO, 7),
        'f, line 2: expected a list of messages, or an object with "messages", "mapping" or "dialog", got 7.',
    ),
    "something else": (
        lines({"id": 1}),
        'f, line 1: expected a list of messages, or an object with "messages", "mapping" or "dialog",'
        " got {'id': 1}.",
    ),
    "messages that are none": (
        lines({"messages": "hello"}),
        "f, line 1: expected a list of messages, got 'hello'.",
    ),
    "an unknown role": (
        lines([{"role": "robot", "content": "hi"}]),
        'f, line 1: a message is {"role": "user" or "assistant", "content": text},'
        " got {'content': 'hi', 'role': 'robot'}.",
    ),
    "a person without words": (
        lines([{"role": "user", "content": None}]),
        'f, line 1: a message is {"role": "user" or "assistant", "content": text},'
        " got {'content': None, 'role': 'user'}.",
    ),
    "a long message": (
        lines(HELLO, [{"role": "user", "content": "x" * 101}]),
        "f, line 2: A message may have 100 characters, this one has 101.",
    ),
    "half a character": (
        lines([{"role": "user", "content": "\ud83d"}]),
        "f, line 1: The message is not valid text.",
    ),
    "a name that is none": (ours(name=7), 'f, line 1: "name" is a text, got 7.'),
    "no time": (ours(created_at="yesterday"), "f, line 1: this is not a time: 'yesterday'."),
    "an impossible time": (ours(created_at=1e300), "f, line 1: this is not a time: 1e+300."),
    "times of other length": (
        ours(said_at=[]),
        'f, line 1: "said_at" has a time for each turn, got [].',
    ),
    "times that are none": (
        ours(said_at=[None]),
        'f, line 1: "said_at" has a time for each turn, got [None].',
    ),
    "a time of a turn that is none": (
        ours(said_at=["then"]),
        "f, line 1: this is not a time: 'then'.",
    ),
    "a time that is no number": (
        b'{"messages": [], "created_at": NaN}',
        "f, line 1: this is not a time: nan.",
    ),
    "an order that is none": (
        ours(order=["first"]),
        "f, line 1: \"order\" is a list of whole numbers, got ['first'].",
    ),
    "an order of other length": (
        ours(order=[1, 2]),
        'f, line 1: "order" has a number for each turn, growing from 0 or more.',
    ),
    "an order below zero": (
        ours(order=[-1]),
        'f, line 1: "order" has a number for each turn, growing from 0 or more.',
    ),
    "a place taken twice": (
        ours(order=[1]) + ours(order=[1]),
        'f, line 2: "order" holds a number that another session has.',
    ),
    "a pin that is none": (
        ours(is_pinned=1),
        'f, line 1: "is_pinned" is true or false, got 1.',
    ),
    "a source that is none": (
        ours(source=7),
        'f, line 1: "source" is the name of a file, got 7.',
    ),
    "a source that is no text": (
        ours(source="\ud800.pdf"),
        "f, line 1: \"source\" is the name of a file, got '\\ud800.pdf'.",
    ),
    "a conversation of a list": (
        lines([DOG, {**DOG, "current_node": "gone"}]),
        "f, conversation 2: there is no message 'gone'.",
    ),
    "no mapping": (
        lines([{**DOG, "mapping": [1]}]),
        'f, conversation 1: "mapping" is an object of objects, got [1].',
    ),
    "a circle": (
        lines([chatgpt(node("a", "b"), node("b", "a"), current_node="a")]),
        "f, conversation 1: the messages follow each other in a circle.",
    ),
    "a parent that is no name": (
        lines([chatgpt({"id": "a", "parent": ["b"]}, current_node="a")]),
        "f, conversation 1: there is no message ['b'].",
    ),
    "a message that is none": (
        lines([chatgpt({"id": "a", "parent": None, "message": "hi"}, current_node="a")]),
        "f, conversation 1: a message has an author and a content, got 'hi'.",
    ),
    "parts that are none": (
        lines([chatgpt(node("a", None, "user", "x", content={"parts": "hi"}), current_node="a")]),
        "f, conversation 1: \"parts\" is a list, got 'hi'.",
    ),
    "metadata that is none": (
        lines([chatgpt(node("a", None, "user", "x", metadata="hi"), current_node="a")]),
        "f, conversation 1: \"metadata\" is an object, got 'hi'.",
    ),
    "a title that is none": (lines([{**DOG, "title": 7}]), 'f, conversation 1: "title" is a text, got 7.'),
    "sessions that are none": (
        lines({**MSC, "previous_dialogs": "x"}),
        "f, line 1: \"previous_dialogs\" is a list, got 'x'.",
    ),
    "a session that is none": (
        lines(MSC, {**MSC, "previous_dialogs": [7]}),
        'f, line 2: expected an object with a list "dialog", got 7.',
    ),
    "words that are none": (
        lines({**MSC, "dialog": [{"id": "Speaker 1"}]}),
        "f, line 1: what was said is {\"text\": text}, got {'id': 'Speaker 1'}.",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_has_its_sentence_and_its_place(case: str) -> None:
    """One sentence that begins with the file, and the line or the conversation where there is one."""
    content, sentence = WRONG[case]
    with pytest.raises(BadRequest) as caught:
        conversations("f", content, 100)
    assert str(caught.value) == sentence


def test_a_file_may_be_packed_and_has_a_limit(tmp_path: Path) -> None:
    """The limit holds for what is unpacked, and is no byte too low."""
    content = lines(HELLO, HELLO)
    for name, stored in (("plain", content), ("packed", gzip.compress(content))):
        file = tmp_path / name
        file.write_bytes(stored)
        assert read_file(file, len(content), 100).conversations == [Conversation(SAID)] * 2
        with pytest.raises(TooLong) as caught:
            read_file(file, len(content) - 1, 100)
        assert str(caught.value) == (
            f"{name}: more than {len(content) - 1:,} bytes; the setting max_import_bytes allows more."
        )


def test_a_file_of_little_but_brackets_is_refused(tmp_path: Path) -> None:
    """A list takes twenty times the room of its two characters."""
    file = tmp_path / "file"
    file.write_bytes(b"[" + b"[]," * 700 + b"[]]")
    with pytest.raises(TooLong) as caught:
        read_file(file, 10_000, 100)
    assert str(caught.value) == (
        "file: more than 625 lists and objects; the setting max_import_bytes allows more."
    )
    assert read_file(file, 20_000, 100).conversations == []


@pytest.mark.parametrize(
    "stored", [None, gzip.compress(lines(HELLO) * 100, mtime=0)[:-9], b"\x1f\x8bno gzip"]
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, stored: bytes | None) -> None:
    """Missing, cut short or something else."""
    if stored is not None:
        (tmp_path / "file").write_bytes(stored)
    with pytest.raises(BadRequest, match="file cannot be read"):
        read_file(tmp_path / "file", 10_000, 100)
