"""What Gradio keeps of a browser tab between two events: nothing.

By itself it keeps what last stood in every component, the conversation and the lists of messages among them,
of many tabs at once and for as long as it runs: a temporary chat too, and what was forgotten since. All that
a handler here needs it is sent, or looks up.
"""

from copy import copy

import gradio as gr
from gradio.state_holder import SessionState, StateHolder


class NothingKept(StateHolder):
    """Gives each event the page as it was built, as if its tab had just been opened."""

    def __init__(self, page: gr.Blocks) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.set_blocks(page)
        # made once: it describes every component, too much for every word of a reply
        self._built = SessionState(page)

    def __getitem__(self, session_id: str) -> SessionState:
        event = copy(self._built)
        # what the event changes is its own, and goes with it
        event.blocks_config = copy(event.blocks_config)
        event.config_values, event.state_data = {}, {}
        return event


def offer_numbers(choice: gr.Radio | gr.Dropdown) -> None:
    """Let `choice` pass on what number is chosen, though nobody knows any more which ones were offered.

    Whose it is, every handler looks up.
    """
    choice.preprocess = _number  # type: ignore[assignment, method-assign]


def _number(chosen: object) -> int | None:
    return chosen if isinstance(chosen, int) else None
