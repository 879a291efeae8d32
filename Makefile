# `make reproduce` and `make test` do everything on a machine with Python 3.11, pip and make.
# Another interpreter: `make test PYTHON=python3.12`; another place for the environment: `make test VENV=/some/where`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
OUT ?= out
BIN := $(abspath $(VENV))/bin
# pip upgrades nothing by itself: constraints.txt has the exact versions of everything.
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: reproduce test check lint imports types unit install format clean .typing

reproduce: $(VENV)/.reproduce
	$(BIN)/unilth reproduce --out $(OUT)

test: check unit

check: lint imports types

install: $(VENV)/.test

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.reproduce: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[all]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@ $(VENV)/.reproduce

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Neither the import contract nor the type checker follows the namespace mapping, so they read a tree of links that
# spells it out.
.typing: $(VENV)/.test
	rm -rf .typing && mkdir -p .typing/unilth
	for part in unilth/*; do ln -s "$(CURDIR)/$$part" .typing/unilth/; done
	for part in theory sims paper_figures; do ln -s "$(CURDIR)/$$part" .typing/unilth/$$part; done

imports: .typing
	cd .typing && $(BIN)/lint-imports --no-cache --config ../pyproject.toml

types: .typing
	cd .typing && MYPYPATH=. $(BIN)/mypy --config-file ../pyproject.toml -p unilth

unit: $(VENV)/.test
	$(BIN)/pytest -n auto -m "not slow and not gpu and not slurm" --cov --cov-report=term:skip-covered --cov-fail-under=90

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .typing .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info .coverage*
