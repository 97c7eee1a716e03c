"""The admin's desk in the browser: who gets there, a rebuild, and a reset that the person feels."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PASSWORD, Visit
from tests.browser.site import running
from tests.browser.visitor import window
from ui import texts


def test_who_is_no_admin_finds_no_way_to_the_desk(visit: Visit) -> None:
    """No link leads there, and its address says who may come."""
    ada = visit("Ada Kept Out")
    expect(ada.box).to_be_enabled()
    ada.settle()
    expect(ada.page.get_by_role("button", name=texts.DESK_LINK)).to_have_count(0)
    answer = ada.page.goto("/admin")
    assert answer is not None
    assert answer.status == 403
    expect(ada.page.get_by_text(texts.DESK_REFUSED)).to_be_visible()
    expect(ada.page.get_by_role("tab")).to_have_count(0)


def test_a_rebuild_is_seen_among_the_jobs(visit: Visit) -> None:
    """With whose it is and how far; in the audit log stands why."""
    ada, root = visit("Ada Rebuilt"), visit("Root Rebuilds", role="admin")
    ada.say("I like tea.")
    root.open_desk()
    root.choose_person("Ada Rebuilt", "it was damaged")
    root.page.get_by_role("button", name=texts.DESK_REBUILD).click()
    expect(root.page.get_by_text("The memory of Ada Rebuilt is rebuilt as job")).to_be_visible()
    root.open_desk_tab(texts.DESK_JOBS)
    job = root.table(texts.DESK_JOBS).get_by_role("row").filter(has_text="Ada Rebuilt")
    expect(job).to_contain_text(texts.DESK_JOB_KINDS["rebuild"])
    # the list looks again by itself
    expect(job).to_contain_text("done")
    expect(job).to_contain_text("1 of 1 turns")
    root.open_desk_tab(texts.DESK_AUDIT)
    noted = root.table(texts.DESK_AUDIT).get_by_role("row").filter(has_text="it was damaged")
    expect(noted).to_contain_text("Root Rebuilds")
    expect(noted).to_contain_text("Ada Rebuilt")


@pytest.mark.slow
def test_what_an_admin_resets_is_known_no_more(browser: Browser, tmp_path: Path) -> None:
    """With the model that ships: the next answer of the person lacks it, and the audit log says why."""
    with running(tmp_path) as site:
        site.add_account("root", PASSWORD, "admin")
        site.add_account("Ada", PASSWORD)
        with window(browser, site) as ada, window(browser, site) as root:
            ada.be_let_in("Ada", PASSWORD)
            ada.say("My parrot is called Biscuit.")
            ada.begin_chat()
            assert "Biscuit" in ada.say("What is my parrot called?")
            root.be_let_in("root", PASSWORD)
            root.open_desk()
            root.choose_person("Ada", "she asked for it")
            root.page.get_by_role("button", name=texts.DESK_RESET, exact=True).click()
            root.page.get_by_role("button", name=texts.DESK_RESET_SURE).click()
            expect(root.page.get_by_text("Deleted: 2 turns in 2 chats of Ada.")).to_be_visible()
            ada.begin_chat()
            assert "Biscuit" not in ada.say("What is my parrot called?")
            expect(ada.chats).to_have_count(1)
            root.open_desk_tab(texts.DESK_AUDIT)
            noted = root.table(texts.DESK_AUDIT).get_by_role("row").filter(has_text="she asked for it")
            expect(noted).to_contain_text("forget")
            assert "Biscuit" not in root.page.content()
        assert b"Biscuit" not in site.content()
