"""An export holds everything and reaches the same memory elsewhere; one that was altered stores nothing."""

import hashlib
import io
import json
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from app.chat import Chat
from app.errors import BadRequest, NotFound, TooLong
from app.takeout import LORA, MANIFEST, SESSIONS, STATE, read_file
from memory.state import MemoryState
from storage.store import Store

Open = Callable[[str], tuple[Chat, Store]]
Entry = tuple[str | zipfile.ZipInfo, bytes]

MB = 2**20
LONG_NAME = "a name of sixty characters, which is longer than a made-up one"


def tell(chat: Chat, session: str, text: str) -> None:
    """Let Ada say something in a session."""
    list(chat.reply("Ada", session, text))


@pytest.fixture
def export(chat: Chat, tmp_path: Path) -> Path:
    """An export of Ada, who went back and forth between two sessions."""
    tell(chat, "work", "I weld ships.")
    tell(chat, LONG_NAME, "My dog is called Biscuit.")
    tell(chat, "work", "The ships are in Lisbon.")
    chat.pin_session("Ada", chat.sessions("Ada")[-1].id, True)
    chat.export("Ada", tmp_path / "ada.zip")
    return tmp_path / "ada.zip"


def members(file: Path) -> dict[str, bytes]:
    """What stands in a zip, by name."""
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(file: Path, entries: Iterable[Entry], compression: int = zipfile.ZIP_DEFLATED) -> None:
    """Write another zip in the place of `file`."""
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)


def test_an_export_holds_everything_and_says_what_it_is(export: Path, chat: Chat, store: Store) -> None:
    """The sessions in the order in which they were said, the state as it is saved, a LoRA, true hashes."""
    found = members(export)
    assert list(found) == [MANIFEST, SESSIONS, STATE, *LORA]
    manifest = json.loads(found[MANIFEST])
    assert (manifest["format"], manifest["person"], manifest["turns"]) == ("remanence-export-1", "Ada", 3)
    assert manifest["members"] == {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in found.items()
        if name != MANIFEST
    }
    work, dog = (json.loads(line) for line in found[SESSIONS].splitlines())
    assert (work["name"], work["order"], dog["order"]) == ("work", [0, 2], [1])
    assert [m["content"] for m in work["messages"] if m["role"] == "user"] == [
        "I weld ships.",
        "The ships are in Lisbon.",
    ]
    state = store.state(chat.welcome("Ada").id)
    assert state is not None
    assert found[STATE] == state.payload
    assert (manifest["generator"], manifest["base"]) == (state.generator, state.base)


def test_the_lora_of_an_export_is_that_of_export_lora(export: Path, chat: Chat, tmp_path: Path) -> None:
    """A program that loads one loads the other."""
    chat.export_lora("Ada", tmp_path / "lora", "float32")
    with zipfile.ZipFile(export) as archive:
        archive.extractall(tmp_path / "unpacked")
    weights, expected = (load_file(tmp_path / f / LORA[1]) for f in ("unpacked", "."))
    assert weights.keys() == expected.keys()
    assert all(bool((weights[name] == expected[name]).all()) for name in expected)


def test_an_export_reaches_the_same_memory_elsewhere(
    export: Path, chat: Chat, store: Store, open_another: Open
) -> None:
    """Bit for bit, with the sessions, their names and times, also where sessions took turns."""
    contents = read_file(export, MB, 20_000)
    other, other_store = open_another("other")
    eve = other.welcome("Eve")
    assert other.import_sessions("Eve", contents.conversations) == 3
    assert contents.is_same_memory(other.mark("Eve")) is True
    ada = chat.welcome("Ada")
    here, there = store.state(ada.id), other_store.state(eve.id)
    assert here is not None
    assert there is not None
    assert here.payload == there.payload
    assert [(s.name, s.created_at) for s in chat.sessions("Ada")] == [
        (s.name, s.created_at) for s in other.sessions("Eve")
    ]
    told, again = (
        [(t.user_text, t.reply_text, t.position, t.created_at) for t in turns]
        for turns in (store.turns(ada.id), other_store.turns(eve.id))
    )
    assert told == again
    assert len({at for *_, at in told}) > 1


