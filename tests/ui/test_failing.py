"""Handlers that fail: the page stays as it is, and says why where it has a place for that."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from app.errors import NotFound
from ui import texts
from ui.failing import guarded

SKIPPED = gr.skip()


@pytest.fixture
def outputs() -> list[Any]:
    """A list, and the line about the memory."""
    return [SimpleNamespace(elem_id=None), SimpleNamespace(elem_id="memory-line")]


def test_what_a_person_may_read_stands_in_the_line(outputs: list[Any]) -> None:
    """All else is left as it is, also of what grows, which had already begun."""

    def gone(number: int) -> Any:
        raise NotFound(f"There is no session {number}.")

    def growing(number: int) -> Iterator[Any]:
        yield "one", "two"
        gone(number)

    refused = (SKIPPED, "There is no session 3.")
    assert guarded(gone, outputs)(3) == refused
    assert guarded(gone, outputs[:1])(3) == SKIPPED
    assert guarded(gone, [])(3) is None
    assert list(guarded(growing, outputs)(3)) == [("one", "two"), refused]


def test_a_defect_is_in_the_log_and_not_on_the_page(
    outputs: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """With its traceback."""

    def broken() -> Any:
        raise ZeroDivisionError("a defect")

    assert guarded(broken, outputs)() == (SKIPPED, texts.FAILED)
    assert "ZeroDivisionError: a defect" in caplog.text


def test_what_does_not_fail_is_as_it_was(outputs: list[Any]) -> None:
    """Its name too, by which Gradio knows it, and whether it grows."""

    def look(number: int) -> Any:
        return number, "fine"

    assert guarded(look, outputs)(3) == (3, "fine")
    assert guarded(look, outputs).__name__ == "look"
