"""All that is kept of a person as one zip, and back: what `remanence export` writes and `import` reads.

    manifest.json                   who, when, what made the memory; size and SHA-256 of each other member
    sessions.jsonl                  a session a line: {"name", "created_at", "is_pinned", "source", "order",
                                    "in_memory", "said_at", "messages"}
    state.safetensors               the memory
    lora/adapter_config.json        the adapter, for peft and vLLM; absent where the memory is empty
    lora/adapter_model.safetensors

The turns are the truth here too: an import stores the sessions and memory reads them again. "order" holds the
place of each turn among all of the person's, so that they are read in the order in which they were said; the
same generator and base then reach the same state, which the manifest's hash shows.

Nothing is believed of a zip: only these members are accepted, and only with the size and hash that the
manifest states. At most `READ_BYTES` of it are in memory at a time, besides the text of the sessions.
"""

import hashlib
import io
import json
import os
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from app.errors import BadRequest, TooLong
from app.formats import (
    HOW_TO_ALLOW_MORE,
    READ_BYTES,
    Conversation,
    Readable,
    conversations,
    read_at_most,
    read_conversations,
)
from app.recollection import MemoryMark, Recollection, Recollector, exchange_of
from app.transcript import readable
from model.base import BaseModel
from model.lora import NothingToExport, save_lora
from storage.rows import TurnRow, UserRow
from storage.store import Store

FORMAT = "remanence-export-1"
MANIFEST, SESSIONS, STATE = "manifest.json", "sessions.jsonl", "state.safetensors"
LORA = ("lora/adapter_config.json", "lora/adapter_model.safetensors")
MAX_MANIFEST_BYTES = 1 << 16
ZIP_MAGIC = b"PK"
# Returns the memory of everything a person said, once it is read.
CaughtUp = Callable[[UserRow], Recollection]
# What a zip that is cut short, altered or made to harm raises in the library that reads it.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    EOFError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds for an import.

    Attributes:
        mark: the memory that was made of it where it was exported; None for other files.
    """

    conversations: list[Conversation]
    mark: MemoryMark | None = None

    def is_same_memory(self, mark: MemoryMark) -> bool | None:
        """Say whether the memory of `mark` is the exported one; None where another generator or base made it,
        or nothing was exported.
        """
        if self.mark is None or (self.mark.generator, self.mark.base) != (mark.generator, mark.base):
            return None
        return self.mark.digest == mark.digest


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the zip as the manifest states it and as it is found."""

    size: int
    sha256: str


# export


def write_takeout(
    file: Path, store: Store, recollector: Recollector, lm: BaseModel, person: UserRow, caught_up: CaughtUp
) -> dict[str, Any]:
    """Write all that is kept of `person` into the new zip `file`, and return its manifest.

    Raises:
        BadRequest: the file is there already or cannot be written.
        MemoryDamaged: the saved memory is not what was saved.
    """
    try:
        # what people say is for its owner alone
        opened = os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
    except FileExistsError as exc:
        raise BadRequest(f"{file} is there already; name a new file.") from exc
    except OSError as exc:
        raise BadRequest(f"{file} cannot be written: {exc.strerror}.") from exc
    try:
        with opened:
            return pack_takeout(opened, store, recollector, lm, person, caught_up)
    except BaseException as exc:
        file.unlink()
        if isinstance(exc, OSError):
            raise BadRequest(f"{file} cannot be written: {exc.strerror}.") from exc
        raise


