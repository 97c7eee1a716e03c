"""Takes the pictures in docs/ (`make screenshots`): the model that ships, a conversation that is made up."""

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect

from tests.browser.chromium import open_browser
from tests.browser.site import ROOT, Site, running
from tests.browser.visitor import Visitor, window
from ui import texts

DOCS = ROOT / "docs"
# A page has few colours: a palette of them makes the file small, and nobody sees it.
NUM_COLOURS = 128

PASSWORD = "correct horse"
EARLIER = ("My parrot is called Biscuit.", "I live in Lisbon.", "I work as a welder.")
TODAY = ("What is my parrot called?", "Where do I live?")


def main() -> None:
    """Take all pictures."""
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as data, running(Path(data)) as site, open_browser() as browser:
        with window(browser, site) as maya:
            maya.come_in("Maya")
            take_chat(maya)
            take_memory(maya)
        take_demo(browser, site)
        take_desk(browser, site)


def take_chat(maya: Visitor) -> None:
    """A few chats at the side, and questions about them in a new one."""
    for text in EARLIER:
        maya.say(text)
        maya.begin_chat()
    for text in TODAY:
        maya.say(text)
    save(maya, "chat")


def take_memory(maya: Visitor) -> None:
    """How full it is, and what an answer leans on."""
    maya.open_memory()
    maya.unfold(texts.WHY_TITLE)
    maya.page.get_by_label(texts.WHY_QUESTION).fill(TODAY[0])
    maya.page.get_by_label(texts.WHY_QUESTION).press("Enter")
    expect(maya.page.get_by_text(texts.WHY_CAUTION)).to_be_visible()
    save(maya, "memory")


def take_demo(browser: Browser, site: Site) -> None:
    """The sessions of the first sample person folded, and a question answered in four ways."""
    with window(browser, site) as visitor:
        visitor.open_demo()
        visitor.fold_sessions()
        visitor.ask_question(0)
        save(visitor, "demo")


def take_desk(browser: Browser, site: Site) -> None:
    """The people, and what Maya's memory is; from here on a password is asked for."""
    site.add_account("root", PASSWORD, "admin")
    with window(browser, site) as root:
        root.be_let_in("root", PASSWORD)
        root.open_desk()
        root.choose_person("Maya", "she says that it forgets")
        save(root, "admin")


def save(visitor: Visitor, name: str) -> None:
    """Write the whole page, however long it is, to docs/`name`.png."""
    visitor.settle()
    height = visitor.page.evaluate("document.scrollingElement.scrollHeight")
    visitor.page.set_viewport_size({"width": 1280, "height": height})
    visitor.settle()
    picture = Image.open(io.BytesIO(visitor.page.screenshot()))
    picture.convert("RGB").quantize(NUM_COLOURS, dither=Image.Dither.NONE).save(
        DOCS / f"{name}.png", optimize=True
    )


if __name__ == "__main__":
    main()
