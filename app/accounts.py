"""Accounts: who comes in and how, roles, rights, quotas, and the log of what was done to whom.

The store's own records decide between two modes.

- *Open*: nobody has a password. A name is all it takes, and whoever comes first exists from then on. That is
  for one machine: the server listens on loopback addresses only, and whoever can use the machine can be
  anybody. Who logs in with a password of their own choice becomes the first admin and closes it.
- *Closed*: somebody has a password. Only a name with its password, or a token, lets anybody in, nobody comes
  into being by logging in, and there is no way back.

Promised in a closed server: what is kept of passwords, cookies and tokens is a hash; disabling an account or
changing its password ends every login and token of it at once; so many failed logins under one name, or from
one network, within `TRIES_COUNT_FOR` and no more; what an admin does to an account stands in the audit log
or did not happen; an admin does not read what others say without a right of its own, and not unseen. Who can
write to the database file, or run commands on the machine, is above all that.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Unpack, get_args

from app import passwords
from app.errors import BadRequest, NotFound, NotLoggedIn, Refused, TooManyTries, translated
from storage.accounts import Changes
from storage.rows import (
    COMMAND_LINE,
    AccountRow,
    AuditRow,
    BadName,
    NameTaken,
    Note,
    Standing,
    TokenRow,
    TurnRow,
    UnknownRow,
    Visit,
)
from storage.store import Store
from storage.tables import Role, now

Scope = Literal["chat", "memory"]

TRIES_COUNT_FOR = timedelta(minutes=15)
MAX_TRIES_OF_NAME = 10
MAX_TRIES_OF_NETWORK = 50
MAX_REASON_CHARS = 500
# What stands for a space in text that was copied from a web page or typed in French.
NO_BREAK_SPACES = str.maketrans("\u00a0\u202f", "  ")
WRONG = "The name or the password is not right."


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a person is kept, or may be: turns, and bytes of what they said; None for any amount."""

    turns: int | None
    bytes: int | None


