# Every target makes the virtual environment itself when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-all fuzz check format clean

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/installed  ## make .venv with vit and all that its tests need

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vit needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

quickstart: $(VENV)/installed  ## train on handwritten digits, predict a folder, draw overlays: 3 minutes
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/quickstart.py

test: $(VENV)/installed check  ## the checks and the fast tests
	$(BIN)/python -m pytest

test-all: $(VENV)/installed check  ## the checks and all tests, the slow ones too
	$(BIN)/python -m pytest -m ''

fuzz: $(VENV)/installed  ## damaged pictures and bundles, two minutes each
	$(BIN)/python -m pip install --quiet atheris
	$(BIN)/python scripts/fuzz.py --seconds 120

check: $(VENV)/installed  ## style, types, and the import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed  ## put the code in its shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove .venv and all caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis quickstart
