"""How the page behaves for everybody: by keyboard, on a narrow screen, without the internet, and how soon."""

import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.site import Site
from ui import texts

NARROW = {"width": 390, "height": 844}
# More than anything on the page takes to be reached.
MAX_STOPS = 60
FOCUS = """() => {
    const style = getComputedStyle(document.activeElement);
    return document.activeElement.matches(":focus-visible") && style.outlineStyle !== "none"
        && parseFloat(style.outlineWidth) >= 2;
}"""
WIDTH = "document.scrollingElement.scrollWidth"


def test_everything_is_done_by_keyboard(visit: Visit) -> None:
    """The cursor waits in the box; Tab leads to the chats, the tabs and back, and is seen on its way."""
    ada = visit("Ada Keyboard")
    expect(ada.box).to_be_focused()
    ada.page.keyboard.type("Hello there.")
    ada.page.keyboard.press("Enter")
    expect(ada.messages).to_have_text(["Hello there."])
    ada.last_reply()
    chat, tab = ada.chats.locator("input"), ada.page.get_by_role("tab", name=texts.MEMORY_TAB)
    reached = {chat: False, tab: False, ada.box: False}
    for _ in range(MAX_STOPS):
        ada.page.keyboard.press("Tab")
        is_outside = ada.page.evaluate("document.activeElement === document.body")
        assert is_outside or ada.page.evaluate(FOCUS), ada.page.evaluate("document.activeElement.outerHTML")
        for stop in reached:
            reached[stop] |= stop.evaluate("(element) => element === document.activeElement")
        if all(reached.values()):
            break
    assert all(reached.values())
    tab.focus()
    ada.page.keyboard.press("Enter")
    expect(ada.page.locator("#memory-figures")).to_contain_text("1 turns of 1 chats")


def test_a_narrow_screen_shows_everything_without_scrolling_sideways(visit: Visit) -> None:
    """Long words, code and tables too; the side opens over the page and closes again."""
    ada = visit("Ada Narrow", viewport=NARROW, has_touch=True, is_mobile=True)
    new = ada.page.get_by_role("button", name=texts.NEW_SESSION)
    expect(new).not_to_be_in_viewport()
    ada.say(f"{'long' * 100}\n\n```\n{'code ' * 60}\n```\n\n|{'table|' * 30}\n|{'-|' * 30}\n|{'cell|' * 30}")
    assert ada.page.evaluate(WIDTH) == NARROW["width"]
    expect(ada.box).to_be_in_viewport()
    toggle = ada.page.get_by_role("button", name="Toggle Sidebar")
    toggle.click()
    expect(new).to_be_in_viewport(ratio=1)
    expect(ada.chats).to_be_in_viewport(ratio=1)
    assert ada.page.evaluate(WIDTH) == NARROW["width"]
    toggle.click()
    expect(new).not_to_be_in_viewport()
    ada.open_memory()
    for title in (
        texts.ADDED_TITLE,
        texts.PROBE_TITLE,
        texts.WHY_TITLE,
        texts.FORGET_TITLE,
        texts.TAKEOUT_TITLE,
    ):
        ada.unfold(title)
    assert ada.page.evaluate(WIDTH) == NARROW["width"]


def test_the_desk_is_for_a_narrow_screen_too(visit: Visit) -> None:
    """Each of its tabs, its tables scrolling by themselves."""
    root = visit("Root Narrow", role="admin", viewport=NARROW, has_touch=True, is_mobile=True)
    root.page.goto("/admin")
    for tab in texts.DESK_PEOPLE, texts.DESK_JOBS, texts.DESK_AUDIT, texts.DESK_SERVER:
        root.open_desk_tab(tab)
        assert root.page.evaluate(WIDTH) == NARROW["width"], tab


def test_the_page_comes_with_everything_it_needs(visit: Visit, site: Site) -> None:
    """In a browser that finds no other host, nothing that is asked for is missing."""
    ada = visit("Ada Offline")
    asked, failed = [], []
    ada.page.on("response", lambda answer: asked.append((answer.status, answer.url)))
    ada.page.on("requestfailed", lambda request: failed.append((request.failure, request.url)))
    ada.reload()
    ada.open_memory()
    expect(ada.page.locator("svg.marks, canvas.marks")).to_be_attached()
    assert [url for status, url in asked if status >= 400 or not url.startswith(site.url)] == []
    # the streams of the page that was left
    assert [url for failure, url in failed if failure != "net::ERR_ABORTED"] == []


def test_the_page_loads_with_much_in_it(visit: Visit, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """With fifty chats at the side, and five hundred turns in one of them; how soon is told, not judged."""
    ada = visit("Ada Long")
    talks = {f"talk {number}": [("Hello.", "Hello!")] for number in range(49)}
    turns = [(f"This is message {number}.", "I see. **Go on.**") for number in range(500)]
    site.add_chats("Ada Long", {**talks, "a long talk": turns})
    started = time.perf_counter()
    ada.reload()
    expect(ada.chats).to_have_count(50)
    loaded = time.perf_counter()
    ada.open_chat("a long talk")
    expect(ada.messages.last).to_have_text("This is message 499.")
    opened = time.perf_counter()
    ada.page.get_by_role("button", name=texts.EARLIER).click()
    expect(ada.replies).to_have_count(500)
    shown = time.perf_counter()
    with capsys.disabled():
        print(
            f"\nthe page came in {loaded - started:.1f} s, the end of a long chat in {opened - loaded:.1f} s,"
            f" all of it in {shown - opened:.1f} s"
        )
