"""Saying something, and saying it again: replies as they grow on the page, and what they took.

The yields of every handler here are updates of the box, the sessions, the conversation and the line about
the memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from threading import Event
from typing import Any

import gradio as gr

from app.chat import Chat
from app.errors import BadRequest, NotFound, RemanenceError, ReplyFailed
from app.reply import Answer
from ui import texts
from ui.failing import sentence_of
from ui.messages import Message, answer_text, memory_text, message, pairs, plain, said_in, throttled
from ui.sidebar import Side
from ui.visitor import user_of

Update = tuple[Any, ...]
# The place of the last message; nothing that a browser sends is this.
LAST = object()


class Replies:
    """The handlers that answer; one reply at a time in a browser tab."""

    def __init__(self, chat: Chat, side: Side) -> None:
        self._chat = chat
        self._side = side
        # by person and browser tab: set to stop the reply that is being made there
        self._stops: dict[tuple[str, str], Event] = {}

    def say(
        self,
        text: str,
        session: int | None,
        request: gr.Request,
        temporary: bool = False,
        conversation: Sequence[dict[str, Any]] = (),
        first: int | None = 0,
    ) -> Iterator[Update]:
        """Answer `text`; only of a temporary chat has the browser to say what the `conversation` was."""
        if temporary:
            yield from self._answer(text, None, request, temporary=list(conversation))
        else:
            yield from self._answer(text, session, request, first)

    def example(
        self, session: int | None, temporary: bool, data: gr.SelectData, request: gr.Request
    ) -> Iterator[Update]:
        """Say one of the examples."""
        number = data.index if isinstance(data.index, int) else 0
        yield from self.say(texts.EXAMPLES[number % len(texts.EXAMPLES)], session, request, temporary)

    def retry(
        self,
        session: int | None,
        first: int | None,
        seen: Sequence[Any],
        data: gr.RetryData,
        request: gr.Request,
    ) -> Iterator[Update]:
        """Make the reply to a message again; `seen` are the messages that the page shows."""
        yield from self._say_again(session, first, len(seen), data.index, None, request)

    def retry_last(
        self, session: int | None, first: int | None, seen: Sequence[Any], request: gr.Request
    ) -> Iterator[Update]:
        """Make the last reply again; `seen` are the messages that the page shows."""
        yield from self._say_again(session, first, len(seen), LAST, None, request)

    def edit(
        self,
        session: int | None,
        first: int | None,
        seen: Sequence[Any],
        data: gr.EditData,
        request: gr.Request,
    ) -> Iterator[Update]:
        """Say something else in the place of a message; `seen` are the messages that the page shows."""
        yield from self._say_again(session, first, len(seen), data.index, str(data.value), request)

    def stop(self, request: gr.Request) -> None:
        """Stop the reply that is being made in this tab."""
        if stop := self._stops.get((user_of(request), str(request.session_hash))):
            stop.set()

    def turn_at(
        self, user: str, session: int | None, first: int | None, place: Any, num_seen: int | None = None
    ) -> tuple[int, str]:
        """Return the number of the turn whose message is at `place` of what is shown, and its text.

        Args:
            session, first: what is shown, as of `said_in`.
            place: as the browser says; LAST is the last.
            num_seen: how many messages the page shows, where it matters that they are all there are.

        Raises:
            NotFound: there is no such session or no such message.
            BadRequest: it is a document, or has changed since it was shown.
        """
        if session is None:
            raise NotFound(texts.NO_SESSION)
        if self._chat.is_document(user, session):
            raise BadRequest(texts.DOCUMENT_STAYS)
        turns = [turn for turn in self._chat.turns(user, session) if turn.id >= (first or 0)]
        # a message of the person and a reply are one turn
        if num_seen is not None and num_seen != 2 * len(turns):
            raise BadRequest(texts.CHANGED_ELSEWHERE)
        number = len(turns) - 1 if place is LAST else place // 2 if isinstance(place, int) else -1
        if not 0 <= number < len(turns):
            raise NotFound(texts.NO_SESSION)
        turn = turns[number]
        return turn.id, turn.user_text

    def _say_again(
        self,
        session: int | None,
        first: int | None,
        num_seen: int,
        place: Any,
        text: str | None,
        request: gr.Request,
    ) -> Iterator[Update]:
        """Answer `text`, or the same again, in the place of the message at `place`."""
        try:
            turn, said = self.turn_at(user_of(request), session, first, place, num_seen)
        except RemanenceError as error:
            gr.Warning(str(error))
            yield (gr.skip(),) * 4
            return
        yield from self._answer(said if text is None else text, session, request, first, instead_of=turn)

    def _answer(
        self,
        text: str,
        session: int | None,
        request: gr.Request,
        first: int | None = 0,
        instead_of: int | None = None,
        temporary: list[dict[str, Any]] | None = None,
    ) -> Iterator[Update]:
        user = user_of(request)
        tab = (user, str(request.session_hash))
        stop = self._stops[tab] = Event()
        before: list[Message] = []
        answer: Answer | None = None
        try:
            if session is not None and instead_of is None and self._chat.is_document(user, session):
                # what is said about a document begins a chat
                session = None
            before = (
                said_in(self._chat, user, session, first, instead_of)
                if temporary is None
                else plain(temporary)
            )
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
                line = texts.TEMPORARY_LINE + answer_text(answer)
                yield ready(), gr.skip(), [*said, message("assistant", answer.text)], line
            else:
                yield from self._finish(user, answer, first)
        except Exception as error:
            sentence = sentence_of(error)
            if answer is not None:
                # the turn is stored: sent again, the text would be said twice
                yield ready(), gr.skip(), gr.skip(), sentence
                return
            gr.Warning(sentence)
            kept = error.session_id if isinstance(error, ReplyFailed) else None
            if kept is not None or instead_of is not None:
                yield ready(), *self._stored(user, kept or session, first), sentence
            else:
                yield gr.Textbox(text, submit_btn=True, stop_btn=False), gr.skip(), before, sentence
        finally:
            # a later reply in this tab has an event of its own
            if self._stops.get(tab) is stop:
                del self._stops[tab]

    def _stored(self, user: str, session: int | None, first: int | None) -> Update:
        """Return the sessions and what is left of the open one, or no change where that cannot be read."""
        try:
            return self.left_of(user, session, first)
        except Exception as error:
            sentence_of(error)
            return gr.skip(), gr.skip()

    def left_of(self, user: str, session: int | None, first: int | None) -> tuple[gr.Radio, list[Message]]:
        """Return the sessions, and what is left of the open one, which may have been deleted."""
        left = session if session in {s.id for s in self._chat.sessions(user)} else None
        return self._side.sessions(user, left), said_in(self._chat, user, left, first)

    def _finish(self, user: str, answer: Answer, first: int | None) -> Iterator[Update]:
        """Show a reply as it is stored, then what it took, when memory has read it."""
        assert answer.turn is not None
        sessions = self._side.sessions(user, answer.session_id)
        said = said_in(self._chat, user, answer.session_id, first)
        yield gr.skip(), sessions, said, memory_text(answer.memory) + texts.READING
        took = answer_text(answer, self._chat.history_tokens(user, answer.turn))
        if answer.memory_on:
            # nobody waits for the end of a long reading to say the next thing
            read = self._chat.settle_soon(user)
            line = memory_text(read, texts.MEMORY if read.unread else texts.MEMORY_UPDATED)
        else:
            is_off = not self._chat.is_memory_on(user)
            line = texts.MEMORY_NOT_UPDATED.format(why=texts.WHY_OFF if is_off else texts.WHY_LEFT_OUT)
        yield ready(), gr.skip(), gr.skip(), line + took


def ready() -> gr.Textbox:
    """Return the box as it waits for a message."""
    return gr.Textbox(submit_btn=True, stop_btn=False)
