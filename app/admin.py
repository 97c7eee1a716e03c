"""What an admin does over HTTP; everything done to somebody stands in the audit log, with the admin's name.

A request does all that it asks for, or nothing.

| route | what |
|---|---|
| GET /api/people | everybody: role, quotas, whether disabled; nothing that anybody said |
| POST /api/people | `{"name", "password", "role"?, "reason"?}`: a new account |
| POST /api/people/{name} | `{"role"?, "is_disabled"?, "quota"?: {"turns", "bytes"}, "reason"?}` |
| POST /api/people/{name}/messages | `{"reason"}`: all that somebody said, for who has that right |
| GET /api/audit | `?subject=&limit=`: the audit log, newest first |

The right to read what others say, and another person's password, which would come to the same, are given on
the command line only.
"""

from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict

from app.accounts import People, Quota, is_admin
from app.doorman import account_of
from app.errors import Refused
from storage.rows import AccountRow, Note
from storage.tables import Role

MAX_AUDIT_ROWS = 1000


class NewAccount(BaseModel):
    """Body of POST /api/people."""

    model_config = ConfigDict(extra="forbid")
    name: str
    password: str
    role: Role = "user"
    reason: str = ""


class NewQuota(BaseModel):
    """Both limits; null is unlimited."""

    model_config = ConfigDict(extra="forbid")
    turns: int | None
    bytes: int | None


class AccountChange(BaseModel):
    """Body of POST /api/people/{name}: what is not given stays as it is."""

    model_config = ConfigDict(extra="forbid")
    role: Role | None = None
    is_disabled: bool | None = None
    quota: NewQuota | None = None
    reason: str = ""


class Reading(BaseModel):
    """Body of POST /api/people/{name}/messages."""

    model_config = ConfigDict(extra="forbid")
    reason: str


def admin(request: Request) -> AccountRow:
    """Return the admin who sends `request`; raises Refused for anybody else."""
    account = account_of(request)
    if not is_admin(account):
        raise Refused("That is for admins.")
    return account


Admin = Annotated[AccountRow, Depends(admin)]


def add_admin_routes(server: FastAPI, people: People) -> None:
    """Add the routes of the table above to `server`."""

    @server.get("/api/people")
    def everybody(_admin: Admin) -> list[AccountRow]:
        return people.accounts()

    @server.post("/api/people")
    def add(body: NewAccount, admin: Admin) -> AccountRow:
        return people.add(body.name, body.password, body.role, Note(admin.name, body.reason))

    @server.post("/api/people/{name}")
    def change(name: str, body: AccountChange, admin: Admin) -> AccountRow:
        quota = None if body.quota is None else Quota(body.quota.turns, body.quota.bytes)
        note = Note(admin.name, body.reason)
        return people.change(name, note, role=body.role, is_disabled=body.is_disabled, quota=quota)

    @server.post("/api/people/{name}/messages")
    def messages(name: str, body: Reading, admin: Admin) -> list[dict[str, object]]:
        turns = people.read_others(admin.name, name, body.reason)
        return [
            {"session": t.session_id, "at": t.created_at, "user": t.user_text, "reply": t.reply_text}
            for t in turns
        ]

    @server.get("/api/audit")
    def audit(
        _admin: Admin,
        subject: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_AUDIT_ROWS)] = MAX_AUDIT_ROWS,
    ) -> list[dict[str, object]]:
        return [asdict(entry) for entry in people.audit(subject, limit)]
