"""The admin's desk: what it shows, what it does, and that nobody else's hand moves it."""

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from app.chat import Chat
from app.desk import Desk
from app.errors import MemoryDamaged
from tests.app.test_recollection import wait_until
from tests.ui.conftest import NOTE, PASSWORD
from ui.admin import DeskPage

REFUSED = "That is for admins."


@pytest.fixture
def desk(closed: Chat) -> DeskPage:
    """A desk: root is an admin, Ada and Bob are not, and Ada has said something."""
    closed.settle("Ada")
    return DeskPage(Desk(closed))


def browser(user: str) -> Any:
    """What Gradio tells a handler of who is there."""
    return SimpleNamespace(username=user)


def events(desk: DeskPage) -> list[tuple[Any, list[str]]]:
    """Every function that an event of the page calls for somebody, once, and the types of its inputs."""

    async def build() -> gr.Blocks:
        # within a loop, or Gradio makes one and leaves it open
        return desk.build()

    found = {
        block.fn.__name__: (block.fn, [part.get_block_name() for part in block.inputs])
        for block in asyncio.run(build()).fns.values()
        if block.fn is not None and "request" in inspect.signature(block.fn).parameters
    }
    return list(found.values())


SENT = {"textbox": "Ada", "dropdown": "Ada", "number": 1, "radio": "admin"}


def told(desk: DeskPage, name: str) -> dict[str, str]:
    """What each event answers that `name` sends about Ada, with a reason and a job's number."""
    return {
        fn.__name__: str(fn(*(SENT[kind] for kind in inputs), browser(name))) for fn, inputs in events(desk)
    }


def standing(chat: Chat) -> Any:
    """All that an event could have changed."""
    jobs = [job.id for job in chat.jobs.listed()]
    return chat.people.audit(), chat.people.accounts(), jobs, chat.count_turns("Ada")


def test_every_event_is_refused_to_who_is_no_admin(desk: DeskPage, chat: Chat) -> None:
    """By itself, whatever stood before it; with an admin's name each does something."""
    before = standing(chat)
    for name in ("Bob", "Ada", "Nobody"):
        for event, answer in told(desk, name).items():
            assert REFUSED in answer or event in ("arrive", "ask_before_reset"), event
            assert "xylophone" not in answer, event
            assert "root" not in answer, event
        assert REFUSED in str(desk.arrive(browser(name)))
        assert not desk.ask_before_reset("Ada", browser(name))[0].visible
    assert standing(chat) == before
    assert not [event for event, answer in told(desk, "root").items() if REFUSED in answer]
    assert standing(chat) != before


def test_an_admin_who_is_one_no_longer_is_refused(desk: DeskPage, chat: Chat) -> None:
    """The page that is still open does nothing more."""
    chat.people.add("second", PASSWORD, "admin", NOTE)
    for change in (
        lambda: chat.people.set_role("root", "user", NOTE),
        lambda: (chat.people.set_role("root", "admin", NOTE), chat.people.set_disabled("root", True, NOTE)),
    ):
        change()
        assert REFUSED in desk.people("", browser("root"))[0]


def test_people_are_shown_in_figures_without_a_word_of_theirs(desk: DeskPage) -> None:
    """Found by a part of their name."""
    listed, choice = desk.people("", browser("root"))
    assert all(name in listed for name in ("Ada", "Bob", "root"))
    assert choice.choices == [(name, name) for name in ("Ada", "Bob", "root")]
    assert "<meter" in listed
    figures, role, turns, num_bytes = desk.person("Ada", browser("root"))
    assert ("layer 1" in figures, role, turns, num_bytes) == (True, "user", None, None)
    assert "xylophone" not in listed + figures
    listed, choice = desk.people("AD", browser("root"))
    assert (choice.choices, "Bob" in listed) == ([("Ada", "Ada")], False)
    assert "Nobody is called" in desk.people("%", browser("root"))[0]
    assert "nobody called" in desk.person("Eve", browser("root"))[0]


