"""Documents: what becomes of a file, and every way in which it is no document."""

import io
from collections.abc import Callable

import pytest
from pypdf import PdfWriter

from app.accounts import Quota
from app.chat import Chat
from app.documents import PASSAGE_CHARS, is_document, read_document
from app.errors import BadRequest, NotFound, Refused, RemanenceError, TooLong
from app.forgetting import Selection
from app.formats import Conversation
from storage.rows import Note

PARAGRAPH = "The lighthouse was painted in 1904. "


def pdf(*pages: str) -> bytes:
    """Return a PDF with a line of text on each page."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
            f" /Contents {5 + 2 * number} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    written, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    return (
        written
        + (
            f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
            f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(written)}\n%%EOF\n"
        ).encode()
    )


def locked(content: bytes, password: str) -> bytes:
    """Return the PDF as one that asks for a password, where it is not empty."""
    writer = PdfWriter(clone_from=io.BytesIO(content))
    writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def read(name: str, content: bytes) -> Conversation:
    """Return what is read under the limits of the tests."""
    return read_document(name, content, max_bytes=1 << 20, max_chars=100_000)


def passages(name: str, content: bytes) -> list[str]:
    """Return the passages alone."""
    return [exchange.user for exchange in read(name, content).exchanges]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("notes.txt", "Zoë lives in Łódź.".encode(), "Zoë lives in Łódź."),
        ("NOTES.TXT", "\ufeffwith a mark".encode(), "with a mark"),
        ("notes.md", "sixteen bits".encode("utf-16"), "sixteen bits"),
        ("a.pdf", pdf("A ship sails at dawn.", "She is Hope."), "A ship sails at dawn.\nShe is Hope."),
        ("b.pdf", locked(pdf("Printing is not allowed."), ""), "Printing is not allowed."),
    ],
)  # fmt: skip
def test_a_document_is_told_by_the_person(name: str, content: bytes, text: str) -> None:
    """Its text, without a reply; the session and its source are called as the file."""
    document = read(name, content)
    assert [(e.user, e.assistant) for e in document.exchanges] == [(text, "")]
    assert (document.name, document.source) == (name, name)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.docx", b"PK", "a.docx: only .txt, .md and .pdf can be read."),
        ("pdf", b"", "pdf: only .txt, .md and .pdf can be read."),
        ("", b"", "document: only .txt, .md and .pdf can be read."),
        ("a.txt", b"\xff\x00\x01", "a.txt: this is not text in UTF-8."),
        ("a.txt", b"\xff\xfe\x01", "a.txt: this is not text in UTF-8."),
        ("a.md", b"a\0b", "a.md: this is not text."),
        ("a.txt", b" \n\t\n", "a.txt: there is no text in it; pictures of pages are not read."),
        ("scan.pdf", pdf("", ""), "scan.pdf: there is no text in it; pictures of pages are not read."),
        ("a.pdf", locked(pdf("secret"), "word"), "a.pdf: it asks for a password; save it without one."),
        ("a.pdf", b"", "a.pdf: this PDF cannot be read; it is damaged or encrypted."),
        ("a.pdf", b"just text", "a.pdf: this PDF cannot be read; it is damaged or encrypted."),
        ("a.pdf", pdf("cut short")[:200], "a.pdf: this PDF cannot be read; it is damaged or encrypted."),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(name: str, content: bytes, sentence: str) -> None:
    """Which says what is wrong with the file."""
    with pytest.raises(BadRequest) as raised:
        read(name, content)
    assert str(raised.value) == sentence


def test_a_file_or_its_text_may_be_too_large() -> None:
    """The sentence names the setting; what a PDF unpacks to is counted too."""
    with pytest.raises(TooLong, match="more than 1,048,576 bytes; the setting max_document_bytes"):
        read("a.txt", b"x" * ((1 << 20) + 1))
    with pytest.raises(TooLong, match="more than 100,000 characters; the setting max_document_chars"):
        read("a.md", b"x" * 100_001)
    with pytest.raises(TooLong, match="characters"):
        read("a.pdf", pdf(*["word " * 200] * 101))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\n\ntwo\n \nthree", ["one\ntwo\nthree"]),
        (f"{PARAGRAPH * 20}\n\n{PARAGRAPH * 20}", [(PARAGRAPH * 20).strip()] * 2),
        ("x" * (2 * PASSAGE_CHARS + 1), ["x" * PASSAGE_CHARS, "x" * PASSAGE_CHARS, "x"]),
        (f"{'a' * 500} {'b' * 500}", ["a" * 500, "b" * 500]),
    ],
)
def test_short_paragraphs_are_a_passage_together(text: str, expected: list[str]) -> None:
    """Long ones are taken apart, between sentences, words, or where nothing else is left."""
    assert passages("a.txt", text.encode()) == expected


def test_no_word_of_a_document_is_lost() -> None:
    """However it is taken apart, and at once: not in the square of its length."""
    text = "\n".join(f"{PARAGRAPH}{'word ' * n}{'x' * n}" for n in range(0, 300, 7)) + "y" * 20_000
    read_in = passages("a.txt", text.encode())
    assert all(0 < len(passage) <= PASSAGE_CHARS for passage in read_in)
    assert "".join("".join(read_in).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("name", "shown"),
    [("../../etc/a.txt", "a.txt"), ("C:\\me\\b.md", "b.md"), ("\u202etxt.a\n.txt", "txt.a.txt")],
)
def test_a_name_is_shown_without_folders_and_tricks(name: str, shown: str) -> None:
    """It comes from a browser."""
    assert read(name, b"word").name == shown
    assert len(read(f"{'n' * 300}.txt", b"word").source or "") == 200


def test_only_some_files_are_documents() -> None:
    """By their ending."""
    assert [is_document(name) for name in ("a.PDF", "b.md", "c.jsonl", "d.zip", "txt")] == [
        True, True, False, False, False
    ]  # fmt: skip


def test_a_document_is_read_listed_and_forgotten_as_one_thing(chat: Chat) -> None:
    """It is a session; its passages count in memory, and go with it."""
    session = chat.add_document("Ada", "log.txt", f"{PARAGRAPH * 22}\n\n{PARAGRAPH * 22}".encode())
    again = chat.add_document("Ada", "log.txt", b"Another of the same name.")
    assert [(s.name, s.source) for s in chat.sessions("Ada")] == [
        ("log.txt (2)", "log.txt"),
        ("log.txt", "log.txt"),
    ]
    assert (session.id, again.id) == (chat.sessions("Ada")[1].id, chat.sessions("Ada")[0].id)
    assert chat.settle("Ada").turns == 3
    assert chat.forget("Ada", Selection(session_id=session.id)).turns == 2
    assert chat.settle("Ada").turns == 1
    assert chat.sessions("Bob") == []


def test_a_document_is_no_chat(chat: Chat) -> None:
    """Nothing is said in it, and no passage of it is replaced."""
    session = chat.add_document("Ada", "log.txt", b"word")
    [passage] = chat.turns("Ada", session.id)
    for instead_of in (None, passage.id):
        with pytest.raises(BadRequest, match="is a document"):
            chat.reply("Ada", session.id, "hello", instead_of=instead_of)
    assert chat.turns("Ada", session.id) == [passage]


NOTE = Note("command line")


@pytest.mark.parametrize(
    ("before", "error"),
    [
        (lambda chat: chat.set_memory("Ada", False), BadRequest),
        (lambda chat: chat.people.set_quota("Ada", Quota(1, None), NOTE), Refused),
        (lambda chat: chat.people.set_quota("Ada", Quota(None, 1000), NOTE), Refused),
        (lambda chat: chat.people.set_disabled("Ada", True, NOTE), Refused),
    ],
)
def test_a_document_that_may_not_be_stored_is_refused(
    chat: Chat, before: Callable[[Chat], None], error: type[RemanenceError]
) -> None:
    """Whole: memory is off, the quota would not hold it, or the account is disabled."""
    before(chat)
    with pytest.raises(error):
        chat.add_document("Ada", "log.txt", (PARAGRAPH * 40).encode())
    assert chat.sessions("Ada") == []
    with pytest.raises(NotFound):
        chat.add_document("Eve", "log.txt", b"word")
