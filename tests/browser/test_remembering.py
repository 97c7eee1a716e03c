"""With the model that ships: a fact outlives the server, in the memory and nowhere else."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.site import running
from tests.browser.visitor import window
from ui import texts


@pytest.mark.slow
def test_what_is_said_at_the_first_visit_is_remembered_after_a_restart(
    browser: Browser, tmp_path: Path
) -> None:
    """In a new chat, whose prompt does not hold it; with memory off it is not known."""
    with running(tmp_path) as site, window(browser, site) as ada:
        ada.come_in("Ada")
        ada.say("My parrot is called Biscuit.")
    with running(tmp_path) as site, window(browser, site) as ada:
        ada.come_in("Ada")
        assert "Biscuit" in ada.say("What is my parrot called?")
        ada.open_memory()
        switch = ada.page.get_by_label(texts.MEMORY_SWITCH, exact=True)
        expect(switch).to_be_checked()
        switch.uncheck()
        expect(ada.page.get_by_text(texts.MEMORY_IS_OFF)).to_be_visible()
        ada.open_tab(texts.CHAT_TAB)
        ada.begin_chat()
        assert "Biscuit" not in ada.say("What is my parrot called?")
