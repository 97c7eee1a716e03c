"""What happened since the start, in numbers: how much was answered, read and refused, and nobody's words."""

import threading
from typing import Literal, get_args

from storage.tables import now

Counted = Literal[
    "replies", "replies_failed", "prompt_tokens", "reply_tokens", "readings", "jobs_failed", "logins_refused"
]


class Counters:
    """Counts of this process; safe to share between threads."""

    def __init__(self) -> None:
        self.since = now()
        self._lock = threading.Lock()
        self._counts: dict[Counted, int] = dict.fromkeys(get_args(Counted), 0)

    def add(self, what: Counted, number: int = 1) -> None:
        """Count `number` more of `what`."""
        with self._lock:
            self._counts[what] += number

    def counts(self) -> dict[Counted, int]:
        """Return all counts, zeros too."""
        with self._lock:
            return dict(self._counts)
