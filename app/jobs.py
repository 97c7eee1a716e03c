"""Jobs: readings of memory that take long, how far each is, and stopping them.

A job is what one process does of its own for one person. It stands here while it waits and runs, and for a
while after. It ends with its process, and what it does need not: a reading goes on at the next start. It is
stopped between two turns, or while it waits for somebody else who reads the same turns. Whoever asks names a
person and finds that person's jobs only, or is an admin.
"""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from app.counters import Counters
from app.errors import Cancelled, NotFound, RemanenceError, Unavailable, translated
from app.recollection import OnTurn
from storage.tables import now

log = logging.getLogger(__name__)

Kind = Literal["read", "rebuild", "forget", "verify"]
State = Literal["waiting", "running", "done", "cancelled", "failed"]

# Jobs that are remembered after their end, the last ones.
MAX_ENDED = 100

CANCELLED: dict[Kind, str] = {
    "read": "The reading was cancelled; it goes on when the memory is next used.",
    "rebuild": "The rebuild was cancelled; the memory is as it was.",
    "forget": "It is forgotten; reading the rest was cancelled, and goes on when the memory is next used.",
    "verify": "The comparison was cancelled.",
}
ENDING = "Remanence is ending; the reading goes on at its next start."
DEFECT = "Something went wrong that should not; the log in the data folder says what."


@dataclass(frozen=True, slots=True)
class Job:
    """A reading of one person's turns.

    Attributes:
        id: given once in a process.
        person: name of whose turns they are.
        done, total: turns read so far, and how many there were to read when it was asked for.
        sentence: why it ended without being done.
    """

    id: int
    kind: Kind
    person: str
    total: int
    asked_at: datetime
    state: State = "waiting"
    done: int = 0
    ended_at: datetime | None = None
    sentence: str = ""

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total else float(self.state == "done")


class Jobs:
    """The jobs of this process; safe to share between threads. Those in the background run one by one."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._active: dict[int, Job] = {}
        self._ended: deque[Job] = deque(maxlen=MAX_ENDED)
        # of those that run
        self._cancelled: set[int] = set()
        self._is_closing = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="memory")

    def listed(self, person: str | None = None) -> list[Job]:
        """Return the jobs of `person`, or everybody's, the newest first."""
        with self._lock:
            found = [job for job in (*self._active.values(), *self._ended) if person in (None, job.person)]
        return sorted(found, key=lambda job: job.id, reverse=True)

    def job(self, number: int, person: str | None = None) -> Job:
        """Return the job of that number, of `person` or of anybody; raises NotFound."""
        for job in self.listed(person):
            if job.id == number:
                return job
        raise NotFound(f"There is no job number {number}.")

    def start(self, kind: Kind, person: str, total: int, work: Callable[[OnTurn], Any]) -> Job:
        """Return the job that does `work` in the background, one that waits already for the same if there is.

        Args:
            work: calls what it is given as `OnTurn` says, and lets through what that raises.

        Raises:
            Unavailable: this process is ending.
        """
        with self._lock:
            for job in self._active.values():
                if (job.kind, job.person, job.state) == (kind, person, "waiting"):
                    return job
            if self._is_closing:
                raise Unavailable(ENDING)
            job = self._add(kind, person, total, "waiting")
            self._worker.submit(self._run, job.id, work)
            return job

    @contextmanager
    def running(self, kind: Kind, person: str, total: int, on_turn: OnTurn | None = None) -> Iterator[OnTurn]:
        """Within the block, a job that this thread does.

        Args:
            on_turn: called after each turn too.

        Yields:
            what the block calls as `OnTurn` says; it raises Cancelled where somebody cancels the job.
        """
        with self._lock:
            job = self._add(kind, person, total, "running")
        with self._doing(job.id, on_turn) as told:
            yield told

    def cancel(self, number: int, person: str | None = None) -> Job:
        """Stop the job at its next turn, and others for the same person and of its kind: they would go on.

        Args:
            person: who may cancel their own only; None for who may cancel any.

        Returns:
            the job, which has ended if it was waiting or had ended before.

        Raises:
            NotFound: there is no such job of the person.
        """
        job = self.job(number, person)
        with self._lock:
            if job.id not in self._active:
                return job
            same = [j for j in self._active.values() if (j.kind, j.person) == (job.kind, job.person)]
            ended = {
                j.id: self._end(j.id, "cancelled", CANCELLED[j.kind]) for j in same if j.state == "waiting"
            }
            self._cancelled.update(j.id for j in same if j.state == "running")
            return ended.get(job.id) or self._active[job.id]

    def close(self) -> None:
        """Stop what runs in the background, unless the present turn is its last, and wait for it."""
        with self._lock:
            self._is_closing = True
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _add(self, kind: Kind, person: str, total: int, state: State) -> Job:
        job = Job(next(self._numbers), kind, person, total, now(), state)
        self._active[job.id] = job
        return job

    def _run(self, number: int, work: Callable[[OnTurn], Any]) -> None:
        """Do a job in the background, where nobody hears of its errors but the log and who looks at it."""
        with self._lock:
            if number not in self._active:
                return
            job = self._active[number] = replace(self._active[number], state="running")

        def stop_at_the_end(done: int) -> None:
            if self._is_closing and done < job.total:
                raise Unavailable(ENDING)

        try:
            with self._doing(number, stop_at_the_end) as told:
                work(told)
        except RemanenceError as error:
            log.warning("job %d ended: %s", number, error)
        except Exception:
            log.exception("job %d failed; what it was to read is read when the memory is next used", number)

    @contextmanager
    def _doing(self, number: int, on_turn: OnTurn | None = None) -> Iterator[OnTurn]:
        """Within the block, the job runs, and ends as the block does."""

        def told(done: int) -> None:
            self._note(number, done)
            if on_turn is not None:
                on_turn(done)

        state: State = "failed"
        sentence = DEFECT
        try:
            with translated():
                yield told
            state, sentence = "done", ""
        except RemanenceError as error:
            state, sentence = "cancelled" if isinstance(error, Cancelled) else "failed", str(error)
            raise
        finally:
            with self._lock:
                self._end(number, state, sentence)

    def _note(self, number: int, done: int) -> None:
        """Note how far the job is; raises where it is not to go on."""
        with self._lock:
            job = self._active[number] = replace(self._active[number], done=done)
            if number in self._cancelled:
                raise Cancelled(CANCELLED[job.kind])
            # whoever waits for somebody else has no turn to finish
            if done == 0 and self._is_closing:
                raise Unavailable(ENDING)

    def _end(self, number: int, state: State, sentence: str) -> Job:
        self._cancelled.discard(number)
        job = replace(self._active.pop(number), state=state, ended_at=now(), sentence=sentence)
        if state == "failed":
            self._counters.add("jobs_failed")
        # after every reply there is one, and nothing to say about it
        if (job.kind, state) == ("read", "done"):
            self._counters.add("readings")
        else:
            self._ended.append(job)
        return job
