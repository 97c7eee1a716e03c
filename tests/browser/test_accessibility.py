"""What axe-core has to say about every page, light and dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.site import Site
from tests.browser.visitor import Visitor, window
from ui import texts

MEMORY_TITLES = (
    texts.ADDED_TITLE,
    texts.PROBE_TITLE,
    texts.WHY_TITLE,
    texts.VERIFY_TITLE,
    texts.FORGET_TITLE,
    texts.TAKEOUT_TITLE,
)
GRAVE = ("serious", "critical")

pytestmark = pytest.mark.parametrize("color_scheme", ["light", "dark"])


def complaints(visitor: Visitor) -> list[str]:
    """Return what is grave, and where."""
    visitor.settle()
    violations = Axe().run(visitor.page).response["violations"]
    return [
        f"{violation['help']}: {node['html']}"
        for violation in violations
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]


def test_the_login_page_is_open_to_everybody(browser: Browser, site: Site, color_scheme: str) -> None:
    """Also while it says what was wrong."""
    with window(browser, site, color_scheme=color_scheme) as somebody:
        somebody.page.goto("/login")
        assert complaints(somebody) == []
        somebody.page.get_by_label(texts.LOGIN_LABEL).fill("Nobody")
        somebody.page.locator("#password").fill("what was it")
        somebody.page.get_by_role("button", name=texts.LOGIN_BUTTON).click()
        expect(somebody.page.locator("#problem")).not_to_be_empty()
        assert complaints(somebody) == []


def test_the_chat_is_open_to_everybody(visit: Visit, color_scheme: str) -> None:
    """Empty, and with messages; everything at the side unfolded."""
    ada = visit(f"Ada {color_scheme} chat", color_scheme=color_scheme)
    assert complaints(ada) == []
    ada.say(
        "A *word*, a [link](https://elsewhere.example), `code`.\n\n```python\nprint('Hi')  # a comment\n```"
    )
    ada.unfold(texts.THIS_SESSION)
    ada.page.get_by_role("button", name=texts.DELETE_SESSION).click()
    expect(ada.page.get_by_text(texts.DELETE_SESSION_SURE)).to_be_visible()
    assert complaints(ada) == []


def test_my_memory_is_open_to_everybody(visit: Visit, color_scheme: str) -> None:
    """With something in it, everything unfolded."""
    ada = visit(f"Ada {color_scheme} memory", color_scheme=color_scheme)
    ada.say("I live in Lisbon.")
    ada.open_memory()
    for title in MEMORY_TITLES:
        ada.unfold(title)
    ada.page.get_by_role("button", name=texts.VERIFY_BUTTON).click()
    expect(ada.page.locator("#receipt")).to_contain_text(texts.VERIFIED.split(":")[0])
    assert complaints(ada) == []


def test_the_desk_is_open_to_everybody(visit: Visit, color_scheme: str) -> None:
    """Each of its tabs, with somebody chosen, while it asks whether to delete, and to who is kept out."""
    name = f"Root {color_scheme}"
    root = visit(name, role="admin", color_scheme=color_scheme)
    root.say("Hello.")
    root.open_desk()
    root.choose_person(name, "to see")
    root.unfold(texts.DESK_ADD)
    root.page.get_by_role("button", name=texts.DESK_RESET, exact=True).click()
    expect(root.page.get_by_role("button", name=texts.DESK_RESET_SURE)).to_be_visible()
    assert complaints(root) == []
    for tab in texts.DESK_JOBS, texts.DESK_AUDIT, texts.DESK_SERVER:
        root.open_desk_tab(tab)
        assert complaints(root) == []
    ada = visit(f"Ada {color_scheme} desk", color_scheme=color_scheme)
    ada.page.goto("/admin")
    assert complaints(ada) == []


def test_the_demo_is_open_to_everybody(browser: Browser, site: Site, color_scheme: str) -> None:
    """Before a visitor has done anything, and with everything on it."""
    with window(browser, site, color_scheme=color_scheme) as visitor:
        visitor.open_demo()
        assert complaints(visitor) == []
        visitor.fold_sessions()
        visitor.unfold(texts.DEMO_SAID)
        visitor.ask_question(0)
        assert complaints(visitor) == []
