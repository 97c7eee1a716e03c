"""The desk of an admin: everybody in figures, what is done to accounts and memories, what the server does.

Every method names who asks and looks up, each time, that they are an admin: it raises Refused for anybody
else. What is done to somebody needs a reason, which stands with it in the audit log: without one it raises
BadRequest. Nothing here shows a word that anybody said but `messages`, which takes a right of its own.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from app.accounts import Quota, checked_note, is_admin
from app.chat import Chat
from app.counters import Counted
from app.doctor import Finding
from app.errors import BadRequest, MemoryDamaged, Refused
from app.inspection import Overview
from app.jobs import Job
from storage.rows import AuditRow as AuditRow
from storage.rows import Forgotten, Note, Standing
from storage.rows import TurnRow as TurnRow
from storage.tables import Role as Role

# People, and rows of the audit log, that are listed at once.
MAX_LISTED = 200
# To see how full a memory is takes a moment: at one look as many as this, or as can be seen in this time.
MEASURED_AT_ONCE = 16
MEASURING_S = 1.0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in figures.

    Attributes:
        fullness: of the fullest layer, 0 to 1; None where it was not looked at yet, or cannot be.
        is_damaged: whether the saved memory was looked at and is not what was saved.
    """

    standing: Standing
    fullness: float | None
    is_damaged: bool = False


class Desk:
    """What an admin may see and do; safe to share between threads."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._people = chat.people
        # of each person, at which revision; None where it was damaged
        self._fullness: dict[str, tuple[int, float | None]] = {}

    # seeing

    def is_admin(self, name: str) -> bool:
        """Return whether somebody called `name` may sit here."""
        try:
            return is_admin(self._people.account(name))
        except BadRequest:
            return False

    def everybody(self, admin: str, search: str = "") -> list[Person]:
        """Return the first MAX_LISTED people whose names hold `search`, by name."""
        self._require(admin)
        standings = self._people.standings(search, MAX_LISTED)
        self._measure([s for s in standings if s.revision and not self._is_measured(s)])
        return [self._person(standing) for standing in standings]

    def person(self, admin: str, name: str) -> tuple[Person, Overview | None]:
        """Return somebody in figures, and what their memory is, None where it is damaged; raises NotFound."""
        self._require(admin)
        standing = self._people.standing(name)
        self._measure([standing])
        try:
            return self._person(standing), self._chat.overview(name)
        except MemoryDamaged:
            return self._person(standing), None

    def jobs(self, admin: str) -> list[Job]:
        """Return everybody's jobs, the newest first."""
        self._require(admin)
        return self._chat.jobs.listed()

    def audit(self, admin: str, subject: str = "") -> list[AuditRow]:
        """Return the newest MAX_LISTED rows of the audit log, or of those about `subject`."""
        self._require(admin)
        return self._people.audit(subject or None, MAX_LISTED)

    def machine(self, admin: str) -> list[Finding]:
        """Return what the model and this machine are."""
        self._require(admin)
        return self._chat.examine()

    def counts(self, admin: str) -> tuple[datetime, dict[Counted, int]]:
        """Return when the server began, and what happened since, in numbers."""
        self._require(admin)
        return self._chat.counters.since, self._chat.counters.counts()

    def messages(self, admin: str, name: str, reason: str) -> list[TurnRow]:
        """Return all that somebody said; raises NotFound, and Refused without the right to read it."""
        self._require(admin)
        return self._people.read_others(admin, name, reason)

    # doing

    def rebuild(self, admin: str, name: str, reason: str) -> Job:
        """Let everything somebody said be read again, in the background; raises NotFound."""
        note = self._note(admin, reason)
        self._people.account(name)
        self._people.record("rebuild the memory", name, note)
        return self._chat.rebuild_later(name)

    def reset(self, admin: str, name: str, reason: str) -> Forgotten:
        """Delete for good everything somebody said; raises NotFound."""
        return self._chat.reset(name, self._note(admin, reason))

    def cancel(self, admin: str, number: int, reason: str) -> Job:
        """Return the job, anybody's, which stops at its next turn; raises NotFound."""
        note = self._note(admin, reason)
        job = self._chat.jobs.job(number)
        self._people.record(f"cancel the job {number} ({job.kind})", job.person, note)
        return self._chat.jobs.cancel(number)

    def set_disabled(self, admin: str, name: str, is_disabled: bool, reason: str) -> None:
        """Keep somebody out or let them in again; raises NotFound."""
        self._people.set_disabled(name, is_disabled, self._note(admin, reason))

    def set_role(self, admin: str, name: str, role: Role, reason: str) -> None:
        """Give somebody the role; raises NotFound, and BadRequest where no admin would be left."""
        self._people.set_role(name, role, self._note(admin, reason))

    def set_quota(self, admin: str, name: str, quota: Quota, reason: str) -> None:
        """Keep no more than `quota` of what somebody says; raises NotFound."""
        self._people.set_quota(name, quota, self._note(admin, reason))

    def add(self, admin: str, name: str, password: str, reason: str) -> None:
        """Make an account with the role user."""
        self._people.add(name, password, "user", self._note(admin, reason))

    def _require(self, admin: str) -> None:
        if not self.is_admin(admin):
            raise Refused("That is for admins.")

    def _note(self, admin: str, reason: str) -> Note:
        self._require(admin)
        if not reason.strip():
            raise BadRequest("Say why: the reason is kept in the audit log.")
        # here, and not only where it is written: a reason that is none must come before anything is done
        return checked_note(Note(admin, reason))

    # how full

    def _is_measured(self, standing: Standing) -> bool:
        return self._fullness.get(standing.account.name, (0, None))[0] == standing.revision

    def _measure(self, standings: list[Standing]) -> None:
        """Look how full memories are, as many as there is time for; the others come at the next look."""
        until = time.monotonic() + MEASURING_S
        for standing in standings[:MEASURED_AT_ONCE]:
            name = standing.account.name
            try:
                self._fullness[name] = self._chat.fullness(name)
            except MemoryDamaged:
                self._fullness[name] = (standing.revision, None)
            if time.monotonic() > until:
                return

    def _person(self, standing: Standing) -> Person:
        if not standing.revision or not self._is_measured(standing):
            return Person(standing, None)
        _, fullness = self._fullness[standing.account.name]
        return Person(standing, fullness, is_damaged=fullness is None)
