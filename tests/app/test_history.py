"""What a prompt with the whole history would cost."""

from collections.abc import Iterator
from typing import Any

import pytest

import app.chat
from app.chat import Chat
from app.forgetting import Selection
from app.formats import Conversation
from app.history import TURNS_PER_COUNT
from model.conversation import Exchange, prompt_ids
from storage.rows import TurnRow
from tests.app.conftest import Loaded

SAID = Exchange("My parrot is called Biscuit.", "I see.")
ASKED = Exchange("What is my parrot called?", "I see.")


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that always says the same."""

    def stream(*_arguments: Any) -> Iterator[str]:
        yield ASKED.assistant

    monkeypatch.setattr(app.chat, "stream", stream)


def ask(chat: Chat) -> TurnRow:
    """Return a turn in a new session."""
    reply = chat.reply("Ada", None, ASKED.user)
    list(reply)
    turn = reply.result.turn
    assert turn is not None
    return turn


def whole(loaded: Loaded, *told: Exchange) -> int:
    """How long the prompt is with those turns in it."""
    return len(prompt_ids(loaded[0], told, ASKED.user, 1 << 30))


def test_the_history_is_counted_as_it_would_stand_in_the_prompt(chat: Chat, loaded: Loaded) -> None:
    """With the markers of the template, over all sessions of the person and nobody else's."""
    first = ask(chat)
    assert chat.history_tokens("Ada", first) == whole(loaded)
    chat.forget("Ada", Selection())
    for told in ([SAID] * 2, [SAID]):
        chat.import_sessions("Ada", [Conversation(tuple(told))])
    chat.import_sessions("Bob", [Conversation((SAID,))])
    assert chat.history_tokens("Ada", ask(chat)) == whole(loaded, SAID, SAID, SAID)


def test_a_count_goes_on_where_it_was_and_begins_anew_after_a_change(
    chat: Chat, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn is tokenised once; what was forgotten no longer counts, what stands twice counts once."""
    counted: list[int] = []
    count_tokens = app.history.count_tokens

    def counting(lm: Any, told: list[Exchange]) -> int:
        counted.append(len(told))
        return count_tokens(lm, told)

    monkeypatch.setattr(app.history, "count_tokens", counting)
    chat.import_sessions("Ada", [Conversation((SAID,) * (TURNS_PER_COUNT + 3))])
    before = chat.history_tokens("Ada", ask(chat))
    assert counted == [TURNS_PER_COUNT, 3]
    second = ask(chat)
    assert chat.history_tokens("Ada", second) > before
    assert counted == [TURNS_PER_COUNT, 3, 1]
    # an earlier turn is answered as truly
    assert chat.history_tokens("Ada", chat.turns("Ada", second.session_id - 1)[0]) == before
    chat.branch("Ada", second.id)
    chat.forget("Ada", Selection(session_id=chat.sessions("Ada")[-1].id))
    third = ask(chat)
    assert chat.history_tokens("Ada", third) == whole(loaded, ASKED, ASKED)


def test_what_memory_never_read_is_counted_no_more_once_it_is_said_again(chat: Chat, loaded: Loaded) -> None:
    """With memory off too a turn that was replaced stands in no prompt."""
    list(chat.reply("Ada", None, SAID.user, memory=False))
    [session] = chat.sessions("Ada")
    assert chat.history_tokens("Ada", ask(chat)) == whole(loaded, SAID)
    [turn] = chat.turns("Ada", session.id)
    list(chat.reply("Ada", session.id, ASKED.user, memory=False, instead_of=turn.id))
    assert chat.history_tokens("Ada", ask(chat)) == whole(loaded, ASKED, ASKED)
