"""The chat over HTTP: the JSON API, and the pages that other packages bring along.

| route | who | what |
|---|---|---|
| GET /health | anybody | `{"status": "ok"}` |
| POST /api/login | anybody | `{"name", "password"?}`: sets the cookie |
| POST /api/logout | a person | takes the cookie back |
| POST /api/logout/everywhere | a person | makes every cookie of the person worthless |
| POST /api/password | a person | `{"old", "new"}`: another password; ends every login and token |
| POST /api/ask | a person, scope chat | `{"text", "session"?, "memory"?}`: as `remanence ask --json` |
| POST /api/documents?name=FILE | a person | the file itself, to be remembered: `{"session"}` |
| GET /api/memory | a person, scope memory | how much memory has read |
| GET /api/jobs | a person | what is read of the person's turns at the moment, and how far: `app.jobs` |
| POST /api/jobs/{number}/cancel | a person | stops one of the person's own jobs |

Routes for admins are in `app.admin`, those of files that a person takes along or brings in
`app.api_takeout`. Who comes in by name, cookie or token is `app.accounts`, and `app.doorman` sees to it for
every request, those of the pages included. A page is a function `mount(server, chat)` in the entry-point
group `remanence.pages`; it asks `signed_in` who it is talking to, and the person it serves is nobody else.
"""

import socket
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import entry_points
from typing import Annotated, Literal

import uvicorn
from anyio import CapacityLimiter, to_thread
from fastapi import Cookie, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from app.admin import add_admin_routes
from app.api_takeout import add_takeout_routes
from app.chat import Chat
from app.doorman import COOKIE, Doorman, account_of, error_response, is_loopback
from app.errors import BadRequest, Refused, RemanenceError, Unavailable
from app.jobs import Job

PAGES = "remanence.pages"
COOKIE_DAYS = 30
# The largest number that a database gives a row.
MAX_ID = 2**63 - 1
# Replies that are made at once: they have threads of their own, so that nobody waits for them at the door.
MAX_REPLIES = 16
# Documents that are taken apart at once: a PDF can be a lot of work.
MAX_DOCUMENTS = 1
# How long open tabs and running replies are waited for when the server ends.
GOODBYE_S = 2


class LogIn(BaseModel):
    """Body of POST /api/login; in an open server a password makes the first admin."""

    model_config = ConfigDict(extra="forbid")
    name: str
    password: str | None = None


class NewPassword(BaseModel):
    """Body of POST /api/password."""

    model_config = ConfigDict(extra="forbid")
    old: str
    new: str


class Question(BaseModel):
    """Body of POST /api/ask; `session` is a number or a name, "new" or null for a new one."""

    model_config = ConfigDict(extra="forbid")
    text: str
    session: Annotated[StrictInt, Field(gt=0, le=MAX_ID)] | StrictStr | None = None
    memory: Literal["on", "off"] = "on"


def create_server(chat: Chat, hosts: Set[str] = frozenset()) -> FastAPI:
    """Return the application over `chat`, with every page that is installed.

    Args:
        hosts: names that it may be called by once there are accounts, beside those of this machine.
    """
    server = FastAPI(title="Remanence", docs_url=None, redoc_url=None, openapi_url=None)
    server.add_exception_handler(RemanenceError, _show)
    server.add_exception_handler(RequestValidationError, _show_invalid)

    @server.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    _add_login_routes(server, chat)

    replies = CapacityLimiter(MAX_REPLIES)

    @server.post("/api/ask")
    async def ask(body: Question, request: Request) -> dict[str, object]:
        return await to_thread.run_sync(_answer, chat, account_of(request).name, body, limiter=replies)

    documents = CapacityLimiter(MAX_DOCUMENTS)

    @server.post("/api/documents")
    async def document(name: str, request: Request) -> dict[str, int]:
        content = await _body(request, chat.max_document_bytes)
        person = account_of(request).name
        session = await to_thread.run_sync(chat.add_document, person, name, content, limiter=documents)
        return {"session": session.id}

    @server.get("/api/memory")
    def memory(request: Request) -> dict[str, object]:
        name = account_of(request).name
        return {"user": name, **asdict(chat.memory(name))}

    @server.get("/api/jobs")
    def jobs(request: Request) -> list[Job]:
        return chat.jobs.listed(account_of(request).name)

    @server.post("/api/jobs/{number}/cancel")
    def cancel(number: int, request: Request) -> Job:
        return chat.jobs.cancel(number, account_of(request).name)

    add_admin_routes(server, chat.people)
    add_takeout_routes(server, chat)
    for page in entry_points(group=PAGES):
        page.load()(server, chat)
    # added last, so that nothing that a page brings along comes before it
    server.add_middleware(Doorman, people=chat.people, hosts=hosts, has_demo=chat.demo is not None)
    return server


