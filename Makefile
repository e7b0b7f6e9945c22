# The commands of the project. Each does all the set-up it needs, from a bare Python 3.11 with pip.

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: quickstart test test-slow check bench clean

# The main job on the documentation of the Python installed here: a fine-tuned model that is
# shown to be better than its base, an index, and three searches.
quickstart: $(VENV)/.main
	$(BIN)/nearfar run recipes/python-docs.toml

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n auto

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

bench: $(VENV)/.dev
	$(BIN)/python bench/training.py
	$(BIN)/python bench/quality.py

# With what the quickstart needs, and with what tests and checks need beside it. Versions are
# those that were tested; torch comes first, since the CPU build is the one that is pinned.
$(VENV)/.main: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[quickstart]'
	touch $@

$(VENV)/.dev: $(VENV)/.main
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[quickstart,test,check]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) runs
