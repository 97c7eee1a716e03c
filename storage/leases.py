"""Leases: of those who want to read a person's turns into memory, one does, and the others wait for it.

A lease spares double work and nothing more. What is saved is right without it, because `save_state` refuses
what was not made from what is there; so every doubt about a lease is decided for going on. One that stands in
the way is taken over

- at once, when its process was on this host and is gone: a restart after a kill waits for nothing;
- at once, when it has run out by the clock: its host is gone, or cannot reach the database;
- after LEASE_S seconds of this process's own time in which nobody renewed it, whatever the clock says.

The clock may jump. Forwards, a lease seems to have run out early, and two read for once. Backwards, it seems
to hold for hours or years, and the third rule ends it. A holder that lost its lease reads on: were it to stop
and wait, two hosts whose clocks differ would take the lease from each other for ever.
"""

import itertools
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, update

from storage.database import StoreUnavailable
from storage.tables import Lease, now
from storage.transactions import Database, owner

# How long a lease holds that nobody renews.
LEASE_S = 10.0
RENEW_S = LEASE_S / 4
POLL_S = 0.05

# Tells this process from an earlier one of the same number, as each first process of a container is.
_PROCESS = secrets.token_hex(8)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that somebody holds, as it was last renewed."""

    holder: str
    expires_at: datetime


class Leases(Database):
    """Who reads a person's turns at the moment."""

    @contextmanager
    def lease(self, user_id: int, while_waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Within the block, nobody else who asks for this person's lease gets it; waits until it is free.

        Args:
            while_waiting: called again and again while somebody else has it; what it raises ends the waiting.

        Raises:
            UnknownRow: there is no such person.
        """
        holder = f"{socket.gethostname()}/{os.getpid()}/{_PROCESS}/{next(_numbers)}"
        self._wait_for_lease(user_id, holder, while_waiting or (lambda: None))
        is_over = threading.Event()
        # beside the reading, because one turn may take longer than a lease holds
        renewing = threading.Thread(target=self._keep, args=(user_id, holder, is_over), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            is_over.set()
            renewing.join()
            # one that cannot be given back runs out
            with suppress(StoreUnavailable), self._writing() as tx:
                tx.execute(delete(Lease).where(Lease.user_id == user_id, Lease.holder == holder))

    def held_lease(self, user_id: int) -> Held | None:
        """Return the person's lease, None where nobody has one."""
        with self._reading() as tx:
            lease = tx.get(Lease, user_id)
            return Held(lease.holder, lease.expires_at) if lease else None

    def _wait_for_lease(self, user_id: int, holder: str, while_waiting: Callable[[], None]) -> None:
        watched, since = None, time.monotonic()
        while True:
            held = self.held_lease(user_id)
            if held != watched:
                watched, since = held, time.monotonic()
            is_silent = time.monotonic() - since >= LEASE_S
            if (is_silent or held is None or _has_ended(held)) and self._replace(user_id, held, holder):
                return
            while_waiting()
            time.sleep(POLL_S)

    def _replace(self, user_id: int, held: Held | None, holder: str) -> bool:
        """Give the lease to `holder`, if it still is what was seen of it; return whether it was."""
        with self._writing() as tx:
            owner(tx, user_id)
            lease = tx.get(Lease, user_id, with_for_update=True)
            if held != (Held(lease.holder, lease.expires_at) if lease else None):
                return False
            tx.merge(Lease(user_id=user_id, holder=holder, expires_at=_end()))
            return True

    def _keep(self, user_id: int, holder: str, is_over: threading.Event) -> None:
        """Renew the lease until it is over or somebody else's."""
        renewal = update(Lease).where(Lease.user_id == user_id, Lease.holder == holder)
        is_ours = True
        while is_ours and not is_over.wait(RENEW_S):
            # the next time may come before it runs out
            with suppress(StoreUnavailable), self._writing() as tx:
                is_ours = bool(tx.scalars(renewal.values(expires_at=_end()).returning(Lease.user_id)).all())


def _end() -> datetime:
    return now() + timedelta(seconds=LEASE_S)


def _has_ended(held: Held) -> bool:
    """Return whether the lease ran out by the clock, or was that of a process of this host that is gone."""
    return held.expires_at <= now() or _is_orphan(held.holder)


def _is_orphan(holder: str) -> bool:
    host, pid, process, _ = holder.split("/")
    # elsewhere, signal 0 is not a question
    if host != socket.gethostname() or os.name != "posix":
        return False
    if int(pid) == os.getpid():
        return process != _PROCESS
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        # somebody else's process is one
        return False
    return False
