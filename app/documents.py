"""Documents that a person gives to be remembered: a file becomes the passages that memory reads.

Text and Markdown in UTF-8, or UTF-16 with its mark, and the text of a PDF. A passage is told as a message of
the person without a reply, so a document is stored, read, left out and forgotten as a conversation is. What
cannot be read is a `BadRequest` of one sentence; nothing of the file is kept beside its text.
"""

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pypdf import PasswordType, PdfReader

from app.errors import BadRequest, TooLong
from app.formats import Conversation
from app.transcript import readable
from model.conversation import Exchange

SUFFIXES = (".txt", ".md", ".pdf")
# Some hundred tokens, of which the one that is read sees those before it.
PASSAGE_CHARS = 800
MAX_NAME_CHARS = 200
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# A stretch without a break that is near enough: up to the last space that fits, or through a word.
_LINE = re.compile(rf"\S.{{0,{PASSAGE_CHARS - 1}}}(?=\s|$)|\S{{{PASSAGE_CHARS}}}", re.DOTALL)


def is_document(name: str) -> bool:
    """Say whether a file of this name is read as a document."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def open_document(file: Path, max_bytes: int, max_chars: int) -> Conversation:
    """Return the passages of the document `file`; arguments and errors as of `read_document`."""
    with readable(file), file.open("rb") as content:
        return read_document(file.name, content.read(max_bytes + 1), max_bytes, max_chars)


def read_document(name: str, content: bytes, max_bytes: int, max_chars: int) -> Conversation:
    """Return the passages of a document as what the person says.

    Args:
        name: the file's, which says by its ending what it is; folders in it are left out.
        max_bytes: how large the file may be.
        max_chars: how much text may be in it.

    Raises:
        BadRequest: it is no document, is damaged or encrypted, or there is no text in it.
        TooLong: it is larger than that.
    """
    name = _shown_name(name)
    if not is_document(name):
        raise BadRequest(f"{name}: only {', '.join(SUFFIXES[:-1])} and {SUFFIXES[-1]} can be read.")
    if len(content) > max_bytes:
        raise TooLong(f"{name}: more than {max_bytes:,} bytes; the setting max_document_bytes allows more.")
    portions, num_chars = [], 0
    for portion in _pages(name, content) if name.lower().endswith(".pdf") else [_text(name, content)]:
        portions.append(portion)
        num_chars += len(portion)
        if num_chars > max_chars:
            raise TooLong(
                f"{name}: more than {max_chars:,} characters; the setting max_document_chars allows more."
            )
    passages = _passages("\n\n".join(portions))
    if not passages:
        raise BadRequest(f"{name}: there is no text in it; pictures of pages are not read.")
    return Conversation(tuple(Exchange(passage, "") for passage in passages), name=name, source=name)


def _shown_name(name: str) -> str:
    """Return the file's own name, without what cannot be shown in a line; its end says what it is."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable()).strip()[-MAX_NAME_CHARS:] or "document"


def _text(name: str, content: bytes) -> str:
    encoding = "utf-16" if content.startswith(UTF_16_MARKS) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as exc:
        raise BadRequest(f"{name}: this is not text in UTF-8.") from exc
    if "\0" in text:
        raise BadRequest(f"{name}: this is not text.")
    return text


def _pages(name: str, content: bytes) -> Iterator[str]:
    """Yield the text of each page of a PDF."""
    try:
        reader = PdfReader(io.BytesIO(content))
        # many ask for no password to be read, only to be changed
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise BadRequest(f"{name}: it asks for a password; save it without one.")
        for page in reader.pages:
            # fonts name characters that are none
            yield page.extract_text().replace("\0", "").encode(errors="replace").decode()
    except BadRequest:
        raise
    except Exception as exc:
        # a PDF that is cut short or made to harm fails anywhere in the library that reads it
        raise BadRequest(f"{name}: this PDF cannot be read; it is damaged or encrypted.") from exc


def _passages(text: str) -> list[str]:
    """Return paragraphs, together where they are short and apart where they are long."""
    passages: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        for piece in _pieces(paragraph.strip()):
            if passages and len(passages[-1]) + 1 + len(piece) <= PASSAGE_CHARS:
                passages[-1] += f"\n{piece}"
            else:
                passages.append(piece)
    return passages


def _pieces(paragraph: str) -> Iterator[str]:
    """Yield a paragraph, where it is too long its sentences and lines, and of those what fits."""
    if len(paragraph) <= PASSAGE_CHARS:
        yield from filter(None, [paragraph])
        return
    for sentence in re.split(r"(?<=[.!?])\s+|\n", paragraph):
        yield from (part.strip() for part in _LINE.findall(sentence))
