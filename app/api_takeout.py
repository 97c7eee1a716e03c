"""What a person takes along or brings, over HTTP.

| route | who | what |
|---|---|---|
| GET /api/export | a person | the zip that `remanence export` writes |
| POST /api/import?name=FILE | a person | the file, of any format that `remanence import` reads: `{"turns"}` |

The file is on the disk without a name: nobody else can open it, and it is gone when the request is, however
that ends.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Query, Request
from fastapi.responses import StreamingResponse

from app.chat import Chat
from app.doorman import account_of
from app.errors import TooLong
from app.formats import HOW_TO_ALLOW_MORE, READ_BYTES

EXPORT_NAME = "remanence-export.zip"
# Files that are taken apart at once, and that are made: each takes several times its size.
MAX_IMPORTS = MAX_EXPORTS = 1
MAX_NAME_CHARS = 255

FileName = Annotated[str, Query(min_length=1, max_length=MAX_NAME_CHARS)]


def add_takeout_routes(server: FastAPI, chat: Chat) -> None:
    """Add the routes of the table above to `server`."""
    # apart, because an export may have much to read first
    imports, exports = CapacityLimiter(MAX_IMPORTS), CapacityLimiter(MAX_EXPORTS)

    @server.get("/api/export")
    async def export(request: Request) -> StreamingResponse:
        with ExitStack() as closing:
            file = closing.enter_context(TemporaryFile())
            await to_thread.run_sync(chat.export_into, account_of(request).name, file, limiter=exports)
            headers = {
                "Content-Disposition": f'attachment; filename="{EXPORT_NAME}"',
                "Content-Length": str(file.tell()),
                "Cache-Control": "no-store",
            }
            # sending it closes it
            closing.pop_all()
        return StreamingResponse(_content(file), media_type="application/zip", headers=headers)

    @server.post("/api/import")
    async def import_file(name: FileName, request: Request) -> dict[str, int]:
        person = account_of(request).name
        with TemporaryFile() as file:
            await _receive(request, name, file, chat.max_import_bytes)
            num_turns = await to_thread.run_sync(chat.import_open, person, name, file, limiter=imports)
        return {"turns": num_turns}


def _content(file: BinaryIO) -> Iterator[bytes]:
    """Yield all of `file`, and close it."""
    with file:
        file.seek(0)
        while portion := file.read(READ_BYTES):
            yield portion


async def _receive(request: Request, name: str, file: BinaryIO, max_bytes: int) -> None:
    """Write what is sent into `file`, which is at its beginning afterwards; raises TooLong."""
    async for portion in request.stream():
        if file.tell() + len(portion) > max_bytes:
            raise TooLong(f"{name}: more than {max_bytes:,} bytes; {HOW_TO_ALLOW_MORE}.")
        file.write(portion)
    file.seek(0)
