"""The tree of errors and the one place of translation."""

import ast
import builtins
from pathlib import Path

import pytest

from app import errors
from app.errors import TRANSLATIONS, RemanenceError, translated
from storage.database import StoreUnavailable
from storage.rows import BadName, UnknownRow

ROOT = Path(__file__).parents[2]
BUILTIN_ERRORS = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def error_classes(*packages: str) -> set[str]:
    """The full names of all error classes that the packages define, read from their sources."""
    bases = {
        f"{'.'.join(file.relative_to(ROOT).with_suffix('').parts)}.{node.name}": {
            ast.unparse(base).rpartition(".")[2] for base in node.bases
        }
        for package in packages
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    found: set[str] = set()
    while more := {
        name
        for name, parents in bases.items()
        if name not in found and parents & (BUILTIN_ERRORS | {error.rpartition(".")[2] for error in found})
    }:
        found |= more
    return found


def test_every_error_of_the_lower_packages_is_translated() -> None:
    """No error class of memory, model or storage lacks a place in the tree, and no place lacks its class."""
    assert error_classes("memory", "model", "storage") == set(TRANSLATIONS)


def test_the_search_for_error_classes_finds_them() -> None:
    """The check above can fail: the search finds direct and indirect error classes, in functions too."""
    found = error_classes("app", "storage")
    assert {"app.errors.RemanenceError", "app.errors.TooLong", "storage.rows.StaleState"} <= found
    assert "storage.store.Store" not in found


def test_the_docstring_draws_the_whole_tree() -> None:
    """Each class a person may meet stands in the drawing."""
    classes = [
        cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, RemanenceError)
    ]
    assert len(classes) == 12
    assert all(f"{cls.__name__} " in str(errors.__doc__) or cls is RemanenceError for cls in classes)


@pytest.mark.parametrize(
    ("raised", "name", "http_status"),
    [
        (BadName("A name has rules."), "BadRequest", 400),
        (UnknownRow("There is no user 7."), "NotFound", 404),
        (StoreUnavailable("The database is locked."), "Unavailable", 503),
    ],
)
def test_an_error_from_below_becomes_one_of_ours(raised: Exception, name: str, http_status: int) -> None:
    """The sentence stays, the cause is kept for the log, and the way out is known."""
    with pytest.raises(RemanenceError) as caught, translated():
        raise raised
    assert (type(caught.value).__name__, str(caught.value)) == (name, str(raised))
    assert caught.value.__cause__ is raised
    assert (caught.value.http_status, caught.value.exit_code) == (http_status, 2)


def test_a_subclass_is_translated_like_its_parent() -> None:
    """An error made more precise below does not fall out of the tree."""

    class VeryBadName(BadName): ...

    with pytest.raises(errors.BadRequest), translated():
        raise VeryBadName("A name has rules.")


@pytest.mark.parametrize("raised", [ValueError("a defect"), errors.TooLong("Too long."), KeyboardInterrupt()])
def test_everything_else_passes_unchanged(raised: BaseException) -> None:
    """A defect keeps its traceback, and what is one of ours already stays what it is."""
    with pytest.raises(type(raised)) as caught, translated():
        raise raised
    assert caught.value is raised