def _answer(chat: Chat, name: str, question: Question) -> dict[str, object]:
    session = None if question.session == "new" else question.session
    reply = chat.reply(name, session, question.text, memory=question.memory == "on")
    for _ in reply:
        pass
    return reply.result.summary()


def _add_login_routes(server: FastAPI, chat: Chat) -> None:
    people = chat.people

    @server.post("/api/login")
    def login(body: LogIn, request: Request, response: Response) -> dict[str, str]:
        try:
            name, cookie = people.log_in(body.name.strip(), body.password, _address(request))
        except Refused:
            chat.counters.add("logins_refused")
            raise
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=COOKIE_DAYS * 24 * 3600,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return {"user": name}

    @server.post("/api/logout")
    def logout(response: Response, cookie: Annotated[str, Cookie(alias=COOKIE)]) -> dict[str, str]:
        people.log_out(cookie)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return {"status": "ok"}

    @server.post("/api/logout/everywhere")
    def logout_everywhere(request: Request, response: Response) -> dict[str, int]:
        ended = people.log_out_everywhere(account_of(request).name)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return {"ended": ended}

    @server.post("/api/password")
    def password(body: NewPassword, request: Request) -> dict[str, str]:
        people.change_own_password(account_of(request).name, body.old, body.new, _address(request))
        return {"status": "ok"}


async def _body(request: Request, max_bytes: int) -> bytes:
    """Return what was sent, in memory only; of more than `max_bytes` as much as shows that it is too much."""
    content = bytearray()
    # all of it is received: a browser that is cut off in sending hears no answer
    async for portion in request.stream():
        if len(content) <= max_bytes:
            content += portion
    return bytes(content)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _show(_request: Request, error: Exception) -> Response:
    return error_response(str(error), error.http_status if isinstance(error, RemanenceError) else 500)


def _show_invalid(_request: Request, error: Exception) -> Response:
    problem = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": ""}
    return error_response(f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}.", 422)


@contextmanager
def listen(host: str, port: int, *, is_closed: bool = False) -> Iterator[tuple[socket.socket, str]]:
    """Within the block, a socket that listens, and the URL it is reached at; port 0 takes any free one.

    Args:
        is_closed: whether it takes a password to come in.

    Raises:
        BadRequest: anybody could come in from elsewhere.
        Unavailable: the address is not this machine's, or the port is taken.
    """
    if not is_closed and not is_loopback(host):
        raise BadRequest(
            "There are no passwords yet, so --host is a loopback address such as 127.0.0.1,"
            f" got {host} (remanence user add NAME --role admin)."
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as exc:
        raise Unavailable(f"Port {port} of {host} cannot be used: {exc.strerror}.") from exc
    with listening:
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        yield listening, f"http://{shown}:{listening.getsockname()[1]}/"


def run_server(
    chat: Chat, listening: socket.socket, on_ready: Callable[[], None], hosts: Set[str] = frozenset()
) -> None:
    """Serve `chat` until told to end; what an earlier run left unread is read in the background."""
    config = uvicorn.Config(
        create_server(chat, hosts), log_config=None, access_log=False, timeout_graceful_shutdown=GOODBYE_S
    )
    chat.read_what_was_left()
    on_ready()
    uvicorn.Server(config).run(sockets=[listening])
