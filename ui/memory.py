"""What is remembered, for the person it is remembered of: how much, how full, why, and having it gone.

As on the whole page, every event is looked up for the person whom the cookie names; numbers of turns and
sessions that the browser sends are found among that person's own or not at all.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import gradio as gr
import pandas as pd

from app.chat import Chat
from app.errors import RemanenceError
from app.forgetting import Receipt, Selection
from app.inspection import Overview
from ui import texts
from ui.visitor import user_of

# Of a SHA-256 in hex, as many as tell two memories apart at a glance.
HASH_CHARS = 16
# Messages that can be picked from a list; older ones go by date, chat or the command line.
LISTED_TURNS = 300
LABEL_CHARS = 70
LEANINGS = 5


class MemoryView:
    """The components of the tab and what they do."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def build(self, tab: gr.Tab) -> Any:
        """Add the components to `tab`, within whose block this is called; return the event of forgetting."""
        figures = gr.Markdown(elem_id="memory-figures")
        switch = gr.Checkbox(label=texts.MEMORY_SWITCH, info=texts.MEMORY_SWITCH_HINT)
        spectrum = gr.LinePlot(
            x="direction", y="strength", color="layer", title=texts.SPECTRUM, height=240, sort=None
        )
        with gr.Accordion(texts.WHY_TITLE, open=False):
            question = gr.Textbox(label=texts.WHY_QUESTION, submit_btn=texts.WHY_BUTTON, max_length=2000)
            reasons = gr.Markdown()
        with gr.Accordion(texts.FORGET_TITLE, open=False):
            gr.Markdown(texts.FORGET_HINT)
            turn = gr.Dropdown(label=texts.FORGET_TURN, interactive=True)
            session = gr.Dropdown(label=texts.FORGET_SESSION, interactive=True)
            before = gr.DateTime(
                label=texts.FORGET_BEFORE, include_time=False, type="datetime", timezone="UTC"
            )
            everything = gr.Checkbox(label=texts.FORGET_ALL)
            forget = gr.Button(texts.FORGET_BUTTON, variant="stop")
        with gr.Accordion(texts.VERIFY_TITLE, open=False):
            gr.Markdown(texts.VERIFY_HINT)
            verify = gr.Button(texts.VERIFY_BUTTON)
        receipt = gr.Markdown(elem_id="receipt")
        everywhere = [figures, switch, spectrum, turn, session]
        tab.select(self.look, None, everywhere)
        switch.input(self.switch, switch, receipt)
        question.submit(self.why, question, reasons)
        verify.click(self.verify, None, receipt)
        forgotten = forget.click(
            self.forget, [turn, session, before, everything], [receipt, everything, reasons]
        )
        forgotten.then(self.look, None, everywhere)
        return forgotten

    def look(self, request: gr.Request) -> tuple[Any, ...]:
        """Return the figures, the switch, the spectrum, and what there is to forget."""
        user = user_of(request)
        try:
            about = self._chat.overview(user)
        except RemanenceError as error:
            return str(error), gr.skip(), None, *self._lists(user)
        return overview_text(about), self._chat.is_memory_on(user), _spectrum(about), *self._lists(user)

    def _lists(self, user: str) -> tuple[gr.Dropdown, gr.Dropdown]:
        sessions = self._chat.sessions(user)
        turns = [turn for session in sessions for turn in self._chat.turns(user, session.id)]
        newest = sorted(turns, key=lambda turn: turn.id, reverse=True)[:LISTED_TURNS]
        return (
            gr.Dropdown([(_label(t.created_at, t.user_text), t.id) for t in newest], value=None),
            gr.Dropdown([(_label(s.created_at, s.name), s.id) for s in sessions], value=None),
        )

    def switch(self, on: bool, request: gr.Request) -> str:
        """Switch memory on or off for everything the person says from now on."""

        def act(user: str) -> str:
            self._chat.set_memory(user, on)
            return texts.MEMORY_IS_ON if on else texts.MEMORY_IS_OFF

        return _told(act, request)

    def why(self, question: str, request: gr.Request) -> str:
        """Return which turns an answer leans on."""

        def act(user: str) -> str:
            explanation = self._chat.why(user, question)
            lines = [texts.WHY_ANSWER.format(answer=_cell(explanation.answer))]
            for leaning in explanation.leanings[:LEANINGS]:
                turn = leaning.turn
                lines.append(
                    f"| {leaning.drop:+.1f} | {turn.created_at:%Y-%m-%d} | {_cell(turn.user_text)} |"
                )
            return "\n".join([*lines, f"\n{texts.WHY_CAUTION}"])

        return _told(act, request)

    def verify(self, request: gr.Request) -> str:
        """Read everything again beside the memory, and say whether it is the same."""

        def act(user: str) -> str:
            live, rebuilt = self._chat.verify(user)
            sentence = texts.VERIFIED if live == rebuilt else texts.NOT_VERIFIED
            return sentence.format(live=live[:HASH_CHARS], rebuilt=rebuilt[:HASH_CHARS])

        return _told(act, request)

    def forget(
        self,
        turn: int | None,
        session: int | None,
        before: datetime | None,
        everything: bool,
        request: gr.Request,
    ) -> tuple[str, bool, str]:
        """Forget the one thing that is chosen; return the receipt, and no reasons, which may repeat it."""
        if sum([turn is not None, session is not None, before is not None, everything]) != 1:
            return texts.FORGET_ONE, everything, ""
        selection = Selection(turn, session, before.astimezone(UTC) if before else None)
        return _told(lambda user: receipt_text(self._chat.forget(user, selection)), request), False, ""


def _told(act: Callable[[str], str], request: gr.Request) -> str:
    """Return what `act` says to the person who asks, or the sentence that says why it could not be done."""
    try:
        return act(user_of(request))
    except RemanenceError as error:
        return str(error)


def receipt_text(receipt: Receipt) -> str:
    """Return what was forgotten, in a line."""
    return texts.RECEIPT.format(
        turns=receipt.turns + receipt.copies,
        kept=receipt.kept_turns,
        before=(receipt.before or texts.NOTHING_SAVED)[:HASH_CHARS],
        after=receipt.after[:HASH_CHARS],
    )


def overview_text(about: Overview) -> str:
    """Return how much was read and how full the memory is."""
    if about.since is None:
        return texts.NOTHING_READ
    room = texts.FILLING_UP if about.is_filling_up else texts.ROOM
    return texts.OVERVIEW.format(
        turns=about.turns,
        tokens=about.tokens,
        sessions=about.sessions,
        since=about.since,
        unread=about.unread,
        kib=about.bytes / 1024,
    ) + room.format(share=about.fullness)


def _spectrum(about: Overview) -> pd.DataFrame:
    """Return the strength of every direction in use, layer by layer."""
    rows = [
        (number, strength, texts.LAYER.format(number=layer))
        for layer, gauge in enumerate(about.gauges)
        for number, strength in enumerate(gauge.singular_values[: gauge.num_directions])
    ]
    return pd.DataFrame(rows, columns=["direction", "strength", "layer"])


def _label(when: datetime, text: str) -> str:
    return f"{when:%Y-%m-%d} · {_beginning(text)}"


def _cell(text: str) -> str:
    """Return what a person said as plain text within a Markdown table."""
    return "".join(f"\\{c}" if c in "\\|`*_[]<>~#!$" else c for c in _beginning(text))


def _beginning(text: str) -> str:
    said = " ".join(text.split())
    return said if len(said) <= LABEL_CHARS else said[: LABEL_CHARS - 1] + "…"
