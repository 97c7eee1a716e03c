"""The one store: what is asked and said of people, sessions, turns and saved states, as plain values.

One public write is one transaction. Every method that names a session also names the person, and finds
nothing that belongs to somebody else. The store knows bytes and numbers; what the bytes of a state mean is
not its business.

Any method raises `StoreUnavailable` when the database cannot be used, and every write for a person raises
`UnknownRow` when there is no such person.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Engine, delete, func, orm, select
from sqlalchemy.exc import IntegrityError

from storage.database import StoreUnavailable as StoreUnavailable
from storage.database import empty_log, open_engine, told, writing
from storage.tables import MAX_NAME_CHARS, Session, State, Status, Table, Turn, User, now

TURNS_PER_READ = 256


class StaleState(RuntimeError):
    """Another writer saved or deleted the state first, or turns that this one had read are gone."""


class BadName(ValueError):
    """A name is not 1 to 64 printable characters without a space at either end."""


class NameTaken(ValueError):
    """There is such a person, or the person has such a session, already."""


class UnknownRow(LookupError):
    """There is no such person, or the session is not this person's."""


@dataclass(frozen=True, slots=True)
class UserRow:
    """A person."""

    id: int
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One conversation of a person; its name is unique among the person's sessions."""

    id: int
    user_id: int
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One finished exchange; ids grow in the order a person's turns were stored, positions start at 0."""

    id: int
    user_id: int
    session_id: int
    position: int
    user_text: str
    reply_text: str
    status: Status
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StateRow:
    """A person's saved memory: the bytes, what made them, and through which turn they have read.

    A person gets no revision twice, not even after the state was deleted: what was derived from one stays its
    own.
    """

    payload: bytes
    checksum: str
    generator: str
    base: str
    through_turn_id: int
    num_turns: int
    num_tokens: int
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
    """

    name: str
    turns: Sequence[tuple[str, str]]
    created_at: datetime | None = None
    order: Sequence[int] | None = None


Row = TypeVar("Row", UserRow, SessionRow, TurnRow, StateRow)


class Store:
    """People, sessions, turns and saved states in one database; threads and processes may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read = orm.sessionmaker(engine)
        self._write = orm.sessionmaker(writing(engine))

    @classmethod
    def open(cls, database: str | Path) -> Self:
        """Return the store at `database`, an SQLAlchemy URL or the path of an SQLite file, made or brought up
        to date where needed.

        Raises:
            StoreUnavailable: it cannot be made, opened or brought up to date.
        """
        return cls(open_engine(database))

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()

    def add_user(self, name: str) -> UserRow:
        """Return a new person.

        Raises:
            BadName: `name` breaks the rule for names.
            NameTaken: there is somebody of this name.
        """
        user = User(name=_checked(name))
        with self._writing() as tx:
            _insert(tx, user, f"There is already a user named '{name}'.")
            return _row(UserRow, user)

    def find_user(self, name: str) -> UserRow | None:
        """Return the person of this name; `BadName` where nobody could have it."""
        with self._reading() as tx:
            user = tx.scalar(select(User).where(User.name == _checked(name)))
            return _row(UserRow, user) if user else None

    def users(self) -> list[UserRow]:
        """Return everybody, by name."""
        with self._reading() as tx:
            return [_row(UserRow, user) for user in tx.scalars(select(User).order_by(User.name))]

    def add_session(self, user_id: int, name: str) -> SessionRow:
        """Return a new, empty session.

        Raises:
            BadName: `name` breaks the rule for names.
            NameTaken: the person has a session of this name.
        """
        with self._writing() as tx:
            _owner(tx, user_id)
            return _row(SessionRow, _add_session(tx, user_id, name))

    def find_session(self, user_id: int, name: str) -> SessionRow | None:
        """Return the person's session of this name; `BadName` where none could have it."""
        query = select(Session).where(Session.user_id == user_id, Session.name == _checked(name))
        with self._reading() as tx:
            session = tx.scalar(query)
            return _row(SessionRow, session) if session else None

    def session(self, user_id: int, session_id: int) -> SessionRow | None:
        """Return the session if it is this person's."""
        with self._reading() as tx:
            session = _find_session(tx, user_id, session_id)
            return _row(SessionRow, session) if session else None

    def sessions(self, user_id: int) -> list[SessionRow]:
        """Return the person's sessions, the newest first."""
        query = select(Session).where(Session.user_id == user_id).order_by(Session.id.desc())
        with self._reading() as tx:
            return [_row(SessionRow, session) for session in tx.scalars(query)]

    def add_turn(
        self, user_id: int, session_id: int, user_text: str, reply_text: str, status: Status
    ) -> TurnRow:
        """Return the turn, stored at the end of the session.

        Raises:
            UnknownRow: the session is not this person's.
        """
        with self._writing() as tx:
            _owner(tx, user_id)
            if _find_session(tx, user_id, session_id) is None:
                raise UnknownRow(f"The user {user_id} has no session {session_id}.")
            last = tx.scalar(select(func.max(Turn.position)).where(Turn.session_id == session_id))
            turn = Turn(
                user_id=user_id,
                session_id=session_id,
                position=0 if last is None else last + 1,
                user_text=user_text,
                reply_text=reply_text,
                status=status,
            )
            tx.add(turn)
            tx.flush()
            return _row(TurnRow, turn)

    def add_sessions(self, user_id: int, sessions: Sequence[NewSession]) -> int:
        """Store whole sessions, all of them or, when one is refused, none; return how many turns that was.

        Raises:
            BadName: a name breaks the rule for names.
            NameTaken: the person has a session of one of the names, or a name comes twice.
        """
        placed: list[tuple[int, Turn]] = []
        with self._writing() as tx:
            _owner(tx, user_id)
            for new in sessions:
                session = _add_session(tx, user_id, new.name, new.created_at)
                order = new.order or [-1] * len(new.turns)
                for position, (place, texts) in enumerate(zip(order, new.turns, strict=True)):
                    turn = Turn(
                        user_id=user_id,
                        session_id=session.id,
                        position=position,
                        user_text=texts[0],
                        reply_text=texts[1],
                        status="complete",
                    )
                    placed.append((place, turn))
            tx.add_all(turn for _, turn in sorted(placed, key=itemgetter(0)))
        return len(placed)

    def turns(self, user_id: int, after: int = 0) -> Iterator[TurnRow]:
        """Yield the person's turns after the turn `after`, in the order in which they were stored.

        They are read in portions, so that a slow caller holds no transaction open; a turn that is stored in
        the meantime comes too.
        """
        while portion := self._turns(user_id, after):
            yield from portion
            after = portion[-1].id

    def session_turns(
        self, user_id: int, session_id: int, before: int | None = None, limit: int | None = None
    ) -> list[TurnRow]:
        """Return the session's turns, the oldest first; none where the session is not this person's.

        Args:
            before: only turns before the one with this id.
            limit: only so many, the newest.
        """
        query = select(Turn).where(Turn.user_id == user_id, Turn.session_id == session_id)
        if before is not None:
            query = query.where(Turn.id < before)
        with self._reading() as tx:
            newest_first = tx.scalars(query.order_by(Turn.position.desc()).limit(limit))
            return [_row(TurnRow, turn) for turn in newest_first][::-1]

    def count_turns(self, user_id: int) -> int:
        """Return how many turns the person has."""
        with self._reading() as tx:
            return tx.scalar(select(func.count()).where(Turn.user_id == user_id)) or 0

    def state(self, user_id: int) -> StateRow | None:
        """Return the person's saved state, None where there is none."""
        with self._reading() as tx:
            state = tx.get(State, user_id)
            return _row(StateRow, state) if state else None

    def save_state(
        self,
        user_id: int,
        expected_revision: int,
        *,
        payload: bytes,
        checksum: str,
        generator: str,
        base: str,
        through_turn_id: int,
        num_turns: int,
        num_tokens: int,
    ) -> StateRow:
        """Save a state over the revision that it was made from; return it with its new revision.

        Args:
            expected_revision: what `state` returned when the caller began, 0 where that was None.
            through_turn_id: the last turn that was read, 0 where there was none.
            num_turns: how many of the person's turns were read: all of them through that one.

        Raises:
            StaleState: the saved state is not of `expected_revision`, or the turns through `through_turn_id`
                are not the `num_turns` that the caller read, because some were deleted since.
        """
        through = (Turn.user_id == user_id) & (Turn.id <= through_turn_id)
        with self._writing() as tx:
            user = _owner(tx, user_id)
            revision = tx.scalar(select(State.revision).where(State.user_id == user_id)) or 0
            if revision != expected_revision:
                raise StaleState(f"The saved memory is at revision {revision}, not {expected_revision}.")
            # Ids are never reused, so the same number of turns through the same turn are the same turns.
            count, last = tx.execute(select(func.count(), func.max(Turn.id)).where(through)).one()
            if (count, last or 0) != (num_turns, through_turn_id):
                raise StaleState("The turns that this memory was made from are no longer the same.")
            user.last_revision += 1
            state = State(
                user_id=user_id,
                payload=payload,
                checksum=checksum,
                generator=generator,
                base=base,
                through_turn_id=through_turn_id,
                num_turns=num_turns,
                num_tokens=num_tokens,
                revision=user.last_revision,
            )
            tx.execute(delete(State).where(State.user_id == user_id))
            tx.add(state)
            tx.flush()
            return _row(StateRow, state)

    def delete_state(self, user_id: int) -> None:
        """Delete the person's saved state; the turns stay."""
        with self._writing() as tx:
            _owner(tx, user_id)
            tx.execute(delete(State).where(State.user_id == user_id))
        empty_log(self._engine)

    def forget_everything(self, user_id: int) -> None:
        """Delete the person's turns, sessions and saved state for good; the person stays."""
        with self._writing() as tx:
            _owner(tx, user_id)
            for table in (State, Turn, Session):
                tx.execute(delete(table).where(table.user_id == user_id))
        empty_log(self._engine)

    def _turns(self, user_id: int, after: int) -> list[TurnRow]:
        query = select(Turn).where(Turn.user_id == user_id, Turn.id > after).order_by(Turn.id)
        with self._reading() as tx:
            return [_row(TurnRow, turn) for turn in tx.scalars(query.limit(TURNS_PER_READ))]

    @contextmanager
    def _reading(self) -> Iterator[orm.Session]:
        """One transaction that sees the database as it is at its beginning."""
        with told(self._engine), self._read.begin() as tx:
            yield tx

    @contextmanager
    def _writing(self) -> Iterator[orm.Session]:
        """One transaction that no other writer interrupts."""
        with told(self._engine), self._write.begin() as tx:
            yield tx


