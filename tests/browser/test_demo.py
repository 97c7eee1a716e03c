"""The demo, for somebody who has no account."""

from playwright.sync_api import Browser, expect

from tests.browser.site import Site
from tests.browser.visitor import window
from ui import texts


def test_the_demo_leads_from_a_click_to_charts_answers_and_a_score(browser: Browser, site: Site) -> None:
    """Sessions folded, what each way of remembering costs, four answers, and how many were right."""
    with window(browser, site) as visitor:
        visitor.open_demo()
        visitor.fold_sessions()
        expect(visitor.charts.first).to_be_visible()
        visitor.ask_question(0)
        for name, _ in texts.DEMO_METHODS.values():
            expect(visitor.page.locator("#demo-answers").get_by_role("heading", name=name)).to_be_visible()
        visitor.page.get_by_role("button", name=texts.DEMO_SCORE_BUTTON).click()
        expect(visitor.page.locator("#demo-scored")).to_contain_text(texts.DEMO_SCORED[:40])
        expect(visitor.page.locator("#demo-table tr")).not_to_have_count(0)
