"""A browser, a server with accounts over a tiny random model, and people who visit it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from storage.tables import Role
from tests.browser.chromium import NoBrowser, open_browser
from tests.browser.site import Site, running
from tests.browser.visitor import Visitor, window

PASSWORD = "correct horse"
# Enough that a reply can be stopped before it ends by itself.
REPLY_TOKENS = 200

Visit = Callable[..., Visitor]


# Not for the whole run: as long as playwright holds a browser, no other test can run a loop of asyncio.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A browser; where there is none, the test is skipped."""
    try:
        with open_browser() as browser:
            yield browser
    except NoBrowser as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="package")
def site(browser: Browser, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that takes a password to come in; its model says what nobody understands."""
    settings = {"model": tiny_model, "quantize": "none", "device": "cpu", "max_new_tokens": REPLY_TOKENS}
    with running(tmp_path_factory.mktemp("site"), **settings) as site:
        site.add_account("root", PASSWORD, "admin")
        yield site


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    """Makes an account for a name that nobody has yet, and lets its owner in with a browser of their own.

    Arguments beside the name and the role are for the window: its size, its colours. Nothing that must never
    happen has happened in any of them.
    """
    with ExitStack() as stack:

        def come(name: str, role: Role = "user", **options: object) -> Visitor:
            site.add_account(name, PASSWORD, role)
            visitor = stack.enter_context(window(browser, site, **options))
            return visitor.be_let_in(name, PASSWORD)

        yield come
