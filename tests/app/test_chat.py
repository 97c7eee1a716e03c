"""One turn of a chat: what is answered, stored and read, for whom, and what happens when it is cut short."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

import app.chat
from app.chat import Chat
from app.errors import BadRequest, NotFound, ReplyFailed, TooLong
from app.forgetting import Selection
from app.formats import Conversation
from app.recollection import OnTurn, Recollection, Recollector
from app.transcript import session_name
from model.base import WINDOW_TOKENS
from model.conversation import Exchange
from storage.rows import UserRow
from storage.store import Store

Open = Callable[[str], tuple[Chat, Store]]

ADA = ["My dog is called Biscuit.", "I live in Lisbon.", "It is raining again.", "My sister is a welder."]
BOB = ["I play the cello.", "Hello! How are you today?", "My boss is called Okonjo.", "I stay at home."]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that says three words, whatever it is asked."""

    def stream(
        _lm: Any, _token_ids: Any, _adapter: Any, _sampling: Any, stop: threading.Event
    ) -> Iterator[str]:
        for word in ("one ", "two ", "three"):
            if stop.is_set():
                return
            yield word

    monkeypatch.setattr(app.chat, "stream", stream)


def say(chat: Chat, user: str, text: str, session: int | str | None = None) -> str:
    """The whole reply to one message."""
    return "".join(chat.reply(user, session, text))


def payload(store: Store, user: str) -> bytes:
    """The bytes of the person's saved memory."""
    person = store.find_user(user)
    assert person is not None
    row = store.state(person.id)
    assert row is not None
    return row.payload


@pytest.mark.usefixtures("words")
def test_a_reply_comes_in_pieces_and_is_stored_as_it_was_shown(chat: Chat) -> None:
    """The pieces together are the stored reply, and the result says what it cost."""
    reply = chat.reply("Ada", None, ADA[0])
    pieces = list(reply)
    answer = reply.result
    assert len(pieces) == 3
    assert answer.turn.user_text == ADA[0]
    assert answer.turn.reply_text == "".join(pieces)
    assert answer.turn.status == "complete"
    assert answer.prompt_tokens > 0
    assert answer.memory.turns == 0
    assert chat.turns("Ada", answer.turn.session_id) == [answer.turn]


@pytest.mark.usefixtures("words")
def test_a_reply_has_no_result_before_it_ended(chat: Chat) -> None:
    """Asking too early is a mistake in the program."""
    reply = chat.reply("Ada", None, ADA[0])
    next(reply)
    with pytest.raises(ValueError, match="has not"):
        _ = reply.result


def test_memory_has_read_every_turn_before_the_next_answer(chat: Chat) -> None:
    """The second answer is made under a memory of the first turn, however fast it is asked."""
    say(chat, "Ada", ADA[0])
    reply = chat.reply("Ada", None, ADA[1])
    list(reply)
    assert (reply.result.memory.turns, reply.result.memory.revision) == (1, 1)
    assert chat.settle("Ada").turns == 2


