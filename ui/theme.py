"""How the pages look: fonts of the machine, nothing from elsewhere."""

import gradio as gr


def theme() -> gr.themes.Base:
    """Return the theme of every page; its small print has a contrast of 4.5 to 1 at least."""
    look = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return look.set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
    )
