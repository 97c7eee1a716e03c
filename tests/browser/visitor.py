"""Somebody in front of the page, in a browser of their own: what a person does there, and what they see.

What the page is made of is known here and nowhere else in these tests.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Dialog, Locator, Page, Request, expect

from tests.browser.site import Site
from ui import texts

# On two busy cores a reply of a few hundred tokens and its reading take their time.
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)

SOMETHING = re.compile(r"\S")
# The address of a request to nowhere.
LOCAL = ("data:", "blob:")
# What is on its way is paler than it will be.
SETTLED = """() => !document.querySelector(".pending, .generating")
    && document.getAnimations().every((one) => one.playState !== "running")"""
STOP_SOON = """() => new MutationObserver((_changes, observer) => {
    const reply = [...document.querySelectorAll("#conversation [data-testid=bot]")].at(-1);
    const stop = document.querySelector("#box .stop-button");
    if (!reply?.innerText.trim() || !stop) return;
    observer.disconnect();
    stop.click();
}).observe(document, {childList: true, characterData: true, subtree: true})"""


class Visitor:
    """A person with a browser window, who is not known to the server yet.

    Attributes:
        page: the window.
        troubles: what must never happen: a dialog, an error of a script, a request to elsewhere.
    """

    def __init__(self, context: BrowserContext, site: Site) -> None:
        context.set_default_timeout(PATIENCE_MS)
        self.page: Page = context.new_page()
        self.troubles: list[str] = []
        self._site = site
        context.on("requestfinished", self._note_request)
        context.on("requestfailed", self._note_request)
        context.on("dialog", self._note_dialog)
        context.on("weberror", lambda error: self.troubles.append(f"error of a script: {error.error}"))

    def _note_request(self, request: Request) -> None:
        # what the content policy of the page forbids is never sent
        if not request.url.startswith((self._site.url, *LOCAL)) and request.failure != "csp":
            self.troubles.append(f"request to {request.url}")

    def _note_dialog(self, dialog: Dialog) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    # coming and going

    def come_in(self, name: str, password: str = "") -> "Visitor":
        """Log in through the form, and wait for the page."""
        self.page.goto("/login")
        self.page.get_by_label(texts.LOGIN_LABEL).fill(name)
        self.page.locator("#password").fill(password)
        self.page.get_by_role("button", name=texts.LOGIN_BUTTON).click()
        return self._arrived(name)

    def be_let_in(self, name: str, password: str) -> "Visitor":
        """Log in without looking at the form, and wait for the page."""
        answer = self.page.context.request.post("/api/login", data={"name": name, "password": password})
        assert answer.ok, answer.text()
        self.page.goto("/")
        return self._arrived(name)

    def reload(self) -> None:
        """Load the page again, and wait for it."""
        self.page.reload()
        self._arrived("")

    def _arrived(self, name: str) -> "Visitor":
        # at the side, which is closed on a narrow screen
        signed_in = texts.SIGNED_IN_AS.format(name=name).replace("*", "")
        expect(self.page.get_by_text(signed_in)).to_be_attached()
        return self

    def settle(self) -> None:
        """Wait until nothing on the page moves or changes."""
        self.page.wait_for_function(SETTLED)

    # the chat

    @property
    def box(self) -> Locator:
        """Where a message is typed."""
        return self.page.locator("#box textarea")

    @property
    def conversation(self) -> Locator:
        """The messages and replies of the open chat."""
        return self.page.locator("#conversation")

    @property
    def messages(self) -> Locator:
        """What the person said in it."""
        return self.conversation.get_by_test_id("user")

    @property
    def replies(self) -> Locator:
        """What was replied in it."""
        return self.conversation.get_by_test_id("bot")

    @property
    def chats(self) -> Locator:
        """The chats at the side, the newest first."""
        return self.page.locator("#sessions label")

    def say(self, text: str) -> str:
        """Say something, wait until it is answered and read, and return the reply."""
        self.begin_to_say(text)
        return self.last_reply()

    def begin_to_say(self, text: str) -> None:
        """Say something, and wait for the beginning of the reply."""
        said = self.messages.count()
        self.box.fill(text)
        self.box.press("Enter")
        expect(self.messages).to_have_count(said + 1)

    def stop_soon(self) -> None:
        """Have the reply to come stopped at its first words: a test of its own would press too late."""
        self.page.evaluate(STOP_SOON)

    def last_reply(self) -> str:
        """Wait until nothing is being answered or read, and return the last reply."""
        expect(self.page.locator("#box").get_by_test_id("submit-button")).to_be_visible()
        expect(self.replies).to_have_count(self.messages.count())
        return self.replies.last.inner_text()

    def edit(self, place: int, text: str) -> None:
        """Say something else in the place of a message."""
        self.conversation.get_by_label("Edit").nth(place).click()
        self.conversation.get_by_role("textbox").fill(text)
        self.conversation.get_by_label("Submit").click()

    def begin_chat(self) -> None:
        """Leave the open chat for a new one."""
        self.page.get_by_role("button", name=texts.NEW_SESSION).click()
        expect(self.messages).to_have_count(0)

    def open_chat(self, name: str) -> None:
        """Open the chat of that name, and wait for what was said in it."""
        self.chats.filter(has_text=name).click()
        expect(self.messages).not_to_have_count(0)

    def search(self, text: str) -> Locator:
        """Search what was said, and return what was found."""
        self.page.get_by_label(texts.SEARCH).fill(text)
        return self.page.locator("#hits label")

    def give_document(self, name: str, content: bytes) -> None:
        """Give a file to be remembered."""
        with self.page.expect_file_chooser() as asked:
            self.page.get_by_role("button", name=texts.GIVE_DOCUMENT).click()
        asked.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})

    def delete_chat(self) -> None:
        """Delete the open chat for good, whose part at the side is unfolded."""
        self.page.get_by_role("button", name=texts.DELETE_SESSION).click()
        self.page.get_by_role("button", name=texts.DELETE_FOR_GOOD).click()
        expect(self.messages).to_have_count(0)

    # what is remembered

    def open_tab(self, name: str) -> None:
        """Show another part of the page."""
        self.page.get_by_role("tab", name=name).click()

    def open_memory(self) -> None:
        """Show what is remembered, and wait for the figures."""
        self.open_tab(texts.MEMORY_TAB)
        expect(self.page.locator("#memory-figures")).to_have_text(SOMETHING)

    def unfold(self, title: str) -> None:
        """Unfold the part of that title."""
        self.page.get_by_role("button", name=title).click()

    def choose(self, label: str, option: str) -> None:
        """Choose the option that contains `option` in the list of that label."""
        self.page.get_by_label(label, exact=True).click()
        self.page.get_by_role("option").filter(has_text=option).click()

    def bring(self, name: str, content: bytes) -> None:
        """Bring a file of chats, in the part for that, which is unfolded."""
        given = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        self.page.get_by_label(texts.IMPORT_FILE).set_input_files(given)
        self.page.get_by_role("button", name=texts.IMPORT_BUTTON).click()

    # the admin's desk

    def open_desk(self) -> None:
        """Go to the desk by the link that admins have, and wait for the people."""
        self.page.get_by_role("button", name=texts.DESK_LINK).click()
        expect(self.table(texts.DESK_PEOPLE)).to_be_visible()

    def open_desk_tab(self, name: str) -> None:
        """Show a part of the desk, and wait for what it lists."""
        self.open_tab(name)
        shown = self.page.get_by_role("tabpanel")
        expect(shown.get_by_role("region").or_(shown.get_by_text(texts.DESK_NO_JOBS)).first).to_be_visible()

    def choose_person(self, name: str, reason: str) -> None:
        """Choose whom something is done to at the desk, and say why."""
        person = self.page.get_by_label(texts.DESK_PERSON, exact=True)
        person.fill(name)
        person.press("Enter")
        expect(self.table(name)).to_be_visible()
        self.page.get_by_label(texts.DESK_REASON).first.fill(reason)

    def table(self, caption: str) -> Locator:
        """The table of that caption."""
        return self.page.get_by_role("table", name=caption, exact=True)

    # the demo

    def open_demo(self) -> None:
        """Open the demo from the page that asks who is there."""
        self.page.goto("/login")
        self.page.get_by_role("link", name=texts.DEMO_LINK).click()
        expect(self.page.get_by_role("button", name=texts.DEMO_FOLD_BUTTON)).to_be_enabled()

    def fold_sessions(self) -> None:
        """Have the sessions of the sample person folded, and wait for the charts."""
        self.page.get_by_role("button", name=texts.DEMO_FOLD_BUTTON).click()
        expect(self.page.locator("#demo-folded")).to_contain_text("All ")
        expect(self.charts).to_have_count(2)

    @property
    def charts(self) -> Locator:
        """What is drawn."""
        return self.page.locator(".vega-embed svg.marks, .vega-embed canvas.marks")

    def ask_question(self, number: int) -> None:
        """Ask one of the sample person's questions, and wait for the four answers."""
        self.page.get_by_role("group", name=texts.DEMO_QUESTIONS).get_by_role("radio").nth(number).check()
        self.page.get_by_role("button", name=texts.DEMO_ASK_BUTTON, exact=True).click()
        expect(self.page.locator("#demo-answers .card")).to_have_count(len(texts.DEMO_METHODS))
        expect(self.page.locator("#demo-asked")).not_to_contain_text(texts.DEMO_ASKING)


@contextmanager
def window(browser: Browser, site: Site, **options: Any) -> Iterator[Visitor]:
    """Within the block, somebody with a new browser; afterwards nothing has happened that never must.

    Args:
        options: of playwright's `new_context`: `viewport`, `color_scheme` and the like.
    """
    given = {"viewport": {"width": 1280, "height": 800}} | options
    context = browser.new_context(base_url=site.url, **given)
    try:
        visitor = Visitor(context, site)
        yield visitor
        assert not visitor.troubles, visitor.troubles
    finally:
        context.close()