def is_name(name: str) -> bool:
    """Say whether somebody, or a session, may be called `name`."""
    return 0 < len(name) <= MAX_NAME_CHARS and name.isprintable() and name == name.strip()


def _checked(name: str) -> str:
    """Return `name` if somebody may be called that."""
    if not is_name(name):
        rule = f"1 to {MAX_NAME_CHARS} printable characters, without a space at either end"
        raise BadName(f"A name has {rule}, got {name[:80]!r}.")
    return name


def _owner(tx: orm.Session, user_id: int) -> User:
    """Return the person, whose rows no other transaction changes until this one ends."""
    user = tx.get(User, user_id, with_for_update=True)
    if user is None:
        raise UnknownRow(f"There is no user {user_id}.")
    return user


def _find_session(tx: orm.Session, user_id: int, session_id: int) -> Session | None:
    return tx.scalar(select(Session).where(Session.id == session_id, Session.user_id == user_id))


def _add_session(tx: orm.Session, user_id: int, name: str, created_at: datetime | None = None) -> Session:
    session = Session(user_id=user_id, name=_checked(name), created_at=created_at or now())
    _insert(tx, session, f"There is already a session named '{name}'.")
    return session


def _insert(tx: orm.Session, row: User | Session, if_taken: str) -> None:
    tx.add(row)
    try:
        tx.flush()
    except IntegrityError as error:
        raise NameTaken(if_taken) from error


def _row(cls: type[Row], source: Table) -> Row:
    """Return the plain value of a row: what both have by name."""
    return cls(**{field.name: getattr(source, field.name) for field in fields(cls)})
