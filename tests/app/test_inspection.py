"""Which turns an answer leans on, and what is said of a saved memory."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch

from app.chat import Chat
from app.errors import BadRequest, NotFound, RemanenceError, TooLong
from app.formats import Conversation
from app.inspection import Recollected, explain, overview
from app.recollection import Recollector, exchange_of
from app.settings import Settings
from memory.generator import Generator
from memory.state import MemoryState
from model.base import BaseModel
from model.conversation import Exchange, fold, prompt_ids, turn_tokens
from model.generation import Sampling
from storage.store import Store

Loaded = tuple[BaseModel, Generator]
Open = Callable[[str], tuple[Chat, Store]]

QUESTION = "What is my dog called?"
SAID = [
    Exchange("My dog is called Biscuit.", "Nice."),
    Exchange("I live in Lisbon with my sister.", "Ah."),
    Exchange("It is raining again, so I stay at home.", "Oh."),
]


def tell(chat: Chat, user: str, talks: list[list[Exchange]]) -> None:
    """Let the person have had the talks."""
    chat.import_sessions(user, [Conversation(tuple(talk)) for talk in talks])


def same(one: MemoryState, other: MemoryState) -> None:
    """Fail unless both states are the same to within the rounding of float32 sums."""
    assert one.num_tokens == other.num_tokens
    for name, s in other.sums.items():
        torch.testing.assert_close(one.sums[name], s, rtol=1e-5, atol=1e-5 * float(s.abs().max()))


@pytest.mark.parametrize("left_out", range(3))
def test_taking_a_turn_out_is_never_having_read_it(left_out: int, loaded: Loaded) -> None:
    """What is left is the state of the other turns, and no other turn's, in whatever order they came."""
    lm, generator = loaded

    def read(exchanges: list[Exchange]) -> MemoryState:
        state = generator.empty_state()
        for exchange in exchanges:
            state = fold(lm, generator, state, [], turn_tokens(lm, exchange))
        return state

    others = [e for i, e in enumerate(SAID) if i != left_out]
    same(read(SAID).without(read([SAID[left_out]])), read(others))
    with pytest.raises(AssertionError):
        same(read(SAID).without(read([SAID[left_out]])), read(SAID))


@pytest.mark.parametrize("left_out", range(3))
def test_a_drop_is_what_a_memory_that_never_read_the_turn_would_lose(
    left_out: int, chat: Chat, loaded: Loaded, open_another: Open
) -> None:
    """Against a memory rebuilt from the other sessions, and the same answer measured under it."""
    tell(chat, "Ada", [[e] for e in SAID])
    found = chat.why("Ada", QUESTION)
    drops = {leaning.turn.user_text: leaning.drop for leaning in found.leanings}

    never, store = open_another("never")
    person = never.welcome("Ada")
    tell(never, "Ada", [[e] for i, e in enumerate(SAID) if i != left_out])
    lm, generator = loaded
    rebuilt = generator.adapter(Recollector(store, lm, generator).catch_up(person).state)
    whole = generator.adapter(Recollector(chat._store, lm, generator).catch_up(chat.welcome("Ada")).state)
    prompt = prompt_ids(lm, [], QUESTION, 0)
    again = explain(
        lm, prompt, Sampling(max_new_tokens=12), whole, [(found.leanings[0].turn, rebuilt)], lambda _n: None
    )
    assert again.answer == found.answer
    assert drops[SAID[left_out].user] == pytest.approx(again.leanings[0].drop, abs=1e-3)
    # the memories differ enough for this to mean something
    assert len({round(drop, 2) for drop in drops.values()}) > 1


def test_what_later_turns_took_from_a_turn_as_context_stays(chat: Chat, store: Store, loaded: Loaded) -> None:
    """The turns after it in its session are not read again."""
    lm, generator = loaded
    tell(chat, "Ada", [SAID])
    ada = chat.welcome("Ada")
    reader = Recollector(store, lm, generator)
    turns = [turn_tokens(lm, exchange) for exchange in SAID]
    expected = fold(lm, generator, generator.empty_state(), [], turns[0])
    expected = fold(lm, generator, expected, turns[:2], turns[2])
    [_, (turn, without), _] = reader.leaving_out(ada, reader.catch_up(ada))
    assert exchange_of(turn) == SAID[1]
    for name in without.updates:
        torch.testing.assert_close(
            without.delta(name), generator.adapter(expected).delta(name), rtol=1e-3, atol=1e-4
        )


