"""What the store gives and takes: plain values, and the errors of asking for what cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from storage.tables import Role, Status, Table

# The actor of what is done on the command line; nobody is called that.
COMMAND_LINE = "command line"


class StaleState(RuntimeError):
    """Another writer saved or deleted the state first, or what this one read is no longer what is there."""


class BadName(ValueError):
    """A name is not 1 to 64 printable characters without a space at either end."""


class NameTaken(ValueError):
    """There is such a person, or the person has such a session, already."""


class LastAdmin(ValueError):
    """People have passwords, and nobody would be left who can log in and has the role admin."""


class UnknownRow(LookupError):
    """There is no such person, or the session or turn is not this person's."""


@dataclass(frozen=True, slots=True)
class UserRow:
    """A person."""

    id: int
    name: str
    memory_on: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A person as somebody who may come in; what the password is made into stays in the database.

    Attributes:
        has_password: without one, nobody comes in under this name once anybody has one.
        may_read_others: what others said; it takes the role admin too.
        max_turns: how many turns may be stored, None for any number.
        max_bytes: of all that the person said, in UTF-8, None for any number.
    """

    id: int
    name: str
    role: Role
    has_password: bool
    is_disabled: bool
    may_read_others: bool
    max_turns: int | None
    max_bytes: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """A person in numbers.

    Attributes:
        last_active: when something was last said, or the cookie shown (which is noted once an hour).
        turns, bytes: stored of the person, as quotas count them.
        revision: of the saved memory, 0 where there is none.
        state_bytes: of the saved memory.
    """

    account: AccountRow
    last_active: datetime | None
    turns: int
    bytes: int
    revision: int
    state_bytes: int


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token of a person, which cannot be read again; it lets a program in until it is revoked."""

    id: int
    user_id: int
    name: str
    scopes: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what to whom, when and why."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Who does something to somebody's account or memory, and why: half of a row of the audit log."""

    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """Who sends a request.

    Attributes:
        is_closed: whether anybody has a password, so that a name alone lets nobody in.
        account: None for nobody who may come in.
        scopes: what the token that was shown is good for; None for a login, which is good for everything.
    """

    is_closed: bool
    account: AccountRow | None
    scopes: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One conversation of a person; its name is unique among the person's sessions.

    Attributes:
        source: the document whose passages are its turns; None for a conversation.
    """

    id: int
    user_id: int
    name: str
    memory_on: bool
    is_pinned: bool
    source: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One exchange; ids grow in the order a person's turns were stored, positions in that of the session.

    Memory reads it if both its `in_memory` and its session's `memory_on` say so. A copy, in a branch, names
    the turn that it is a copy of.
    """

    id: int
    user_id: int
    session_id: int
    position: int
    user_text: str
    reply_text: str
    status: Status
    in_memory: bool
    copy_of: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a person: the bytes, what made them, at which ledger, and through which turn."""

    payload: bytes
    checksum: str
    generator: str
    base: str
    ledger: int
    through_turn_id: int
    num_turns: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class StateRow(Reading):
    """A person's saved memory.

    A person gets no revision twice, not even after the state was deleted: what was derived from one stays its
    own.
    """

    revision: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """A whole session to be stored.

    Attributes:
        turns: `(user_text, reply_text)` of each, in their order.
        created_at: when it began; None is now.
        order: the place of each turn among those of all sessions that are stored with it; sessions without
            one come before the others, one after the other.
        in_memory: whether memory reads each turn; None is what the person's switch says.
        said_at: when each turn was; None is when the session began.
        source: the document whose passages are the turns; None for a conversation.
    """

    name: str
    turns: Sequence[tuple[str, str]]
    created_at: datetime | None = None
    order: Sequence[int] | None = None
    in_memory: Sequence[bool] | None = None
    said_at: Sequence[datetime] | None = None
    is_pinned: bool = False
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted: turns, copies of them in branches, and sessions that were left empty."""

    turns: int
    copies: int
    sessions: int


Row = TypeVar("Row", UserRow, AccountRow, TokenRow, AuditRow, SessionRow, TurnRow, StateRow, Reading)


def row(cls: type[Row], source: Table) -> Row:
    """Return the plain value of a row: what both have by name."""
    return cls(**{field.name: getattr(source, field.name) for field in fields(cls)})


def values(reading: Reading) -> dict[str, Any]:
    """Return what a row of `reading` holds beside the person, by name."""
    return {field.name: getattr(reading, field.name) for field in fields(Reading)}
