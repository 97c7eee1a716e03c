"""The page that asks who is there."""

from html import escape
from string import Template

from app.doorman import DEMO
from ui import texts
from ui.plain import plain_page

_CSS = """
  form { display: grid; gap: .75rem; }
  h1, p { margin: 0; }
  h1 { font-size: 1.75rem; font-weight: 600; }
  small, #problem:empty { opacity: .7; }
  #problem { color: light-dark(#b3261e, #ff8a80); min-height: 1.5em; }
  input, button { font: inherit; padding: .6rem .75rem; border-radius: .5rem; border: 1px solid #8888; }
  button { background: #3b5bdb; border-color: #3b5bdb; color: white; cursor: pointer; }
"""
_FORM = Template("""
<form>
  <h1>$title</h1>
  <p>$tagline</p>
  <label for="name">$label</label>
  <input id="name" name="name" maxlength="64" autocomplete="username" autofocus required>
  <label for="password">$password_label</label>
  <input id="password" type="password" maxlength="1024" autocomplete="$autocomplete" $required>
  <button>$button</button>
  <p id="problem" role="alert"></p>
  <small>$hint</small>
  $demo
</form>
<script>
  document.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await fetch("/api/login", {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({
        name: document.getElementById("name").value,
        password: document.getElementById("password").value || null,
      }),
    });
    if (answer.ok) location.assign("/");
    else document.getElementById("problem").textContent = (await answer.json()).error;
  });
</script>
""")


def login_page(is_closed: bool, has_demo: bool) -> str:
    """Return the page as HTML.

    Args:
        is_closed: whether it takes a password to come in; otherwise the first one is offered to be set.
        has_demo: whether the demo can be tried without coming in.
    """
    form = _FORM.substitute(
        title=escape(texts.TITLE),
        tagline=escape(texts.TAGLINE),
        label=escape(texts.LOGIN_LABEL),
        button=escape(texts.LOGIN_BUTTON),
        password_label=escape(texts.PASSWORD_LABEL if is_closed else texts.FIRST_PASSWORD_LABEL),
        autocomplete="current-password" if is_closed else "new-password",
        required="required" if is_closed else "",
        demo=f'<a href="{DEMO}/">{escape(texts.DEMO_LINK)}</a>' if has_demo else "",
        hint=escape(texts.LOGIN_HINT if is_closed else texts.OPEN_LOGIN_HINT),
    )
    return plain_page(texts.TITLE, form, width_rem=20, css=_CSS)