def test_a_turn_that_is_all_of_memory_is_leaned_on_for_all_that_memory_adds(
    chat: Chat, loaded: Loaded, store: Store
) -> None:
    """And one without which memory is the same is not leaned on at all; the first comes first."""
    lm, generator = loaded
    tell(chat, "Ada", [SAID])
    needless, needed, _ = store.turns(chat.welcome("Ada").id)
    adapter = generator.adapter(fold(lm, generator, generator.empty_state(), [], turn_tokens(lm, SAID[1])))
    nothing = generator.adapter(generator.empty_state())
    progress: list[int] = []
    found = explain(
        lm,
        prompt_ids(lm, [], QUESTION, 0),
        Sampling(max_new_tokens=12),
        adapter,
        [(needless, adapter), (needed, nothing)],
        progress.append,
    )
    assert found.log_likelihood > found.without_memory
    assert [(leaning.turn, leaning.drop) for leaning in found.leanings] == [
        (needed, found.log_likelihood - found.without_memory),
        (needless, 0.0),
    ]
    assert progress == [1, 2]


def test_the_answer_is_the_likeliest_one_in_a_session_of_its_own(
    store: Store, loaded: Loaded, settings: Settings
) -> None:
    """Also where replies are drawn at random, and with nothing of the running session in the prompt."""
    chat = Chat(store, *loaded, settings.model_copy(update={"temperature": 2.0}))
    chat.welcome("Ada")
    tell(chat, "Ada", [SAID])
    greedy = Chat(store, *loaded, settings.model_copy(update={"temperature": 0.0}))
    found = chat.why("Ada", QUESTION)
    assert found.answer == "".join(greedy.reply("Ada", None, QUESTION))
    chat.close()
    greedy.close()


def test_every_turn_is_weighed_once_and_the_heaviest_come_first(chat: Chat) -> None:
    """Those of every session of the person, and nobody else's; progress counts them."""
    tell(chat, "Ada", [SAID[:2], SAID[2:]])
    tell(chat, "Bob", [[Exchange("I play the cello.", "Oh.")]])
    progress: list[int] = []
    found = chat.why("Ada", QUESTION, progress.append)
    assert {leaning.turn.user_text for leaning in found.leanings} == {e.user for e in SAID}
    drops = [leaning.drop for leaning in found.leanings]
    assert drops == sorted(drops, reverse=True)
    assert progress == [1, 2, 3]
    summary = found.summary(2)
    assert (summary["turns"], len(summary["leans_on"])) == (3, 2)
    assert summary["leans_on"][0]["user"] == found.leanings[0].turn.user_text


def test_asking_why_leaves_nothing_behind(chat: Chat, store: Store) -> None:
    tell(chat, "Ada", [SAID])
    ada = chat.welcome("Ada")
    chat.settle("Ada")
    before = (store.state(ada.id), list(store.turns(ada.id)), store.sessions(ada.id))
    chat.why("Ada", QUESTION)
    assert (store.state(ada.id), list(store.turns(ada.id)), store.sessions(ada.id)) == before


def test_without_a_memory_the_answer_is_the_models_alone(chat: Chat) -> None:
    found = chat.why("Ada", QUESTION)
    assert found.leanings == ()
    assert found.log_likelihood == found.without_memory
    assert found.num_tokens > 0


@pytest.mark.parametrize(
    ("user", "question", "error"),
    [("Nobody", QUESTION, NotFound), ("Ada", " ", BadRequest), ("Ada", "x" * 1_000_000, TooLong)],
)
def test_what_cannot_be_asked_is_refused(
    chat: Chat, user: str, question: str, error: type[RemanenceError]
) -> None:
    with pytest.raises(error):
        chat.why(user, question)


def test_no_turn_is_taken_out_of_a_memory_that_is_no_sum(
    store: Store, loaded: Loaded, settings: Settings
) -> None:
    """A generator that reads in sequence is refused with the reason, before anything is answered."""
    lm, generator = loaded
    sequential = Generator(replace(generator.config, reading="sequential")).eval().requires_grad_(False)
    chat = Chat(store, lm, sequential, settings)
    chat.welcome("Ada")
    tell(chat, "Ada", [SAID])
    with pytest.raises(BadRequest, match="reads every turn under the memory of the turns before it"):
        chat.why("Ada", QUESTION)
    chat.close()


