"""The errors a person may read, and the one place where the errors of the lower packages become one of them.

    RemanenceError
    ├── BadRequest          the caller's mistake                                      HTTP 400
    │   ├── NotFound        no such person, session or file                           HTTP 404
    │   ├── TooLong         more text than a message may hold                         HTTP 413
    │   ├── Refused         what this person may not do, or no more of                HTTP 403
    │   │   ├── NotLoggedIn     a password, cookie or token that lets nobody in       HTTP 401
    │   │   └── TooManyTries    logging in failed too often                           HTTP 429
    │   └── SettingsError   a setting that is unknown or has a bad value
    ├── ReplyFailed         a reply that broke off, and can be tried again            HTTP 500
    ├── Cancelled           work that somebody who may do so has stopped              HTTP 409
    └── Unavailable         a database, model or generator that cannot be used now    HTTP 503
        └── MemoryDamaged   a saved memory that cannot be trusted

Every message is one sentence. The terminal prints it and exits with `exit_code`; the page and the API show
it. Anything that is not a `RemanenceError` is a defect of ours and belongs, with its traceback, in the log.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class RemanenceError(Exception):
    """One sentence that a person may read."""

    exit_code: ClassVar[int] = 2
    http_status: ClassVar[int] = 500


class BadRequest(RemanenceError):
    """The caller asked for something that cannot be done as asked."""

    http_status = 400


class NotFound(BadRequest):
    """What was named does not exist, or belongs to somebody else."""

    http_status = 404


class TooLong(BadRequest):
    """The text is longer than a message may be."""

    http_status = 413


class Refused(BadRequest):
    """The person may not do that, or has done as much of it as the quota lets them."""

    http_status = 403


class NotLoggedIn(Refused):
    """Whoever asks is not known, or the password is not the right one."""

    http_status = 401


class TooManyTries(Refused):
    """Logging in failed too often of late, under this name or from this address."""

    http_status = 429


class SettingsError(BadRequest):
    """A setting is unknown or has a bad value; the message names it."""


class ReplyFailed(RemanenceError):
    """The model failed within a reply, which is a defect and stands in the log; the message is not lost.

    Attributes:
        session_id: the session in which the turn is stored as failed; None in a temporary chat.
    """

    exit_code = 1

    def __init__(self, session_id: int | None) -> None:
        super().__init__("The reply broke off, and the log in the data folder says why; try again.")
        self.session_id = session_id


class Cancelled(RemanenceError):
    """The work was stopped before it was done, by whom it is done for or by an admin."""

    http_status = 409


class Unavailable(RemanenceError):
    """Something that Remanence stands on cannot be used; the message says what to mend."""

    http_status = 503


class MemoryDamaged(Unavailable):
    """A saved memory cannot be trusted; what the person said is safe, and the memory can be made from it."""


# By name, so that showing an error never waits for torch to be imported.
TRANSLATIONS: dict[str, type[RemanenceError]] = {
    "memory.generator.GeneratorMismatch": Unavailable,
    "memory.generator.GeneratorUnavailable": Unavailable,
    "memory.hub.Missing": Unavailable,
    "memory.state.DamagedState": MemoryDamaged,
    "model.base.ModelUnavailable": Unavailable,
    "model.lora.NothingToExport": BadRequest,
    "storage.backup.BackupRefused": BadRequest,
    "storage.database.StoreUnavailable": Unavailable,
    "storage.rows.BadName": BadRequest,
    "storage.rows.LastAdmin": BadRequest,
    "storage.rows.NameTaken": BadRequest,
    "storage.rows.StaleState": Unavailable,
    "storage.rows.UnknownRow": NotFound,
}


def translated_class(error: BaseException) -> type[RemanenceError] | None:
    """Return what `error` is for a person, None where it is not an error of the lower packages."""
    for cls in type(error).__mro__:
        if found := TRANSLATIONS.get(f"{cls.__module__}.{cls.__qualname__}"):
            return found
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Let an error of memory, model or storage leave the block as the `RemanenceError` that stands for it."""
    try:
        yield
    except Exception as error:
        if (cls := translated_class(error)) is None:
            raise
        raise cls(str(error)) from error
