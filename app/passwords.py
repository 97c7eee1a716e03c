"""Passwords and what stands for them: argon2 hashes, random cookies and tokens, and SHA-256 of those.

A password has 8 to 1,024 characters; what a keyboard sends for the same character in several ways counts as
the same (NFKC). Checking takes as long for a name that nobody has as for one that somebody has.
"""

import hashlib
import secrets
import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import BadRequest

MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_CHARS = 1024
TOKEN_PREFIX = "rmn_"

HASHER = PasswordHasher()
# Each hash takes 64 MiB and several cores: a flood of logins waits instead of taking the machine.
_hashing = threading.BoundedSemaphore(2)


def hash_password(password: str) -> str:
    """Return the hash that `password` is kept as; raises BadRequest where it cannot be a password."""
    if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
        rule = f"{MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS:,} characters"
        raise BadRequest(f"A password has {rule}, got {len(password):,}.")
    try:
        normal = _normal(password)
    except UnicodeEncodeError as exc:
        raise BadRequest("The password is not text.") from exc
    with _hashing:
        return HASHER.hash(normal)


def is_password(password: str, password_hash: str | None) -> bool:
    """Return whether `password_hash` was made from `password`; without a hash False, and as slowly."""
    try:
        normal = _normal(password[: MAX_PASSWORD_CHARS + 1])
    except UnicodeEncodeError:
        normal = b""
    with _hashing:
        try:
            return HASHER.verify(password_hash or _nobody(HASHER), normal) and password_hash is not None
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(password_hash: str) -> bool:
    """Return whether a hash made today would be made otherwise."""
    return HASHER.check_needs_rehash(password_hash)


def new_secret() -> str:
    """Return what nobody can guess: 256 random bits, for a cookie or a token."""
    return secrets.token_urlsafe(32)


def fingerprint(secret: str) -> str:
    """Return what is kept of a cookie or a token: its SHA-256, enough for what cannot be guessed."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _normal(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password).encode("utf-8")


@cache
def _nobody(hasher: PasswordHasher) -> str:
    """A hash of nobody's password."""
    return hasher.hash(secrets.token_bytes(32))