def test_people_who_talk_at_the_same_time_never_share_memory(
    chat: Chat, store: Store, open_another: Open
) -> None:
    """Turns of two people in two threads leave each with the memory and the replies they would have alone."""
    start = threading.Barrier(2)
    replies: dict[str, list[str]] = {}

    def talk(talking: Chat, user: str, texts: list[str]) -> list[str]:
        session = talking.welcome(user).name
        return [say(talking, user, text, session) for text in texts]

    def talk_together(user: str, texts: list[str]) -> None:
        start.wait()
        replies[user] = talk(chat, user, texts)

    threads = [threading.Thread(target=talk_together, args=args) for args in (("Ada", ADA), ("Bob", BOB))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert chat.settle("Ada").turns == chat.settle("Bob").turns == 4
    assert payload(store, "Ada") != payload(store, "Bob")

    for user, texts in (("Ada", ADA), ("Bob", BOB)):
        alone, own_store = open_another(user)
        assert replies[user] == talk(alone, user, texts)
        alone.settle(user)
        assert payload(own_store, user) == payload(store, user)


@pytest.mark.usefixtures("words")
def test_a_stopped_reply_keeps_what_was_shown(chat: Chat) -> None:
    """The event ends the reply at the next piece; the part that was shown is stored, marked, and read."""
    stop = threading.Event()
    shown = ""
    reply = chat.reply("Ada", None, ADA[0], stop=stop)
    for piece in reply:
        shown += piece
        stop.set()
    assert reply.result.turn.status == "stopped"
    assert reply.result.turn.reply_text == shown == "one "
    assert chat.settle("Ada").turns == 1


@pytest.mark.usefixtures("words")
def test_a_closed_reply_keeps_what_was_shown(chat: Chat) -> None:
    """Closing the iterator, as a browser that goes away does, is stopping; closing twice changes nothing."""
    reply = chat.reply("Ada", None, ADA[0])
    shown = next(reply) + next(reply)
    reply.close()
    reply.close()
    answer = reply.result
    assert (answer.turn.status, answer.turn.reply_text) == ("stopped", shown)
    assert chat.turns("Ada", answer.turn.session_id) == [answer.turn]


@pytest.mark.parametrize("session", [None, "work"])
def test_a_reply_that_was_never_begun_leaves_nothing(chat: Chat, session: str | None) -> None:
    """Nothing was shown, so nothing was said, and no session was begun."""
    chat.reply("Ada", session, ADA[0]).close()
    assert chat.sessions("Ada") == []


@pytest.mark.usefixtures("words")
def test_a_name_that_was_taken_while_a_reply_was_made_is_the_same_session(chat: Chat) -> None:
    """Two replies that begin a session of one name end in one session."""
    first, second = chat.reply("Ada", "work", ADA[0]), chat.reply("Ada", "work", ADA[1])
    assert next(first) == next(second)
    list(first)
    list(second)
    [work] = chat.sessions("Ada")
    assert [t.user_text for t in chat.turns("Ada", work.id)] == ADA[:2]


@pytest.mark.usefixtures("words")
def test_a_reply_that_was_stopped_before_its_first_word_stands_in_no_prompt(chat: Chat) -> None:
    """Memory reads what the person said; the next prompt is as long as in a session of its own."""
    stop = threading.Event()
    stop.set()
    list(chat.reply("Ada", "work", ADA[0], stop=stop))
    again, alone = chat.reply("Ada", "work", ADA[1]), chat.reply("Ada", None, ADA[1])
    list(again)
    list(alone)
    assert again.result.prompt_tokens == alone.result.prompt_tokens
    assert chat.settle("Ada").turns == 3


def test_a_chat_that_closes_finishes_what_it_reads_and_leaves_the_rest(
    open_another: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next chat over the same database reads it."""
    chat, _ = open_another("left")
    for name in ("Ada", "Bob"):
        chat.welcome(name)
        chat.import_sessions(name, [Conversation((Exchange(ADA[0], "Nice."),))])
    reading, closing = threading.Event(), threading.Event()
    catch_up, shutdown = Recollector.catch_up, ThreadPoolExecutor.shutdown

    def slow(self: Recollector, person: UserRow, on_turn: OnTurn | None = None) -> Recollection:
        reading.set()
        closing.wait()
        return catch_up(self, person, on_turn)

    def ending(self: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        shutdown(self, wait=False, cancel_futures=cancel_futures)
        closing.set()
        shutdown(self, wait=wait)

    monkeypatch.setattr(Recollector, "catch_up", slow)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", ending)
    chat.read_what_was_left()
    reading.wait()
    chat.close()
    assert (chat.memory("Ada").turns, chat.memory("Bob").turns) == (1, 0)
    after, _ = open_another("left")
    after.read_what_was_left()
    assert after.settle("Bob").turns == 1


@pytest.mark.usefixtures("words")
def test_a_reply_that_nobody_reads_on_blocks_nobody(chat: Chat) -> None:
    """While one reply is left hanging, the same person and others are answered."""
    hanging = chat.reply("Ada", None, ADA[0])
    next(hanging)
    assert say(chat, "Ada", ADA[1])
    assert say(chat, "Bob", BOB[0])
    hanging.close()
    assert chat.settle("Ada").turns == 2


def test_a_reply_that_fails_is_kept_as_failed_and_not_read(
    chat: Chat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the model fails nothing said is lost; said again in its place, it counts once."""

    def failing(*_args: Any) -> Iterator[str]:
        yield "My"
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(app.chat, "stream", failing)
        with pytest.raises(ReplyFailed, match="try again") as raised:
            say(chat, "Ada", ADA[0])
    [session] = chat.sessions("Ada")
    assert raised.value.session_id == session.id
    assert "out of memory" in caplog.text
    [failed] = chat.turns("Ada", session.id)
    assert (failed.user_text, failed.reply_text, failed.status) == (ADA[0], "My", "failed")
    assert chat.settle("Ada").turns == 0
    list(chat.reply("Ada", session.id, ADA[0], instead_of=failed.id))
    assert [t.status for t in chat.turns("Ada", session.id)] == ["complete"]
    assert chat.settle("Ada").turns == 1


def test_the_prompt_of_a_question_does_not_grow_with_what_was_said(chat: Chat) -> None:
    """Asked in a session of its own, a question has the same prompt after 2 turns and after 200."""
    question, lengths = "What is the name of my dog?", []
    for num_turns in (2, 198):
        chat.import_sessions("Ada", [Conversation((Exchange(ADA[0], "Nice."),) * num_turns)])
        reply = chat.reply("Ada", None, question)
        list(reply)
        lengths.append(reply.result.prompt_tokens)
    assert chat.settle("Ada").turns == 202
    assert lengths[0] == lengths[1]


def test_the_prompt_repeats_no_more_of_the_session_than_the_window_holds(chat: Chat) -> None:
    """A long session costs at most the model's window more than a question alone."""
    chat.import_sessions("Ada", [Conversation((Exchange(ADA[0], "Nice."),) * 40)])
    [session] = chat.sessions("Ada")
    alone, inside = chat.reply("Ada", None, ADA[1]), chat.reply("Ada", session.id, ADA[1])
    list(alone)
    list(inside)
    longer = inside.result.prompt_tokens - alone.result.prompt_tokens
    assert 0 < longer <= WINDOW_TOKENS


def test_with_memory_off_the_base_model_answers_and_the_turn_is_never_read(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For one message, for a session, for everything a person says: off is off in both directions."""
    adapters = []
    real = app.chat.stream

    def watching(lm: Any, token_ids: Any, adapter: Any, *rest: Any) -> Iterator[str]:
        adapters.append(adapter)
        return real(lm, token_ids, adapter, *rest)

    monkeypatch.setattr(app.chat, "stream", watching)
    say(chat, "Ada", ADA[0], "work")
    [work] = chat.sessions("Ada")
    list(chat.reply("Ada", None, ADA[1], memory=False))
    chat.set_memory("Ada", False, session=work.id)
    say(chat, "Ada", ADA[1], work.id)
    chat.set_memory("Ada", True, session=work.id)
    chat.set_memory("Ada", False)
    say(chat, "Ada", ADA[2], work.id)
    chat.set_memory("Ada", True)
    say(chat, "Ada", ADA[3], work.id)
    assert [adapter is None for adapter in adapters] == [False, True, True, True, False]
    assert chat.settle("Ada").turns == 2


def test_a_session_is_begun_by_name_or_called_by_its_first_words(chat: Chat) -> None:
    """A new name begins a session and finds it again; without a name the beginning of the message is one."""
    say(chat, "Ada", ADA[0], "work")
    say(chat, "Ada", ADA[1], "work")
    say(chat, "Ada", ADA[0])
    say(chat, "Ada", ADA[0])
    assert [s.name for s in chat.sessions("Ada")] == [f"{ADA[0]} (2)", ADA[0], "work"]
    work = chat.sessions("Ada")[-1]
    assert [t.user_text for t in chat.turns("Ada", work.id)] == ADA[:2]


@pytest.mark.parametrize(
    ("text", "taken", "name"),
    [
        ("hello", [], "hello"),
        ("  two\n\nlines\t", [], "two lines"),
        ("\x00\x1b", [], "Chat"),
        ("x" * 100, [], "x" * 40),
        ("hello", ["hello", "hello (2)"], "hello (3)"),
    ],
)
def test_a_session_name_is_short_printable_and_free(text: str, taken: list[str], name: str) -> None:
    """Whatever the first message holds, its session can be called by it."""
    assert session_name(text, taken) == name


@pytest.mark.parametrize(
    ("user", "session", "text", "error"),
    [
        ("Nobody", None, "hello", NotFound),
        ("a\nb", None, "hello", BadRequest),
        ("Ada", 4711, "hello", NotFound),
        ("Ada", "", "hello", BadRequest),
        ("Ada", "s" * 65, "hello", BadRequest),
        ("Ada", None, "", BadRequest),
        ("Ada", None, " \n\t", BadRequest),
        ("Ada", None, "half \ud83d a pair", BadRequest),
        ("Ada", None, "x" * 1_000_000, TooLong),
    ],
)
def test_what_cannot_be_answered_is_refused_at_once(
    chat: Chat, user: str, session: int | str | None, text: str, error: type[Exception]
) -> None:
    """Before the first word, and nothing is stored."""
    with pytest.raises(error):
        chat.reply(user, session, text)
    assert chat.sessions("Ada") == []


def test_a_session_of_another_person_does_not_exist(chat: Chat) -> None:
    """Its number gives nothing away, neither to read nor to talk in."""
    say(chat, "Ada", ADA[0])
    [session] = chat.sessions("Ada")
    with pytest.raises(NotFound):
        chat.turns("Bob", session.id)
    with pytest.raises(NotFound):
        chat.reply("Bob", session.id, "hello")


@pytest.mark.usefixtures("words")
def test_a_turn_of_somebody_who_was_forgotten_meanwhile_is_not_stored(chat: Chat, store: Store) -> None:
    """A reply that is still running when everything is forgotten does not bring its session back."""
    say(chat, "Ada", ADA[0], "work")
    reply = chat.reply("Ada", "work", ADA[1])
    next(reply)
    store.forget_everything(chat.welcome("Ada").id)
    with pytest.raises(NotFound):
        list(reply)
    assert chat.sessions("Ada") == []
    assert chat.settle("Ada").turns == 0


def test_imported_sessions_are_read_like_spoken_ones(chat: Chat, store: Store, open_another: Open) -> None:
    """A conversation that was had elsewhere leaves the memory that having it here would have left."""
    spoken = [Exchange(text, say(chat, "Ada", text, "work")) for text in ADA]
    chat.settle("Ada")
    other, other_store = open_another("other")
    other.welcome("Ada")
    assert other.import_sessions("Ada", [Conversation(tuple(spoken)), Conversation(())]) == 4
    assert other.settle("Ada").turns == 4
    assert payload(other_store, "Ada") == payload(store, "Ada")


def test_somebody_who_comes_twice_is_one_person(chat: Chat) -> None:
    """The name is all there is to a person."""
    assert chat.welcome("Ada") == chat.welcome("Ada")
    with pytest.raises(BadRequest):
        chat.welcome(" ")


def test_many_sessions_of_one_name_are_numbered() -> None:
    """One after the other, and soon: a program may call every conversation alike."""
    taken: set[str] = set()
    for _ in range(20_000):
        taken.add(session_name("New chat", taken))
    assert taken == {"New chat"} | {f"New chat ({number})" for number in range(2, 20_001)}


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("x" * 64, "x" * 64),
        ("work", "work (2)"),
        (" a\nlong   title " + "x" * 64, "a long title " + "x" * 27),
        ("", "My dog is called Biscuit."),
        (None, "My dog is called Biscuit."),
        ("\u202e", "Chat"),
    ],
)
def test_an_imported_session_keeps_its_name_where_it_can(chat: Chat, told: str | None, name: str) -> None:
    """Where it cannot, it is called like it, or by what it begins with."""
    said = (Exchange("My dog is called Biscuit.", "Nice."),)
    chat.import_sessions("Ada", [Conversation(said, "work"), Conversation(said, told)])
    assert [session.name for session in chat.sessions("Ada")] == [name, "work"]


def test_an_imported_turn_is_as_old_as_its_file_says(chat: Chat) -> None:
    """So that what was said before a date can be forgotten; without more, it is as old as its session."""
    began, later = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
    said = (Exchange(ADA[0], "Nice."), Exchange(ADA[1], "Nice."))
    chat.import_sessions(
        "Ada", [Conversation(said, "a", began), Conversation(said, "b", began, said_at=(began, later))]
    )
    chat.forget("Ada", Selection(before=datetime(2020, 6, 1, tzinfo=UTC)))
    assert [[t.created_at for t in chat.turns("Ada", s.id)] for s in chat.sessions("Ada")] == [[later]]
