"""What is remembered, for the person it is remembered of: how much, how full, why, and having it gone.

As on the whole page, every event is looked up for the person whom the cookie names; numbers of turns and
sessions that the browser sends are found among that person's own or not at all.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import gradio as gr
import pandas as pd

from app.chat import Chat
from app.errors import RemanenceError
from app.forgetting import Receipt, Selection
from app.inspection import QUESTIONS, Contribution, Overview
from ui import texts
from ui.keeping import offer_numbers
from ui.takeout import build_takeout
from ui.visitor import user_of

# Of a SHA-256 in hex, as many as tell two memories apart at a glance.
HASH_CHARS = 16
# Messages that can be picked from a list; older ones go by date, chat or the command line.
LISTED_TURNS = 300
LABEL_CHARS = 70
LEANINGS = 5
TABLE = "memory-table"
ANSWER_CHARS = 300
# Chats whose contribution is told in words; the picture shows all.
LISTED_CONTRIBUTIONS = 20
ADDED_PLOT: dict[str, Any] = {
    "x": texts.ADDED_AXIS,
    "y_lim": [0, None],
    "height": 240,
    "sort": None,
    "visible": False,
}
# Of what takes long, how many people are served at once.
LOOKING: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "looking", "show_progress": "hidden"}


class MemoryView:
    """The components of the tab and what they do."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def build(self, tab: gr.Tab) -> list[Any]:
        """Add the components to `tab`, within whose block this is called.

        Returns:
            The events after which there are other sessions: forgetting and importing.
        """
        gr.Markdown(f"## {texts.MEMORY_HEADING}")
        figures = gr.Markdown(elem_id="memory-figures")
        switch = gr.Checkbox(label=texts.MEMORY_SWITCH, info=texts.MEMORY_SWITCH_HINT)
        spectrum = gr.LinePlot(
            x="direction", y="strength", color="layer", title=texts.SPECTRUM, height=240, sort=None
        )
        gr.Markdown(f"### {texts.MEMORY_MORE}")
        with gr.Accordion(texts.ADDED_TITLE, open=False):
            added, adding = self._build_added()
        with gr.Accordion(texts.PROBE_TITLE, open=False):
            recollected, probing = self._build_probe()
        with gr.Accordion(texts.WHY_TITLE, open=False):
            question = gr.Textbox(label=texts.WHY_QUESTION, submit_btn=texts.WHY_BUTTON, max_length=2000)
            reasons = gr.Markdown(elem_classes=TABLE)
        with gr.Accordion(texts.VERIFY_TITLE, open=False):
            gr.Markdown(texts.VERIFY_HINT)
            verify = gr.Button(texts.VERIFY_BUTTON)
        gr.Markdown(f"### {texts.MEMORY_CHANGE}")
        with gr.Accordion(texts.FORGET_TITLE, open=False):
            gr.Markdown(texts.FORGET_HINT)
            turn = gr.Dropdown(label=texts.FORGET_TURN, interactive=True)
            session = gr.Dropdown(label=texts.FORGET_SESSION, interactive=True)
            before = gr.DateTime(
                label=texts.FORGET_BEFORE, include_time=False, type="datetime", timezone="UTC"
            )
            everything = gr.Checkbox(label=texts.FORGET_ALL)
            forget = gr.Button(texts.FORGET_BUTTON, variant="stop")
        for listed in (turn, session):
            offer_numbers(listed)
        receipt = gr.Markdown(elem_id="receipt")
        with gr.Accordion(texts.TAKEOUT_TITLE, open=False):
            imported = build_takeout(self._chat.max_import_bytes)
        everywhere = [figures, switch, spectrum, turn, session]
        tab.select(self.look, None, everywhere)
        switch.input(self.switch, switch, receipt)
        question.submit(self.why, question, reasons)
        verify.click(self.verify, None, receipt)
        # what is shown may repeat what is forgotten
        forgotten = forget.click(
            self.forget,
            [turn, session, before, everything],
            [receipt, everything, reasons, recollected, *added],
            cancels=[adding, probing],
        )
        for changed in (forgotten, imported):
            changed.then(self.look, None, everywhere)
        return [forgotten, imported]

    def _build_added(self) -> tuple[list[Any], Any]:
        """Add the picture of what each session added; return what shows it, and the event that draws it."""
        gr.Markdown(texts.ADDED_HINT)
        with gr.Row():
            show = gr.Button(texts.ADDED_BUTTON)
            stop = gr.Button(texts.STOP)
        shown: list[Any] = [
            gr.Markdown(elem_classes=TABLE),
            gr.BarPlot(y="tokens", title=texts.ADDED_TOKENS, tooltip="all", **ADDED_PLOT),
            gr.LinePlot(y="rank", color="layer", title=texts.ADDED_RANKS, **ADDED_PLOT),
        ]
        adding = show.click(self.added, None, shown, **LOOKING)
        stop.click(None, cancels=[adding])
        return shown, adding

    def _build_probe(self) -> tuple[gr.Markdown, Any]:
        """Add what the model says that it remembers; return what shows it, and the event that asks."""
        gr.Markdown(texts.PROBE_HINT.format(number=len(QUESTIONS)))
        with gr.Row():
            ask = gr.Button(texts.PROBE_BUTTON)
            stop = gr.Button(texts.STOP)
        shown = gr.Markdown(elem_id="recollected", elem_classes=TABLE)
        probing = ask.click(self.probe, None, shown, **LOOKING)
        stop.click(None, cancels=[probing])
        return shown, probing

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

    def added(self, request: gr.Request) -> Iterator[tuple[str, gr.BarPlot, gr.LinePlot]]:
        """Yield what each chat added, the oldest first: how far it is, and two pictures of it."""
        found: list[Contribution] = []
        try:
            user = user_of(request)
            total = sum(session.memory_on for session in self._chat.sessions(user))
            yield texts.ADDED_SO_FAR.format(done=0, total=total), *_pictures(found)
            for contribution in self._chat.contributions(user):
                found.append(contribution)
                yield added_text(found, total), *_pictures(found)
        except RemanenceError as error:
            yield str(error), *_pictures([])
        else:
            if not found:
                yield texts.ADDED_NOTHING, *_pictures(found)

    def probe(self, request: gr.Request) -> Iterator[str]:
        """Yield what the model says about the person, answer by answer; what it does not know is counted."""
        rows, unknown = "", 0
        try:
            yield texts.PROBE_SO_FAR.format(asked=0, total=len(QUESTIONS), unknown=0)
            for asked, said in enumerate(self._chat.probe(user_of(request)), start=1):
                if said.is_known:
                    rows += f"| {_cell(said.question)} | {_cell(said.answer, ANSWER_CHARS)} |\n"
                else:
                    unknown += 1
                progress = texts.PROBE_SO_FAR.format(asked=asked, total=len(QUESTIONS), unknown=unknown)
                yield f"{progress}\n\n{texts.PROBE_TABLE}{rows}" if rows else progress
        except RemanenceError as error:
            yield str(error)

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
    ) -> tuple[Any, ...]:
        """Forget the one thing that is chosen; return the receipt, and nothing that may repeat it."""
        nothing_shown = "", "", "", *_pictures([])
        if sum([turn is not None, session is not None, before is not None, everything]) != 1:
            return texts.FORGET_ONE, everything, *nothing_shown
        selection = Selection(turn, session, before.astimezone(UTC) if before else None)
        receipt = _told(lambda user: receipt_text(self._chat.forget(user, selection)), request)
        return receipt, False, *nothing_shown


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


