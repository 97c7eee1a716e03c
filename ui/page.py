"""The chat page: the side, the conversation, a line about the memory, and the memory itself.

Everything is looked up for the person whom the cookie names (`request.username`), at every event: what the
browser sends along is a session's number, the place of a message, a text and what is shown, of which only
the number of messages counts but in a temporary chat; and `Chat` finds nothing but that person's own. Gradio
keeps no conversation (`ui.keeping`); that of a temporary chat stays in the browser.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from app.chat import Chat
from app.desk import Desk
from app.doorman import DEMO, signed_in
from app.errors import RemanenceError
from app.forgetting import Selection
from ui import admin, demo, texts
from ui.events import PlainEvents
from ui.login import login_page
from ui.memory import MemoryView, receipt_text
from ui.messages import Message, first_shown, memory_text, said_in
from ui.mounting import mount_page
from ui.replies import LAST, Replies, ready
from ui.sidebar import CSS as SIDE_CSS
from ui.sidebar import SEND_DOCUMENT, Parts, Side
from ui.tabs import OwnTabs, Tabs
from ui.visitor import user_of

# Replies in the making at once, over everybody; the model serves them in turn, a token each.
MAX_REPLIES = 16

CSS = """
#memory-line { font-size: .8rem; opacity: .65; min-height: 1.4em; }
/* words stay whole on a narrow screen */
.memory-table th, .memory-table td { padding: .35rem .45rem; }
.memory-table th { white-space: nowrap; }
.memory-table td { overflow-wrap: anywhere; }
/* whatever HTML and characters a message holds, it draws and turns nothing beyond itself */
#conversation .message .message { contain: content; unicode-bidi: isolate; overflow-wrap: anywhere; }
#conversation .message form { display: none; }
/* "Branch" stands beside the other buttons of a reply, for the keyboard too, not behind a flag */
#conversation .extra-feedback > :first-child { display: none; }
#conversation .extra-feedback-options { display: flex; position: static; padding: 0; }
/* it would empty the view and forget nothing */
#conversation button[title="Clear"], #conversation button[aria-label="Clear"] { display: none; }
"""
# On a narrow screen the side covers the page: it opens by itself on a wide one only.
IS_WIDE = "window.innerWidth >= 768"
DEMO_LINK = f"\n\n[{texts.DEMO_LINK}]({DEMO}/)"
LOG_OUT = "() => fetch('/api/logout', {method: 'POST'}).then(() => location.assign('/login'))"
LOG_OUT_EVERYWHERE = LOG_OUT.replace("/logout", "/logout/everywhere")
# The server knows what was said; only that of a temporary chat has to be sent along.
SAID = "(text, session, temporary, said, first) => [text, session, temporary, temporary ? said : [], first]"
# Gradio tells of one press of such a button twice.
ONCE = """(session, first) => {
  const isAgain = Date.now() - (window.branchedAt ?? 0) < 500;
  window.branchedAt = Date.now();
  return [isAgain ? null : session, first];
}"""


def mount(server: FastAPI, chat: Chat) -> None:
    """Add the pages to `server`: the form at /login, the admin's desk, the chat at /."""

    @server.get("/login", response_class=HTMLResponse)
    def login() -> str:
        return login_page(chat.people.is_closed(), has_demo=chat.demo is not None)

    # behind all that says who may come in, which is added later
    tabs = Tabs()
    server.add_middleware(PlainEvents, tabs=tabs)
    if chat.demo is not None:
        demo.mount(server, chat.demo)

    admin.mount(server, chat)
    server.add_middleware(OwnTabs, tabs=tabs)
    mount_page(server, ChatPage(chat).build(), "/", CSS + SIDE_CSS, signed_in)


@dataclass(frozen=True, slots=True)
class Shown:
    """The components of the conversation; `first` is the number of the first turn that is shown."""

    box: gr.Textbox
    conversation: gr.Chatbot
    memory_line: gr.Markdown
    earlier: gr.Button
    first: gr.Number


