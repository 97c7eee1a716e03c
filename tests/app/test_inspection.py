"""What is said of a saved memory."""

from datetime import datetime

from app.chat import Chat
from app.inspection import overview
from model.conversation import Exchange
from storage.store import Store

SAID = [
    Exchange("My dog is called Biscuit.", "Nice."),
    Exchange("I live in Lisbon with my sister.", "Ah."),
    Exchange("It is raining again, so I stay at home.", "Oh."),
]


def test_an_overview_counts_what_was_read_and_what_was_not(chat: Chat, store: Store) -> None:
    """Sessions and times are those of the turns in memory; what came since is unread."""
    ada = chat.welcome("Ada")
    chat.import_sessions("Ada", [SAID[:2], SAID[2:]])
    figures = chat.settle("Ada")
    later = store.add_session(ada.id, "later")
    store.add_turn(ada.id, later.id, "Hello!", "Hi.", "complete")
    found = overview(store, ada)
    assert (found.turns, found.sessions, found.unread) == (3, 2, 1)
    assert (found.revision, found.tokens) == (figures.revision, figures.tokens)
    assert found.since == min(turn.created_at for turn in store.turns(ada.id))
    assert [gauge.state_size for gauge in found.gauges] == [16, 16]
    # more tokens than directions
    assert found.fullness == 1.0
    assert found.is_filling_up
    told = found.summary()
    assert datetime.fromisoformat(told["since"]) <= datetime.fromisoformat(told["updated_at"])
    assert [set(gauge) for gauge in told["gauge"]] == [
        {"name", "state_size", "num_directions", "effective_rank", "singular_values", "fullness"}
    ] * 2


def test_an_overview_of_somebody_who_said_nothing_is_empty(chat: Chat, store: Store) -> None:
    found = overview(store, chat.welcome("Ada"))
    assert (found.turns, found.sessions, found.unread, found.bytes, found.gauges) == (0, 0, 0, 0, ())
    assert (found.since, found.updated_at, found.fullness, found.is_filling_up) == (None, None, 0.0, False)
