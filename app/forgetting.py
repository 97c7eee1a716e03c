"""Forgetting for good, with a receipt.

What was said is deleted and the memory is read anew from what is kept, so that it is, bit for bit, the memory
of a person who never said it; the receipt shows both by their hashes.
"""

from dataclasses import asdict, dataclass
from datetime import datetime

from app.errors import MemoryDamaged, NotFound
from app.recollection import OnTurn, Recollector, saved_memory
from app.transcript import new_session_name
from storage.rows import Note, UserRow
from storage.store import Store


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was forgotten.

    Attributes:
        turns, copies, sessions: how many were deleted; copies stood in branches, sessions were left empty.
        kept_turns: how many turns memory has read since.
        before: SHA-256 of the saved memory before, None where there was none that could be read.
        after: of the memory of what is kept.
    """

    turns: int
    copies: int
    sessions: int
    kept_turns: int
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What to forget: the turns that are all of what is set; everything where nothing is."""

    turn_id: int | None = None
    session_id: int | None = None
    before: datetime | None = None


def forget(
    store: Store,
    recollector: Recollector,
    person: UserRow,
    selection: Selection,
    on_turn: OnTurn | None = None,
    note: Note | None = None,
) -> Receipt:
    """Delete what `selection` names and read the rest anew.

    Args:
        on_turn: called after each turn that is read anew, with the number of turns read so far.
        note: where somebody else does it: who and why, for the audit log.

    Raises:
        NotFound: there is no such turn or session of the person.
    """
    try:
        saved = saved_memory(store, person)
    except MemoryDamaged:
        # it goes all the same
        saved = None
    if selection.session_id is not None and store.session(person.id, selection.session_id) is None:
        raise NotFound(f"{person.name} has no session number {selection.session_id}.")
    if selection.turn_id is not None and store.turn(person.id, selection.turn_id) is None:
        raise NotFound(f"{person.name} has no turn number {selection.turn_id}.")
    if selection == Selection():
        gone = store.forget_everything(person.id, note)
    else:
        chosen = store.turn_ids(person.id, **asdict(selection))
        emptied = [selection.session_id] if selection.session_id is not None else []
        gone = store.forget(person.id, chosen, _new_names(store, person, set(chosen)), emptied, note)
    recollector.drop(person)
    memory = recollector.catch_up(person, on_turn)
    return Receipt(
        gone.turns,
        gone.copies,
        gone.sessions,
        memory.figures.turns,
        saved[1].digest if saved else None,
        memory.state.digest,
    )


def _new_names(store: Store, person: UserRow, chosen: set[int]) -> dict[int, str]:
    """Return new names for the sessions that are called by the beginning of a message that goes."""
    sessions = store.sessions(person.id)
    taken = {session.name for session in sessions}
    names = {}
    for session in sessions:
        turns = store.session_turns(person.id, session.id)
        going = [t.user_text for t in turns if t.id in chosen or t.copy_of in chosen]
        kept = [t for t in turns if not (t.id in chosen or t.copy_of in chosen)]
        if not kept:
            continue
        if name := new_session_name(session.name, going, kept[0].user_text or kept[0].reply_text, taken):
            names[session.id] = name
            taken.add(name)
    return names