def test_an_export_keeps_what_is_pinned_and_what_is_a_document(
    export: Path, chat: Chat, open_another: Open
) -> None:
    """Also of a document that is pinned."""
    document = chat.add_document("Ada", "log.txt", b"The keeper is called Ola.")
    chat.pin_session("Ada", document.id, True)
    again = export.with_name("again.zip")
    chat.export("Ada", again)
    other, _ = open_another("other")
    other.welcome("Eve")
    other.import_sessions("Eve", read_file(again, MB, 20_000).conversations)
    assert [(s.name, s.is_pinned, s.source) for s in other.sessions("Eve")] == [
        ("log.txt", True, "log.txt"),
        ("work", True, None),
        (LONG_NAME, False, None),
    ]


def test_the_order_of_turns_is_what_makes_it_the_same(export: Path, open_another: Open) -> None:
    """The comparison can fail: read session by session, the sums of the same turns round differently."""
    contents = read_file(export, MB, 20_000)
    other, _ = open_another("other")
    other.welcome("Eve")
    other.import_sessions("Eve", [replace(c, order=None) for c in contents.conversations])
    assert contents.is_same_memory(other.mark("Eve")) is False


def test_memories_of_different_making_are_not_compared(export: Path, chat: Chat) -> None:
    """Another generator, or another base, reads the same turns into something else."""
    contents, mark = read_file(export, MB, 20_000), chat.mark("Ada")
    assert contents.is_same_memory(mark) is True
    assert contents.is_same_memory(type(mark)("another", mark.base, mark.digest)) is None
    assert contents.is_same_memory(type(mark)(mark.generator, "another", mark.digest)) is None


def test_an_import_twice_names_its_sessions_anew(export: Path, chat: Chat) -> None:
    """Nothing is overwritten, and nothing is refused for its name."""
    contents = read_file(export, MB, 20_000)
    chat.import_sessions("Bob", contents.conversations)
    chat.import_sessions("Bob", contents.conversations)
    names = [session.name for session in chat.sessions("Bob")]
    assert len(names) == len(set(names)) == 4
    assert {"work", "work (2)"} < set(names)
    assert chat.settle("Bob").turns == 6


def test_an_empty_memory_is_exported_without_a_lora(chat: Chat, tmp_path: Path) -> None:
    """And comes back as nothing said."""
    manifest = chat.export("Bob", tmp_path / "bob.zip")
    assert list(manifest["members"]) == [SESSIONS, STATE]
    contents = read_file(tmp_path / "bob.zip", MB, 20_000)
    assert contents.conversations == []
    assert contents.is_same_memory(chat.mark("Bob")) is True
    state = MemoryState.from_bytes(members(tmp_path / "bob.zip")[STATE])
    assert state.num_tokens == 0


def test_an_export_takes_nobodys_place(export: Path, chat: Chat, tmp_path: Path) -> None:
    """A file that is there stays; nobody but the owner reads a new one."""
    before = export.read_bytes()
    with pytest.raises(BadRequest, match=r"ada\.zip is there already"):
        chat.export("Ada", export)
    assert export.read_bytes() == before
    assert export.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadRequest, match="cannot be written: No such file"):
        chat.export("Ada", tmp_path / "nowhere" / "ada.zip")
    with pytest.raises(NotFound):
        chat.export("Nobody", tmp_path / "nobody.zip")


