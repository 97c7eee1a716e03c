"""What a page does where a handler fails: nobody sees a traceback, and the page can go on being used."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any

import gradio as gr
from gradio.blocks import Block

from app.errors import RemanenceError
from ui import texts

log = logging.getLogger(__name__)

# Of the components that show what came of something, the names.
TOLD_IN = frozenset({"memory-line", "receipt"})


def guarded(handler: Callable[..., Any], outputs: Sequence[Block]) -> Callable[..., Any]:
    """Return `handler` as one that never raises, but leaves `outputs` as they are and says why.

    An error that it let out would be written over every component of `outputs`, and, with what was said,
    where our log is not.

    Args:
        handler: a function or method, which may be a generator.
    """

    @wraps(handler)
    def answer(*arguments: Any) -> Any:
        try:
            return handler(*arguments)
        except Exception as error:
            return _unchanged(outputs, sentence_of(error))

    @wraps(handler)
    def grow(*arguments: Any) -> Iterator[Any]:
        try:
            yield from handler(*arguments)
        except Exception as error:
            yield _unchanged(outputs, sentence_of(error))

    return grow if isgeneratorfunction(handler) else answer


def sentence_of(error: Exception) -> str:
    """Return what a person may read of `error`, which is being handled; a defect of ours goes to the log."""
    if isinstance(error, RemanenceError):
        return str(error)
    log.error("the page failed", exc_info=error)
    return texts.FAILED


def _unchanged(outputs: Sequence[Block], sentence: str) -> Any:
    """Return updates of `outputs` that change nothing but the line that says what came of it."""
    updates = [sentence if block.elem_id in TOLD_IN else gr.skip() for block in outputs]
    return updates[0] if len(updates) == 1 else tuple(updates) or None
