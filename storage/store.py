"""The one store: what is asked and said of people, sessions, turns and saved states, as plain values.

One public write is one transaction. Every method that names a session or a turn also names the person, and
finds nothing that belongs to somebody else. The store knows bytes and numbers; what the bytes of a state mean
is not its business. States are in `storage.readings`, changes to what was already said in `storage.ledger`,
who reads at the moment in `storage.leases`, who may come in in `storage.accounts`.

Any method raises `StoreUnavailable` when the database cannot be used, and every write for a person raises
`UnknownRow` when there is no such person.
"""

from collections.abc import Sequence
from operator import itemgetter

from sqlalchemy import delete, func, orm, select, update

from storage.accounts import Accounts
from storage.leases import Leases
from storage.ledger import Ledger
from storage.readings import Readings
from storage.rows import NewSession, SessionRow, TurnRow, UnknownRow, UserRow, row
from storage.tables import Session, Status, Turn, User
from storage.transactions import (
    add_session,
    checked,
    find_session,
    insert,
    new_name,
    own_session,
    own_turn,
    owner,
)


class Store(Accounts, Ledger, Leases, Readings):
    """People, sessions, turns and saved states in one database; threads and processes may share it."""

    def add_user(self, name: str) -> UserRow:
        """Return a new person.

        Raises:
            BadName: `name` breaks the rule for names.
            NameTaken: there is somebody of this name.
        """
        user = User(name=new_name(name))
        with self._writing() as tx:
            insert(tx, user, f"There is already a user named '{name}'.")
            return row(UserRow, user)

    def find_user(self, name: str) -> UserRow | None:
        """Return the person of this name; `BadName` where nobody could have it."""
        with self._reading() as tx:
            user = tx.scalar(select(User).where(User.name == checked(name)))
            return row(UserRow, user) if user else None

    def users(self) -> list[UserRow]:
        """Return everybody, by name."""
        with self._reading() as tx:
            return [row(UserRow, user) for user in tx.scalars(select(User).order_by(User.name))]

    def add_session(self, user_id: int, name: str) -> SessionRow:
        """Return a new, empty session.

        Raises:
            BadName: `name` breaks the rule for names.
            NameTaken: the person has a session of this name.
        """
        with self._writing() as tx:
            owner(tx, user_id)
            return row(SessionRow, add_session(tx, user_id, name))

    def find_session(self, user_id: int, name: str) -> SessionRow | None:
        """Return the person's session of this name; `BadName` where none could have it."""
        query = select(Session).where(Session.user_id == user_id, Session.name == checked(name))
        with self._reading() as tx:
            session = tx.scalar(query)
            return row(SessionRow, session) if session else None

    def session(self, user_id: int, session_id: int) -> SessionRow | None:
        """Return the session if it is this person's."""
        with self._reading() as tx:
            session = find_session(tx, user_id, session_id)
            return row(SessionRow, session) if session else None

    def sessions(self, user_id: int) -> list[SessionRow]:
        """Return the person's sessions, the newest first."""
        query = select(Session).where(Session.user_id == user_id).order_by(Session.id.desc())
        with self._reading() as tx:
            return [row(SessionRow, session) for session in tx.scalars(query)]

    def search(self, user_id: int, text: str, limit: int) -> list[TurnRow]:
        """Return, of each of the newest `limit` sessions of the person in which either side said `text`, in
        capitals or not, the last turn with it; the newest first.

        PostgreSQL knows the capitals of the locale that the database was made with.
        """
        said = Turn.user_text.icontains(text, autoescape=True) | Turn.reply_text.icontains(
            text, autoescape=True
        )
        last = func.max(Turn.id)
        ids = select(last).where(Turn.user_id == user_id, said).group_by(Turn.session_id)
        query = select(Turn).where(Turn.id.in_(ids.order_by(last.desc()).limit(limit)))
        with self._reading() as tx:
            return [row(TurnRow, turn) for turn in tx.scalars(query.order_by(Turn.id.desc()))]

    def add_turn(
        self,
        user_id: int,
        session_id: int,
        user_text: str,
        reply_text: str,
        status: Status,
        *,
        in_memory: bool = True,
        instead_of: int | None = None,
        name: str | None = None,
    ) -> TurnRow:
        """Return the turn, stored at the end of the session.

        Args:
            in_memory: whether memory reads it.
            instead_of: a turn of the session that it replaces, together with all that came after that turn;
                of what stands in branches too, a copy takes the place.
            name: a new name of the session, where the old one repeats what is replaced.

        Raises:
            BadName, NameTaken: the new name cannot be had.
            UnknownRow: the session is not this person's, or `instead_of` is not in it.
        """
        with self._writing() as tx:
            user = owner(tx, user_id)
            session = own_session(tx, user_id, session_id)
            if instead_of is not None:
                if own_turn(tx, user_id, instead_of).session_id != session_id:
                    raise UnknownRow(f"The turn {instead_of} is not in the session {session_id}.")
                replaced = (Turn.session_id == session_id) & (Turn.id >= instead_of)
                gone = tx.execute(delete(Turn).where(replaced).returning(Turn.id, Turn.in_memory)).all()
                for turn_id, was_read in gone:
                    _hand_on(tx, turn_id, was_read)
                # what memory never read can be gone without its state being of the past
                user.ledger += any(was_read for _, was_read in gone)
            if name is not None:
                session.name = checked(name)
                insert(tx, session, f"There is already a session named '{name}'.")
            last = tx.scalar(select(func.max(Turn.position)).where(Turn.session_id == session_id))
            turn = Turn(
                user_id=user_id,
                session_id=session_id,
                position=0 if last is None else last + 1,
                user_text=user_text,
                reply_text=reply_text,
                status=status,
                in_memory=in_memory,
            )
            tx.add(turn)
            tx.flush()
            return row(TurnRow, turn)

    def add_sessions(self, user_id: int, sessions: Sequence[NewSession]) -> int:
        """Store whole sessions, all of them or, when one is refused, none; return how many turns that was.

        Raises:
            BadName: a name breaks the rule for names.
            NameTaken: the person has a session of one of the names, or a name comes twice.
        """
        placed: list[tuple[int, Turn]] = []
        with self._writing() as tx:
            memory_on = owner(tx, user_id).memory_on
            for new in sessions:
                session = add_session(tx, user_id, new.name, new.created_at)
                session.is_pinned, session.source = new.is_pinned, new.source
                order = new.order or [-1] * len(new.turns)
                is_read = new.in_memory or [memory_on] * len(new.turns)
                said_at = new.said_at or [session.created_at] * len(new.turns)
                told = zip(order, new.turns, is_read, said_at, strict=True)
                for position, (place, texts, in_memory, created_at) in enumerate(told):
                    turn = Turn(
                        user_id=user_id,
                        session_id=session.id,
                        position=position,
                        user_text=texts[0],
                        reply_text=texts[1],
                        status="complete",
                        in_memory=in_memory,
                        created_at=created_at,
                    )
                    placed.append((place, turn))
            tx.add_all(turn for _, turn in sorted(placed, key=itemgetter(0)))
        return len(placed)

    def turn(self, user_id: int, turn_id: int) -> TurnRow | None:
        """Return the turn if it is this person's."""
        with self._reading() as tx:
            turn = tx.scalar(select(Turn).where(Turn.user_id == user_id, Turn.id == turn_id))
            return row(TurnRow, turn) if turn else None

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
            return [row(TurnRow, turn) for turn in newest_first][::-1]

    def count_turns(self, user_id: int, through: int | None = None) -> int:
        """Return how many turns the person has, or has through the turn with the id `through`."""
        query = select(func.count(Turn.id)).where(Turn.user_id == user_id)
        if through is not None:
            query = query.where(Turn.id <= through)
        with self._reading() as tx:
            return tx.scalar(query) or 0


def _hand_on(tx: orm.Session, turn_id: int, in_memory: bool) -> None:
    """Let the oldest copy of a turn that is gone, if there is one, be what the others are copies of."""
    heir = tx.scalar(select(Turn).where(Turn.copy_of == turn_id).order_by(Turn.id).limit(1))
    if heir is not None:
        heir.copy_of, heir.in_memory = None, in_memory
        tx.flush()
        tx.execute(update(Turn).where(Turn.copy_of == turn_id).values(copy_of=heir.id))
