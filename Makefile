# Every target creates the virtual environment if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One process per core, each with one thread of torch (tests/conftest.py).
PARALLEL := -n auto --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-all test-gpu fuzz docs check format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/installed  ## create .venv with vit and everything that its tests need

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vit needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

quickstart: $(VENV)/installed  ## train on handwritten digits, predict a folder, draw overlays: 3 minutes
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/quickstart.py

test: $(VENV)/installed check  ## the checks and the fast tests
	$(BIN)/python -m pytest $(PARALLEL)

test-all: $(VENV)/installed check  ## the checks and all tests, including the slow ones
	$(BIN)/python -m pytest $(PARALLEL) -m ''

test-gpu: $(VENV)/installed  ## tests of a GPU against the CPU; skipped where there is none
	$(BIN)/python -m pytest -m gpu tests/gpu

fuzz: $(VENV)/installed  ## fuzz the readers of images and bundles, two minutes each
	$(BIN)/python -m pip install --quiet atheris
	$(BIN)/python scripts/fuzz.py --seconds 120

docs: $(VENV)/installed  ## build the documentation as a site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check: $(VENV)/installed  ## style, types, and the import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed  ## fix and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove .venv and all caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis quickstart
