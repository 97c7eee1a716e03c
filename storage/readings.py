"""What was read of people: the state that answers, and the draft of the next one while it is read anew."""

from collections.abc import Iterator
from typing import Any, TypeVarTuple

from sqlalchemy import Select, delete, func, orm, select

from storage.database import empty_log
from storage.rows import Reading, StaleState, StateRow, TurnRow, row, values
from storage.tables import Draft, Session, State, Turn, User
from storage.transactions import Database, delete_readings, owner

TURNS_PER_READ = 256

Columns = TypeVarTuple("Columns")


class Readings(Database):
    """States and drafts, and the turns that they are read from."""

    def turns(self, user_id: int, after: int = 0) -> Iterator[TurnRow]:
        """Yield the person's turns after the turn `after`, in the order in which they were stored.

        They are read in portions, so that a slow caller holds no transaction open; a turn that is stored in
        the meantime comes too.
        """
        return self._portions(select(Turn).where(Turn.user_id == user_id), after)

    def memory_turns(self, user_id: int, after: int = 0) -> Iterator[TurnRow]:
        """Yield, of the turns that `turns` yields, those that memory reads."""
        return self._portions(_read_by_memory(select(Turn), user_id), after)

    def count_memory_turns(self, user_id: int, after: int = 0) -> int:
        """Return how many turns `memory_turns` yields."""
        query = _read_by_memory(select(func.count(Turn.id)), user_id).where(Turn.id > after)
        with self._reading() as tx:
            return tx.scalar(query) or 0

    def context_turns(self, turn: TurnRow, limit: int) -> list[TurnRow]:
        """Return the newest `limit` turns before `turn` in its session that may be seen with it, in order.

        What memory does not read is no context, and a copy in a branch is one where memory reads what it is
        a copy of.
        """
        origin = orm.aliased(Turn)
        query = (
            select(Turn)
            .join(origin, origin.id == func.coalesce(Turn.copy_of, Turn.id))
            .join(Session, Session.id == origin.session_id)
            .where(Turn.session_id == turn.session_id, Turn.id < turn.id)
            .where(origin.user_id == turn.user_id, origin.in_memory, Session.memory_on)
        )
        with self._reading() as tx:
            newest_first = tx.scalars(query.order_by(Turn.id.desc()).limit(limit))
            return [row(TurnRow, found) for found in newest_first][::-1]

    def ledger(self, user_id: int) -> int:
        """Return how often something already said was taken out of the person's memory or put back."""
        with self._reading() as tx:
            return tx.scalar(select(User.ledger).where(User.id == user_id)) or 0

    def state(self, user_id: int) -> StateRow | None:
        """Return the person's saved state, None where there is none."""
        with self._reading() as tx:
            state = tx.get(State, user_id)
            return row(StateRow, state) if state else None

    def save_state(self, user_id: int, expected_revision: int, reading: Reading) -> StateRow:
        """Save a state over the revision that it was made from; return it with its new revision.

        The draft, if there is one, ends with it.

        Args:
            expected_revision: what `state` returned when the caller began, 0 where that was None.

        Raises:
            StaleState: the saved state is not of `expected_revision`, the person's ledger is not what it was
                when the reading began, or the turns that memory reads are not those that were read.
        """
        through = _read_by_memory(select(func.count(Turn.id), func.max(Turn.id)), user_id).where(
            Turn.id <= reading.through_turn_id
        )
        with self._writing() as tx:
            user = _at_ledger(tx, user_id, reading.ledger)
            revision = tx.scalar(select(State.revision).where(State.user_id == user_id)) or 0
            if revision != expected_revision:
                raise StaleState(f"The saved memory is at revision {revision}, not {expected_revision}.")
            # Ids are never reused, so the same number of turns through the same turn are the same turns.
            num_turns, last = tx.execute(through).one()
            if (num_turns, last or 0) != (reading.num_turns, reading.through_turn_id):
                raise StaleState("The turns that this memory was made from are no longer the same.")
            user.last_revision += 1
            state = State(user_id=user_id, **values(reading), revision=user.last_revision)
            delete_readings(tx, user_id)
            tx.add(state)
            tx.flush()
            return row(StateRow, state)

    def draft(self, user_id: int) -> Reading | None:
        """Return the draft of the person's next state, None where there is none."""
        with self._reading() as tx:
            draft = tx.get(Draft, user_id)
            return row(Reading, draft) if draft else None

    def save_draft(self, user_id: int, reading: Reading) -> None:
        """Save how far the next state is, in place of any other draft; raises StaleState as `save_state`."""
        with self._writing() as tx:
            _at_ledger(tx, user_id, reading.ledger)
            tx.execute(delete(Draft).where(Draft.user_id == user_id))
            tx.add(Draft(user_id=user_id, **values(reading)))

    def delete_state(self, user_id: int) -> None:
        """Delete the person's saved state and its draft; the turns stay."""
        with self._writing() as tx:
            owner(tx, user_id)
            delete_readings(tx, user_id)
        empty_log(self._engine)

    def _portions(self, query: Select[Any], after: int) -> Iterator[TurnRow]:
        while portion := self._portion(query, after):
            yield from portion
            after = portion[-1].id

    def _portion(self, query: Select[Any], after: int) -> list[TurnRow]:
        with self._reading() as tx:
            turns = tx.scalars(query.where(Turn.id > after).order_by(Turn.id).limit(TURNS_PER_READ))
            return [row(TurnRow, turn) for turn in turns]


def _read_by_memory(query: Select[*Columns], user_id: int) -> Select[*Columns]:
    """Return `query`, over turns, for those of the person that memory reads."""
    return query.join(Session, Session.id == Turn.session_id).where(
        Turn.user_id == user_id, Turn.in_memory, Session.memory_on
    )


def _at_ledger(tx: orm.Session, user_id: int, ledger: int) -> User:
    """Return the person, whose ledger must be at `ledger`."""
    user = owner(tx, user_id)
    if user.ledger != ledger:
        raise StaleState("What this memory was made from has changed.")
    return user
