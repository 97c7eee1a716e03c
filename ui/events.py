"""What a browser may send to Gradio: events with plain values, of a bounded size, and no files.

Nor may it ask for what stands on a page to be written to a file, where no forgetting would reach it.

Gradio takes a description of a file wherever a value may stand, and fetches the address in it; what is
uploaded to it lies where everybody can read it who learns the name. No page of ours takes a file that way, so
there is none. Visitors of the demo are nobody known: of theirs, every event is read as what it has to be, and
passed on as it was understood.
"""

import json
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.demo import MAX_DIALOGUE_BYTES
from app.doorman import DEMO, error_response, signed_in
from app.errors import BadRequest, RemanenceError, TooLong
from ui import texts
from ui.tabs import Tabs

GRADIO = "/gradio_api/"
UPLOAD = f"{GRADIO}upload"
DEEP_LINK = f"{GRADIO}deep_link"
DEMO_EVENT = f"{DEMO}{GRADIO}queue/join"
# A temporary chat is sent along whole.
MAX_EVENT_BYTES = 4_000_000
# A character is six bytes where JSON writes it as a number.
MAX_DEMO_EVENT_BYTES = 6 * MAX_DIALOGUE_BYTES + 10_000


class DemoEvent(BaseModel):
    """Something happened on the demo: in which tab, what is to run, and the texts that stand there."""

    model_config = ConfigDict(extra="forbid")
    session_hash: Annotated[StrictStr, Field(pattern="^[a-zA-Z0-9]{1,64}$")]
    fn_index: StrictInt
    trigger_id: StrictInt | None = None
    event_data: None = None
    data: Annotated[list[StrictStr | None], Field(max_length=4)]


class PlainEvents:
    """ASGI middleware that lets nothing into Gradio but events without files."""

    def __init__(self, app: ASGIApp, tabs: Tabs) -> None:
        self._app = app
        self._tabs = tabs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith(DEEP_LINK):
            await error_response(texts.NO_DEEP_LINK, BadRequest.http_status)(scope, receive, send)
            return
        if scope["type"] != "http" or scope["method"] != "POST" or GRADIO not in scope["path"]:
            await self._app(scope, receive, send)
            return
        try:
            body, tab = await _understood(scope["path"], Request(scope, receive))
        except ClientDisconnect:
            return
        except RemanenceError as error:
            await error_response(str(error), error.http_status)(scope, receive, send)
            return
        if tab is not None and not self._tabs.is_of(tab, signed_in(HTTPConnection(scope))):
            await error_response(texts.FOREIGN_TAB, 403)(scope, receive, send)
            return
        waiting = iter([body])

        async def again() -> Message:
            if (checked := next(waiting, None)) is None:
                return await receive()
            return {"type": "http.request", "body": checked, "more_body": False}

        await self._app(scope, again, send)


async def _understood(path: str, request: Request) -> tuple[bytes, str | None]:
    """Return the body of `request` as it may be passed on, and the tab that it names; raises TooLong and
    BadRequest."""
    if path.endswith(UPLOAD):
        raise BadRequest(texts.NO_FILES)
    max_bytes = MAX_DEMO_EVENT_BYTES if path == DEMO_EVENT else MAX_EVENT_BYTES
    body = b""
    async for portion in request.stream():
        body += portion
        if len(body) > max_bytes:
            raise TooLong(texts.TOO_MUCH_AT_ONCE)
    try:
        if path == DEMO_EVENT:
            visit = DemoEvent.model_validate_json(body)
            return visit.model_dump_json().encode(), visit.session_hash
        event = json.loads(body or b"null")
    except (ValidationError, ValueError, RecursionError) as exc:
        raise BadRequest(texts.NO_EVENT) from exc
    if _holds_file(event):
        raise BadRequest(texts.NO_FILES)
    tab = event.get("session_hash") if isinstance(event, dict) else None
    return body, tab if isinstance(tab, str) else None


def _holds_file(value: Any) -> bool:
    """Say whether Gradio would take `value`, or anything in it, for a file."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case {"path": _, "meta": _}:
                return True
            case dict() as mapping:
                waiting += mapping.values()
            case list() as values:
                waiting += values
    return False
