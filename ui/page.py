"""The chat page: sessions at the side, the conversation, a line about the memory, and the memory itself.

Everything is looked up for the person whom the cookie names (`request.username`), at every event: what the
browser sends along is a session's number, the place of a message and a text, and `Chat` finds nothing but
that person's own. Gradio keeps no conversation; that of a temporary chat stays in the browser.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from threading import Event
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from app.chat import Chat
from app.doorman import signed_in
from app.errors import NotFound, RemanenceError
from app.forgetting import Selection
from app.reply import Answer
from ui import demo, texts
from ui.login import login_page
from ui.memory import MemoryView, receipt_text
from ui.messages import ENDINGS, Message, memory_text, message, pairs, plain, throttled
from ui.tabs import OwnTabs
from ui.visitor import user_of

log = logging.getLogger(__name__)

# Replies in the making at once, over everybody; the model serves them in turn, a token each.
MAX_REPLIES = 16

CSS = """
#memory-line { font-size: .8rem; opacity: .65; min-height: 1.4em; }
#sessions .wrap { flex-direction: column; flex-wrap: nowrap; max-height: 60vh; overflow-y: auto; }
#sessions label { width: 100%; }
#sessions label span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
/* words stay whole on a narrow screen */
.memory-table th, .memory-table td { padding: .35rem .45rem; }
.memory-table th { white-space: nowrap; }
.memory-table td { overflow-wrap: anywhere; }
/* it would empty the view and forget nothing */
#conversation button[title="Clear"], #conversation button[aria-label="Clear"] { display: none; }
"""
# On a narrow screen the side covers the page: it opens by itself on a wide one only.
IS_WIDE = "window.innerWidth >= 768"
DEMO_LINK = f"\n\n[{texts.DEMO_LINK}]({demo.PATH}/)"
LOG_OUT = "() => fetch('/api/logout', {method: 'POST'}).then(() => location.assign('/login'))"
LOG_OUT_EVERYWHERE = LOG_OUT.replace("/logout", "/logout/everywhere")


def mount(server: FastAPI, chat: Chat) -> None:
    """Add the page to `server`: the form at /login, the chat at /."""

    @server.get("/login", response_class=HTMLResponse)
    def login() -> str:
        return login_page(chat.people.is_closed(), has_demo=chat.demo is not None)

    if chat.demo is not None:
        demo.mount(server, chat.demo)

    server.add_middleware(OwnTabs)
    gr.mount_gradio_app(
        server,
        ChatPage(chat).build(),
        path="/",
        auth_dependency=signed_in,
        allowed_paths=[],
        show_error=False,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        # hints are too pale to read as the theme has them
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
            block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300"
        ),
        css=CSS,
    )


class ChatPage:
    """The page's components and what they do."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        # by person and browser tab: set to stop the reply that is being made there
        self._stops: dict[tuple[str, str], Event] = {}

    def build(self) -> gr.Blocks:
        """Return the page."""
        page: gr.Blocks
        with gr.Blocks(title=texts.TITLE, analytics_enabled=False, fill_height=True) as page:
            wide = gr.Checkbox(visible=False)
            with gr.Sidebar(width=280, open=False) as side:
                gr.Markdown(f"## {texts.TITLE}")
                name = gr.Markdown()
                new = gr.Button(texts.NEW_SESSION, variant="primary")
                temporary = gr.Checkbox(label=texts.TEMPORARY, info=texts.TEMPORARY_HINT)
                sessions = gr.Radio(label=texts.SESSIONS, elem_id="sessions", type="value")
                with gr.Accordion(texts.THIS_SESSION, open=False):
                    title = gr.Textbox(label=texts.RENAME, max_length=64, submit_btn=texts.RENAME_BUTTON)
                    remembered = gr.Checkbox(label=texts.SESSION_MEMORY, value=True)
                    remove = gr.Button(texts.DELETE_SESSION, size="sm")
                    with gr.Group(visible=False) as sure:
                        gr.Markdown(texts.DELETE_SESSION_SURE)
                        removed = gr.Button(texts.DELETE_FOR_GOOD, variant="stop", size="sm")
                        kept = gr.Button(texts.KEEP, size="sm")
                leave = gr.Button(texts.LOG_OUT, size="sm")
                leave_everywhere = gr.Button(texts.LOG_OUT_EVERYWHERE, size="sm")
            with gr.Tabs():
                with gr.Tab(texts.CHAT_TAB):
                    conversation = gr.Chatbot(
                        show_label=False,
                        placeholder=texts.EMPTY_SESSION + (DEMO_LINK if self._chat.demo else ""),
                        examples=[{"text": text} for text in texts.EXAMPLES],
                        buttons=["copy"],
                        editable="user",
                        scale=1,
                        height="60vh",
                        elem_id="conversation",
                    )
                    memory_line = gr.Markdown(elem_id="memory-line")
                    box = gr.Textbox(
                        placeholder=texts.PLACEHOLDER,
                        show_label=False,
                        submit_btn=True,
                        autofocus=True,
                        max_lines=8,
                        elem_id="box",
                    )
                with gr.Tab(texts.MEMORY_TAB) as memory_tab:
                    memory = MemoryView(self._chat)
                    changes = memory.build(memory_tab)
            page.load(self.arrive, wide, [side, name, sessions, memory_line], js=f"() => {IS_WIDE}")
            shown = [box, sessions, conversation, memory_line]
            # one at a time: sending, saying again and editing all change the same conversation
            answering: dict[str, Any] = {
                "concurrency_limit": MAX_REPLIES,
                "concurrency_id": "answers",
                "show_progress": "hidden",
            }
            replies: list[Any] = [
                box.submit(self.say, [box, sessions, temporary, conversation], shown, **answering),
                conversation.example_select(self.example, [sessions, temporary], shown, **answering),
                conversation.retry(self.retry, sessions, shown, **answering),
                conversation.edit(self.edit, sessions, shown, **answering),
            ]
            conversation.undo(self.undo, sessions, shown)
            box.stop(self.stop, None, None, queue=False)
            # who leaves a session while it answers has stopped the reply
            for begin in (new.click, temporary.input):
                begin(
                    self.begin_session,
                    wide,
                    [side, sessions, conversation, box],
                    js=f"() => {IS_WIDE}",
                    cancels=replies,
                )
            sessions.input(
                self.open_session,
                [sessions, wide],
                [side, conversation, box],
                js=f"(session) => [session, {IS_WIDE}]",
                cancels=replies,
            ).then(self.describe, sessions, [title, remembered, temporary])
            title.submit(self.rename, [sessions, title], sessions)
            remembered.input(self.switch_session, [sessions, remembered], memory_line)
            remove.click(lambda: gr.Group(visible=True), None, sure)
            kept.click(lambda: gr.Group(visible=False), None, sure)
            removed.click(self.delete, sessions, [sure, sessions, conversation, memory_line], cancels=replies)
            for changed in changes:
                changed.then(self.refresh, sessions, [sessions, conversation])
            leave.click(None, js=LOG_OUT)
            leave_everywhere.click(None, js=LOG_OUT_EVERYWHERE)
        return page

    def arrive(self, wide: bool, request: gr.Request) -> tuple[gr.Sidebar, str, gr.Radio, str]:
        """Return what the page shows at first: the side, who is there, their sessions, their memory."""
        user = user_of(request)
        try:
            memory_line = memory_text(self._chat.memory(user))
        except RemanenceError as error:
            memory_line = str(error)
        name = texts.SIGNED_IN_AS.format(name=user)
        return gr.Sidebar(open=wide), name, self._sessions(user, None), memory_line

    def begin_session(self, wide: bool, request: gr.Request) -> tuple[Any, ...]:
        """Leave the session that is open; the next message begins another."""
        return gr.Sidebar(open=wide), self._sessions(user_of(request), None), [], _ready()

    def open_session(self, session: int, wide: bool, request: gr.Request) -> tuple[Any, ...]:
        """Show what was said in a session of the person."""
        try:
            said = self._said(user_of(request), session)
        except RemanenceError as error:
            gr.Warning(str(error))
            said = []
        return gr.Sidebar(open=wide), said, _ready()

    def describe(self, session: int, request: gr.Request) -> tuple[Any, ...]:
        """Return the name of the session, whether memory reads it, and that it is no temporary one."""
        found = next((s for s in self._chat.sessions(user_of(request)) if s.id == session), None)
        return found.name if found else "", found is None or found.memory_on, False

    def rename(self, session: int | None, name: str, request: gr.Request) -> Any:
        """Give the session another name."""
        if session is not None:
            try:
                self._chat.rename_session(user_of(request), session, name.strip())
            except RemanenceError as error:
                gr.Warning(str(error))
        return self._sessions(user_of(request), session)

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
        return gr.Group(visible=False), self._sessions(user, None), [], line

    def refresh(self, session: int | None, request: gr.Request) -> tuple[gr.Radio, list[Message]]:
        """Return the sessions, and what is left of the open one, after something was forgotten."""
        user = user_of(request)
        left = session if session in {s.id for s in self._chat.sessions(user)} else None
        return self._sessions(user, left), self._said(user, left)

    def undo(self, session: int | None, request: gr.Request) -> tuple[Any, ...]:
        """Take back what was said last, and put it into the box again."""
        user = user_of(request)
        try:
            turns = self._chat.turns(user, session) if session is not None else []
            if not turns:
                raise NotFound(texts.NO_SESSION)
            receipt = self._chat.forget(user, Selection(turn_id=turns[-1].id))
        except RemanenceError as error:
            gr.Warning(str(error))
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        return turns[-1].user_text, *self.refresh(session, request), receipt_text(receipt)

    def retry(
        self, session: int | None, data: gr.RetryData, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Make the reply to a message again."""
        yield from self._say_again(session, data.index, None, request)

    def edit(self, session: int | None, data: gr.EditData, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Say something else in the place of a message."""
        yield from self._say_again(session, data.index, str(data.value), request)

    def _say_again(
        self, session: int | None, place: Any, text: str | None, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Answer `text`, or the same again, in the place of the message at `place`."""
        try:
            turns = self._chat.turns(user_of(request), session) if session is not None else []
            # a message of the person and a reply are one turn
            if not isinstance(place, int) or not 0 <= place // 2 < len(turns):
                raise NotFound(texts.NO_SESSION)
        except RemanenceError as error:
            gr.Warning(str(error))
            yield gr.skip(), gr.skip(), gr.skip(), gr.skip()
            return
        turn = turns[place // 2]
        yield from self._answer(text or turn.user_text, session, request, instead_of=turn.id)

    def example(
        self, session: int | None, temporary: bool, data: gr.SelectData, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Say one of the examples."""
        number = data.index if isinstance(data.index, int) else 0
        yield from self.say(texts.EXAMPLES[number % len(texts.EXAMPLES)], session, request, temporary)

    def say(
        self,
        text: str,
        session: int | None,
        request: gr.Request,
        temporary: bool = False,
        conversation: Sequence[dict[str, Any]] = (),
    ) -> Iterator[tuple[Any, ...]]:
        """Answer `text`, yielding box, sessions, conversation and memory line as they change."""
        if temporary:
            yield from self._answer(text, None, request, temporary=list(conversation))
        else:
            yield from self._answer(text, session, request)

    def _answer(
        self,
        text: str,
        session: int | None,
        request: gr.Request,
        instead_of: int | None = None,
        temporary: list[dict[str, Any]] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        user = user_of(request)
        tab = (user, str(request.session_hash))
        stop = self._stops[tab] = Event()
        before: list[Message] = []
        answer: Answer | None = None
        try:
            before = self._said(user, session, instead_of) if temporary is None else plain(temporary)
            said = [*before, message("user", text)]
            window = None if temporary is None else pairs(before)
            # a browser that goes away closes the reply
            with closing(
                self._chat.reply(user, session, text, instead_of=instead_of, temporary=window, stop=stop)
            ) as reply:
                yield gr.Textbox("", submit_btn=False, stop_btn=True), gr.skip(), said, gr.skip()
                for shown in throttled(reply):
                    yield gr.skip(), gr.skip(), [*said, message("assistant", shown)], gr.skip()
            answer = reply.result
            if answer.turn is None:
                yield _ready(), gr.skip(), [*said, message("assistant", answer.text)], texts.TEMPORARY_LINE
                return
            said = self._said(user, answer.session_id)
            sessions = self._sessions(user, answer.session_id)
            yield gr.skip(), sessions, said, memory_text(answer.memory, answer) + texts.READING
            read = self._chat.settle(user)
            yield _ready(), gr.skip(), gr.skip(), memory_text(read, answer)
        except Exception as error:
            if not isinstance(error, RemanenceError):
                log.exception("a reply failed")
            sentence = str(error) if isinstance(error, RemanenceError) else texts.FAILED
            if answer is None:
                gr.Warning(sentence)
                yield gr.Textbox(text, submit_btn=True, stop_btn=False), gr.skip(), before, gr.skip()
            else:
                # the turn is stored: sent again, the text would be said twice
                yield _ready(), gr.skip(), gr.skip(), sentence
        finally:
            # a later reply in this tab has an event of its own
            if self._stops.get(tab) is stop:
                del self._stops[tab]

    def stop(self, request: gr.Request) -> None:
        """Stop the reply that is being made in this tab."""
        if stop := self._stops.get((user_of(request), str(request.session_hash))):
            stop.set()

    def _sessions(self, user: str, chosen: int | None) -> gr.Radio:
        return gr.Radio([(s.name, s.id) for s in self._chat.sessions(user)], value=chosen)

    def _said(self, user: str, session: int | None, before: int | None = None) -> list[Message]:
        """Return what was said in the session, before the turn of that number if it is given."""
        messages = []
        for turn in self._chat.turns(user, session) if session is not None else []:
            if turn.id == before:
                break
            messages.append(message("user", turn.user_text))
            messages.append(message("assistant", f"{turn.reply_text}{ENDINGS[turn.status]}"))
        return messages


def _ready() -> gr.Textbox:
    """Return the box as it waits for a message."""
    return gr.Textbox(submit_btn=True, stop_btn=False)
