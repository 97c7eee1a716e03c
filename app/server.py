"""The chat over HTTP: who comes in, the JSON API, and the pages that other packages bring along.

| route | who | what |
|---|---|---|
| GET /health | anybody | `{"status": "ok"}` |
| POST /api/login | anybody | `{"name"}`: sets the cookie; the person exists from then on |
| POST /api/logout | a person | takes the cookie back |
| POST /api/ask | a person | `{"text", "session"?, "memory"?}`: the same as `remanence ask --json` |

There are no passwords yet: whoever reaches the server may be anybody, so it listens on a loopback address
only, and a web site open in the same browser must not reach it in anybody's name. The doorman sees to that
for every request, those of the pages included. A page is a function `mount(server, chat)` in the entry-
point group `remanence.pages`; it asks `signed_in` who it is talking to, and the person it serves is nobody
else.
"""

import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Annotated, Literal
from urllib.parse import urlsplit

import uvicorn
from fastapi import Cookie, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.chat import Chat
from app.errors import BadRequest, RemanenceError, Unavailable

PAGES = "remanence.pages"
COOKIE = "remanence"
COOKIE_DAYS = 30
# The largest number that a database gives a row.
MAX_ID = 2**63 - 1
# How long open tabs and running replies are waited for when the server ends.
GOODBYE_S = 2
OPEN_TO_ANYBODY = frozenset({"/health", "/login", "/api/login"})

# Pages may use what this server serves and nothing else: no fonts, scripts or pictures from elsewhere.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)


class SignIns:
    """Who holds which cookie, for as long as the process lives."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def admit(self, name: str) -> str:
        """Return a new cookie for the person called `name`."""
        token = secrets.token_urlsafe(32)
        self._names[token] = name
        return token

    def person(self, token: str | None) -> str | None:
        """Return who holds the cookie `token`, None where nobody does."""
        return self._names.get(token) if token else None

    def dismiss(self, token: str) -> None:
        """Make `token` worthless."""
        self._names.pop(token, None)


class Doorman:
    """ASGI middleware: lets in who may come in, notes who it is, and keeps pages from talking elsewhere."""

    def __init__(self, app: ASGIApp, sign_ins: SignIns) -> None:
        self._app = app
        self._sign_ins = sign_ins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        person = self._sign_ins.person(connection.cookies.get(COOKIE))
        scope.setdefault("state", {})["person"] = person

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        app = self._refusal(scope, connection.headers, person) or self._app
        await app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: Headers, person: str | None) -> Response | None:
        """Return the answer to somebody who may not come in, None where they may."""
        host, origin = headers.get("host", ""), headers.get("origin")
        # another name for this machine is how a web site would pass for us (DNS rebinding)
        if scope["type"] != "http" or not _is_served_here(host):
            return _error("This address is not served here.", 421)
        if origin is not None and origin != f"{scope['scheme']}://{host}":
            return _error("Another web site may not use this one.", 403)
        if person is None and scope["path"] not in OPEN_TO_ANYBODY:
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            return _error("Log in first.", 401)
        return None


def signed_in(request: Request) -> str | None:
    """Return the name of the person who sends `request`, None where it is nobody known."""
    person: str | None = getattr(request.state, "person", None)
    return person


class LogIn(BaseModel):
    """Body of POST /api/login."""

    model_config = ConfigDict(extra="forbid")
    name: str


class Question(BaseModel):
    """Body of POST /api/ask; `session` is a number or a name, "new" or null for a new one."""

    model_config = ConfigDict(extra="forbid")
    text: str
    session: Annotated[StrictInt, Field(gt=0, le=MAX_ID)] | StrictStr | None = None
    memory: Literal["on", "off"] = "on"


def create_server(chat: Chat) -> FastAPI:
    """Return the application over `chat`, with every page that is installed."""
    server = FastAPI(title="Remanence", docs_url=None, redoc_url=None, openapi_url=None)
    sign_ins = SignIns()
    server.add_middleware(Doorman, sign_ins=sign_ins)
    server.add_exception_handler(RemanenceError, _show)
    server.add_exception_handler(RequestValidationError, _show_invalid)

    @server.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @server.post("/api/login")
    def login(body: LogIn, response: Response) -> dict[str, str]:
        person = chat.welcome(body.name.strip())
        response.set_cookie(
            COOKIE,
            sign_ins.admit(person.name),
            max_age=COOKIE_DAYS * 24 * 3600,
            httponly=True,
            samesite="strict",
        )
        return {"user": person.name}

    @server.post("/api/logout")
    def logout(response: Response, token: Annotated[str, Cookie(alias=COOKIE)]) -> dict[str, str]:
        sign_ins.dismiss(token)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return {"status": "ok"}

    @server.post("/api/ask")
    def ask(body: Question, request: Request) -> dict[str, object]:
        session = None if body.session == "new" else body.session
        reply = chat.reply(signed_in(request) or "", session, body.text, memory=body.memory == "on")
        for _ in reply:
            pass
        return reply.result.summary()

    for page in entry_points(group=PAGES):
        page.load()(server, chat)
    return server


def _error(message: str, status: int) -> JSONResponse:
    return JSONResponse({"error": message}, status)


def _show(_request: Request, error: Exception) -> Response:
    return _error(str(error), error.http_status if isinstance(error, RemanenceError) else 500)


def _show_invalid(_request: Request, error: Exception) -> Response:
    problem = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": ""}
    return _error(f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}.", 422)


def _is_served_here(host_header: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host_header}").hostname)
    except ValueError:
        return False


def is_loopback(host: str | None) -> bool:
    """Return whether `host` means this machine and is reached from nowhere else."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


@contextmanager
def listen(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """Within the block, a socket that listens, and the URL it is reached at; port 0 takes any free one.

    Raises:
        BadRequest: `host` is not a loopback address.
        Unavailable: the port is taken.
    """
    if not is_loopback(host):
        raise BadRequest(
            f"There are no passwords yet, so --host is a loopback address such as 127.0.0.1, got {host}."
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as exc:
        raise Unavailable(f"Port {port} of {host} cannot be used: {exc.strerror}.") from exc
    with listening:
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        yield listening, f"http://{shown}:{listening.getsockname()[1]}/"


def run_server(chat: Chat, listening: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve `chat` until told to end; what an earlier run left unread is read in the background."""
    config = uvicorn.Config(
        create_server(chat), log_config=None, access_log=False, timeout_graceful_shutdown=GOODBYE_S
    )
    chat.read_what_was_left()
    on_ready()
    uvicorn.Server(config).run(sockets=[listening])
