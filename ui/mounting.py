"""How a page comes under its path: all in our looks, and without what Gradio adds and keeps by itself."""

from collections.abc import Callable
from inspect import iscoroutinefunction, isgeneratorfunction

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from gradio.routes import App
from starlette.routing import Mount

from ui import style
from ui.failing import guarded
from ui.keeping import NothingKept


def mount_page(
    server: FastAPI,
    page: gr.Blocks,
    path: str,
    css: str,
    person: Callable[[Request], str | None] | None = None,
) -> None:
    """Add `page` to `server`; one at "/" comes last, since it takes every path that is left.

    Args:
        path: where it stands, without a slash at its end unless that is all.
        css: what is the page's own.
        person: says whose a request is, None where the page is not for who sends it; without it, the page is
            for anybody whom the doorman lets in.
    """
    if path != "/":

        @server.get(path)
        def slash() -> RedirectResponse:
            return RedirectResponse(f"{path}/")

    # What goes through Gradio's queue comes back over a stream that ends when nothing is going on; of what is
    # sent at that very moment nothing is heard again. Only what grows needs it, all else is answered at once.
    for event in page.fns.values():
        event.queue = isgeneratorfunction(event.fn)
        # what has no function is done in the browser; Gradio's own, which cancel, are coroutines
        if event.fn is not None and not iscoroutinefunction(event.fn):
            event.fn = guarded(event.fn, event.outputs)
    gr.mount_gradio_app(
        server,
        page,
        path=path,
        auth_dependency=person,
        allowed_paths=[],
        show_error=False,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        theme=style.THEME,
        css=style.CSS + css,
        head=style.HEAD,
    )
    mounted = server.routes[-1]
    assert isinstance(mounted, Mount)
    assert isinstance(mounted.app, App)
    mounted.app.state_holder = NothingKept(page)