def pack_takeout(
    file: BinaryIO,
    store: Store,
    recollector: Recollector,
    lm: BaseModel,
    person: UserRow,
    caught_up: CaughtUp,
) -> dict[str, Any]:
    """Write the same zip into an open file, and return its manifest; raises MemoryDamaged."""
    memory, turns = _moment(store, caught_up, person)
    members = {
        SESSIONS: b"".join(_session_lines(store, person, turns)),
        STATE: memory.state.to_bytes(),
        **_lora(recollector, lm, person, memory),
    }
    mark = recollector.mark(memory)
    manifest = {
        "format": FORMAT,
        "person": person.name,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("remanence", "torch")},
        "generator": mark.generator,
        "base": mark.base,
        "turns": len(turns),
        "members": {name: asdict(_member(content)) for name, content in members.items()},
    }
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(MANIFEST, json.dumps(manifest, indent=2), zipfile.ZIP_DEFLATED)
        for name, content in members.items():
            is_text = name == SESSIONS
            archive.writestr(name, content, zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED)
    return manifest


def _moment(store: Store, caught_up: CaughtUp, person: UserRow) -> tuple[Recollection, list[TurnRow]]:
    """Return the memory and the turns that it was made from, also while others write."""
    while True:
        memory = caught_up(person)
        turns = list(store.turns(person.id))
        read = [turn.id for turn in store.memory_turns(person.id)]
        if (len(read), read[-1] if read else 0) == (memory.figures.turns, memory.through_turn_id):
            return memory, turns


def _session_lines(store: Store, person: UserRow, turns: list[TurnRow]) -> Iterator[bytes]:
    """Yield the line of each session, the oldest first."""
    said = defaultdict(list)
    for place, turn in enumerate(turns):
        said[turn.session_id].append((place, turn))
    for session in reversed(store.sessions(person.id)):
        line = {
            "name": session.name,
            "created_at": session.created_at.isoformat(),
            "is_pinned": session.is_pinned,
            "source": session.source,
            "order": [place for place, _ in said[session.id]],
            "in_memory": [session.memory_on and turn.in_memory for _, turn in said[session.id]],
            "said_at": [turn.created_at.isoformat() for _, turn in said[session.id]],
            "messages": [message for _, turn in said[session.id] for message in exchange_of(turn).messages],
        }
        yield json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _lora(recollector: Recollector, lm: BaseModel, person: UserRow, memory: Recollection) -> dict[str, bytes]:
    with TemporaryDirectory() as folder, suppress(NothingToExport):
        save_lora(recollector.adapter(person, memory), lm, Path(folder, "lora"))
        return {name: Path(folder, name).read_bytes() for name in LORA}
    return {}


def _member(content: bytes) -> Member:
    return Member(len(content), hashlib.sha256(content).hexdigest())


# import


def read_file(file: Path, max_bytes: int, max_message_chars: int) -> Contents:
    """Return what a file holds, of any of the formats that are known, recognised from its content.

    Args:
        max_bytes: how large it may be, unpacked; of a zip, its sessions and what it packs.
        max_message_chars: how long one message may be.

    Raises:
        BadRequest: it cannot be read, or holds something else; the message says where.
        TooLong: it, or a message in it, is larger than that.
    """
    with readable(file), file.open("rb") as opened:
        return read_open(file.name, opened, max_bytes, max_message_chars)


def read_open(where: str, file: BinaryIO, max_bytes: int, max_message_chars: int) -> Contents:
    """Return what an open file holds, as `read_file` does.

    Args:
        where: the file, for messages.
        file: on the disk, open at its beginning.
    """
    with readable(where):
        is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
        file.seek(0)
        if is_zip:
            return _read_takeout(where, file, max_bytes, max_message_chars)
        return Contents(read_conversations(where, file, max_bytes, max_message_chars))


def _read_takeout(where: str, file: BinaryIO, max_bytes: int, max_message_chars: int) -> Contents:
    manifest_bytes, sessions, found = _read_zip(where, file, max_bytes)
    stated, mark = _read_manifest(f"{where}, {MANIFEST}", manifest_bytes)
    for name in stated.keys() | found.keys():
        if stated.get(name) != found.get(name):
            raise BadRequest(f"{where}: {name} is not what was exported; the manifest states another.")
    said = conversations(f"{where}, {SESSIONS}", sessions, max_message_chars) if sessions.strip() else []
    return Contents(said, mark)


