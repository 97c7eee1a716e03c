"""Looking into a memory: what it has read and how full it is."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from app.recollection import saved_memory
from memory.gauge import FILLING_UP, Gauge, measure
from storage.store import Store, UserRow


@dataclass(frozen=True, slots=True)
class Overview:
    """What the saved memory of a person is; None and zeros where nothing is saved.

    Attributes:
        user: the person's name.
        revision: grows with every save.
        turns, tokens, sessions: how much was read.
        unread: turns that are stored and not read yet.
        bytes: of the state.
        generator, base: the fingerprints of what it was made with.
        since: when the first turn was said that it has read.
        updated_at: when it was saved.
        gauges: how full it is, by target.
    """

    user: str
    revision: int
    turns: int
    tokens: int
    sessions: int
    unread: int
    bytes: int
    generator: str | None
    base: str | None
    since: datetime | None
    updated_at: datetime | None
    gauges: tuple[Gauge, ...]

    @property
    def fullness(self) -> float:
        """Of the fullest target, 0 to 1; see `Gauge.fullness` for what it says and what it does not."""
        return max((gauge.fullness for gauge in self.gauges), default=0.0)

    @property
    def is_filling_up(self) -> bool:
        """Whether a target has hardly a direction left that is not in use."""
        return self.fullness >= FILLING_UP

    def summary(self) -> dict[str, Any]:
        """Return what `memory show --json` says of it."""
        about = asdict(self)
        del about["gauges"]
        for name in ("since", "updated_at"):
            about[name] = about[name] and about[name].isoformat(timespec="seconds")
        return {
            **about,
            "fullness": self.fullness,
            "is_filling_up": self.is_filling_up,
            "gauge": [{**asdict(gauge), "fullness": gauge.fullness} for gauge in self.gauges],
        }


def overview(store: Store, person: UserRow) -> Overview:
    """Return what the saved memory of `person` is, whichever generator made it.

    Raises:
        MemoryDamaged: the saved memory is not what was saved.
    """
    saved = saved_memory(store, person)
    if saved is None:
        unread = store.count_turns(person.id)
        return Overview(person.name, 0, 0, 0, 0, unread, 0, None, None, None, None, ())
    row, state = saved
    # a turn is told apart by its session and its time, not kept: there may be very many
    said = [(t.session_id, t.created_at) for t in store.turns(person.id) if t.id <= row.through_turn_id]
    return Overview(
        user=person.name,
        revision=row.revision,
        turns=row.num_turns,
        tokens=row.num_tokens,
        sessions=len({session for session, _ in said}),
        unread=store.count_turns(person.id) - row.num_turns,
        bytes=len(row.payload),
        generator=row.generator,
        base=row.base,
        since=min((when for _, when in said), default=None),
        updated_at=row.updated_at,
        gauges=measure(state),
    )
