"""Which texts match a question best."""

import pytest

from storage.ranking import best_matches

SAID = [
    "Hello, how are you today?",
    "My parrot is called Biscuit.",
    "The parrot's cage stands in the kitchen.",
    "We live in Lisboa near the café.",
]


def test_the_best_match_comes_first_and_no_more_than_asked_for() -> None:
    """Rarer words count for more, and words are compared by their stems."""
    assert best_matches(SAID, "What is my parrot called?", 1) == [1]
    assert set(best_matches(SAID, "parrots", 9)) == {1, 2}
    assert best_matches(SAID, "Which CAFE?", 1) == [3]
    assert best_matches([], "parrot", 3) == []


@pytest.mark.parametrize(
    "question",
    ["", "?!", "xylophone", '"', "NEAR(q", "text:", "a AND", "_", "-", "*", "' OR 1", "\0", "\ud800?"],
)
def test_a_question_is_words_and_no_query(question: str) -> None:
    """Nothing that is written in it means anything to the search."""
    assert best_matches(SAID[:3], question, 3) == []


def test_a_long_question_can_be_searched_for() -> None:
    assert best_matches(SAID, " ".join(["word"] * 400 + ["parrot"]), 2) == [1, 2]
    assert best_matches(SAID, " ".join(f"w{n}" for n in range(400)), 2) == []
