"""Taking along and bringing what was said: the file goes between the browser and the routes of the API.

Not through Gradio, whose files on the server are there for everybody who has learned their names.
"""

import json
from html import escape
from string import Template
from typing import Any

import gradio as gr

from app.api_takeout import EXPORT_NAME
from ui import texts

FILE, OUTCOME = "import-file", "takeout-outcome"
_FORM = Template("""
<label for="$file">$label</label>
<input id="$file" type="file" accept=".zip,.json,.jsonl,.gz" aria-describedby="$file-hint">
<p id="$file-hint">$hint</p>
<p id="$outcome" role="status"></p>
""")
_CSS = """
label, input { display: block; }
input { max-width: 100%; margin: .5rem 0; color-scheme: light dark; }
"""
# each says what came of it where a screen reader hears it
_EXPORT = Template("""async () => {
  const say = (text) => { document.getElementById("$outcome").textContent = text; };
  say($preparing);
  try {
    const answer = await fetch("/api/export");
    if (!answer.ok) { say((await answer.json()).error); return; }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = $name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say($done);
  } catch (error) { say($unreachable); }
}""")
_IMPORT = Template("""async () => {
  const say = (text) => { document.getElementById("$outcome").textContent = text; };
  const input = document.getElementById("$file");
  const file = input.files[0];
  if (!file) { say($choose); return; }
  if (file.size > $max_bytes) { say($too_large); return; }
  say($sending);
  try {
    const answer = await fetch("/api/import?" + new URLSearchParams({name: file.name}),
                               {method: "POST", body: file});
    const told = await answer.json();
    if (!answer.ok) { say(told.error); return; }
    input.value = "";
    say($done.replace("{turns}", told.turns));
  } catch (error) { say($unreachable); }
}""")


def build_takeout(max_bytes: int) -> Any:
    """Add the buttons to the block that this is called within; return the event of importing.

    Args:
        max_bytes: how large a file to import may be.
    """
    gr.Markdown(texts.EXPORT_HINT)
    export = gr.Button(texts.EXPORT_BUTTON)
    form = _FORM.substitute(
        file=FILE,
        outcome=OUTCOME,
        label=escape(texts.IMPORT_FILE),
        hint=escape(texts.IMPORT_HINT.format(mib=max_bytes / 2**20)),
    )
    gr.HTML(form, js_on_load=None, css_template=_CSS)
    bring = gr.Button(texts.IMPORT_BUTTON)
    export.click(None, js=export_js())
    return bring.click(None, js=import_js(max_bytes))


def export_js() -> str:
    """Return the function that downloads the person's zip."""
    return _EXPORT.substitute(
        outcome=OUTCOME,
        name=json.dumps(EXPORT_NAME),
        preparing=json.dumps(texts.EXPORTING),
        done=json.dumps(texts.EXPORTED),
        unreachable=json.dumps(texts.UNREACHABLE),
    )


def import_js(max_bytes: int) -> str:
    """Return the function that sends the chosen file."""
    return _IMPORT.substitute(
        file=FILE,
        outcome=OUTCOME,
        max_bytes=max_bytes,
        choose=json.dumps(texts.IMPORT_NOTHING),
        too_large=json.dumps(texts.IMPORT_TOO_LARGE.format(mib=max_bytes / 2**20)),
        sending=json.dumps(texts.IMPORTING),
        done=json.dumps(texts.IMPORTED),
        unreachable=json.dumps(texts.UNREACHABLE),
    )