def added_text(found: Sequence[Contribution], total: int) -> str:
    """Return how many chats were read, and the newest of them in words."""
    rows = [
        f"| {number} | {c.session.created_at:%Y-%m-%d} · {_cell(c.session.name)} | {c.turns} | {c.tokens} |"
        for number, c in enumerate(found, start=1)
    ]
    text = texts.ADDED_SO_FAR.format(done=len(found), total=total)
    text += texts.ADDED_TABLE + "\n".join(rows[-LISTED_CONTRIBUTIONS:])
    return text + (
        texts.ADDED_OLDER.format(shown=LISTED_CONTRIBUTIONS) if rows[LISTED_CONTRIBUTIONS:] else ""
    )


def _pictures(found: Sequence[Contribution]) -> tuple[gr.BarPlot, gr.LinePlot]:
    """Return the pictures of what each chat added, which are hidden where nothing is."""
    is_shown = bool(found)
    return gr.BarPlot(_tokens(found), visible=is_shown), gr.LinePlot(_ranks(found), visible=is_shown)


def _tokens(found: Sequence[Contribution]) -> pd.DataFrame:
    """Return how much was read of each chat, numbered from the oldest."""
    rows = [
        (str(number), c.tokens, f"{c.session.created_at:%Y-%m-%d}", c.session.name)
        for number, c in enumerate(found, start=1)
    ]
    return pd.DataFrame(rows, columns=[texts.ADDED_AXIS, "tokens", "began", "name"])


def _ranks(found: Sequence[Contribution]) -> pd.DataFrame:
    """Return the effective rank of every layer after each chat, numbered from the oldest."""
    rows = [
        (str(number), rank, texts.LAYER.format(number=layer))
        for number, contribution in enumerate(found, start=1)
        for layer, rank in enumerate(contribution.effective_ranks)
    ]
    return pd.DataFrame(rows, columns=[texts.ADDED_AXIS, "rank", "layer"])


def _label(when: datetime, text: str) -> str:
    return f"{when:%Y-%m-%d} · {_beginning(text)}"


def _cell(text: str, max_chars: int = LABEL_CHARS) -> str:
    """Return what somebody said as plain text within a Markdown table."""
    return "".join(f"\\{c}" if c in "\\|`*_[]<>~#!$" else c for c in _beginning(text, max_chars))


def _beginning(text: str, max_chars: int = LABEL_CHARS) -> str:
    said = " ".join(text.split())
    return said if len(said) <= max_chars else said[: max_chars - 1] + "…"
