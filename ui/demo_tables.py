"""What the demo shows as HTML: what was said, the steps of the folding, answers side by side, the score.

Every text that came from somebody passes `_text`, so that it is shown and nothing else.
"""

from collections.abc import Iterable, Sequence
from html import escape

from app.demo import METHODS, RETRIEVED_TURNS, Method, Step, Trial
from app.recall import Person
from ui import texts


def said_html(person: Person) -> str:
    """Return the sessions of `person`, message by message."""
    parts = []
    for number, session in enumerate(person.sessions, 1):
        parts.append(f"<h3>{texts.DEMO_SESSION.format(number=number)}</h3>")
        for exchange in session:
            for speaker, text in (
                (texts.DEMO_PERSON_SAYS, exchange.user),
                (texts.DEMO_ASSISTANT_SAYS, exchange.assistant),
            ):
                if text:
                    parts.append(f"<p><b>{speaker}:</b> {_text(text)}</p>")
    return f'<div class="said">{"".join(parts)}</div>'


def steps_html(steps: Iterable[Step]) -> str:
    """Return a row for each session: what was read by its end, or so far."""
    newest = {step.session: step for step in steps}
    rows = [
        [f"{n:,}" for n in (s.session, s.turns, s.tokens, s.state_bytes, s.history_tokens)]
        for s in newest.values()
    ]
    return _table(texts.DEMO_FOLD, texts.DEMO_FOLD_COLUMNS, rows, numbers=True)


def cards_html(trials: Iterable[Trial]) -> str:
    """Return the answers to one question, a card for each method."""
    return f'<div class="cards">{"".join(map(_card, trials))}</div>'


def score_html(rows: Sequence[Sequence[Trial]]) -> str:
    """Return the answers to several questions of one person, a row each, and the score of each method."""
    columns = [texts.DEMO_SCORE_QUESTION, texts.DEMO_EXPECTED, *(_name(method) for method in METHODS)]
    cells = []
    for row in rows:
        question = row[0].question
        if question is not None:
            expected = _text(question.answer) if question.answer else texts.DEMO_NEVER_SAID
            cells.append([_text(question.text), expected, *(_reply(t) + _verdict(t) for t in row)])
    told = [row for row in rows if row[0].question and row[0].question.answer is not None]
    untold = [row for row in rows if row[0].question and row[0].question.answer is None]
    for label, group in ((texts.DEMO_COUNTED, told), (texts.DEMO_DECLINED, untold)):
        if group:
            counts = (_count([row[i] for row in group]) for i in range(len(METHODS)))
            cells.append([f"<b>{label.format(n=len(group))}</b>", "", *counts])
    return _table(texts.DEMO_SCORE, columns, cells)


def _count(trials: Sequence[Trial]) -> str:
    right = sum(bool(trial.is_right) for trial in trials)
    return f"<b>{texts.DEMO_COUNT.format(right=right, share=right / len(trials))}</b>"


def _card(trial: Trial) -> str:
    name, about = texts.DEMO_METHODS[trial.method]
    answered = trial.answered
    costs = (
        f"{answered.prompt_tokens:,}",
        texts.DEMO_MS.format(ms=answered.first_token_seconds * 1000),
        texts.DEMO_MS.format(ms=answered.seconds * 1000),
        texts.DEMO_BYTES.format(bytes=trial.kept_bytes),
    )
    figures = "".join(
        f"<dt>{label}</dt><dd>{cost}</dd>" for label, cost in zip(texts.DEMO_COSTS, costs, strict=True)
    )
    cut = f"<p>{texts.DEMO_CUT.format(tokens=answered.prompt_tokens)}</p>" if trial.is_cut else ""
    return (
        f'<section class="card"><h3>{name}</h3><p>{about.format(turns=RETRIEVED_TURNS)}</p>'
        f'<p class="answer">{_reply(trial)}</p>{_verdict(trial)}{_expected(trial)}'
        f"<dl>{figures}</dl>{cut}</section>"
    )


def _name(method: Method) -> str:
    return texts.DEMO_METHODS[method][0]


def _reply(trial: Trial) -> str:
    return _text(trial.answered.reply) or texts.DEMO_NO_REPLY


def _verdict(trial: Trial) -> str:
    if trial.is_right is None:
        return ""
    if trial.is_right:
        return f'<p class="right">{texts.DEMO_RIGHT}</p>'
    return f'<p class="wrong">{texts.DEMO_WRONG}</p>'


def _expected(trial: Trial) -> str:
    """Return what was to be answered, where the reply is wrong."""
    if trial.is_right is not False or trial.question is None:
        return ""
    answer = trial.question.answer
    text = texts.DEMO_EXPECTED_ANSWER.format(answer=answer) if answer else texts.DEMO_EXPECTED_NONE
    return f"<p>{_text(text)}</p>"


def _table(label: str, columns: Iterable[str], rows: Iterable[Sequence[str]], numbers: bool = False) -> str:
    """Return a table that scrolls where it is too wide; cells are HTML."""
    kind = ' class="number"' if numbers else ""
    head = "".join(f'<th scope="col"{kind}>{column}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(f'<td{kind}>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scrolls" role="region" aria-label="{escape(label)}" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _text(text: str) -> str:
    return escape(text)
