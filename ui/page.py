"""The chat page: sessions at the side, the conversation, and a quiet line about the memory.

Everything is looked up for the person whom the cookie names (`request.username`), at every event: what the
browser sends along is a session's number and a text, and `Chat` finds no session but that person's own.
Gradio keeps no conversation.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from threading import Event
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from app.chat import Chat
from app.doorman import signed_in
from app.errors import RemanenceError
from app.recollection import MemoryFigures
from app.reply import Answer
from ui import texts
from ui.login import login_page
from ui.tabs import OwnTabs

log = logging.getLogger(__name__)

# How often a growing reply is sent to the browser.
UPDATE_SECONDS = 1 / 15
# Replies in the making at once, over everybody; the model serves them in turn, a token each.
MAX_REPLIES = 16

CSS = """
#memory-line { font-size: .8rem; opacity: .65; min-height: 1.4em; }
#sessions .wrap { flex-direction: column; flex-wrap: nowrap; max-height: 60vh; overflow-y: auto; }
#sessions label { width: 100%; }
#sessions label span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
/* it would empty the view and forget nothing */
#conversation button[title="Clear"], #conversation button[aria-label="Clear"] { display: none; }
"""
# On a narrow screen the side covers the page: it opens by itself on a wide one only.
IS_WIDE = "window.innerWidth >= 768"
LOG_OUT = "() => fetch('/api/logout', {method: 'POST'}).then(() => location.assign('/login'))"
LOG_OUT_EVERYWHERE = LOG_OUT.replace("/logout", "/logout/everywhere")

Message = dict[str, str]


def mount(server: FastAPI, chat: Chat) -> None:
    """Add the page to `server`: the form at /login, the chat at /."""

    @server.get("/login", response_class=HTMLResponse)
    def login() -> str:
        return login_page(chat.people.is_closed())

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
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
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
                sessions = gr.Radio(label=texts.SESSIONS, elem_id="sessions", type="value")
                leave = gr.Button(texts.LOG_OUT, size="sm")
                leave_everywhere = gr.Button(texts.LOG_OUT_EVERYWHERE, size="sm")
            conversation = gr.Chatbot(
                show_label=False,
                placeholder=texts.EMPTY_SESSION,
                buttons=["copy"],
                scale=1,
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
            page.load(self.arrive, wide, [side, name, sessions, memory_line], js=f"() => {IS_WIDE}")
            saying = box.submit(
                self.say,
                [box, sessions],
                [box, sessions, conversation, memory_line],
                concurrency_limit=MAX_REPLIES,
                show_progress="hidden",
            )
            box.stop(self.stop, None, None, queue=False)
            # who leaves a session while it answers has stopped the reply
            new.click(
                self.begin_session,
                wide,
                [side, sessions, conversation, box],
                js=f"() => {IS_WIDE}",
                cancels=saying,
            )
            sessions.input(
                self.open_session,
                [sessions, wide],
                [side, conversation, box],
                js=f"(session) => [session, {IS_WIDE}]",
                cancels=saying,
            )
            leave.click(None, js=LOG_OUT)
            leave_everywhere.click(None, js=LOG_OUT_EVERYWHERE)
        return page

    def arrive(self, wide: bool, request: gr.Request) -> tuple[gr.Sidebar, str, gr.Radio, str]:
        """Return what the page shows at first: the side, who is there, their sessions, their memory."""
        user = _user(request)
        try:
            memory_line = memory_text(self._chat.memory(user))
        except RemanenceError as error:
            memory_line = str(error)
        name = texts.SIGNED_IN_AS.format(name=user)
        return gr.Sidebar(open=wide), name, self._sessions(user, None), memory_line

    def begin_session(self, wide: bool, request: gr.Request) -> tuple[Any, ...]:
        """Leave the session that is open; the next message begins another."""
        return gr.Sidebar(open=wide), self._sessions(_user(request), None), [], _ready()

    def open_session(self, session: int, wide: bool, request: gr.Request) -> tuple[Any, ...]:
        """Show what was said in a session of the person."""
        try:
            said = self._said(_user(request), session)
        except RemanenceError as error:
            gr.Warning(str(error))
            said = []
        return gr.Sidebar(open=wide), said, _ready()

    def say(self, text: str, session: int | None, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Answer `text`, yielding box, sessions, conversation and memory line as they change."""
        user = _user(request)
        tab = (user, str(request.session_hash))
        stop = self._stops[tab] = Event()
        before: list[Message] = []
        answer: Answer | None = None
        try:
            before = self._said(user, session)
            said = [*before, _message("user", text)]
            # a browser that goes away closes the reply
            with closing(self._chat.reply(user, session, text, stop=stop)) as reply:
                yield gr.Textbox("", submit_btn=False, stop_btn=True), gr.skip(), said, gr.skip()
                for shown in throttled(reply):
                    yield gr.skip(), gr.skip(), [*said, _message("assistant", shown)], gr.skip()
            answer = reply.result
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
        if stop := self._stops.get((_user(request), str(request.session_hash))):
            stop.set()

    def _sessions(self, user: str, chosen: int | None) -> gr.Radio:
        return gr.Radio([(s.name, s.id) for s in self._chat.sessions(user)], value=chosen)

    def _said(self, user: str, session: int | None) -> list[Message]:
        messages = []
        for turn in self._chat.turns(user, session) if session is not None else []:
            stopped = f" {texts.STOPPED}" if turn.status == "stopped" else ""
            messages.append(_message("user", turn.user_text))
            messages.append(_message("assistant", turn.reply_text + stopped))
        return messages


def throttled(pieces: Iterator[str]) -> Iterator[str]:
    """Yield the text so far, not more often than every UPDATE_SECONDS, and the whole of it at the end."""
    shown, sent_at = "", time.monotonic()
    for piece in pieces:
        shown += piece
        if time.monotonic() - sent_at >= UPDATE_SECONDS:
            sent_at = time.monotonic()
            yield shown
    yield shown


def memory_text(memory: MemoryFigures | None, answer: Answer | None = None) -> str:
    """Return the line about the memory, and about the answer if there is one."""
    if memory is None:
        line = texts.MEMORY_OFF
    else:
        line = texts.MEMORY.format(turns=memory.turns, tokens=memory.tokens, revision=memory.revision)
    if answer is None:
        return line
    return line + texts.ANSWERED.format(prompt_tokens=answer.prompt_tokens, seconds=answer.seconds)


def _message(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def _user(request: gr.Request) -> str:
    # the doorman lets nobody in without a name; a name must not be made of nobody
    if not request.username:
        raise PermissionError("an event without a person")
    return str(request.username)


def _ready() -> gr.Textbox:
    """Return the box as it waits for a message."""
    return gr.Textbox(submit_btn=True, stop_btn=False)
