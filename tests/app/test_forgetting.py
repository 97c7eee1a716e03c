"""The ledger: what may happen to what was said, and that memory is always that of what is kept."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from app.chat import Chat
from app.errors import NotFound
from app.forgetting import Selection
from app.formats import Conversation
from app.recollection import DRAFT_TURNS, PATIENCE_TURNS
from app.settings import Settings
from model.conversation import Exchange
from storage.rows import TurnRow
from storage.store import Store
from tests.databases import KINDS, content

Open = Callable[[str], tuple[Chat, Store]]

TALKS = [
    [Exchange("My dog is called Biscuit.", "Lovely."), Exchange("I bake xylophone bread.", "Oh!")],
    [Exchange("I live in Lisbon.", "Nice."), Exchange("My sister is a welder.", "I see.")],
]


def tell(chat: Chat, user: str, talks: list[list[Exchange]]) -> None:
    """Let the person have had the talks."""
    chat.import_sessions(user, [Conversation(tuple(talk)) for talk in talks])


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each database."""
    kind: str = request.param
    return kind


@pytest.fixture
def chat(chat: Chat) -> Chat:
    """A chat in which Ada had two talks."""
    tell(chat, "Ada", TALKS)
    return chat


def said(chat: Chat, user: str = "Ada") -> list[TurnRow]:
    """Every turn of the person, oldest first."""
    turns = [turn for session in chat.sessions(user) for turn in chat.turns(user, session.id)]
    return sorted(turns, key=lambda turn: turn.id)


def digest_of(open_another: Open, name: str, talks: list[list[Exchange]]) -> str:
    """The hash of the memory of a person who never said more than `talks`."""
    other, _ = open_another(name)
    other.welcome("Ada")
    tell(other, "Ada", talks)
    return other.verify("Ada")[0]


def everything_in(database: str, settings: Settings) -> bytes:
    """Every byte of the database's files and of the data folder's."""
    files = [path.read_bytes() for path in settings.data.rglob("*") if path.is_file()]
    return b"".join([content(database), *files])


def test_forgetting_a_turn_leaves_the_memory_of_a_person_who_never_said_it(
    chat: Chat, open_another: Open
) -> None:
    """In the middle of a session: the receipt shows the hash of the one and of the other memory."""
    before, _ = chat.verify("Ada")
    receipt = chat.forget("Ada", Selection(turn_id=said(chat)[1].id))
    assert (receipt.turns, receipt.copies, receipt.sessions, receipt.kept_turns) == (1, 0, 0, 3)
    assert (receipt.before, receipt.after) == (before, chat.verify("Ada")[1])
    assert receipt.after == digest_of(open_another, "kept", [TALKS[0][:1], TALKS[1]])
    assert receipt.after != receipt.before


def test_forgetting_a_session_and_everything_before_a_date(
    chat: Chat, open_another: Open, store: Store
) -> None:
    """Each leaves what it does not name."""
    first = said(chat)[0]
    receipt = chat.forget("Ada", Selection(session_id=first.session_id))
    assert (receipt.turns, receipt.sessions) == (2, 1)
    assert receipt.after == digest_of(open_another, "second", TALKS[1:])
    tell(chat, "Ada", TALKS[:1])
    later = said(chat)[2].created_at
    assert chat.forget("Ada", Selection(before=later)).turns == 2
    assert [turn.user_text for turn in said(chat)] == [e.user for e in TALKS[0]]
    assert chat.forget("Ada", Selection(before=datetime(2000, 1, 1, tzinfo=UTC))).turns == 0
    everything = chat.forget("Ada", Selection())
    assert (everything.turns, everything.sessions, everything.kept_turns) == (2, 1, 0)
    assert chat.sessions("Ada") == []
    assert everything.after == digest_of(open_another, "nothing", [])