def _read_zip(where: str, file: BinaryIO, max_bytes: int) -> tuple[bytes, bytes, dict[str, Member]]:
    """Return the manifest, the sessions, and size and hash of each member but the manifest."""
    size = os.fstat(file.fileno()).st_size
    try:
        with _Portions(file.fileno(), closefd=False) as raw, zipfile.ZipFile(raw) as archive:
            infos = archive.infolist()
            _check_members(where, infos, size + max_bytes)
            found, texts = {}, {}
            for info in infos:
                with archive.open(info) as content:
                    if info.filename in (MANIFEST, SESSIONS):
                        place = f"{where}, {info.filename}"
                        texts[info.filename] = read_at_most(content, max_bytes, place)
                        found[info.filename] = _member(texts[info.filename])
                    else:
                        found[info.filename] = _streamed(content)
    except ZIP_ERRORS as exc:
        raise BadRequest(f"{where}: this zip is damaged.") from exc
    del found[MANIFEST]
    return texts[MANIFEST], texts[SESSIONS], found


class _Portions(io.FileIO):
    """A file of which nobody, misled by a size that a zip states, reads much at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = READ_BYTES
        if size > READ_BYTES:
            raise zipfile.BadZipFile(f"expected to read at most {READ_BYTES} bytes, got {size}")
        return super().read(size) or b""


def _check_members(where: str, infos: list[zipfile.ZipInfo], max_bytes: int) -> None:
    """Let the members of an export pass, before anything of them is read."""
    names = [info.filename for info in infos]
    if "conversations.json" in names:
        raise BadRequest(f"{where}: unpack it and import its conversations.json.")
    for name in (MANIFEST, SESSIONS, STATE):
        if name not in names:
            raise BadRequest(f"{where}: this is no export of Remanence, {name} is missing.")
    for info in infos:
        if info.filename not in (MANIFEST, SESSIONS, STATE, *LORA):
            raise BadRequest(f"{where}: {info.filename[:80]!r} does not belong in an export of Remanence.")
        if names.count(info.filename) > 1:
            raise BadRequest(f"{where}: {info.filename} is in it twice.")
        if info.flag_bits & 1:
            raise BadRequest(f"{where}: {info.filename} is encrypted.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadRequest(f"{where}: {info.filename} is packed in a way that Remanence does not use.")
        if info.filename == MANIFEST and info.file_size > MAX_MANIFEST_BYTES:
            raise BadRequest(f"{where}: {MANIFEST} is larger than any that Remanence writes.")
    if sum(info.file_size for info in infos) > max_bytes:
        raise TooLong(f"{where}: it unpacks to more than {max_bytes:,} bytes; {HOW_TO_ALLOW_MORE}.")


def _streamed(content: Readable) -> Member:
    digest, size = hashlib.sha256(), 0
    while portion := content.read(READ_BYTES):
        digest.update(portion)
        size += len(portion)
    return Member(size, digest.hexdigest())


def _read_manifest(where: str, content: bytes) -> tuple[dict[str, Member], MemoryMark]:
    """Return the members that a manifest states, and the mark of the memory."""
    try:
        manifest = json.loads(content.decode())
    except (ValueError, RecursionError) as exc:
        raise BadRequest(f"{where}: this is not JSON.") from exc
    match manifest:
        case {"format": str(written)} if written != FORMAT:
            raise BadRequest(f"{where}: expected the format {FORMAT}, got {written[:80]!r}.")
        case {"format": str(), "generator": str(generator), "base": str(base), "members": dict(members)}:
            stated = {name: _stated(where, name, about) for name, about in members.items()}
            if STATE in stated:
                return stated, MemoryMark(generator, base, stated[STATE].sha256)
    raise BadRequest(f"{where}: this is no manifest of an export of Remanence.")


def _stated(where: str, name: str, about: Any) -> Member:
    match about:
        case {"size": int(size), "sha256": str(sha256)}:
            return Member(size, sha256)
    raise BadRequest(f"{where}: the size and the hash of {name[:80]!r} are missing.")
