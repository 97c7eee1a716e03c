"""Who sends an event of the page."""

import gradio as gr


def user_of(request: gr.Request) -> str:
    """Return the name of the person who asks, whom the doorman let in; raises PermissionError for nobody."""
    # a name must not be made of nobody
    if not request.username:
        raise PermissionError("an event without a person")
    return str(request.username)
