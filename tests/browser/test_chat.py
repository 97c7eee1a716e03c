"""Chatting in the browser: stopping, editing, and a chat that leaves nothing."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.site import Site
from tests.browser.visitor import Visitor
from ui import texts


def test_a_reply_that_is_stopped_is_kept_as_it_was_shown(visit: Visit, site: Site) -> None:
    """And says so, also when the chat is opened again."""
    ada = visit("Ada Stop")
    ada.stop_soon()
    shown = ada.say("Tell me everything.")
    assert shown.endswith(" (stopped)")
    assert len(shown) > len(" (stopped)")
    ada.reload()
    ada.open_chat("Tell me everything.")
    assert ada.last_reply() == shown
    with site.store() as store:
        user = store.find_user("Ada Stop")
        [session] = store.sessions(user.id)
        [turn] = store.session_turns(user.id, session.id)
    assert turn.status == "stopped"


def test_a_message_that_is_edited_is_answered_in_its_place(visit: Visit) -> None:
    """What came after it is gone, from the chat and from the database."""
    ada = visit("Ada Edit")
    ada.say("My cat is called Marmalade.")
    ada.say("She sleeps all day.")
    ada.edit(0, "My cat is called Pepper.")
    expect(ada.messages).to_have_text(["My cat is called Pepper."])
    ada.last_reply()
    ada.reload()
    ada.open_chat("My cat is called")
    expect(ada.messages).to_have_text(["My cat is called Pepper."])
    expect(ada.replies).to_have_count(1)


def test_a_window_that_shows_less_than_there_is_changes_nothing(visit: Visit, site: Site) -> None:
    """Two windows on one chat: what one of them does not show is not replaced by an edit in it."""
    ada = visit("Ada Twice")
    ada.say("My cat is called Marmalade.")
    other = Visitor(ada.page.context, site)
    other.page.goto("/")
    other.open_chat("My cat is called")
    other.say("She sleeps all day.")
    ada.edit(0, "My cat is called Pepper.")
    expect(ada.page.get_by_text(texts.CHANGED_ELSEWHERE).first).to_be_visible()
    other.reload()
    other.open_chat("My cat is called")
    expect(other.messages).to_have_text(["My cat is called Marmalade.", "She sleeps all day."])


def test_a_temporary_chat_leaves_nothing(visit: Visit, site: Site) -> None:
    """Neither in the page nor in a file, and it goes on all the same."""
    ada = visit("Ada Temporary")
    ada.page.get_by_label(texts.TEMPORARY).check()
    ada.say("My password is rhubarb42.")
    ada.say("It was rhubarb41 before.")
    expect(ada.messages).to_have_count(2)
    expect(ada.chats).to_have_count(0)
    ada.open_memory()
    expect(ada.page.locator("#memory-figures")).to_contain_text(texts.NOTHING_READ)
    ada.reload()
    expect(ada.messages).to_have_count(0)
    expect(ada.chats).to_have_count(0)
    assert b"rhubarb" not in site.content()
