r"""The five packages and the direction of their imports.

    ui  ->  app  ->  model  ->  memory
                \->  memory
                \->  storage

Read from the sources with `ast`, so that an import inside a function counts too.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"app", "memory", "model", "storage", "ui"}

MAY_IMPORT = {
    "memory": set(),
    "model": {"memory"},
    "storage": set(),
    "app": {"memory", "model", "storage"},
    "ui": {"app"},
}

LANGUAGE_MODEL = {"transformers", "tokenizers", "peft", "bitsandbytes", "accelerate"}
DATABASE = {"sqlalchemy", "alembic", "sqlite3"}
WEB = {"fastapi", "starlette", "uvicorn", "gradio"}
TERMINAL = {"typer", "rich", "pydantic_settings"}

NEVER_IMPORTS = {
    "memory": LANGUAGE_MODEL | DATABASE | WEB | TERMINAL,
    "model": DATABASE | WEB,
    "storage": {"torch", "safetensors", "numpy"} | LANGUAGE_MODEL | WEB | TERMINAL,
    "app": {"gradio"} | DATABASE,
    "ui": {"torch", "safetensors"} | LANGUAGE_MODEL | DATABASE,
}


def imports(source: str) -> set[str]:
    """The top-level names of every module that `source` imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package"
            modules.add(str(node.module))
    return {module.partition(".")[0] for module in modules}


def forbidden(package: str, source: str) -> set[str]:
    """What `source`, a file of `package`, imports and may not."""
    allowed = MAY_IMPORT[package] | {package}
    return imports(source) & ((PACKAGES - allowed) | NEVER_IMPORTS[package])


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_every_file_keeps_to_the_direction_of_imports(package: str) -> None:
    """No file of a package imports what the table keeps from it."""
    files = sorted((ROOT / package).rglob("*.py"))
    found = {str(file.relative_to(ROOT)): forbidden(package, file.read_text("utf-8")) for file in files}
    assert files
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("package", "source", "names"),
    [
        ("memory", "import transformers.models", {"transformers"}),
        ("memory", "from model.base import BaseModel", {"model"}),
        ("storage", "def f():\n    import torch", {"torch"}),
        ("app", "from ui import page", {"ui"}),
        ("ui", "from storage.store import Store; import gradio", {"storage"}),
        ("ui", "from app.chat import Chat", set()),
    ],
)
def test_an_import_against_the_direction_is_found(package: str, source: str, names: set[str]) -> None:
    """The check above can fail: it sees forbidden imports, in functions too, and nothing else."""
    assert forbidden(package, source) == names


def test_the_project_is_its_five_packages() -> None:
    """Nothing else at the top level holds code of ours, and each package says what it knows."""
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == PACKAGES | {"tests"}
    assert all(ast.get_docstring(ast.parse((ROOT / p / "__init__.py").read_text("utf-8"))) for p in PACKAGES)
