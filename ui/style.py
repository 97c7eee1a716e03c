"""How every page looks and is read out: colours told apart, a focus that is seen, a name for every button.

What concerns one page only stands with that page.
"""

import json

import gradio as gr

from ui import texts

# Fonts of the machine: a page loads none. Gradio's own greys and blues are paler than everybody can read:
# text stands out by 4.5 to 1 at least (WCAG 2.2 AA).
THEME = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    input_placeholder_color="*neutral_600",
    input_placeholder_color_dark="*neutral_400",
    link_text_color_dark="*secondary_400",
    link_text_color_visited="*secondary_600",
    link_text_color_visited_dark="*secondary_400",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)

CSS = """
:focus-visible { outline: 2px solid var(--primary-500) !important; outline-offset: 2px; }
:is(textarea, input):focus-visible { outline-offset: 0; }
/* the words of a program are told apart by their weight: in Gradio's colours most are too pale */
.md .token.token { color: inherit; }
.md .token.keyword { font-weight: bold; }
.md .token.comment { font-style: italic; }
"""

# What a picture, or the place on the page, says to those who see it.
NAMES = {
    "#box textarea": texts.PLACEHOLDER,
    ".submit-button": texts.SEND,
    ".stop-button": texts.STOP,
    "button.calendar": texts.CHOOSE_DAY,
}
# A group of choices is not called by what stands above it; the examples are buttons in a list without items.
HEAD = f"""<script>
const names = Object.entries({json.dumps(NAMES)});
new MutationObserver(() => {{
  for (const [nameless, name] of names)
    for (const one of document.querySelectorAll(`:is(${{nameless}}):not([aria-label])`)) one.ariaLabel = name;
  for (const group of document.querySelectorAll("fieldset:not([aria-label])"))
    group.ariaLabel = group.querySelector("[data-testid=block-info]")?.textContent.trim() ?? "";
  for (const examples of document.querySelectorAll(".examples[role=list]")) examples.role = "group";
}}).observe(document, {{childList: true, subtree: true}});
</script>"""