def test_an_overview_counts_what_was_read_and_what_was_not(chat: Chat, store: Store) -> None:
    """Sessions and times are those of the turns in memory; what came since is unread."""
    ada = chat.welcome("Ada")
    tell(chat, "Ada", [SAID[:2], SAID[2:]])
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


def test_where_something_was_taken_out_all_that_is_kept_is_unread(chat: Chat, store: Store) -> None:
    """The saved memory holds no longer, so that nothing of it counts as read."""
    ada = chat.welcome("Ada")
    tell(chat, "Ada", [SAID[:2], SAID[2:]])
    chat.settle("Ada")
    for session, kept in zip(store.sessions(ada.id), (2, 0), strict=True):
        store.set_session_memory(ada.id, session.id, False)
        found = overview(store, ada)
        assert (found.turns, found.unread) == (3, kept)


def test_an_overview_of_somebody_who_said_nothing_is_empty(chat: Chat, store: Store) -> None:
    found = overview(store, chat.welcome("Ada"))
    assert (found.turns, found.sessions, found.unread, found.bytes, found.gauges) == (0, 0, 0, 0, ())
    assert (found.since, found.updated_at, found.fullness, found.is_filling_up) == (None, None, 0.0, False)


def test_what_each_session_added_is_told_from_the_oldest_on(chat: Chat, store: Store) -> None:
    """Sessions that took turns are whole, and all together are the memory but for rounding."""
    early, late = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
    chat.import_sessions(
        "Ada",
        [
            Conversation((SAID[1],), "late", late, order=(1,)),
            Conversation((SAID[0], SAID[2]), "early", early, order=(0, 2)),
        ],
    )
    figures = chat.settle("Ada")
    first, second = chat.contributions("Ada")
    assert [(c.session.name, c.turns) for c in (first, second)] == [("early", 2), ("late", 1)]
    assert first.tokens + second.tokens == figures.tokens
    assert min(first.tokens, second.tokens) > 0
    expected = [gauge.effective_rank for gauge in overview(store, chat.welcome("Ada")).gauges]
    assert second.effective_ranks == pytest.approx(expected, rel=1e-3)
    assert first.effective_ranks != pytest.approx(expected, rel=1e-3)


def test_what_memory_does_not_read_adds_nothing(chat: Chat) -> None:
    """Sessions that are left out, turns said while it was off, and what others said."""
    tell(chat, "Ada", [SAID[:1], SAID[1:2]])
    tell(chat, "Bob", [SAID])
    chat.import_sessions("Ada", [Conversation((SAID[2],), "unheard", in_memory=(False,))])
    left_out = chat.sessions("Ada")[-1]
    chat.set_memory("Ada", False, session=left_out.id)
    assert [c.turns for c in chat.contributions("Ada")] == [1]
    with pytest.raises(NotFound):
        next(chat.contributions("Nobody"))


def test_probing_asks_every_question_under_the_memory_alone(chat: Chat, store: Store) -> None:
    """Each prompt holds the question only, the answer is the likeliest, and nothing is left behind."""
    tell(chat, "Ada", [SAID])
    ada = chat.welcome("Ada")
    chat.settle("Ada")
    before = (store.state(ada.id), list(store.turns(ada.id)), store.sessions(ada.id))
    found = list(chat.probe("Ada", [QUESTION, "Where do I live?"]))
    assert [said.question for said in found] == [QUESTION, "Where do I live?"]
    assert found[0].answer == chat.why("Ada", QUESTION).answer
    assert found[0].answer != "".join(chat.reply("Ada", None, QUESTION, memory=False, temporary=[]))
    assert (store.state(ada.id), list(store.turns(ada.id)), store.sessions(ada.id)) == before


@pytest.mark.parametrize(
    ("answer", "is_known"),
    [("Biscuit.", True), ("I don't know that yet.", False), ("You never told me.", False), ("", False)],
)
def test_an_answer_that_says_that_it_is_none_is_not_known(answer: str, is_known: bool) -> None:
    assert Recollected(QUESTION, answer).is_known == is_known


def test_a_memory_that_is_off_or_empty_is_not_probed(chat: Chat) -> None:
    """A sentence says which, before anything is answered."""
    with pytest.raises(BadRequest, match="has read nothing"):
        next(chat.probe("Ada"))
    tell(chat, "Ada", [SAID])
    chat.set_memory("Ada", False)
    with pytest.raises(BadRequest, match="Memory is off"):
        next(chat.probe("Ada"))