def test_a_damaged_memory_is_shown_as_such(desk: DeskPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """And hides nobody else."""

    def damaged(*_args: Any) -> None:
        raise MemoryDamaged("The saved memory of Ada is damaged.")

    monkeypatch.setattr(Chat, "fullness", damaged)
    monkeypatch.setattr(Chat, "overview", damaged)
    listed = desk.people("", browser("root"))[0]
    assert "damaged" in listed
    assert "Bob" in listed
    assert "damaged" in desk.person("Ada", browser("root"))[0]


def test_every_act_takes_a_reason_and_is_logged(desk: DeskPage, chat: Chat) -> None:
    """Without one nothing happens."""
    root = browser("root")
    acts = {
        "disable": lambda why: desk.disable("Ada", why, root),
        "enable": lambda why: desk.enable("Ada", why, root),
        "give the role admin": lambda why: desk.set_role("Ada", why, "admin", root),
        "set the quota to 5 turns and any number of bytes": lambda why: desk.set_quota(
            "Ada", why, 5, None, root
        ),
        "rebuild the memory": lambda why: desk.rebuild("Ada", why, root),
        "forget": lambda why: desk.reset("Ada", why, root),
    }
    for action, act in acts.items():
        before = standing(chat)
        assert "Say why" in act(" ")[0]
        assert standing(chat) == before
        act("a reason")
        entry = chat.people.audit()[0]
        assert (entry.actor, entry.action, entry.subject, entry.reason) == ("root", action, "Ada", "a reason")
    assert chat.sessions("Ada") == []
    assert "may come in" in desk.add("Eve", "new here", PASSWORD, root)[0]
    assert chat.people.audit()[0].subject == "Eve"


def test_wrong_input_is_a_sentence(desk: DeskPage, chat: Chat) -> None:
    """And the reason that was typed stays."""
    root = browser("root")
    answers = [
        desk.disable(None, "why", root),
        desk.disable("Eve", "why", root),
        desk.disable("root", "why", root),
        desk.rebuild("Eve", "why", root),
        desk.reset("", "why", root),
        desk.set_quota("Ada", "why", -1, None, root),
        desk.add("Ada", "why", PASSWORD, root),
        desk.add("Eve", "why", "short", root),
        desk.cancel(None, "why", root),
        desk.cancel(99, "why", root),
        desk.disable("Ada", "two\nlines", root),
    ]
    before = chat.people.accounts()
    for sentence, reason in answers:
        assert sentence.startswith('<p role="status">')
        assert sentence.endswith(".</p>")
        assert reason == gr.skip()
    assert chat.people.accounts() == before


def test_a_reset_memory_no_longer_knows(desk: DeskPage, chat: Chat) -> None:
    """It asks first, about the one who was chosen then."""
    group, whom = desk.ask_before_reset("Ada", browser("root"))
    assert whom == "Ada"
    assert group.visible
    assert not desk.ask_before_reset(None, browser("root"))[0].visible
    assert "Deleted: 1 turns in 1 chats of Ada" in desk.reset("Ada", "asked for", browser("root"))[0]
    reply = chat.reply("Ada", None, "What is my secret?")
    list(reply)
    assert reply.result.memory.turns == 0


def test_a_job_is_seen_and_cancelled(desk: DeskPage, chat: Chat) -> None:
    """One that is over is said to be."""
    root = browser("root")
    desk.rebuild("Ada", "a test", root)
    wait_until(lambda: chat.jobs.listed()[0].ended_at is not None)
    shown, running = desk.jobs_to_cancel(root)
    assert (shown, running) == (desk.jobs(root), None)
    assert "<progress" in shown
    assert "1 of 1 turns" in shown
    number = chat.jobs.listed()[0].id
    assert f"Job {number} of Ada is over (done)." in desk.cancel(number, "too long", root)[0]
    assert chat.people.audit()[0].action == f"cancel the job {number} (rebuild)"


def test_messages_take_the_right_and_are_shown_as_text(desk: DeskPage, chat: Chat) -> None:
    """No markup in them does anything."""
    root = browser("root")
    list(chat.reply("Ada", "talk", "<script>alert(1)</script>"))
    assert "may not read" in desk.messages("Ada", "a reason", root)[1]
    chat.people.set_right("root", True, NOTE)
    assert "Say why" in desk.messages("Ada", "", root)[1]
    read, _ = desk.messages("Ada", "a court order", root)
    assert "xylophone" in read
    assert "<script" not in read
    assert chat.people.audit()[0].reason == "a court order"


def test_the_server_is_shown_in_counts(desk: DeskPage) -> None:
    """And the audit log filtered by person."""
    root = browser("root")
    assert "tokens in prompts" in desk.counts(root)
    assert "a person&#39;s memory" in desk.machine(root)
    desk.disable("Ada", "because", root)
    assert "because" in desk.audit("Ada", root)
    assert "because" not in desk.audit("Bob", root)
