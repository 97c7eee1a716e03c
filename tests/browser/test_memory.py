"""My memory in the browser: forgetting, and what is left of it."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.site import Site
from ui import texts


def test_what_is_forgotten_is_gone_with_a_receipt(visit: Visit, site: Site) -> None:
    """From the page, from the files; what is kept stays."""
    ada = visit("Ada Forget")
    ada.say("My boat is called Zanzibar.")
    ada.begin_chat()
    ada.say("I like tea.")
    assert b"Zanzibar" in site.content()
    ada.open_memory()
    ada.unfold(texts.FORGET_TITLE)
    ada.choose(texts.FORGET_TURN, "Zanzibar")
    ada.page.get_by_role("button", name=texts.FORGET_BUTTON).click()
    expect(ada.page.locator("#receipt")).to_contain_text("Forgotten: 1 messages; 1 are kept.")
    expect(ada.page.locator("#receipt code")).to_have_count(2)
    before, after = ada.page.locator("#receipt code").all_inner_texts()
    assert before != after
    expect(ada.page.locator("#memory-figures")).to_contain_text("1 turns of 1 chats")
    ada.reload()
    expect(ada.chats).to_have_count(1)
    assert "Zanzibar" not in ada.page.content()
    assert b"Zanzibar" not in site.content()
    assert b"I like tea." in site.content()
