"""The demo of recall at /demo: a page of its own that anybody may open, and that knows nobody.

What a visitor pastes comes with every event and is looked up in no session: Gradio's are known by a number
that the browser made up. A file is read in the browser and becomes text there, so that nothing is uploaded.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import gradio as gr
import pandas as pd
from fastapi import FastAPI

from app.demo import (
    MAX_DIALOGUE_BYTES,
    MAX_QUESTION_CHARS,
    MAX_TURNS,
    Demo,
    Step,
    Trial,
)
from app.doorman import DEMO as PATH
from app.errors import BadRequest
from app.recall import Person
from ui import texts
from ui.demo_tables import cards_html, said_html, score_html, steps_html
from ui.failing import sentence_of
from ui.mounting import mount_page

# Visitors served at once, and waiting; who chats shares the model with them, token by token.
MAX_RUNS = 2
MAX_WAITING = 16
# The choice that is none of the sample people.
OWN = "own"

CSS = """
.demo { max-width: 72rem; margin: 0 auto; }
.demo table, .demo tr { width: 100%; border: 0; border-collapse: collapse; }
.demo .scrolls { overflow-x: auto; }
.demo th, .demo td { text-align: left; vertical-align: top; padding: .35rem .6rem; border: 0;
  border-bottom: 1px solid var(--border-color-primary); }
.demo table p { margin: 0; }
.demo td:not(.number) { min-width: 6rem; }
.demo td.number, .demo th.number { text-align: right; font-variant-numeric: tabular-nums; }
.demo .cards { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); }
.demo .card { border: 1px solid var(--border-color-primary); border-radius: .5rem; padding: .75rem; }
.demo .card h3, .demo .card p, .demo .card dl { margin: 0 0 .5rem; }
.demo .card .answer { font-size: 1.1rem; overflow-wrap: anywhere; }
.demo .card dl { display: grid; grid-template-columns: auto auto; gap: .15rem .5rem; font-size: .85rem; }
.demo .card dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
.demo .said p { margin: .15rem 0; overflow-wrap: anywhere; }
.demo .right::before { content: "\\2713\\00a0"; }
.demo .wrong::before { content: "\\2717\\00a0"; }
.demo .right, .demo .wrong { font-weight: 600; }
"""
FILE_INPUT = f"""<label>{escape(texts.DEMO_FILE)}
<input type="file" accept=".json,.jsonl,.txt" onchange="
  const box = document.querySelector('#demo-dialogue textarea');
  this.files[0]?.text().then((text) => {{
    box.value = text;
    box.dispatchEvent(new Event('input', {{bubbles: true}}));
  }});
"></label>"""

Update = tuple[Any, ...]


def mount(server: FastAPI, demo: Demo) -> None:
    """Add the page to `server`."""
    mount_page(server, DemoPage(demo).build(), PATH, CSS)


