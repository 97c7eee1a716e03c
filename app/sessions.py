"""A person's sessions: the list, what was said in them, finding one, naming one, going on from one.

From outside a person is a name; a session or a turn is a number among that person's own. Errors of the
packages below leave as `RemanenceError`.
"""

from contextlib import suppress

from app.accounts import People
from app.errors import NotFound, translated
from app.search import Hit, excerpt
from app.transcript import session_name
from storage.rows import NameTaken, SessionRow, TurnRow, UserRow
from storage.store import Store

# Sessions that a search finds.
MAX_HITS = 50


class Sessions:
    """The people and their sessions in a store; nothing here concerns a model."""

    def __init__(self, store: Store) -> None:
        self.people = People(store)
        self._store = store

    @translated()
    def welcome(self, name: str) -> UserRow:
        """Return the person called `name`, who exists from now on.

        Raises:
            BadRequest: `name` cannot be a name.
        """
        with suppress(NameTaken):
            return self._store.find_user(name) or self._store.add_user(name)
        return self._person(name)

    @translated()
    def sessions(self, user: str) -> list[SessionRow]:
        """Return the person's sessions, pinned ones first, then the newest first; raises NotFound."""
        return sorted(self._store.sessions(self._person(user).id), key=lambda session: not session.is_pinned)

    @translated()
    def turns(self, user: str, session: int) -> list[TurnRow]:
        """Return all that was said in one of the person's own sessions, oldest first; raises NotFound."""
        person = self._person(user)
        found = self._session(person, session)
        return [] if found is None else self._store.session_turns(person.id, found.id)

    @translated()
    def search(self, user: str, text: str) -> list[Hit]:
        """Return the newest of the person's sessions in which `text` was said; raises NotFound."""
        person = self._person(user)
        sessions = {session.id: session for session in self._store.sessions(person.id)}
        turns = self._store.search(person.id, text, MAX_HITS)
        # a session may have begun or gone in between
        return [Hit(sessions[t.session_id], excerpt(t, text)) for t in turns if t.session_id in sessions]

    @translated()
    def is_document(self, user: str, session: int) -> bool:
        """Return whether one of the person's own sessions is a document; raises NotFound."""
        found = self._session(self._person(user), session)
        return found is not None and found.source is not None

    @translated()
    def count_turns(self, user: str) -> int:
        """Return how many turns the person has; raises NotFound."""
        return self._store.count_turns(self._person(user).id)

    @translated()
    def rename_session(self, user: str, session: int, name: str) -> SessionRow:
        """Return the session under its new name; raises NotFound and BadRequest."""
        return self._store.rename_session(self._person(user).id, session, name)

    @translated()
    def pin_session(self, user: str, session: int, is_pinned: bool) -> None:
        """Let the session stand before the others, or no longer; raises NotFound."""
        self._store.pin_session(self._person(user).id, session, is_pinned)

    @translated()
    def branch(self, user: str, turn: int) -> SessionRow:
        """Return a new session that begins as that of `turn` did, through that turn; raises NotFound."""
        person = self._person(user)
        while True:
            sessions = self._store.sessions(person.id)
            last = self._store.turn(person.id, turn)
            source = next((s.name for s in sessions if last and s.id == last.session_id), "")
            with suppress(NameTaken):
                return self._store.branch(person.id, turn, session_name(source, {s.name for s in sessions}))

    def _person(self, name: str) -> UserRow:
        person = self._store.find_user(name)
        if person is None:
            raise NotFound(f"There is nobody called {name!r} here.")
        return person

    def _session(self, person: UserRow, session: int | str | None) -> SessionRow | None:
        """Return one of the person's own sessions, None for one that begins when the turn is stored."""
        if session is None:
            return None
        if isinstance(session, str):
            return self._store.find_session(person.id, session)
        found = self._store.session(person.id, session)
        if found is None:
            raise NotFound(f"{person.name} has no session number {session}.")
        return found