def test_what_is_forgotten_stands_in_no_file(chat: Chat, settings: Settings, database: str) -> None:
    """Not in the database, its log, a session's name, a branch or our log; what others said stays."""
    tell(chat, "Bob", [[Exchange("I bake xylophone bread too.", "Ha.")]])
    tell(chat, "Ada", [[Exchange("A zeppelin flew by.", "Where?"), Exchange("In Lisbon.", "Oh.")]])
    zeppelin = said(chat)[4]
    chat.branch("Ada", zeppelin.id + 1)
    chat.settle("Ada")
    receipt = chat.forget("Ada", Selection(turn_id=zeppelin.id))
    assert (receipt.turns, receipt.copies) == (1, 1)
    assert {session.name for session in chat.sessions("Ada")} == {
        "My dog is called Biscuit.", "I live in Lisbon.", "In Lisbon.", "In Lisbon. (2)"
    }  # fmt: skip
    left = everything_in(database, settings)
    assert b"zeppelin" not in left
    assert b"xylophone" in left


def test_a_branch_is_a_copy_that_memory_does_not_read_twice(chat: Chat) -> None:
    """It begins as its session did; forgetting a copy forgets what it is a copy of."""
    before, _ = chat.verify("Ada")
    branch = chat.branch("Ada", said(chat)[1].id)
    copies = chat.turns("Ada", branch.id)
    assert [(t.user_text, t.copy_of) for t in copies] == [(t.user_text, t.id) for t in said(chat)[:2]]
    assert chat.verify("Ada") == (before, before)
    again = chat.branch("Ada", copies[0].id)
    assert [t.copy_of for t in chat.turns("Ada", again.id)] == [said(chat)[0].id]
    receipt = chat.forget("Ada", Selection(turn_id=copies[0].id))
    assert (receipt.turns + receipt.copies, receipt.sessions) == (3, 1)


def test_a_message_said_again_replaces_what_came_after(chat: Chat, open_another: Open, store: Store) -> None:
    """Edit and regenerate: the window ends before the turn, and memory knows only what stands now."""
    first = said(chat)[0]
    list(chat.reply("Ada", first.session_id, "My cat is called Misty.", instead_of=first.id))
    [turn] = chat.turns("Ada", first.session_id)
    assert (turn.user_text, turn.position) == ("My cat is called Misty.", 0)
    live, rebuilt = chat.verify("Ada")
    assert (
        live
        == rebuilt
        == digest_of(open_another, "edited", [*TALKS[1:], [Exchange(turn.user_text, turn.reply_text)]])
    )
    with pytest.raises(NotFound, match="no turn number"):
        chat.reply("Ada", first.session_id, "Hello.", instead_of=said(chat)[0].id + 1000)
    with pytest.raises(NotFound):
        chat.reply("Ada", None, "Hello.", instead_of=turn.id)


def test_what_was_edited_and_stands_in_branches_is_forgotten_everywhere(
    chat: Chat, settings: Settings, database: str
) -> None:
    """Memory knew it from the branch until then; no session is called by it, and no copy keeps it."""
    first = said(chat)[0]
    branches = [chat.branch("Ada", first.id) for _ in range(2)]
    before = chat.verify("Ada")[0]
    list(chat.reply("Ada", first.session_id, "I juggle.", instead_of=first.id))
    assert {s.name for s in chat.sessions("Ada") if s.id == first.session_id} == {"I juggle."}
    [kept] = chat.turns("Ada", branches[0].id)
    chat.forget("Ada", Selection(turn_id=said(chat)[-1].id))
    assert chat.memory("Ada").turns == 3
    assert chat.verify("Ada")[0] != before
    chat.forget("Ada", Selection(turn_id=kept.id))
    assert [session.name for session in chat.sessions("Ada")] == ["I live in Lisbon."]
    assert b"Biscuit" not in everything_in(database, settings)


def test_a_reply_that_is_made_again_leaves_its_session_its_name(chat: Chat) -> None:
    """Also where another session has the name without the number."""
    turn = chat.turns("Ada", chat.branch("Ada", said(chat)[0].id).id)[0]
    names = [session.name for session in chat.sessions("Ada")]
    list(chat.reply("Ada", turn.session_id, turn.user_text, instead_of=turn.id))
    assert [session.name for session in chat.sessions("Ada")] == names


