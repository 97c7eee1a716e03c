"""Tables as HTML, for reading only; every text in them is shown as it is."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from markupsafe import Markup

CSS = """
.tables { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
.tables .table { flex: 1 1 20rem; }
.table { overflow-x: auto; }
.table table { border-collapse: collapse; width: 100%; font-size: .875rem; margin: 0; }
.table table, .table table :is(thead, tbody, tr) { border: 0; }
.table table caption { text-align: start; font-weight: 600; padding-bottom: .25rem; }
.table table :is(th, td) {
  border: 0; border-bottom: 1px solid var(--border-color-primary);
  text-align: start; padding: .35rem .6rem; vertical-align: top; white-space: nowrap;
}
.table table td.long { white-space: pre-wrap; min-width: 12rem; overflow-wrap: anywhere; }
.table :is(progress, meter) { width: 6rem; vertical-align: middle; margin-inline-end: .5rem; }
"""
LONG_CHARS = 40


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str | Markup]]) -> str:
    """Return a table as HTML; `str` cells are shown as they are, whatever stands in them."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(heading) for heading in headings)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(_cell(cell) for cell in row)) for row in rows
    )
    # reached by keyboard, to be scrolled on a narrow screen
    return Markup(
        '<div class="table" role="region" aria-label="{caption}" tabindex="0"><table>'
        "<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    ).format(caption=caption, head=head, body=body)


def _cell(content: str | Markup) -> Markup:
    if isinstance(content, Markup):
        return Markup("<td>{}</td>").format(content)
    # names and messages of either direction stay within their cells
    kind = Markup(' class="long"') if len(content) > LONG_CHARS else ""
    return Markup("<td{}><bdi>{}</bdi></td>").format(kind, content)


def beside(*tables: str) -> str:
    """Return tables side by side, where there is room."""
    return Markup('<div class="tables">{}</div>').format(Markup("").join(map(Markup, tables)))


def note(text: str) -> str:
    """Return a line as HTML that a screen reader says when it changes."""
    return Markup('<p role="status">{}</p>').format(text)


def progress(share: float, label: str) -> Markup:
    """Return how much of something is done, 0 to 1, with `label` beside it."""
    return Markup('<progress value="{:.3f}" aria-label="{label}"></progress>{label}').format(
        share, label=label
    )


def meter(share: float, label: str) -> Markup:
    """Return how full something is, 0 to 1."""
    return Markup('<meter value="{:.3f}" aria-label="{label}"></meter>{:.0%}').format(
        share, share, label=label
    )


def moment(at: datetime | None, otherwise: str) -> str:
    """Return a moment to the minute, in UTC."""
    return f"{at:%Y-%m-%d %H:%M}" if at else otherwise
