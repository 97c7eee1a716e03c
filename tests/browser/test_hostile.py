"""Messages and replies that try to be more than text."""

import pytest
from playwright.sync_api import Locator, expect

from storage.rows import NewSession
from tests.browser.conftest import Visit
from tests.browser.site import Site
from tests.browser.visitor import SOMETHING, Visitor
from ui import texts

SCRIPTS = r"""
<script>window.hurt = "script"</script>
<img src="nothing" onerror="window.hurt = 'image'">
<svg onload="window.hurt = 'svg'"><animate onbegin="window.hurt = 'animate'" attributeName="x"></svg>
<iframe srcdoc="<script>parent.hurt = 'frame'</script>"></iframe>
<details open ontoggle="window.hurt = 'details'">more</details>
<input autofocus onfocus="window.hurt = 'focus'">
<form action="javascript:window.hurt = 'form'"><button>press</button></form>
<a href="javascript:window.hurt = 'anchor'">press</a>
<a href=" java&#10;script:window.hurt = 'hidden anchor'">press</a>
[press](javascript:window.hurt='link') [press](data:text/html,<script>window.hurt='data'</script>)
<base href="https://elsewhere.example/"><meta http-equiv="refresh" content="0; url=https://elsewhere.example/">
<p style="position: fixed; inset: 0; background: red; z-index: 999999">over everything</p>
<style>@import "https://elsewhere.example/style.css"; body { display: none }</style>
<img src="https://elsewhere.example/picture.png"> ![picture](https://elsewhere.example/picture.png)
<video src="https://elsewhere.example/film.mp4" autoplay></video>
$$\href{javascript:window.hurt='formula'}{press}$$

```mermaid
graph TD; A["<img src=x onerror=window.hurt='diagram'>"]-->B; click A "javascript:window.hurt='diagram link'"
```
"""
# Deep nesting, and everything that a parser looks far ahead for.
HUGE = "\n\n".join(part * 200 for part in ("> ", "* ", "[", "![](", "`", "*a **", "|a", "$$", "<b>", "&#"))
BACKWARDS = "\u202emy cat \u2067is here\u2066 \u202b and there"


@pytest.mark.parametrize("text", [SCRIPTS, HUGE], ids=["scripts", "huge"])
def test_hostile_text_is_only_text(
    visit: Visit, site: Site, text: str, request: pytest.FixtureRequest
) -> None:
    """Whether a person sends it or the model does; neither runs, loads or hides anything."""
    ada = visit(f"Ada {request.node.callspec.id}")
    with site.store() as store:
        user = store.find_user(f"Ada {request.node.callspec.id}")
        store.add_sessions(user.id, [NewSession("hostile", [("Hello", text)], in_memory=[False])])
    ada.say(text)
    press_everything(ada, ada.messages)
    ada.open_chat("hostile")
    press_everything(ada, ada.replies)
    ada.open_memory()
    ada.unfold(texts.FORGET_TITLE)
    ada.page.get_by_label(texts.FORGET_TURN, exact=True).click()
    expect(ada.page.get_by_role("option")).to_have_count(2)
    assert ada.page.evaluate("window.hurt") is None


def press_everything(visitor: Visitor, shown: Locator) -> None:
    """Press what can be pressed in the messages or replies, except what leads to elsewhere and says so."""
    page = visitor.page
    # nothing lies over the page
    page.get_by_role("button", name=texts.NEW_SESSION).click(trial=True)
    # a page that is left forgets this
    page.evaluate("window.isSame = true")
    shown.locator("a:not([href^=http]), button, summary").evaluate_all(
        "(found) => found.forEach((one) => one.dispatchEvent(new MouseEvent('click', {bubbles: true})))"
    )
    # by the time that the server has answered, what was pressed has done what it can
    page.evaluate("fetch('/health').then((answer) => answer.text())")
    assert page.evaluate("[window.isSame, window.hurt ?? null]") == [True, None]
    assert len(page.context.pages) == 1
    visitor.reload()


def runs_forwards(text: Locator) -> bool:
    """Return whether the first letter of `text` stands left of its last one."""
    expect(text).to_have_text(SOMETHING)
    return text.evaluate(
        """(element) => {
            const letters = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
            const nodes = [];
            while (letters.nextNode()) if (letters.currentNode.data.trim()) nodes.push(letters.currentNode);
            const left = (node, place) => {
                const range = document.createRange();
                range.setStart(node, place);
                range.setEnd(node, place + 1);
                return range.getBoundingClientRect().left;
            };
            const last = nodes.at(-1);
            return left(nodes[0], nodes[0].data.search(/\\w/)) < left(last, last.data.search(/\\w\\W*$/));
        }"""
    )


def test_text_that_turns_the_direction_turns_nothing_but_itself(visit: Visit) -> None:
    """What stands beside and below it is read as ever."""
    ada = visit("Ada Backwards")
    ada.say("A quiet chat.")
    ada.begin_chat()
    ada.say(BACKWARDS)
    assert not runs_forwards(ada.messages.last)
    assert runs_forwards(ada.page.locator("#memory-line"))
    assert runs_forwards(ada.chats.last)
    assert runs_forwards(ada.page.get_by_role("button", name=texts.NEW_SESSION))
