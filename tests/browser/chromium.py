"""The browser that tests and screenshots look through: a Chromium of this machine, or playwright's own.

It finds no host but this machine, so that a page which needs another one is broken here.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


class NoBrowser(Exception):
    """Why there is no browser here."""


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Within the block, a browser without a window.

    Raises:
        NoBrowser: none is installed.
    """
    with sync_playwright() as playwright:
        installed = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if installed is None and not Path(playwright.chromium.executable_path).exists():
            raise NoBrowser(
                "Chromium is not installed (apt-get install chromium, or playwright install chromium)"
            )
        browser = playwright.chromium.launch(executable_path=installed, args=[ALONE])
        yield browser
        browser.close()
