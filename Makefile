# `make chat` starts the chat in the browser, `make test` runs every check: each first makes what it needs.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: chat test browser format screenshots
.DELETE_ON_ERROR:

chat: .venv/chat
	$(BIN)/remanence serve --open

test: .venv/checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --ignore tests/browser

# The pages as a person meets them, through a Chromium of this machine.
browser: .venv/checks
	$(BIN)/python -m pytest tests/browser

format: .venv/checks
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The pictures in docs/, taken anew through a Chromium of this machine.
screenshots: .venv/checks
	$(BIN)/python -m tests.browser.screenshots

# torch comes first and alone: whichever build of the pinned version pip finds, nothing later replaces it. PIP_EXTRA_INDEX_URL
# can name PyTorch's index of builds without CUDA.
.venv/chat: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Remanence needs Python 3.11 or later, and there is no $(PYTHON)."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("Remanence needs Python 3.11 or later; name one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(INSTALL) setuptools torch
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

.venv/checks: .venv/chat
	$(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@