class DemoPage:
    """The page's components and what they do."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._samples = {person.id: person for person in demo.samples}

    def build(self) -> gr.Blocks:
        """Return the page."""
        first = self._demo.samples[0]
        page: gr.Blocks
        with (
            gr.Blocks(title=f"{texts.TITLE} · {texts.DEMO_TITLE}", analytics_enabled=False) as page,
            gr.Column(elem_classes="demo"),
        ):
            gr.Markdown(f"# {texts.DEMO_TITLE}\n\n{texts.DEMO_INTRO}\n\n{texts.DEMO_CAUTION}")
            gr.Markdown(f"[{texts.DEMO_BACK}](/)")
            gr.Markdown(f"## {texts.DEMO_WHO}")
            who = gr.Radio(self._choices(), value=first.id, label=texts.DEMO_WHO, show_label=False)
            with gr.Column(visible=False) as own:
                dialogue = gr.Textbox(
                    label=texts.DEMO_DIALOGUE,
                    info=texts.DEMO_DIALOGUE_HINT.format(bytes=MAX_DIALOGUE_BYTES, turns=MAX_TURNS),
                    lines=6,
                    max_lines=12,
                    elem_id="demo-dialogue",
                )
                gr.HTML(FILE_INPUT)
            with gr.Accordion(texts.DEMO_SAID, open=False):
                said = gr.HTML(said_html(first))
            gr.Markdown(f"## {texts.DEMO_FOLD}")
            fold = gr.Button(texts.DEMO_FOLD_BUTTON, variant="primary")
            folded = gr.Markdown(elem_id="demo-folded")
            steps = gr.HTML(elem_id="demo-steps")
            with gr.Row(visible=False) as charts:
                tokens_chart = _chart("prompt tokens", texts.DEMO_TOKENS_CHART)
                time_chart = _chart("milliseconds", texts.DEMO_TIME_CHART)
            gr.Markdown(f"## {texts.DEMO_ASK}")
            questions = gr.Radio(_questions(first), label=texts.DEMO_QUESTIONS, interactive=True)
            question = gr.Textbox(label=texts.DEMO_QUESTION, max_length=MAX_QUESTION_CHARS)
            ask = gr.Button(texts.DEMO_ASK_BUTTON, variant="primary")
            asked = gr.Markdown(elem_id="demo-asked")
            answers = gr.HTML(elem_id="demo-answers")
            gr.Markdown(f"## {texts.DEMO_SCORE}")
            score = gr.Button(texts.DEMO_SCORE_BUTTON)
            scored = gr.Markdown(elem_id="demo-scored")
            table = gr.HTML(elem_id="demo-table")

            chosen = [who, dialogue]
            results = [folded, steps, charts, asked, answers, scored, table]
            who.input(self.choose, who, [own, said, questions, question, *results], show_progress="hidden")
            questions.input(None, questions, question, js="(text) => text")
            costly: dict[str, Any] = {
                "concurrency_limit": MAX_RUNS,
                "concurrency_id": "demo",
                "show_progress": "minimal",
            }
            fold.click(
                self.fold,
                chosen,
                [folded, said, questions, steps, charts, tokens_chart, time_chart],
                **costly,
            )
            gr.on([ask.click, question.submit], self.ask, [*chosen, question], [asked, answers], **costly)
            score.click(self.score, chosen, [scored, table], **costly)
        page.queue(max_size=MAX_WAITING)
        return page

    def _choices(self) -> list[tuple[str, str]]:
        """Return the sample people, and the choice of a dialogue that the visitor brings."""
        people = [
            (
                texts.DEMO_PERSON.format(
                    number=number, sessions=len(p.sessions), turns=sum(map(len, p.sessions))
                ),
                p.id,
            )
            for number, p in enumerate(self._demo.samples, 1)
        ]
        return [*people, (texts.DEMO_OWN, OWN)]

    def _person(self, who: str, dialogue: str) -> Person:
        return self._samples[who] if who in self._samples else self._demo.read(dialogue)

    def choose(self, who: str) -> Update:
        """Return what is known of somebody before anything was read, and no results."""
        sample = self._samples.get(who)
        person = sample or Person("", (), ())
        nothing = ("", "", gr.Row(visible=False), "", "", "", "")
        return gr.Column(visible=sample is None), said_html(person), _offered(person), "", *nothing

    def fold(self, who: str, dialogue: str) -> Iterator[Update]:
        """Fold the sessions one by one, yielding how far it is, what was said, and what it costs."""
        yield from _safely(self._fold(who, dialogue), num_others=6)

    def _fold(self, who: str, dialogue: str) -> Iterator[Update]:
        person = self._person(who, dialogue)
        num_turns = sum(map(len, person.sessions))
        progress = texts.DEMO_FOLDING.format(turns=0, of=num_turns)
        yield progress, said_html(person), _offered(person), "", *[gr.skip()] * 3
        probe = person.questions[0].text if person.questions else texts.DEMO_PROBE
        steps: list[Step] = []
        for step in self._demo.fold(person, probe):
            steps.append(step)
            if not step.costs:
                continue
            line = texts.DEMO_FOLDED if step.turns == num_turns else texts.DEMO_FOLDING
            status = line.format(turns=step.turns, of=num_turns)
            shown = gr.Row(visible=True)
            yield status, gr.skip(), gr.skip(), steps_html(steps), shown, *_costs(steps)

    def ask(self, who: str, dialogue: str, question: str) -> Iterator[Update]:
        """Ask the question by one method after the other, yielding the answers so far."""
        yield from _safely(self._ask(who, dialogue, question), num_others=1)

    def _ask(self, who: str, dialogue: str, question: str) -> Iterator[Update]:
        person = self._person(who, dialogue)
        trials: list[Trial] = []
        yield texts.DEMO_ASKING, ""
        for trial in self._demo.ask(person, question.strip()):
            trials.append(trial)
            yield texts.DEMO_ASKING, cards_html(trials)
        yield "", cards_html(trials)

    def score(self, who: str, dialogue: str) -> Iterator[Update]:
        """Ask all questions of the person, yielding the table so far."""
        yield from _safely(self._score(who, dialogue), num_others=1)

    def _score(self, who: str, dialogue: str) -> Iterator[Update]:
        person = self._person(who, dialogue)
        if not person.questions:
            raise BadRequest(texts.DEMO_NO_QUESTIONS)
        yield texts.DEMO_ASKING, ""
        rows: list[list[Trial]] = []
        for question in person.questions:
            rows.append(list(self._demo.ask(person, question.text)))
            yield texts.DEMO_ASKING, score_html(rows)
        yield texts.DEMO_SCORED, score_html(rows)


def _safely(updates: Iterator[Update], num_others: int) -> Iterator[Update]:
    """Yield `updates`; of what fails, the sentence that says why, in the first place of an update."""
    try:
        yield from updates
    except Exception as error:
        yield sentence_of(error), *[gr.skip()] * num_others


def _questions(person: Person) -> list[str]:
    """Return the person's questions, each once."""
    return list(dict.fromkeys(question.text for question in person.questions))


def _offered(person: Person) -> gr.Radio:
    questions = _questions(person)
    return gr.Radio(questions, value=None, visible=bool(questions))


def _chart(measure: str, title: str) -> gr.LinePlot:
    return gr.LinePlot(x="turns", y=measure, color="method", title=title, height=260)


def _costs(steps: Sequence[Step]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return prompt tokens, and milliseconds to the first token, of every method wherever measured."""
    found = [(step.turns, texts.DEMO_METHODS[c.method][0], c) for step in steps for c in step.costs]
    tokens = [(turns, name, c.prompt_tokens) for turns, name, c in found]
    times = [(turns, name, round(c.first_token_seconds * 1000, 1)) for turns, name, c in found]
    return (
        pd.DataFrame(tokens, columns=["turns", "method", "prompt tokens"]),
        pd.DataFrame(times, columns=["turns", "method", "milliseconds"]),
    )