class ChatPage:
    """The page's components and what they do."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self.side = Side(chat)
        self.replies = Replies(chat, self.side)

    def build(self) -> gr.Blocks:
        """Return the page."""
        page: gr.Blocks
        with gr.Blocks(title=texts.TITLE, analytics_enabled=False, fill_height=True) as page:
            wide = gr.Checkbox(visible=False)
            at_side = self.side.build()
            with gr.Tabs():
                with gr.Tab(texts.CHAT_TAB):
                    earlier = gr.Button(texts.EARLIER, size="sm", visible=False)
                    conversation = gr.Chatbot(
                        show_label=False,
                        placeholder=texts.EMPTY_SESSION + (DEMO_LINK if self._chat.demo else ""),
                        examples=[{"text": text} for text in texts.EXAMPLES],
                        buttons=["copy"],
                        editable="user",
                        feedback_options=[texts.BRANCH],
                        scale=1,
                        height="60vh",
                        elem_id="conversation",
                    )
                    memory_line = gr.Markdown(elem_id="memory-line")
                    box = gr.Textbox(
                        placeholder=texts.PLACEHOLDER,
                        label=texts.PLACEHOLDER,
                        show_label=False,
                        submit_btn=True,
                        autofocus=True,
                        max_lines=8,
                        elem_id="box",
                    )
                with gr.Tab(texts.MEMORY_TAB) as memory_tab:
                    memory = MemoryView(self._chat)
                    changes = memory.build(memory_tab)
            first = gr.Number(0, precision=0, visible=False)
            self._wire(at_side, Shown(box, conversation, memory_line, earlier, first), wide)
            for changed in changes:
                changed.then(self.refresh, [at_side.sessions, first], [at_side.sessions, conversation])
            page.load(
                self.arrive,
                wide,
                [at_side.side, at_side.name, at_side.sessions, memory_line],
                js=f"() => {IS_WIDE}",
            )
            page.load(self.show_desk, None, at_side.desk)
        return page

    def _wire(self, at_side: Parts, at: Shown, wide: gr.Checkbox) -> None:
        """Say what happens when a person does something about the conversation."""
        sessions, place = at_side.sessions, [at_side.sessions, at.first]
        # what replaces or deletes says what it saw: the chat may have gone on in another window
        seen = [*place, at.conversation]
        shown = [at.box, sessions, at.conversation, at.memory_line]
        # one at a time: sending, saying again and editing all change the same conversation
        answering: dict[str, Any] = {
            "concurrency_limit": MAX_REPLIES,
            "concurrency_id": "answers",
            "show_progress": "hidden",
        }
        said = [at.box, sessions, at_side.temporary, at.conversation, at.first]
        begun = [sessions, at_side.temporary]
        replies: list[Any] = [
            at.box.submit(self.replies.say, said, shown, js=SAID, **answering),
            at.conversation.example_select(self.replies.example, begun, shown, **answering),
            at.conversation.retry(self.replies.retry, seen, shown, **answering),
            at.conversation.option_select(self.replies.retry_last, seen, shown, **answering),
            at.conversation.edit(self.replies.edit, seen, shown, **answering),
        ]
        at.conversation.undo(self.undo, seen, shown)
        at.box.stop(self.replies.stop, None, None)
        at.earlier.click(self.show_earlier, sessions, [at.earlier, at.first, at.conversation, at.memory_line])
        # who leaves a session while it answers has stopped the reply
        opened = [
            at_side.side, sessions, at.conversation, at.box, at.memory_line, at.first, at.earlier
        ]  # fmt: skip
        for begin in (at_side.new.click, at_side.temporary.input):
            begin(self.begin_session, wide, opened, js=f"() => {IS_WIDE}", cancels=replies)
        for choice in (sessions, at_side.hits):
            choice.input(
                self.open_session,
                [choice, wide],
                [*opened, at_side.temporary],
                js=f"(session) => [session, {IS_WIDE}]",
                cancels=replies,
            )
        at.conversation.like(self.branch, place, opened, js=ONCE, cancels=replies)
        at_side.title.submit(self.side.rename, [sessions, at_side.title], [sessions, at.memory_line])
        at_side.pinned.input(self.side.pin, [sessions, at_side.pinned], [sessions, at.memory_line])
        at_side.remembered.input(self.switch_session, [sessions, at_side.remembered], at.memory_line)
        at_side.removed.click(
            self.delete, sessions, [at_side.sure, sessions, at.conversation, at.memory_line], cancels=replies
        )
        number, problem = gr.Number(visible=False, precision=0), gr.Textbox(visible=False)
        at_side.give.click(
            self.take_document,
            [number, problem, wide],
            opened,
            js=f"async () => [...await ({SEND_DOCUMENT % texts.DOCUMENT_NOT_SENT})(), {IS_WIDE}]",
            cancels=replies,
        )
        at_side.desk.click(None, js=f"() => location.assign('{admin.PATH}/')")
        at_side.leave.click(None, js=LOG_OUT)
        at_side.leave_everywhere.click(None, js=LOG_OUT_EVERYWHERE)

    def arrive(self, wide: bool, request: gr.Request) -> tuple[gr.Sidebar, str, gr.Radio, str]:
        """Return what the page shows at first: the side, who is there, their sessions, their memory."""
        user = user_of(request)
        try:
            memory_line = memory_text(self._chat.memory(user))
        except RemanenceError as error:
            memory_line = str(error)
        name = texts.SIGNED_IN_AS.format(name=user)
        return gr.Sidebar(open=wide), name, self.side.sessions(user, None), memory_line

    def show_desk(self, request: gr.Request) -> gr.Button:
        """Return the way to the admin's desk, for admins."""
        return gr.Button(visible=Desk(self._chat).is_admin(user_of(request)))

    def begin_session(self, wide: bool, request: gr.Request) -> tuple[Any, ...]:
        """Leave the session that is open; the next message begins another."""
        return self._opened(None, request, gr.Sidebar(open=wide))

    def open_session(self, session: int | None, wide: bool, request: gr.Request) -> tuple[Any, ...]:
        """Show what was said in a session of the person; it is no temporary chat."""
        return *self._opened(session, request, gr.Sidebar(open=wide)), False

    def _opened(self, session: int | None, request: gr.Request, side: Any, line: str = "") -> tuple[Any, ...]:
        user = user_of(request)
        try:
            first = first_shown(self._chat, user, session)
            said = said_in(self._chat, user, session, first)
        except RemanenceError as error:
            session, first, said, line = None, 0, [], str(error)
        more = gr.Button(visible=first > 0)
        return side, self.side.sessions(user, session), said, ready(), line, first, more

    def show_earlier(self, session: int | None, request: gr.Request) -> tuple[Any, ...]:
        """Show the whole of a long session."""
        return gr.Button(visible=False), 0, said_in(self._chat, user_of(request), session), gr.skip()

    def branch(
        self, session: int | None, first: int | None, data: gr.LikeData, request: gr.Request
    ) -> tuple[Any, ...]:
        """Open a new session that goes on from a reply."""
        if session is None:
            return (gr.skip(),) * 7
        try:
            turn, _ = self.replies.turn_at(user_of(request), session, first, data.index)
            begun = self._chat.branch(user_of(request), turn)
        except RemanenceError as error:
            return *(gr.skip(),) * 4, str(error), gr.skip(), gr.skip()
        return self._opened(begun.id, request, gr.skip(), texts.BRANCHED)

    def take_document(
        self, session: int | None, problem: str, wide: bool, request: gr.Request
    ) -> tuple[Any, ...]:
        """Show the document that was sent, or why it was not taken."""
        if session is not None:
            return self._opened(session, request, gr.Sidebar(open=wide), texts.DOCUMENT_GIVEN)
        if not problem:
            return (gr.skip(),) * 7
        return gr.Sidebar(open=wide), *(gr.skip(),) * 3, problem, gr.skip(), gr.skip()

    def switch_session(self, session: int | None, on: bool, request: gr.Request) -> str:
        """Leave the session out of memory, or take it in again."""
        if session is None:
            return texts.NO_SESSION
        try:
            self._chat.set_memory(user_of(request), on, session=session)
        except RemanenceError as error:
            return str(error)
        return texts.SESSION_ON if on else texts.SESSION_OFF

    def delete(self, session: int | None, request: gr.Request) -> tuple[Any, ...]:
        """Delete the session for good, and say what came of it."""
        user = user_of(request)
        line = texts.NO_SESSION
        if session is not None:
            try:
                line = receipt_text(self._chat.forget(user, Selection(session_id=session)))
            except RemanenceError as error:
                line = str(error)
        return gr.Group(visible=False), self.side.sessions(user, None), [], line

    def refresh(
        self, session: int | None, first: int | None, request: gr.Request
    ) -> tuple[gr.Radio, list[Message]]:
        """Return the sessions, and what is left of the open one, after something was forgotten."""
        return self.replies.left_of(user_of(request), session, first)

    def undo(
        self, session: int | None, first: int | None, seen: Sequence[Any], request: gr.Request
    ) -> tuple[Any, ...]:
        """Take back what was said last, and put it into the box again."""
        user = user_of(request)
        try:
            turn, said = self.replies.turn_at(user, session, first, LAST, len(seen))
            receipt = self._chat.forget(user, Selection(turn_id=turn))
        except RemanenceError as error:
            return gr.skip(), gr.skip(), gr.skip(), str(error)
        return said, *self.refresh(session, first, request), receipt_text(receipt)
