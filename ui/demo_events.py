"""What a visitor of the demo may send: short events that bring texts, and nothing else.

Gradio takes a description of a file wherever a value may stand, and fetches the address in it. Visitors are
nobody known, so what they send is read here first, and passed on as it was understood.
"""

from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.demo import MAX_DIALOGUE_BYTES
from app.doorman import error_response
from app.errors import TooLong
from ui import texts

ROUTE = ("POST", "/demo/gradio_api/queue/join")
# A character is six bytes where JSON writes it as a number.
MAX_EVENT_BYTES = 6 * MAX_DIALOGUE_BYTES + 10_000


class Event(BaseModel):
    """Something happened on the page: in which tab, what is to run, and the texts that stand there."""

    model_config = ConfigDict(extra="forbid")
    session_hash: Annotated[StrictStr, Field(pattern="^[a-zA-Z0-9]{1,64}$")]
    fn_index: StrictInt
    trigger_id: StrictInt | None = None
    event_data: None = None
    data: Annotated[list[StrictStr | None], Field(max_length=4)]


class DemoEvents:
    """ASGI middleware that lets nothing but an `Event` into the demo."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ROUTE:
            await self._app(scope, receive, send)
            return
        try:
            event = await _event(Request(scope, receive))
        except ClientDisconnect:
            return
        except TooLong as error:
            await error_response(str(error), error.http_status)(scope, receive, send)
            return
        except ValidationError:
            await error_response(texts.DEMO_NO_EVENT, 422)(scope, receive, send)
            return
        understood = iter([event.model_dump_json().encode()])

        async def again() -> Message:
            if (checked := next(understood, None)) is None:
                return await receive()
            return {"type": "http.request", "body": checked, "more_body": False}

        await self._app(scope, again, send)


async def _event(request: Request) -> Event:
    """Return the event in the body of `request`; raises TooLong and ValidationError."""
    body = b""
    async for portion in request.stream():
        body += portion
        if len(body) > MAX_EVENT_BYTES:
            raise TooLong(texts.DEMO_TOO_MUCH)
    return Event.model_validate_json(body)
