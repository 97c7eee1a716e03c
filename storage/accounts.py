"""Who may come in and what they may do there, and the log of who did what to whom.

Every change of an account writes its row of the audit log in the same transaction. As long as nobody has a
password the database is open: a name is all it takes. The first password closes it, for good, and ends every
login made before; from then on somebody is left who has the role admin, a password and an account that is
not disabled, or the change is refused.
"""

from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, LargeBinary, Select, cast, delete, func, orm, select

from storage.logins import Logins, anybody_has_password, end_all
from storage.rows import AccountRow, AuditRow, LastAdmin, Note, Standing, TurnRow, UnknownRow, row
from storage.tables import Audit, Login, Role, State, Turn, User
from storage.transactions import checked, insert, new_name, owner, write_audit


class Changes(TypedDict, total=False):
    """What can be changed about an account; quotas of None are unlimited."""

    role: Role
    password_hash: str
    is_disabled: bool
    may_read_others: bool
    max_turns: int | None
    max_bytes: int | None


class Accounts(Logins):
    """Accounts, what the people said in numbers, and the audit log."""

    def find_account(self, name: str) -> AccountRow | None:
        """Return the account of this name; `BadName` where nobody could have it."""
        with self._reading() as tx:
            user = tx.scalar(select(User).where(User.name == checked(name)))
            return row(AccountRow, user) if user else None

    def accounts(self) -> list[AccountRow]:
        """Return everybody, by name."""
        with self._reading() as tx:
            return [row(AccountRow, user) for user in tx.scalars(select(User).order_by(User.name))]

    def password_hash(self, user_id: int) -> str | None:
        """Return what the person's password was made into, None where there is none."""
        with self._reading() as tx:
            return tx.scalar(select(User.password_hash).where(User.id == user_id))

    def renew_hash(self, user_id: int, old: str, new: str) -> None:
        """Store the same password's hash as it is made now, unless the password was changed meanwhile."""
        with self._writing() as tx:
            user = owner(tx, user_id)
            if user.password_hash == old:
                user.password_hash = new

    def add_account(self, name: str, role: Role, password_hash: str, note: Note) -> AccountRow:
        """Return a new account.

        Raises:
            BadName, NameTaken: the name cannot be had.
            LastAdmin: it is the first with a password, and not an admin's.
        """
        with self._writing() as tx:
            was_closed = anybody_has_password(tx)
            user = User(name=new_name(name), role=role, password_hash=password_hash)
            insert(tx, user, f"There is already a user named '{name}'.")
            write_audit(tx, note, f"add as {role}", name)
            _keep_closed(tx, was_closed)
            return row(AccountRow, user)

    def change_account(self, user_id: int, action: str, note: Note, **changes: Unpack[Changes]) -> AccountRow:
        """Return the account after `changes`; a new password or being disabled ends its logins and tokens.

        Args:
            action: what the audit log calls it.

        Raises:
            UnknownRow: there is no such person.
            LastAdmin: nobody who has the role admin could log in afterwards.
        """
        with self._writing() as tx:
            was_closed = anybody_has_password(tx)
            user = owner(tx, user_id)
            _apply(tx, user, changes)
            write_audit(tx, note, action, user.name)
            _keep_closed(tx, was_closed)
            return row(AccountRow, user)

    def make_first_admin(self, user_id: int, password_hash: str, note: Note) -> AccountRow | None:
        """Return the person as the first admin, None where somebody has a password already."""
        with self._writing() as tx:
            if anybody_has_password(tx):
                return None
            user = owner(tx, user_id)
            _apply(tx, user, {"role": "admin", "password_hash": password_hash})
            write_audit(tx, note, "become the first admin", user.name)
            _keep_closed(tx, was_closed=False)
            return row(AccountRow, user)

    def said(self, user_id: int) -> tuple[int, int]:
        """Return how many turns of the person are stored, and how many bytes of UTF-8 were said in them.

        Replies and copies in branches do not count as bytes, copies not as turns either.
        """
        query = select(func.count(Turn.id), self._num_bytes()).where(
            Turn.user_id == user_id, Turn.copy_of.is_(None)
        )
        with self._reading() as tx:
            turns, said = tx.execute(query).one()
            return turns, int(said or 0)

    def standings(self, search: str, limit: int) -> list[Standing]:
        """Return people in numbers, by name, in one statement however many they are.

        Args:
            search: a part of the name, in small or capital letters; all names have the empty one.
            limit: so many people at most.
        """
        listed = select(User.id).where(User.name.icontains(search, autoescape=True))
        return self._standings(listed.order_by(User.name).limit(limit))

    def standing(self, user_id: int) -> Standing:
        """Return the person in numbers; raises UnknownRow."""
        for standing in self._standings(select(User.id).where(User.id == user_id)):
            return standing
        raise UnknownRow(f"There is no user {user_id}.")

    def _standings(self, listed: Select[int]) -> list[Standing]:
        people = listed.subquery()
        said = (
            select(
                Turn.user_id,
                func.count(Turn.id).label("turns"),
                self._num_bytes().label("bytes"),
                func.max(Turn.created_at).label("at"),
            )
            .where(Turn.user_id.in_(select(people.c.id)), Turn.copy_of.is_(None))
            .group_by(Turn.user_id)
            .subquery()
        )
        seen = (
            select(Login.user_id, func.max(Login.last_seen).label("at"))
            .where(Login.user_id.in_(select(people.c.id)))
            .group_by(Login.user_id)
            .subquery()
        )
        query = (
            select(
                User,
                said.c.turns,
                said.c.bytes,
                said.c.at,
                seen.c.at,
                State.revision,
                func.length(State.payload),
            )
            .join(people, people.c.id == User.id)
            .outerjoin(said, said.c.user_id == User.id)
            .outerjoin(seen, seen.c.user_id == User.id)
            .outerjoin(State, State.user_id == User.id)
            .order_by(User.name)
        )
        with self._reading() as tx:
            return [
                Standing(
                    row(AccountRow, user),
                    max((at for at in (said_at, seen_at) if at), default=None),
                    turns or 0,
                    int(num_bytes or 0),
                    revision or 0,
                    state_bytes or 0,
                )
                for user, turns, num_bytes, said_at, seen_at, revision, state_bytes in tx.execute(query)
            ]

    def _num_bytes(self) -> ColumnElement[Any]:
        """Return the bytes of UTF-8 that turns hold of their person's words, summed."""
        if self._engine.dialect.name == "sqlite":
            return func.sum(func.length(cast(Turn.user_text, LargeBinary)))
        return func.sum(func.octet_length(Turn.user_text))

    def read_others(self, reader_id: int, name: str, reason: str) -> list[TurnRow]:
        """Return everything the person called `name` said, in order, and log who read it and why.

        Raises:
            UnknownRow: there is no such person, or the reader does not have the role and the right.
        """
        with self._writing() as tx:
            reader = owner(tx, reader_id)
            if reader.role != "admin" or not reader.may_read_others or reader.is_disabled:
                raise UnknownRow(f"{reader.name} may not read what others said.")
            user = tx.scalar(select(User).where(User.name == checked(name)))
            if user is None:
                raise UnknownRow(f"There is nobody called {name!r} here.")
            write_audit(tx, Note(reader.name, reason), "read the messages", user.name)
            turns = tx.scalars(select(Turn).where(Turn.user_id == user.id).order_by(Turn.id))
            return [row(TurnRow, turn) for turn in turns]

    def record(self, note: Note, action: str, subject: str) -> None:
        """Write a row of the audit log on its own, for what is not a change of this database."""
        with self._writing() as tx:
            write_audit(tx, note, action, subject)

    def audit(self, subject: str | None = None, limit: int | None = None) -> list[AuditRow]:
        """Return the audit log, the newest first.

        Args:
            subject: only what was done to this person.
            limit: only so many rows, the newest.
        """
        query = select(Audit).order_by(Audit.id.desc()).limit(limit)
        if subject is not None:
            query = query.where(Audit.subject == subject)
        with self._reading() as tx:
            return [row(AuditRow, entry) for entry in tx.scalars(query)]


def _apply(tx: orm.Session, user: User, changes: Changes) -> None:
    for name, value in changes.items():
        setattr(user, name, value)
    if "password_hash" in changes or changes.get("is_disabled"):
        end_all(tx, user.id)
    tx.flush()


def _keep_closed(tx: orm.Session, was_closed: bool) -> None:
    """See to it that a closed database has an admin who can log in, and no login from when it was open."""
    if not anybody_has_password(tx):
        return
    can_log_in = User.password_hash.is_not(None) & User.is_disabled.is_(False)
    # locked, where there are locks, so that of two admins who leave at once one stays
    admins = select(User.id).where(User.role == "admin", can_log_in).limit(1).with_for_update()
    if tx.scalar(admins) is None:
        raise LastAdmin("Somebody who has the role admin and a password must be able to log in.")
    if not was_closed:
        tx.execute(delete(Login))
