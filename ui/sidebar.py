"""The side of the page: a person's chats and documents, a search, and what is done to one of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.chat import Chat
from app.errors import RemanenceError
from ui import texts
from ui.keeping import offer_numbers
from ui.visitor import user_of

CSS = """
#sessions .wrap, #hits .wrap { flex-direction: column; flex-wrap: nowrap; }
#sessions .wrap, #hits .wrap { max-height: 40vh; overflow-y: auto; }
#sessions label, #hits label { width: 100%; }
#sessions label span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#hits label span { overflow-wrap: anywhere; }
/* a name may hold characters that turn the direction of writing: not beyond itself */
#sessions label span, #hits label span { unicode-bidi: isolate; }
"""

# A file is sent as it is to its own route, so that it never lies where the page's own files do.
SEND_DOCUMENT = """async () => {
  const input = Object.assign(document.createElement("input"), {type: "file", accept: ".txt,.md,.pdf"});
  const file = await new Promise((done) => {
    input.onchange = () => done(input.files[0]);
    input.oncancel = () => done(null);
    input.click();
  });
  if (!file) return [null, ""];
  try {
    const url = `/api/documents?name=${encodeURIComponent(file.name)}`;
    const answer = await (await fetch(url, {method: "POST", body: file})).json();
    return [answer.session ?? null, answer.error ?? ""];
  } catch { return [null, "%s"]; }
}"""


@dataclass(frozen=True, slots=True)
class Parts:
    """The components that the rest of the page has to do with."""

    side: gr.Sidebar
    name: gr.Markdown
    new: gr.Button
    temporary: gr.Checkbox
    give: gr.Button
    hits: gr.Radio
    sessions: gr.Radio
    title: gr.Textbox
    pinned: gr.Checkbox
    remembered: gr.Checkbox
    sure: gr.Group
    removed: gr.Button
    desk: gr.Button
    leave: gr.Button
    leave_everywhere: gr.Button


class Side:
    """The components at the side and what they do to no more than the side itself."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def build(self) -> Parts:
        """Add the components to the page, within whose block this is called."""
        with gr.Sidebar(width=280, open=False) as side:
            gr.Markdown(f"# {texts.TITLE}")
            name = gr.Markdown()
            new = gr.Button(texts.NEW_SESSION, variant="primary")
            temporary = gr.Checkbox(label=texts.TEMPORARY, info=texts.TEMPORARY_HINT)
            search = gr.Textbox(label=texts.SEARCH, max_length=200, elem_id="search")
            hits = gr.Radio(visible=False, elem_id="hits")
            sessions = gr.Radio(label=texts.SESSIONS, elem_id="sessions")
            give = gr.Button(texts.GIVE_DOCUMENT, size="sm")
            with gr.Accordion(texts.THIS_SESSION, open=False):
                title = gr.Textbox(label=texts.RENAME, max_length=64, submit_btn=texts.RENAME_BUTTON)
                pinned = gr.Checkbox(label=texts.PIN)
                remembered = gr.Checkbox(label=texts.SESSION_MEMORY, value=True)
                remove = gr.Button(texts.DELETE_SESSION, size="sm")
                with gr.Group(visible=False) as sure:
                    gr.Markdown(texts.DELETE_SESSION_SURE)
                    removed = gr.Button(texts.DELETE_FOR_GOOD, variant="stop", size="sm")
                    kept = gr.Button(texts.KEEP, size="sm")
            desk = gr.Button(texts.DESK_LINK, size="sm", visible=False)
            leave = gr.Button(texts.LOG_OUT, size="sm")
            leave_everywhere = gr.Button(texts.LOG_OUT_EVERYWHERE, size="sm")
        for chats in (hits, sessions):
            offer_numbers(chats)
        search.change(self.search, search, hits, show_progress="hidden")
        sessions.change(self.describe, sessions, [title, pinned, remembered], show_progress="hidden")
        remove.click(lambda: gr.Group(visible=True), None, sure)
        kept.click(lambda: gr.Group(visible=False), None, sure)
        return Parts(
            side=side,
            name=name,
            new=new,
            temporary=temporary,
            give=give,
            hits=hits,
            sessions=sessions,
            title=title,
            pinned=pinned,
            remembered=remembered,
            sure=sure,
            removed=removed,
            desk=desk,
            leave=leave,
            leave_everywhere=leave_everywhere,
        )

    def sessions(self, user: str, chosen: int | None) -> gr.Radio:
        """Return the list of the person's sessions, one of them chosen."""
        found = self._chat.sessions(user)
        return gr.Radio([(_label(s.name, s.is_pinned, bool(s.source)), s.id) for s in found], value=chosen)

    def search(self, text: str, request: gr.Request) -> gr.Radio:
        """Return the sessions in which `text` was said, with some of what stands around it."""
        text = text.strip()
        if not text:
            return gr.Radio([], value=None, visible=False)
        hits = self._chat.search(user_of(request), text)
        found = [(f"{hit.session.name}: {hit.excerpt}", hit.session.id) for hit in hits]
        label = texts.FOUND.format(number=len(found)) if found else texts.NOTHING_FOUND
        return gr.Radio(found, value=None, label=label, visible=True)

    def describe(self, session: int | None, request: gr.Request) -> tuple[str, bool, bool]:
        """Return the name of the session, whether it is pinned and whether memory reads it."""
        found = next((s for s in self._chat.sessions(user_of(request)) if s.id == session), None)
        return (found.name, found.is_pinned, found.memory_on) if found else ("", False, True)

    def rename(self, session: int | None, name: str, request: gr.Request) -> tuple[gr.Radio, Any]:
        """Give the session another name; the line about the memory says why not."""
        user = user_of(request)
        return self._changed(user, session, lambda one: self._chat.rename_session(user, one, name.strip()))

    def pin(self, session: int | None, is_pinned: bool, request: gr.Request) -> tuple[gr.Radio, Any]:
        """Let the session stand before the others, or no longer; as `rename`."""
        user = user_of(request)
        return self._changed(user, session, lambda one: self._chat.pin_session(user, one, is_pinned))

    def _changed(
        self, user: str, session: int | None, change: Callable[[int], object]
    ) -> tuple[gr.Radio, Any]:
        line: Any = gr.skip()
        if session is not None:
            try:
                change(session)
            except RemanenceError as error:
                line = str(error)
        return self.sessions(user, session), line


def _label(name: str, is_pinned: bool, is_document: bool) -> str:
    if is_document:
        name = texts.DOCUMENT.format(name=name)
    return texts.PINNED.format(name=name) if is_pinned else name
