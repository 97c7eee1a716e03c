"""Who holds a cookie or a token, and how often logging in was tried; only hashes of what was handed out.

A login lasts `LOGIN_LASTS` and ends sooner when it is not used for `LOGIN_RESTS`. That it was used is written
down at most once in `NOTICED_EVERY`, so that reading a page does not write to the database.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, exists, func, orm, select, update

from storage.rows import AccountRow, Note, TokenRow, UnknownRow, Visit, row
from storage.tables import Login, LoginAttempt, Token, User, now
from storage.transactions import Database, checked, owner, write_audit

LOGIN_LASTS = timedelta(days=30)
LOGIN_RESTS = timedelta(days=7)
NOTICED_EVERY = timedelta(hours=1)


class Logins(Database):
    """Logins, tokens, and tries to log in."""

    def is_closed(self) -> bool:
        """Return whether anybody has a password, so that a name alone lets nobody in."""
        with self._reading() as tx:
            return anybody_has_password(tx)

    def add_login(self, user_id: int, token_hash: str, password_hash: str | None) -> None:
        """Let who holds the cookie of this hash be the person.

        Args:
            password_hash: what the password that was shown was compared with.

        Raises:
            UnknownRow: there is no such person, or by now another password or a disabled account.
        """
        at = now()
        with self._writing() as tx:
            tx.execute(delete(Login).where(Login.expires_at <= at))
            user = owner(tx, user_id)
            if user.is_disabled or user.password_hash != password_hash:
                raise UnknownRow(f"The account {user_id} has changed.")
            tx.add(
                Login(
                    user_id=user_id,
                    token_hash=token_hash,
                    created_at=at,
                    expires_at=at + LOGIN_RESTS,
                    last_seen=at,
                )
            )

    def visit_by_cookie(self, token_hash: str | None) -> Visit:
        """Return who holds the cookie of this hash: nobody once it has expired or the account is disabled."""
        at = now()
        query = select(Login, User).join(User, User.id == Login.user_id).where(Login.token_hash == token_hash)
        with self._reading() as tx:
            is_closed = anybody_has_password(tx)
            found = tx.execute(query).one_or_none() if token_hash else None
            if found is None or found[0].expires_at <= at or found[1].is_disabled:
                return Visit(is_closed, None, None)
            login, user = found
            if is_closed and not user.has_password:
                return Visit(is_closed, None, None)
            visit = Visit(is_closed, row(AccountRow, user), None)
            was_noticed = login.last_seen + NOTICED_EVERY > at
            expires_at = min(at + LOGIN_RESTS, login.created_at + LOGIN_LASTS)
        if not was_noticed:
            seen = update(Login).where(Login.token_hash == token_hash)
            with self._writing() as tx:
                tx.execute(seen.values(last_seen=at, expires_at=expires_at))
        return visit

    def visit_by_token(self, token_hash: str) -> Visit:
        """Return who holds the token of this hash: nobody once it is revoked or the account is disabled."""
        at = now()
        query = select(Token, User).join(User, User.id == Token.user_id).where(Token.token_hash == token_hash)
        with self._reading() as tx:
            is_closed = anybody_has_password(tx)
            found = tx.execute(query).one_or_none()
            if found is None or found[0].revoked_at is not None or found[1].is_disabled:
                return Visit(is_closed, None, None)
            token, user = found
            visit = Visit(is_closed, row(AccountRow, user), frozenset(token.scopes.split()))
            was_noticed = token.last_used_at is not None and token.last_used_at + NOTICED_EVERY > at
        if not was_noticed:
            with self._writing() as tx:
                tx.execute(update(Token).where(Token.token_hash == token_hash).values(last_used_at=at))
        return visit

    def end_login(self, token_hash: str) -> None:
        """Make the cookie of this hash worthless."""
        with self._writing() as tx:
            tx.execute(delete(Login).where(Login.token_hash == token_hash))

    def end_logins(self, user_id: int, note: Note | None = None) -> int:
        """Make every cookie of the person worthless, and return how many there were.

        Args:
            note: where somebody else does it: who and why, for the audit log.
        """
        with self._writing() as tx:
            user = owner(tx, user_id)
            ended = tx.scalars(delete(Login).where(Login.user_id == user_id).returning(Login.id)).all()
            if note is not None:
                write_audit(tx, note, "log out everywhere", user.name)
            return len(ended)

    def add_token(self, user_id: int, name: str, token_hash: str, scopes: str, note: Note) -> TokenRow:
        """Let who shows the token of this hash be the person, as far as `scopes` go; raises BadName."""
        with self._writing() as tx:
            user = owner(tx, user_id)
            token = Token(user_id=user_id, name=checked(name), token_hash=token_hash, scopes=scopes)
            tx.add(token)
            write_audit(tx, note, "make a token", user.name)
            tx.flush()
            return row(TokenRow, token)

    def tokens(self, user_id: int) -> list[TokenRow]:
        """Return the person's tokens, the oldest first, those that were revoked too."""
        with self._reading() as tx:
            tokens = tx.scalars(select(Token).where(Token.user_id == user_id).order_by(Token.id))
            return [row(TokenRow, token) for token in tokens]

    def revoke_token(self, user_id: int, token_id: int, note: Note) -> TokenRow:
        """Make a token of the person worthless; raises UnknownRow where the person has no such token."""
        with self._writing() as tx:
            user = owner(tx, user_id)
            token = tx.scalar(select(Token).where(Token.id == token_id, Token.user_id == user_id))
            if token is None:
                raise UnknownRow(f"{user.name} has no token number {token_id}.")
            token.revoked_at = token.revoked_at or now()
            write_audit(tx, note, "revoke a token", user.name)
            tx.flush()
            return row(TokenRow, token)

    def begin_attempt(
        self, name_hash: str, address: str, since: datetime, max_of_name: int, max_of_address: int
    ) -> int | None:
        """Return the number of a new try to log in, None where there were too many that did not succeed.

        Args:
            since: older tries count no more, and are deleted.
            max_of_name, max_of_address: how many there may be, this one included.
        """
        with self._writing() as tx:
            tx.execute(delete(LoginAttempt).where(LoginAttempt.at < since))
            for same, limit in (
                (LoginAttempt.name_hash == name_hash, max_of_name),
                (LoginAttempt.address == address, max_of_address),
            ):
                if (tx.scalar(select(func.count(LoginAttempt.id)).where(same)) or 0) >= limit:
                    return None
            attempt = LoginAttempt(name_hash=name_hash, address=address)
            tx.add(attempt)
            tx.flush()
            return attempt.id

    def end_attempt(self, attempt_id: int) -> None:
        """Take back a try, because it succeeded; those before it keep counting."""
        with self._writing() as tx:
            tx.execute(delete(LoginAttempt).where(LoginAttempt.id == attempt_id))


def anybody_has_password(tx: orm.Session) -> bool:
    """Return whether the server is closed to who has no password."""
    return bool(tx.scalar(select(exists().where(User.password_hash.is_not(None)))))


def end_all(tx: orm.Session, user_id: int) -> None:
    """Make every cookie and token of the person worthless."""
    tx.execute(delete(Login).where(Login.user_id == user_id))
    alive = (Token.user_id == user_id) & Token.revoked_at.is_(None)
    tx.execute(update(Token).where(alive).values(revoked_at=now()))
