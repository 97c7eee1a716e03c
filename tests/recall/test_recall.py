"""What the shipped model recalls, in NF4, on people, names and phrasings that training never saw."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli import main

HELD_OUT = Path(__file__).parent / "held_out.jsonl"
# A floor under what was measured when the weights were committed, against a change that breaks recall; the
# goal stands in model/README.md and is higher.
MEMORY_FLOOR = 0.55
NONE_CEILING = 0.10
ACKNOWLEDGED = {"role": "assistant", "content": "I see."}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of `remanence eval recall` on the held-out file."""
    folder = tmp_path_factory.mktemp("recall")
    replies = folder / "replies.jsonl"
    with pytest.MonkeyPatch.context() as patch, (folder / "report.json").open("w") as out:
        patch.setattr("sys.stdout", out)
        code = main(
            ["eval", "recall", str(HELD_OUT), "--data", str(folder), "--replies", str(replies), "--json"]
        )
    assert code == 0
    assert len(replies.read_text().splitlines()) == 2 * 240
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_was_said_is_recalled_through_the_adapter(scores: dict[str, Any]) -> None:
    assert scores["memory"]["all"]["n"] == 240
    assert scores["memory"]["all"]["contains"] >= MEMORY_FLOOR


@pytest.mark.timeout(300)
def test_one_question_after_the_other_gets_its_own_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one chat, where the reply before is at hand, and memory has read the question before."""
    said = ["My parrot is called Biscuit.", "I live in Lisbon.", "I work as a welder."]
    asked = [
        ("What is my parrot called?", "Biscuit"),
        ("Where do I live?", "Lisbon"),
        ("What is my job?", "welder"),
    ]
    session = [m for text in said for m in ({"role": "user", "content": text}, ACKNOWLEDGED)]
    questions = [{"q": q, "a": a, "kind": "plain"} for q, a in asked]
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps({"id": "one", "sessions": [session], "questions": questions}))
    command = ["eval", "recall", str(file), "--data", str(tmp_path), "--one-chat", "--json"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["memory"]["all"]["contains"] == 1.0
    assert report["none"]["all"]["contains"] == 0.0


@pytest.mark.slow
def test_without_the_adapter_nothing_is_known(scores: dict[str, Any]) -> None:
    assert scores["none"]["all"]["contains"] <= NONE_CEILING


@pytest.mark.slow
def test_a_question_costs_the_same_prompt_with_and_without_memory(scores: dict[str, Any]) -> None:
    assert scores["memory"]["all"]["prompt_tokens"] == scores["none"]["all"]["prompt_tokens"]
