"""The schema: people, sessions, turns, memory states and drafts of them, who reads, and accounts.

Turns are the truth; a state row is a cache of what was read from them. The keys hold three promises that no
caller can break: a turn belongs to the person who owns its session, a position in a session is taken once,
and no id is ever given twice, so that "read through turn N" keeps its meaning after turns are deleted.

What was said is only ever added to. Everything else that may change what memory has read (deleting,
replacing, leaving out a session, asking for it to be read anew) counts up the person's `ledger`; a state
holds for the count it was made at.

What lets somebody in (a password, a login's cookie, a token) is kept as a hash only. Rows of `audit` are
written once: triggers, which the migration makes, refuse to change or delete any.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Status = Literal["complete", "stopped", "failed"]
Role = Literal["user", "admin"]

MAX_NAME_CHARS = 64

# "Data link escape", a control character that nobody types.
ESCAPE = "\x10"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC: aware in Python, stored without a zone because SQLite has none."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class AnyText(TypeDecorator[str]):
    """Text of any characters; PostgreSQL takes no NUL, so it is stored there as ESCAPE and a digit."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace(ESCAPE, f"{ESCAPE}1").replace("\0", f"{ESCAPE}0")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace(f"{ESCAPE}0", "\0").replace(f"{ESCAPE}1", ESCAPE)


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


class Table(DeclarativeBase):
    """The base of every table; it names the constraints, so that a migration can speak of them."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {str: AnyText}
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class User(Table):
    """A person."""

    __tablename__ = "users"
    __table_args__: Any = (UniqueConstraint("name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    # The last revision given to a state of this person; it outlives the state.
    last_revision: Mapped[int] = mapped_column(default=0)
    # How often something already said was taken out of memory or put back, or was to be read anew.
    ledger: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    memory_on: Mapped[bool] = mapped_column(default=True, server_default=true())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    role: Mapped[Role] = mapped_column(
        Enum("user", "admin", name="role", native_enum=False, create_constraint=True),
        default="user",
        server_default="user",
    )
    # argon2, in its own text form; without one there is no password that would let the person in.
    password_hash: Mapped[str | None]
    is_disabled: Mapped[bool] = mapped_column(default=False, server_default=false())
    may_read_others: Mapped[bool] = mapped_column(default=False, server_default=false())
    # Quotas; None is unlimited.
    max_turns: Mapped[int | None]
    max_bytes: Mapped[int | None] = mapped_column(BigInteger)

    @property
    def has_password(self) -> bool:
        """Whether a password lets the person in."""
        return self.password_hash is not None


class Session(Table):
    """One conversation of a person, or a document that the person gave to be remembered."""

    __tablename__ = "sessions"
    __table_args__: Any = (
        UniqueConstraint("user_id", "name"),
        # What the key of turns refers to.
        UniqueConstraint("id", "user_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    memory_on: Mapped[bool] = mapped_column(default=True, server_default=true())
    is_pinned: Mapped[bool] = mapped_column(default=False, server_default=false())
    # The document whose passages are its turns; None for a conversation.
    source: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Turn(Table):
    """One exchange of a session.

    Memory reads it where `in_memory` (memory was on when it was said) and its session's memory is on. A copy,
    in a branch, names the turn that it is a copy of and is itself never read.
    """

    __tablename__ = "turns"
    __table_args__: Any = (
        UniqueConstraint("session_id", "position"),
        ForeignKeyConstraint(["session_id", "user_id"], ["sessions.id", "sessions.user_id"]),
        Index(None, "user_id", "id"),
        Index(None, "copy_of"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    session_id: Mapped[int]
    position: Mapped[int]
    user_text: Mapped[str]
    reply_text: Mapped[str]
    status: Mapped[Status] = mapped_column(
        Enum("complete", "stopped", "failed", name="status", native_enum=False, create_constraint=True)
    )
    in_memory: Mapped[bool] = mapped_column(default=True, server_default=true())
    copy_of: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Read:
    """What was read from a person's turns, saved; `through_turn_id` may name a turn that is gone."""

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    payload: Mapped[bytes]
    checksum: Mapped[str]
    generator: Mapped[str]
    base: Mapped[str]
    ledger: Mapped[int] = mapped_column(server_default=text("0"))
    through_turn_id: Mapped[int]
    num_turns: Mapped[int]
    num_tokens: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class State(Read, Table):
    """The memory that answers."""

    __tablename__ = "states"

    revision: Mapped[int]


class Draft(Read, Table):
    """A memory that is being read anew, as far as it is; it replaces the state when it is whole."""

    __tablename__ = "drafts"


class Lease(Table):
    """Who reads a person's turns into memory at the moment, and until when if nobody renews it."""

    __tablename__ = "leases"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Login(Table):
    """Somebody who came in with a password, or by name in the days without accounts, and holds a cookie."""

    __tablename__ = "logins"
    __table_args__: Any = (UniqueConstraint("token_hash"), Index(None, "user_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    token_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Token(Table):
    """What a program shows in a person's name; `scopes` are words with spaces between."""

    __tablename__ = "tokens"
    __table_args__: Any = (
        UniqueConstraint("token_hash"),
        Index(None, "user_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    token_hash: Mapped[str]
    scopes: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Audit(Table):
    """Who did what to whom, when and why; names as text, so that they outlive the people."""

    __tablename__ = "audit"
    __table_args__: Any = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    reason: Mapped[str]


class LoginAttempt(Table):
    """A login that was tried and did not succeed so far.

    The name is a hash: a password typed into the wrong field must not stand here.
    """

    __tablename__ = "login_attempts"
    __table_args__: Any = (Index(None, "name_hash"), Index(None, "address"))

    id: Mapped[int] = mapped_column(primary_key=True)
    name_hash: Mapped[str]
    address: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
