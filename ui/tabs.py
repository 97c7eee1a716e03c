"""Keeps each browser tab's stream of events to the person who opened it.

Gradio sends what its handlers return to whoever asks for the events of a tab, by a number that the browser
made up (`session_hash`), and shows there what an event brings that is sent under that number. The first
person to use it owns the tab; nobody else gets its events or sends any, not even one who has learned the
number (`ui.events` asks the same of what is sent).
"""

from collections import OrderedDict
from itertools import pairwise

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from app.doorman import error_response, signed_in
from ui import texts

# Tabs remembered at once; those not heard of for longest are forgotten, and may be opened anew.
MAX_TABS = 10_000
KEY = "session_hash"
# The part of a path that the number follows.
PARTS_BEFORE_KEY = ("heartbeat", "stream")


class Tabs:
    """Whose each tab is."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, str] = OrderedDict()

    def is_of(self, tab: str, person: str | None) -> bool:
        """Return whether `person` may have to do with `tab`, which is theirs from now on if it was nobody's.

        Who is nobody known, a visitor of the demo, owns no tab and gets into nobody's.
        """
        owner = self._owners.get(tab) if person is None else self._owners.setdefault(tab, person)
        if owner is not None:
            self._owners.move_to_end(tab)
        while len(self._owners) > MAX_TABS:
            self._owners.popitem(last=False)
        return owner == person


class OwnTabs:
    """ASGI middleware behind the doorman, who has noted the person."""

    def __init__(self, app: ASGIApp, tabs: Tabs) -> None:
        self._app = app
        self._tabs = tabs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = HTTPConnection(scope)
            tab = _tab(request)
            if tab is not None and not self._tabs.is_of(tab, signed_in(request)):
                await error_response(texts.FOREIGN_TAB, 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _tab(request: HTTPConnection) -> str | None:
    """Return the number of the tab whose events are asked for, None where that is not what is asked."""
    if (tab := request.query_params.get(KEY)) is not None:
        return tab
    parts = request.url.path.split("/")
    for before, tab in pairwise(parts):
        if before in PARTS_BEFORE_KEY:
            return tab
    return None