class People:
    """The accounts of a store, and the rules about them; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # coming in

    @translated()
    def is_closed(self) -> bool:
        """Return whether it takes a password to come in."""
        return self._store.is_closed()

    @translated()
    def log_in(self, name: str, password: str | None, address: str) -> tuple[str, str]:
        """Return the person's name and a new cookie.

        Args:
            password: in an open server, one makes the person its first admin.
            address: where the request comes from.

        Raises:
            BadRequest: nobody can be called `name`, or that cannot be a password.
            NotLoggedIn: nobody comes in like this.
            TooManyTries: it failed too often.
        """
        kept: str | None
        if self._store.is_closed():
            account, kept = self._authenticate(name, password or "", address)
        else:
            account, kept = self._welcome(name, password or None)
        cookie = passwords.new_secret()
        try:
            self._store.add_login(account.id, passwords.fingerprint(cookie), kept)
        except UnknownRow as exc:
            raise NotLoggedIn(WRONG) from exc
        return account.name, cookie

    def _authenticate(self, name: str, password: str, address: str) -> tuple[AccountRow, str]:
        """Return the account and the hash of its password, if that is `password`."""
        # before the password is looked at, so that many tries at once are all counted
        attempt = self._store.begin_attempt(
            hashlib.sha256(name.encode("utf-8", "replace")).hexdigest(),
            network(address),
            now() - TRIES_COUNT_FOR,
            MAX_TRIES_OF_NAME,
            MAX_TRIES_OF_NETWORK,
        )
        if attempt is None:
            raise TooManyTries("That failed too often: try again in a quarter of an hour.")
        account = None
        with suppress(BadName):
            account = self._store.find_account(name)
        kept = self._store.password_hash(account.id) if account else None
        if (
            not passwords.is_password(password, kept)
            or account is None
            or kept is None
            or account.is_disabled
        ):
            raise NotLoggedIn(WRONG)
        self._store.end_attempt(attempt)
        if passwords.is_outdated(kept):
            renewed = passwords.hash_password(password)
            self._store.renew_hash(account.id, kept, renewed)
            kept = renewed
        return account, kept

    def _welcome(self, name: str, password: str | None) -> tuple[AccountRow, str | None]:
        """Return the account of the person, who exists from now on, and the hash of their password."""
        new_hash = None if password is None else passwords.hash_password(password)
        with suppress(NameTaken):
            if self._store.find_account(name) is None:
                self._store.add_user(name)
        account = self.account(name)
        if account.is_disabled:
            raise NotLoggedIn(f"The account of {name} is disabled.")
        if new_hash is None:
            return account, None
        admin = self._store.make_first_admin(account.id, new_hash, Note(name, "first visit"))
        if admin is None:
            raise NotLoggedIn("Somebody else was first: ask them for an account.")
        return admin, new_hash

    @translated()
    def visit(self, cookie: str | None, token: str | None) -> Visit:
        """Return who sends a request with this cookie or, where there is one, this token."""
        if token is not None:
            return self._store.visit_by_token(passwords.fingerprint(token))
        return self._store.visit_by_cookie(passwords.fingerprint(cookie) if cookie else None)

    @translated()
    def log_out(self, cookie: str) -> None:
        """Make the cookie worthless."""
        self._store.end_login(passwords.fingerprint(cookie))

    @translated()
    def log_out_everywhere(self, name: str, note: Note | None = None) -> int:
        """Make every cookie of the person worthless, and return how many there were; raises NotFound."""
        return self._store.end_logins(self.account(name).id, note and checked_note(note))

    @translated()
    def change_own_password(self, name: str, old: str, new: str, address: str) -> None:
        """Give the person another password, which ends their logins and tokens.

        Raises:
            NotLoggedIn, TooManyTries: `old` is not the password, or was wrong too often.
            BadRequest: `new` cannot be a password.
        """
        account, _ = self._authenticate(name, old, address)
        new_hash = passwords.hash_password(new)
        self._store.change_account(account.id, "change the password", Note(name), password_hash=new_hash)

    # what a person may do

    @translated()
    def require_enabled(self, name: str) -> AccountRow:
        """Return the account; raises Refused where it is disabled."""
        account = self.account(name)
        if account.is_disabled:
            raise Refused(f"The account of {name} is disabled.")
        return account

    @translated()
    def require_room(self, name: str, text: str, *, new_turns: int) -> None:
        """Raise Refused where the person would go beyond the quota, or is beyond it, by saying `text`.

        Args:
            new_turns: how many turns are added; 0 where one is replaced.
        """
        account = self.account(name)
        if account.max_turns is None and account.max_bytes is None:
            return
        turns, num_bytes = self._store.said(account.id)
        if account.max_turns is not None and new_turns and turns + new_turns > account.max_turns:
            raise Refused(f"{name} may store {account.max_turns:,} turns and has stored {turns:,}.")
        if account.max_bytes is not None and num_bytes + len(text.encode("utf-8")) > account.max_bytes:
            raise Refused(f"{name} may store {account.max_bytes:,} bytes and has stored {num_bytes:,}.")

    @translated()
    def read_others(self, reader: str, name: str, reason: str) -> list[TurnRow]:
        """Return all that the person called `name` said, which is logged together with `reason`.

        Raises:
            Refused: the reader is not an admin with the right to do so.
            BadRequest: there is no reason.
            NotFound: there is no such person.
        """
        account = self.require_enabled(reader)
        if account.role != "admin" or not account.may_read_others:
            raise Refused(f"{reader} may not read what others said.")
        note = checked_note(Note(reader, reason))
        if not note.reason:
            raise BadRequest("Say why you read what somebody else said.")
        return self._store.read_others(account.id, name, note.reason)

    # what is done to accounts

    @translated()
    def account(self, name: str) -> AccountRow:
        """Return the account; raises NotFound, and BadRequest where nobody can be called `name`."""
        account = self._store.find_account(name)
        if account is None:
            raise NotFound(f"There is nobody called {name!r} here.")
        return account

    @translated()
    def accounts(self) -> list[AccountRow]:
        """Return everybody, by name."""
        return self._store.accounts()

    @translated()
    def standings(self, search: str, limit: int) -> list[Standing]:
        """Return in numbers the first `limit` people whose names hold `search`, by name."""
        return self._store.standings(search, limit)

    @translated()
    def standing(self, name: str) -> Standing:
        """Return the person in numbers; raises NotFound."""
        return self._store.standing(self.account(name).id)

    @translated()
    def stored(self, name: str) -> Quota:
        """Return how much of the person is stored, in what quotas count by; raises NotFound."""
        return Quota(*self._store.said(self.account(name).id))

    @translated()
    def add(self, name: str, password: str, role: Role, note: Note) -> AccountRow:
        """Return a new account; raises BadRequest, also where the first of all is not an admin's."""
        return self._store.add_account(name, role, passwords.hash_password(password), checked_note(note))

    @translated()
    def set_password(self, name: str, password: str, note: Note) -> AccountRow:
        """Give the person this password, which ends their logins and tokens; raises BadRequest, NotFound."""
        new_hash = passwords.hash_password(password)
        return self._change(name, "set the password", note, password_hash=new_hash)

    @translated()
    def change(
        self,
        name: str,
        note: Note,
        *,
        role: Role | None = None,
        is_disabled: bool | None = None,
        quota: Quota | None = None,
    ) -> AccountRow:
        """Return the account after all the changes that are given, or, where one cannot be, after none.

        Args:
            role: to be had from now on.
            is_disabled: whether to keep the person out, ending every login and token, or let them in again.
            quota: how much of what the person says is kept.

        Raises:
            NotFound: there is no such person.
            BadRequest: no admin would be left, or the quota cannot be one.
        """
        actions: list[str] = []
        changes: Changes = {}
        if role is not None:
            actions.append(f"give the role {role}")
            changes["role"] = role
        if is_disabled is not None:
            actions.append("disable" if is_disabled else "enable")
            changes["is_disabled"] = is_disabled
        if quota is not None:
            if any(limit is not None and not 0 <= limit < 2**31 for limit in (quota.turns, quota.bytes)):
                raise BadRequest("A quota is a number from 0 to 2,147,483,647.")
            actions.append(f"set the quota to {_told(quota.turns)} turns and {_told(quota.bytes)} bytes")
            changes["max_turns"], changes["max_bytes"] = quota.turns, quota.bytes
        if not actions:
            return self.account(name)
        return self._change(name, "; ".join(actions), note, **changes)

    def set_disabled(self, name: str, is_disabled: bool, note: Note) -> AccountRow:
        """Keep the person out, ending every login and token, or let them in again; raises NotFound."""
        return self.change(name, note, is_disabled=is_disabled)

    def set_role(self, name: str, role: Role, note: Note) -> AccountRow:
        """Give the person the role; raises NotFound, and BadRequest where no admin would be left."""
        return self.change(name, note, role=role)

    def set_quota(self, name: str, quota: Quota, note: Note) -> AccountRow:
        """Keep no more than `quota` of what the person says; raises NotFound and BadRequest."""
        return self.change(name, note, quota=quota)

    @translated()
    def set_right(self, name: str, may_read_others: bool, note: Note) -> AccountRow:
        """Let the person, if an admin, read what others said, or no longer; raises NotFound."""
        action = "give the right to read others" if may_read_others else "take the right to read others"
        return self._change(name, action, note, may_read_others=may_read_others)

    def _change(self, name: str, action: str, note: Note, **changes: Unpack[Changes]) -> AccountRow:
        return self._store.change_account(self.account(name).id, action, checked_note(note), **changes)

    # tokens

    @translated()
    def add_token(
        self, name: str, token_name: str, scopes: Sequence[str], note: Note
    ) -> tuple[str, TokenRow]:
        """Return a new token, which is not shown again, and what is known of it.

        Raises:
            BadRequest: a scope is none of ours, there is none, or the token cannot be called `token_name`.
            NotFound: there is no such person.
        """
        known = get_args(Scope)
        if not scopes or not set(scopes) <= set(known):
            got = ", ".join(scopes) or "none"
            raise BadRequest(f"The scopes of a token are {' and '.join(known)}, got {got}.")
        token = passwords.TOKEN_PREFIX + passwords.new_secret()
        row = self._store.add_token(
            self.account(name).id,
            token_name,
            passwords.fingerprint(token),
            " ".join(sorted(set(scopes))),
            checked_note(note),
        )
        return token, row

    @translated()
    def tokens(self, name: str) -> list[TokenRow]:
        """Return the person's tokens, oldest first; raises NotFound."""
        return self._store.tokens(self.account(name).id)

    @translated()
    def revoke_token(self, name: str, token_id: int, note: Note) -> TokenRow:
        """Make a token of the person worthless; raises NotFound."""
        return self._store.revoke_token(self.account(name).id, token_id, checked_note(note))

    # the audit log

    @translated()
    def record(self, action: str, subject: str, note: Note) -> None:
        """Write into the audit log what is not done here; neither part holds anybody's words."""
        self._store.record(checked_note(note), action, subject)

    @translated()
    def audit(self, subject: str | None = None, limit: int | None = None) -> list[AuditRow]:
        """Return the audit log, newest first: all of it, or `limit` rows, or what was done to `subject`."""
        return self._store.audit(subject, limit)


def is_admin(account: AccountRow) -> bool:
    """Return whether whoever comes in by this account is an admin.

    Without a password nobody is, whatever the role: in an open server anybody could come in by that name.
    """
    return account.role == "admin" and account.has_password and not account.is_disabled


def from_command_line(reason: str = "") -> Note:
    """Return the note on what is done by whoever may run commands on this machine."""
    return Note(COMMAND_LINE, reason)


def network(address: str) -> str:
    """Return what tries are counted by: an IPv4 address, or the network that an IPv6 one is in (/64)."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))


def checked_note(note: Note) -> Note:
    """Return `note` as the audit log takes it; raises BadRequest."""
    reason = note.reason.translate(NO_BREAK_SPACES).strip()
    if len(reason) > MAX_REASON_CHARS or not (reason.isprintable() or not reason):
        raise BadRequest(f"A reason is one line of at most {MAX_REASON_CHARS} characters.")
    return Note(note.actor, reason)


def _told(limit: int | None) -> str:
    return "any number of" if limit is None else f"{limit:,}"
