"""Finding what was said, and the marks on sessions: pinned ones, and those that are documents."""

import pytest

from storage.rows import NewSession, UnknownRow
from storage.store import Store


@pytest.fixture
def ada(store: Store) -> int:
    """The number of Ada, who said a few things; Bob said one of them too."""
    user, bob = store.add_user("Ada"), store.add_user("Bob")
    said = [
        ("I like Ärger.", "A strange thing to like."),
        ("Give me 100% of it.", "I see."),
        ("Give me 1000 of it.", "I see."),
        ("snake_case", "I see."),
        ("snakeXcase", "I see."),
        ("a/b and a\\b", "Slashes."),
        ("PARROT", "A parrot?"),
    ]
    store.add_sessions(user.id, [NewSession("talk", said)])
    store.add_sessions(bob.id, [NewSession("talk", [("My parrot is Bob's.", "I see.")])])
    return user.id


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("parrot", ["PARROT"]),
        ("LIKE Ärger", ["I like Ärger."]),
        ("STRANGE thing", ["I like Ärger."]),
        ("100%", ["Give me 100% of it."]),
        ("0% o", ["Give me 100% of it."]),
        ("e_c", ["snake_case"]),
        ("a/b", ["a/b and a\\b"]),
        ("a\\B", ["a/b and a\\b"]),
        ("'; --", []),
        ("Bob", []),
    ],
)
def test_what_either_side_said_is_found_as_it_stands(
    store: Store, ada: int, text: str, found: list[str]
) -> None:
    """In capitals or not; no character means another; nothing of somebody else's."""
    assert [turn.user_text for turn in store.search(ada, text, limit=10)] == found


def test_capitals_are_known_in_every_language(store: Store, ada: int, kind: str) -> None:
    """PostgreSQL knows them by the locale that the database was made with."""
    if kind == "postgresql":
        pytest.skip("the tests' PostgreSQL has the locale C")
    assert [turn.user_text for turn in store.search(ada, "ÄRGER", limit=10)] == ["I like Ärger."]


def test_a_search_returns_the_last_turn_of_the_newest_sessions(store: Store, ada: int) -> None:
    """As many as are asked for."""
    for name in ("second", "third"):
        store.add_sessions(ada, [NewSession(name, [(f"parrot {name} {n}", "") for n in range(3)])])
    assert [turn.user_text for turn in store.search(ada, "a", limit=2)] == [
        "parrot third 2",
        "parrot second 2",
    ]
    assert [turn.user_text for turn in store.search(ada, "parrot", limit=9)][2:] == ["PARROT"]


def test_a_session_is_pinned_and_let_go_by_its_owner(store: Store, ada: int) -> None:
    """Memory is not concerned."""
    [session] = store.sessions(ada)
    ledger = store.ledger(ada)
    store.pin_session(ada, session.id, True)
    assert [s.is_pinned for s in store.sessions(ada)] == [True]
    bob = store.find_user("Bob")
    assert bob is not None
    with pytest.raises(UnknownRow):
        store.pin_session(bob.id, session.id, False)
    assert [s.is_pinned for s in store.sessions(ada)] == [True]
    store.pin_session(ada, session.id, False)
    assert (store.sessions(ada), store.ledger(ada)) == ([session], ledger)


def test_a_session_says_which_document_it_is(store: Store) -> None:
    """And a new one is neither a document nor pinned, unless it is stored so."""
    user = store.add_user("Ada")
    told = [("word", "")]
    store.add_sessions(user.id, [NewSession("a.pdf", told, is_pinned=True, source="a.pdf")])
    store.add_session(user.id, "talk")
    assert [(s.name, s.is_pinned, s.source) for s in store.sessions(user.id)] == [
        ("talk", False, None),
        ("a.pdf", True, "a.pdf"),
    ]
