"""Keeps everything under the path of the admin's desk to admins, what Gradio brings along included."""

from collections.abc import Callable
from html import escape

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.doorman import signed_in
from ui import texts
from ui.plain import plain_page

PATH = "/admin"
_REFUSED = '<h1>{}</h1>\n<p>{}</p>\n<p>{}</p>\n<p><a href="/">{}</a></p>'


class AdminsOnly:
    """ASGI middleware behind the doorman, who has noted the person.

    Args:
        is_admin: says whether somebody of a name sits at the desk.
        is_closed: says whether there are passwords; without them nobody does.
    """

    def __init__(self, app: ASGIApp, is_admin: Callable[[str], bool], is_closed: Callable[[], bool]) -> None:
        self._app = app
        self._is_admin = is_admin
        self._is_closed = is_closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_desk = scope["type"] == "http" and f"{scope['path']}/".startswith(f"{PATH}/")
        answer = await self._refusal(scope) if is_desk else None
        await (answer or self._app)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> Response | None:
        name = signed_in(HTTPConnection(scope))
        if name is not None and await to_thread.run_sync(self._is_admin, name):
            return None
        if "text/html" not in Headers(scope=scope).get("accept", ""):
            return JSONResponse({"error": texts.DESK_REFUSED}, 403)
        is_closed = await to_thread.run_sync(self._is_closed)
        way = texts.DESK_REFUSED_CLOSED if is_closed else texts.DESK_REFUSED_OPEN
        said = [texts.DESK_TITLE, texts.DESK_REFUSED, way, texts.DESK_BACK]
        return HTMLResponse(plain_page(texts.DESK_TITLE, _REFUSED.format(*map(escape, said)), 32), 403)
