"""The door of the server: whose request it is, and whether it comes in; pages and API alike.

Everything is refused that is not let in here. Nobody known: `OPEN_TO_ANYBODY` only, and the demo, which
knows nobody either. Who holds a cookie: every route, and each looks at nothing but that person's own. A
program with a token: the routes of `TOKEN_SCOPES`, each with its scope.

Before that: an open server, where a name is all it takes, serves this machine only, whatever address it was
told to listen on; and a web site that is open in the same browser must not reach the server in anybody's name
(the Host and Origin headers).
"""

import ipaddress
from collections.abc import Set
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.accounts import People
from app.errors import RemanenceError
from storage.rows import AccountRow, Visit

COOKIE = "remanence"
OPEN_TO_ANYBODY = frozenset({("GET", "/health"), ("GET", "/login"), ("POST", "/api/login")})
DEMO = "/demo"
# The demo, where there is one: what its page is made of, and its events, which wait in line; nothing else of
# what Gradio brings along under its path.
DEMO_ROUTES = frozenset(
    {
        ("GET", DEMO),
        ("GET", f"{DEMO}/"),
        ("GET", f"{DEMO}/theme.css"),
        # browsers ask for it by themselves
        ("GET", "/favicon.ico"),
        ("POST", f"{DEMO}/gradio_api/queue/join"),
        ("GET", f"{DEMO}/gradio_api/queue/data"),
    }
)
DEMO_FOLDERS = (f"{DEMO}/assets/", f"{DEMO}/static/")
TOKEN_SCOPES = {("POST", "/api/ask"): "chat", ("GET", "/api/memory"): "memory"}

# How many requests look up at once who sends them; long replies do not take these places.
MAX_LOOKUPS = 4

# Pages may use what this server serves and nothing else: no fonts, scripts or pictures from elsewhere. They
# send no forms: one that stands in a message leads nowhere.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none';"
    " form-action 'none'; base-uri 'self'; frame-ancestors 'none'"
)


class Doorman:
    """ASGI middleware: lets in who may come in, notes who it is, and keeps pages from talking elsewhere.

    Args:
        hosts: names that a closed server may be called by, beside those of this machine, in lower case.
        has_demo: whether the demo is open to anybody.
    """

    def __init__(
        self, app: ASGIApp, people: People, hosts: Set[str] = frozenset(), has_demo: bool = False
    ) -> None:
        self._app = app
        self._people = people
        self._hosts = hosts
        self._has_demo = has_demo
        self._lookups = CapacityLimiter(MAX_LOOKUPS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        connection = HTTPConnection(scope)
        cookie, token = connection.cookies.get(COOKIE), _bearer(connection.headers)
        try:
            visit = await to_thread.run_sync(self._people.visit, cookie, token, limiter=self._lookups)
        except RemanenceError as error:
            await error_response(str(error), error.http_status)(scope, receive, send_guarded)
            return
        scope.setdefault("state", {})["account"] = visit.account
        app = self._refusal(scope, connection.headers, visit) or self._app
        await app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: Headers, visit: Visit) -> Response | None:
        """Return the answer to somebody who may not come in, None where they may."""
        host, origin = headers.get("host", ""), headers.get("origin")
        # another name for this machine is how a web site would pass for us (DNS rebinding)
        if scope["type"] != "http" or not self._is_served(host, visit.is_closed):
            return error_response("This address is not served here.", 421)
        if not visit.is_closed and not is_loopback((scope.get("server") or ("",))[0]):
            return error_response("There are no accounts yet, so only this machine is served.", 403)
        if origin is not None and origin != f"{scope['scheme']}://{host}":
            return error_response("Another web site may not use this one.", 403)
        route = (scope["method"], scope["path"])
        if self._is_open(route):
            return None
        if visit.account is None:
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            return error_response("Log in first.", 401)
        if visit.scopes is not None and TOKEN_SCOPES.get(route) not in visit.scopes:
            return error_response("The token is not for this.", 403)
        return None

    def _is_open(self, route: tuple[str, str]) -> bool:
        method, path = route
        is_of_demo = route in DEMO_ROUTES or (method == "GET" and path.startswith(DEMO_FOLDERS))
        return route in OPEN_TO_ANYBODY or (self._has_demo and is_of_demo)

    def _is_served(self, host_header: str, is_closed: bool) -> bool:
        try:
            host = urlsplit(f"//{host_header}").hostname
        except ValueError:
            return False
        return is_loopback(host) or (is_closed and host in self._hosts)


def signed_in(request: HTTPConnection) -> str | None:
    """Return the name of the person who sends `request`, None where it is nobody known."""
    account: AccountRow | None = getattr(request.state, "account", None)
    return account.name if account else None


def account_of(request: Request) -> AccountRow:
    """Return who sends `request`, on a route where the doorman lets in nobody unknown."""
    account: AccountRow = request.state.account
    return account


def is_loopback(host: str | None) -> bool:
    """Return whether `host` means this machine and is reached from nowhere else."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def error_response(message: str, status: int) -> JSONResponse:
    """Return the answer that says what was wrong."""
    return JSONResponse({"error": message}, status)


def _bearer(headers: Headers) -> str | None:
    """Return the token that a program shows, None where there is none: other schemes are a proxy's."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
