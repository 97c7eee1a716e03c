"""Keeps everything under the path of the admin's desk to admins, what Gradio brings along included."""

from collections.abc import Callable
from html import escape
from string import Template

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.doorman import signed_in
from ui import texts

PATH = "/admin"

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; }
  main { width: min(32rem, 100vw - 3rem); }
</style>
</head>
<body>
<main>
  <h1>$title</h1>
  <p>$refused</p>
  <p>$way</p>
  <p><a href="/">$back</a></p>
</main>
</body>
</html>
""")


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
        return HTMLResponse(
            _PAGE.substitute(
                title=escape(texts.DESK_TITLE),
                refused=escape(texts.DESK_REFUSED),
                way=escape(way),
                back=escape(texts.DESK_BACK),
            ),
            403,
        )