def test_an_export_that_fails_leaves_no_file(
    chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of one would be taken for one."""

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(BadRequest, match="No space left"):
        chat.export("Ada", tmp_path / "ada.zip")
    assert not (tmp_path / "ada.zip").exists()


# bad exports


def changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes]], Iterable[Entry]]:
    """The members with one of them changed."""
    return lambda found: [(n, change(c) if n == name else c) for n, c in found.items()]


def without(name: str) -> Callable[[dict[str, bytes]], Iterable[Entry]]:
    """The members but one."""
    return lambda found: [(n, c) for n, c in found.items() if n != name]


def also(name: str) -> Callable[[dict[str, bytes]], Iterable[Entry]]:
    """The members and one that does not belong there."""
    return lambda found: [*found.items(), (name, b"x")]


def manifest(**more: Any) -> Callable[[dict[str, bytes]], Iterable[Entry]]:
    """The members with other entries in the manifest; None takes one out."""

    def change(content: bytes) -> bytes:
        about = {**json.loads(content), **more}
        return json.dumps({name: value for name, value in about.items() if value is not None}).encode()

    return changed(MANIFEST, change)


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def another_sentence(found: dict[str, bytes]) -> Iterable[Entry]:
    """Sessions with a bad second line, and a manifest that states them truly."""
    sessions = found[SESSIONS] + b'{"messages": 7}\n'
    about = json.loads(found[MANIFEST])
    about["members"][SESSIONS] = {"size": len(sessions), "sha256": hashlib.sha256(sessions).hexdigest()}
    return [*{**found, SESSIONS: sessions, MANIFEST: json.dumps(about).encode()}.items()]


ALTERED: dict[str, tuple[Callable[[dict[str, bytes]], Iterable[Entry]], str]] = {
    "the sessions": (
        changed(SESSIONS, flip),
        "ada.zip: sessions.jsonl is not what was exported; the manifest states another.",
    ),
    "the state": (
        changed(STATE, flip),
        "ada.zip: state.safetensors is not what was exported; the manifest states another.",
    ),
    "the length of the LoRA": (
        changed(LORA[1], lambda content: content + b"\0"),
        "ada.zip: lora/adapter_model.safetensors is not what was exported; the manifest states another.",
    ),
    "a LoRA cut in half": (
        without(LORA[0]),
        "ada.zip: lora/adapter_config.json is not what was exported; the manifest states another.",
    ),
    "no sessions": (without(SESSIONS), "ada.zip: this is no export of Remanence, sessions.jsonl is missing."),
    "no state": (without(STATE), "ada.zip: this is no export of Remanence, state.safetensors is missing."),
    "no manifest": (without(MANIFEST), "ada.zip: this is no export of Remanence, manifest.json is missing."),
    "a way out": (also("../x"), "ada.zip: '../x' does not belong in an export of Remanence."),
    "a way to the root": (also("/etc/x"), "ada.zip: '/etc/x' does not belong in an export of Remanence."),
    "a folder": (also("lora/"), "ada.zip: 'lora/' does not belong in an export of Remanence."),
    "a state in the manifest alone": (
        manifest(members={STATE: {"size": 1, "sha256": "x"}, "more": {"size": 1, "sha256": "x"}}),
        "is not what was exported; the manifest states another.",
    ),
    "another format": (
        manifest(format="remanence-export-9"),
        "ada.zip, manifest.json: expected the format remanence-export-1, got 'remanence-export-9'.",
    ),
    "no generator": (
        manifest(generator=None),
        "ada.zip, manifest.json: this is no manifest of an export of Remanence.",
    ),
    "members that are none": (
        manifest(members=[1]),
        "ada.zip, manifest.json: this is no manifest of an export of Remanence.",
    ),
    "a member without a hash": (
        manifest(members={STATE: {"size": 1}}),
        "ada.zip, manifest.json: the size and the hash of 'state.safetensors' are missing.",
    ),
    "a manifest that is no JSON": (
        changed(MANIFEST, lambda content: content[:-1]),
        "ada.zip, manifest.json: this is not JSON.",
    ),
    "a large manifest": (
        changed(MANIFEST, lambda content: content + b" " * 70_000),
        "ada.zip: manifest.json is larger than any that Remanence writes.",
    ),
    "a session that is none": (
        another_sentence,
        "ada.zip, sessions.jsonl, line 3: expected a list of messages, got 7.",
    ),
    "a zip of ChatGPT's": (
        also("conversations.json"),
        "ada.zip: unpack it and import its conversations.json.",
    ),
}


@pytest.mark.parametrize("case", ALTERED)
def test_an_export_that_was_altered_is_refused(case: str, export: Path) -> None:
    """One sentence says what is wrong."""
    alter, sentence = ALTERED[case]
    rewrite(export, alter(members(export)))
    with pytest.raises(BadRequest) as caught:
        read_file(export, MB, 20_000)
    assert str(caught.value).endswith(sentence)
    assert "\n" not in str(caught.value)


def test_an_export_that_was_only_packed_again_is_accepted(export: Path) -> None:
    """What counts is what stands in it."""
    expected = read_file(export, MB, 20_000)
    rewrite(export, reversed(members(export).items()))
    assert read_file(export, MB, 20_000) == expected


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_comes_twice_is_refused(export: Path) -> None:
    """Which of the two is meant?"""
    rewrite(export, [*members(export).items(), (STATE, b"x")])
    with pytest.raises(BadRequest, match=r"ada\.zip: state\.safetensors is in it twice\."):
        read_file(export, MB, 20_000)


def marked(file: Path, offset: int, old: bytes, new: bytes) -> None:
    """Change what the directory of a zip says of its last member, `offset` bytes into the entry."""
    content = bytearray(file.read_bytes())
    at = content.rindex(b"PK\x01\x02") + offset
    assert content[at : at + len(old)] == old
    content[at : at + len(new)] = new
    file.write_bytes(content)


def test_an_encrypted_export_is_refused(export: Path) -> None:
    """There is no password to ask for."""
    marked(export, 8, b"\0\0", b"\1\0")
    with pytest.raises(BadRequest, match=r"ada\.zip: lora/adapter_model\.safetensors is encrypted\."):
        read_file(export, MB, 20_000)


def test_an_unusual_packing_is_refused(export: Path) -> None:
    """Only two ways of packing are bounded in what they take."""
    rewrite(export, members(export).items(), zipfile.ZIP_BZIP2)
    with pytest.raises(BadRequest, match="packed in a way that Remanence does not use"):
        read_file(export, MB, 20_000)


def test_a_damaged_export_is_refused(export: Path) -> None:
    """Cut short anywhere, or with a wrong byte in its directory."""
    content = export.read_bytes()
    for end in range(2, len(content), len(content) // 50):
        export.write_bytes(content[:end])
        with pytest.raises(BadRequest, match=r"ada\.zip: this zip is damaged\."):
            read_file(export, MB, 20_000)
    export.write_bytes(content)
    marked(export, 0, b"PK\x01\x02", b"PK\x01\x03")
    with pytest.raises(BadRequest, match=r"ada\.zip: this zip is damaged\."):
        read_file(export, MB, 20_000)


def bomb(export: Path) -> None:
    """A state that packs a thousand to one."""
    rewrite(export, changed(STATE, lambda _content: bytes(64 * MB))(members(export)))


def many_sessions(export: Path) -> None:
    """Sessions of more than the limit."""
    rewrite(export, changed(SESSIONS, lambda _content: b" " * (MB + 1))(members(export)))


def lying_bomb(export: Path) -> None:
    """A state that packs a thousand to one, and is said to be small."""
    found = members(export)
    last = {**found, LORA[1]: bytes(64 * MB)}
    rewrite(export, last.items())
    marked(export, 24, (64 * MB).to_bytes(4, "little"), (1000).to_bytes(4, "little"))


def large_directory(export: Path) -> None:
    """A directory of more than any that we write."""
    content = export.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    start = content.index(b"PK\x01\x02")
    padded = content[:end] + bytes(4 * MB)
    size = (end + 4 * MB - start).to_bytes(4, "little")
    export.write_bytes(padded + content[end : end + 12] + size + content[end + 16 :])


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (bomb, "it unpacks to more than"),
        (many_sessions, "sessions.jsonl: more than 1,048,576 bytes|it unpacks to more than"),
        (lying_bomb, "this zip is damaged"),
        (large_directory, "this zip is damaged"),
    ],
)
def test_a_zip_that_is_made_to_harm_takes_little_memory(
    arm: Callable[[Path], None], message: str, export: Path
) -> None:
    """It is refused before more than a few portions of it are in memory."""
    arm(export)
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest, match=message) as caught:
            read_file(export, MB, 20_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * MB
    assert isinstance(caught.value, TooLong) == ("damaged" not in message)


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """Reading stops at the limit, whatever comes after."""
    file = tmp_path / "large.jsonl"
    with file.open("wb") as opened:
        opened.truncate(2**40)
    tracemalloc.start()
    try:
        with pytest.raises(TooLong, match="more than 1,048,576 bytes"):
            read_file(file, MB, 20_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MB


def test_a_file_is_recognised_by_its_content(export: Path, tmp_path: Path) -> None:
    """Whatever it is called."""
    renamed = shutil.copy(export, tmp_path / "sessions.jsonl")
    assert len(read_file(renamed, MB, 20_000).conversations) == 2
    (tmp_path / "x.zip").write_bytes(members(export)[SESSIONS])
    assert read_file(tmp_path / "x.zip", MB, 20_000).mark is None
    assert len(read_file(tmp_path / "x.zip", MB, 20_000).conversations) == 2
    (tmp_path / "empty.zip").write_bytes(empty_zip())
    with pytest.raises(BadRequest, match=r"empty\.zip: this is no export of Remanence"):
        read_file(tmp_path / "empty.zip", MB, 20_000)


def empty_zip() -> bytes:
    packed = io.BytesIO()
    zipfile.ZipFile(packed, "w").close()
    return packed.getvalue()
