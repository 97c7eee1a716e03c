"""Leases: one reads, the others wait, and neither a kill nor a clock keeps anybody waiting for long."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

import storage.leases
from storage.rows import UnknownRow
from storage.store import Store
from tests.databases import execute

ELSEWHERE = "another.host/1/abc/1"

HOLD = """if True:
    import sys, time
    from storage.store import Store
    store = Store.open(sys.argv[1])
    with store.lease(1):
        print("held", flush=True)
        time.sleep(600)
"""


@pytest.fixture
def anna(store: Store) -> int:
    """Somebody whose turns may be read."""
    return store.add_user("anna").id


def put(database: str, user_id: int, holder: str, expires_at: datetime) -> None:
    """Write a lease behind the store's back."""
    execute(
        database,
        "INSERT INTO leases (user_id, holder, expires_at) VALUES (:user_id, :holder, :expires_at)"
        " ON CONFLICT (user_id) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at",
        user_id=user_id,
        holder=holder,
        expires_at=f"{expires_at.replace(tzinfo=None)}",
    )


def lasts(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let a lease hold for so long, and be renewed as often as ever."""
    monkeypatch.setattr(storage.leases, "LEASE_S", seconds)
    monkeypatch.setattr(storage.leases, "RENEW_S", seconds / 4)


def is_free(store: Store, user_id: int) -> bool:
    """Whether the lease can be had at once."""
    with waiting(store, user_id) as has_it:
        return has_it.wait(timeout=5)


@contextmanager
def waiting(store: Store, user_id: int) -> Iterator[threading.Event]:
    """Within the block, somebody else wants the lease; yields what is set once it was had."""
    has_it = threading.Event()

    def want() -> None:
        with store.lease(user_id):
            has_it.set()

    thread = threading.Thread(target=want)
    thread.start()
    yield has_it
    thread.join()


def test_one_reads_and_the_others_wait(store: Store, anna: int) -> None:
    """Whoever has the lease is alone with it; other people's are theirs; at the end none is left."""
    bob = store.add_user("bob").id
    events: list[str] = []

    def read(name: str) -> None:
        with store.lease(anna), store.lease(bob) if name == "a" else ExitStack():
            events.append(name)
            time.sleep(0.1)
            events.append(name)

    threads = [threading.Thread(target=read, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events) == 6
    assert events[::2] == events[1::2]
    assert store.held_lease(anna) is None


def test_a_lease_ends_with_the_process_that_has_it(
    store: Store, anna: int, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it lives it is waited for; after a kill no more, however long its lease would hold."""
    lasts(monkeypatch, 600)
    with subprocess.Popen([sys.executable, "-c", HOLD, database], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with waiting(store, anna) as has_it:
            assert not has_it.wait(timeout=0.5)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert has_it.wait(timeout=30)


def test_a_lease_of_an_earlier_process_of_the_same_number_is_none(
    store: Store, anna: int, database: str
) -> None:
    """In a container every start may have process number 1."""
    holder = f"{socket.gethostname()}/{storage.leases.os.getpid()}/before/1"
    put(database, anna, holder, datetime.now(UTC) + timedelta(days=1))
    assert is_free(store, anna)


def test_a_lease_that_ran_out_is_none(store: Store, anna: int, database: str) -> None:
    """That of a host that is gone."""
    put(database, anna, ELSEWHERE, datetime.now(UTC) - timedelta(seconds=1))
    assert is_free(store, anna)


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400)])
def test_no_jump_of_the_clock_locks_anybody_out(
    jump: timedelta, store: Store, anna: int, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease written before the jump seems to have run out, or to hold for a year: it ends all the same."""
    lasts(monkeypatch, 1)
    put(database, anna, ELSEWHERE, datetime.now(UTC) + timedelta(seconds=1))
    monkeypatch.setattr(storage.leases, "now", lambda: datetime.now(UTC) + jump)
    assert is_free(store, anna)


def test_a_lease_that_is_renewed_is_waited_for_whatever_the_clock_says(
    store: Store, anna: int, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the holder's clock is far ahead: until it has been silent for as long as a lease holds."""
    lasts(monkeypatch, 10)
    renewals, seconds = 15, 0

    def renew() -> None:
        put(database, anna, ELSEWHERE, datetime.now(UTC) + timedelta(days=400, seconds=seconds))

    def a_second_passes(_: float) -> None:
        nonlocal seconds
        seconds += 1
        if seconds <= renewals:
            renew()

    renew()
    monkeypatch.setattr(
        storage.leases, "time", SimpleNamespace(monotonic=lambda: seconds, sleep=a_second_passes)
    )
    with store.lease(anna):
        assert seconds == renewals + 10


def test_whoever_waits_can_give_up(store: Store, anna: int, database: str) -> None:
    """What is called meanwhile ends it, and the lease stays whose it is; it is not called without need."""
    put(database, anna, ELSEWHERE, datetime.now(UTC) + timedelta(days=1))

    def give_up() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError), store.lease(anna, give_up):
        pass
    held = store.held_lease(anna)
    assert held is not None
    assert held.holder == ELSEWHERE
    put(database, anna, ELSEWHERE, datetime.now(UTC) - timedelta(seconds=1))
    with store.lease(anna, give_up):
        pass


def test_a_lease_is_renewed_while_its_holder_is_busy(
    store: Store, anna: int, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a turn takes long; one that was taken away is left to who has it."""
    lasts(monkeypatch, 2)
    with store.lease(anna):
        first = store.held_lease(anna)
        deadline = time.monotonic() + 30
        while store.held_lease(anna) == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        put(database, anna, ELSEWHERE, datetime.now(UTC) + timedelta(seconds=60))
        theirs = store.held_lease(anna)
        time.sleep(2 * storage.leases.RENEW_S)
    assert store.held_lease(anna) == theirs


def test_nobody_reads_for_nobody(store: Store) -> None:
    """There is no lease without a person."""
    with pytest.raises(UnknownRow, match="no user 1"), store.lease(1):
        pass
