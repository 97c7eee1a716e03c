"""The side of the page in the browser: finding, pinning, going on from a reply, giving a document."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.site import Site
from ui import texts


def test_a_chat_is_found_by_what_was_said_in_it(visit: Visit, site: Site) -> None:
    """And opens; what was never said is not found."""
    ada = visit("Ada Search")
    site.add_chats(
        "Ada Search",
        {"first": [("My boat is called Zanzibar.", "Lovely!")], "second": [("Hello.", "Hello!")]},
    )
    ada.reload()
    expect(ada.search("marmalade")).to_have_count(0)
    expect(ada.page.get_by_text(texts.NOTHING_FOUND)).to_be_visible()
    hits = ada.search("zanzibar")
    expect(hits).to_have_count(1)
    expect(hits).to_contain_text("first: My boat is called Zanzibar.")
    hits.click()
    expect(ada.messages).to_have_text(["My boat is called Zanzibar."])


def test_a_chat_that_is_pinned_stands_first(visit: Visit, site: Site) -> None:
    """Also after the page is loaded again, until it is pinned no longer."""
    ada = visit("Ada Pin")
    site.add_chats("Ada Pin", {name: [("Hello.", "Hello!")] for name in ("oldest", "older", "newest")})
    ada.reload()
    expect(ada.chats).to_have_text(["newest", "older", "oldest"])
    ada.open_chat("oldest")
    ada.unfold(texts.THIS_SESSION)
    pin = ada.page.get_by_label(texts.PIN)
    pin.check()
    pinned = [texts.PINNED.format(name="oldest"), "newest", "older"]
    expect(ada.chats).to_have_text(pinned)
    ada.reload()
    expect(ada.chats).to_have_text(pinned)
    ada.open_chat("oldest")
    ada.unfold(texts.THIS_SESSION)
    expect(pin).to_be_checked()
    pin.uncheck()
    expect(ada.chats).to_have_text(["newest", "older", "oldest"])


def test_a_branch_goes_on_from_a_reply(visit: Visit, site: Site) -> None:
    """With what was said up to there; the chat that it came from stays as it was."""
    ada = visit("Ada Branch")
    said = ["I have a cat.", "She is black."]
    site.add_chats("Ada Branch", {"cats": [(text, "I see.") for text in said]})
    ada.reload()
    ada.open_chat("cats")
    expect(ada.messages).to_have_text(said)
    ada.conversation.get_by_role("button", name=texts.BRANCH).first.click()
    expect(ada.messages).to_have_text(said[:1])
    ada.say("She is white.")
    expect(ada.messages).to_have_text([said[0], "She is white."])
    expect(ada.chats).to_have_count(2)
    ada.chats.last.click()
    expect(ada.messages).to_have_text(said)


def test_a_document_is_remembered_until_it_is_deleted(visit: Visit, site: Site) -> None:
    """It stands among the chats by its name; deleted, no file holds a word of it."""
    ada = visit("Ada Document")
    ada.give_document("boats.txt", b"The boat of Ada is called Quicksilver.")
    expect(ada.chats).to_have_text([texts.DOCUMENT.format(name="boats.txt")])
    expect(ada.messages).to_have_text(["The boat of Ada is called Quicksilver."])
    expect(ada.page.locator("#memory-line")).to_contain_text(texts.DOCUMENT_GIVEN)
    ada.open_memory()
    expect(ada.page.locator("#memory-figures")).to_contain_text("of 1 chats")
    assert b"Quicksilver" in site.content()
    ada.open_tab(texts.CHAT_TAB)
    ada.unfold(texts.THIS_SESSION)
    ada.delete_chat()
    expect(ada.page.locator("#memory-line")).to_contain_text("Forgotten: 1 messages")
    expect(ada.chats).to_have_count(0)
    assert "Quicksilver" not in ada.page.content()
    assert b"Quicksilver" not in site.content()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("game.exe", b"MZ\x90\x00", "game.exe: only .txt, .md and .pdf can be read."),
        ("empty.txt", b"", "empty.txt: there is no text in it; pictures of pages are not read."),
    ],
)
def test_a_file_that_is_no_document_is_refused_in_a_sentence(
    visit: Visit, name: str, content: bytes, sentence: str
) -> None:
    """Which is seen at once and stays; nothing of the file is kept."""
    ada = visit(f"Ada {name}")
    ada.give_document(name, content)
    expect(ada.page.locator("#memory-line")).to_have_text(sentence)
    ada.reload()
    expect(ada.chats).to_have_count(0)
