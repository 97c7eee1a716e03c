"""My memory in the browser: looking closer, forgetting, taking along and bringing."""

import json
from zipfile import ZipFile

from playwright.sync_api import expect

from app.inspection import QUESTIONS
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


def test_what_the_model_says_it_remembers_is_called_its_own_words(visit: Visit) -> None:
    """Before it is asked, and beside what it says."""
    ada = visit("Ada Probe")
    ada.say("I live in Lisbon.")
    ada.open_memory()
    ada.unfold(texts.PROBE_TITLE)
    label = ada.page.get_by_text("These are the model's words, and many may be wrong:")
    expect(label).to_be_visible()
    ada.page.get_by_role("button", name=texts.PROBE_BUTTON).click()
    told = ada.page.locator("#recollected")
    expect(told).to_contain_text(f"Asked: {len(QUESTIONS)} of {len(QUESTIONS)}.")
    expect(label).to_be_visible()


def test_what_each_chat_added_is_drawn(visit: Visit) -> None:
    """As a bar and a line, and told beside them."""
    ada = visit("Ada Added")
    for text in ("I live in Lisbon.", "I work as a welder."):
        ada.say(text)
        ada.begin_chat()
    ada.open_memory()
    ada.unfold(texts.ADDED_TITLE)
    ada.page.get_by_role("button", name=texts.ADDED_BUTTON).click()
    expect(ada.page.get_by_text(texts.ADDED_SO_FAR.format(done=2, total=2))).to_be_visible()
    for title in (texts.ADDED_TOKENS, texts.ADDED_RANKS):
        expect(ada.charts.filter(has_text=title)).to_be_visible()


def test_what_is_taken_along_can_be_brought_again(visit: Visit) -> None:
    """One zip with everything in it; brought, its chats stand at the side beside those that are there."""
    ada = visit("Ada Takeout")
    ada.say("My boat is called Quicksand.")
    ada.open_memory()
    ada.unfold(texts.TAKEOUT_TITLE)
    with ada.page.expect_download() as begun:
        ada.page.get_by_role("button", name=texts.EXPORT_BUTTON).click()
    assert begun.value.suggested_filename == "remanence-export.zip"
    with ZipFile(begun.value.path()) as taken:
        assert taken.namelist() == [
            "manifest.json",
            "sessions.jsonl",
            "state.safetensors",
            "lora/adapter_config.json",
            "lora/adapter_model.safetensors",
        ]
        assert b"Quicksand" in taken.read("sessions.jsonl")
    expect(ada.page.locator("#takeout-outcome")).to_have_text(texts.EXPORTED)
    ada.bring("export.zip", begun.value.path().read_bytes())
    expect(ada.page.locator("#takeout-outcome")).to_have_text(texts.IMPORTED.format(turns=1))
    expect(ada.chats).to_have_text(["My boat is called Quicksand. (2)", "My boat is called Quicksand."])


def test_a_bad_file_is_refused_with_its_line(visit: Visit) -> None:
    """Of which nothing is kept; a good one stands at the side at once."""
    ada = visit("Ada Import")
    good = json.dumps([{"role": "user", "content": "I like tea."}, {"role": "assistant", "content": "Oh!"}])
    ada.open_memory()
    ada.unfold(texts.TAKEOUT_TITLE)
    ada.bring("said.jsonl", f"{good}\n{{not JSON\n".encode())
    expect(ada.page.locator("#takeout-outcome")).to_contain_text("said.jsonl, line 2: ")
    expect(ada.chats).to_have_count(0)
    ada.bring("said.jsonl", good.encode())
    expect(ada.page.locator("#takeout-outcome")).to_have_text(texts.IMPORTED.format(turns=1))
    expect(ada.chats).to_have_count(1)
    ada.open_tab(texts.CHAT_TAB)
    ada.chats.click()
    expect(ada.messages).to_have_text(["I like tea."])