def test_a_session_is_left_out_of_memory_and_taken_in_again(chat: Chat, open_another: Open) -> None:
    """While it is out, memory is that of a person who never had it."""
    with_both, _ = chat.verify("Ada")
    session = said(chat)[0].session_id
    chat.set_memory("Ada", False, session=session)
    assert chat.verify("Ada")[0] == digest_of(open_another, "without", TALKS[1:])
    chat.set_memory("Ada", True, session=session)
    assert chat.verify("Ada") == (with_both, with_both)


def test_a_temporary_chat_leaves_nothing(chat: Chat, settings: Settings, database: str) -> None:
    """It goes on from what it is given, and neither the store nor memory hears of it."""
    before = chat.verify("Ada")
    lengths = []
    for window in ([], [("A zeppelin flew by.", "Where?")]):
        reply = chat.reply("Ada", None, "Over a zeppelin field.", temporary=window)
        text = "".join(reply)
        assert (reply.result.turn, reply.result.memory_on, reply.result.text) == (None, False, text)
        lengths.append(reply.result.prompt_tokens)
    assert lengths[0] < lengths[1]
    assert len(said(chat)) == 4
    assert chat.verify("Ada") == before
    assert b"zeppelin" not in everything_in(database, settings)


def test_nobody_touches_what_somebody_else_said(chat: Chat) -> None:
    """Numbers of others are refused everywhere, and nothing happens to what they name."""
    turn = said(chat)[0]
    before = said(chat)
    attempts: list[Callable[[], Any]] = [
        lambda: chat.forget("Bob", Selection(turn_id=turn.id)),
        lambda: chat.forget("Bob", Selection(session_id=turn.session_id)),
        lambda: chat.branch("Bob", turn.id),
        lambda: chat.rename_session("Bob", turn.session_id, "mine"),
        lambda: chat.set_memory("Bob", False, session=turn.session_id),
        lambda: chat.reply("Bob", turn.session_id, "Hello.", instead_of=turn.id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            attempt()
    chat.forget("Bob", Selection())
    assert said(chat) == before


def test_with_much_to_read_the_memory_that_there_is_answers_and_says_so(chat: Chat) -> None:
    """A reply does not wait for a long reading; one that was interrupted goes on where it was."""
    many = DRAFT_TURNS + PATIENCE_TURNS
    tell(chat, "Bob", [[Exchange(f"I own {n} hats.", "Oh.") for n in range(many)]])

    def lose_power(num_turns: int) -> None:
        if num_turns > DRAFT_TURNS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chat.settle("Bob", lose_power)
    # what it leaves to read is left to the settling below
    chat.close()
    reply = chat.reply("Bob", None, "How many hats?")
    list(reply)
    assert (reply.result.memory.turns, reply.result.memory.unread) == (0, many)
    progress: list[int] = []
    chat.settle("Bob", progress.append)
    assert progress == list(range(DRAFT_TURNS + 1, many + 2))
    assert chat.verify("Bob")[0] == chat.verify("Bob")[1]


def test_forgetting_is_exact_while_others_chat(chat: Chat, open_another: Open) -> None:
    """After an edit in the middle of a session, with Bob talking all the time in another thread."""
    over = threading.Event()
    replies = []

    def talk() -> None:
        while not over.is_set():
            replies.append("".join(chat.reply("Bob", "talk", f"I have {len(replies)} hats.")))

    bob = threading.Thread(target=talk)
    bob.start()
    try:
        first = said(chat)[0]
        list(chat.reply("Ada", first.session_id, "My cat is Misty.", instead_of=said(chat)[1].id))
        edited = said(chat)[-1]
        chat.forget("Ada", Selection(turn_id=said(chat)[1].id))
        receipt = chat.forget("Ada", Selection(turn_id=first.id))
        live, rebuilt = chat.verify("Ada")
    finally:
        over.set()
        bob.join()
    kept = [TALKS[1][1:], [Exchange(edited.user_text, edited.reply_text)]]
    assert receipt.after == live == rebuilt == digest_of(open_another, "kept", kept)
    assert replies
    assert len(said(chat, "Bob")) == len(replies)
    assert chat.verify("Bob")[0] == chat.verify("Bob")[1]
