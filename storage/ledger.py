"""Changes to what was already said: switching memory, branching, reading anew, and deleting for good.

Each that may change what memory has read counts up the person's ledger, so that a state made before it is
known to be of the past.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import delete, func, select

from storage.database import scrub
from storage.rows import Forgotten, Note, SessionRow, row
from storage.tables import Session, Turn
from storage.transactions import (
    Database,
    add_session,
    checked,
    delete_readings,
    find_session,
    insert,
    own_session,
    own_turn,
    owner,
    write_audit,
)

# Ids in one statement: databases allow so many variables at least.
IDS_PER_STATEMENT = 500


class Ledger(Database):
    """What may happen to turns and sessions after they were stored."""

    def rename_session(self, user_id: int, session_id: int, name: str) -> SessionRow:
        """Return the session under its new name; raises BadName, NameTaken and UnknownRow."""
        with self._writing() as tx:
            owner(tx, user_id)
            session = own_session(tx, user_id, session_id)
            session.name = checked(name)
            insert(tx, session, f"There is already a session named '{name}'.")
            return row(SessionRow, session)

    def pin_session(self, user_id: int, session_id: int, is_pinned: bool) -> None:
        """Say whether the session stands before the others; raises UnknownRow."""
        with self._writing() as tx:
            owner(tx, user_id)
            own_session(tx, user_id, session_id).is_pinned = is_pinned

    def set_memory(self, user_id: int, on: bool) -> None:
        """Say whether memory is on for the person; raises UnknownRow."""
        with self._writing() as tx:
            owner(tx, user_id).memory_on = on

    def set_session_memory(self, user_id: int, session_id: int, on: bool) -> None:
        """Leave the session out of memory or take it in again; raises UnknownRow."""
        with self._writing() as tx:
            user = owner(tx, user_id)
            session = own_session(tx, user_id, session_id)
            if session.memory_on != on:
                session.memory_on = on
                user.ledger += 1

    def read_anew(self, user_id: int) -> int:
        """Let what was read of the person hold no longer, and return the new ledger; raises UnknownRow.

        The state stays and answers until another one, read from the first turn, takes its place.
        """
        with self._writing() as tx:
            user = owner(tx, user_id)
            user.ledger += 1
            return user.ledger

    def branch(self, user_id: int, turn_id: int, name: str) -> SessionRow:
        """Return a new session that begins as the turn's session did, through that turn.

        Its turns are copies, which memory does not read: it reads what they are copies of.

        Raises:
            BadName, NameTaken: the name cannot be had.
            UnknownRow: the turn is not this person's.
        """
        with self._writing() as tx:
            owner(tx, user_id)
            last = own_turn(tx, user_id, turn_id)
            session = add_session(tx, user_id, name)
            session.memory_on = tx.get_one(Session, last.session_id).memory_on
            through = select(Turn).where(Turn.session_id == last.session_id, Turn.position <= last.position)
            for turn in tx.scalars(through.order_by(Turn.position)).all():
                tx.add(
                    Turn(
                        user_id=user_id,
                        session_id=session.id,
                        position=turn.position,
                        user_text=turn.user_text,
                        reply_text=turn.reply_text,
                        status=turn.status,
                        in_memory=False,
                        copy_of=turn.copy_of or turn.id,
                        created_at=turn.created_at,
                    )
                )
            tx.flush()
            return row(SessionRow, session)

    def turn_ids(
        self,
        user_id: int,
        *,
        turn_id: int | None = None,
        session_id: int | None = None,
        before: datetime | None = None,
    ) -> list[int]:
        """Return the ids of the person's turns that are all of what is asked: everything without a condition.

        A turn that is a copy stands for all of its kind: what it is a copy of comes too.
        """
        query = select(Turn.id).where(Turn.user_id == user_id)
        if session_id is not None:
            query = query.where(Turn.session_id == session_id)
        if before is not None:
            query = query.where(Turn.created_at < before)
        with self._reading() as tx:
            if turn_id is not None:
                origin = own_turn(tx, user_id, turn_id).copy_of
                query = query.where(Turn.id.in_([turn_id, origin or turn_id]))
            return list(tx.scalars(query.order_by(Turn.id)))

    def forget_everything(self, user_id: int, note: Note | None = None) -> Forgotten:
        """Delete the person's turns, sessions and saved state for good; the person stays.

        Args:
            note: where somebody else does it: who and why, for the audit log.
        """
        with self._reading() as tx:
            sessions = tx.scalars(select(Session.id).where(Session.user_id == user_id)).all()
        return self.forget(user_id, self.turn_ids(user_id), sessions=sessions, note=note)

    def forget(
        self,
        user_id: int,
        turn_ids: Collection[int],
        names: Mapping[int, str] = MappingProxyType({}),
        sessions: Collection[int] = (),
        note: Note | None = None,
    ) -> Forgotten:
        """Delete turns of the person for good, with every copy of them and all that was read so far.

        Args:
            turn_ids: those that are not the person's are left alone.
            names: new names of sessions, by number, where the old one repeats what is forgotten.
            sessions: those to delete too if nothing is left in them, beside those that lost a turn.
            note: where somebody else does it: who and why, for the audit log.

        Raises:
            UnknownRow: there is no such person.
        """
        chosen = list(turn_ids)
        counts = {Turn.id: 0, Turn.copy_of: 0}
        num_sessions, touched = 0, set(sessions)
        with self._writing() as tx:
            user = owner(tx, user_id)
            for first in range(0, len(chosen), IDS_PER_STATEMENT):
                for column in counts:
                    some = (Turn.user_id == user_id) & column.in_(chosen[first : first + IDS_PER_STATEMENT])
                    lost = tx.scalars(select(Turn.session_id).where(some)).all()
                    touched.update(lost)
                    counts[column] += len(lost)
                    tx.execute(delete(Turn).where(some))
            for session_id in sorted(touched):
                session = find_session(tx, user_id, session_id)
                if session is None:
                    continue
                if tx.scalar(select(func.count()).where(Turn.session_id == session_id)):
                    session.name = names.get(session_id, session.name)
                else:
                    tx.delete(session)
                    num_sessions += 1
            delete_readings(tx, user_id)
            user.ledger += 1
            if note is not None:
                write_audit(tx, note, "forget", user.name)
        scrub(self._engine)
        return Forgotten(counts[Turn.id], counts[Turn.copy_of], num_sessions)
