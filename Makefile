# On a machine with Python 3.10+, pip and make: `make tune` or `make test`, nothing else first.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
ARGS ?=

.PHONY: setup setup-dev tune test cluster check lint types floors fast

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[sample]'
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

setup: $(VENV)/.ready
setup-dev: $(VENV)/.ready-dev

tune: setup
	$(BIN)/python sweeps/tune_rte.py $(ARGS)

# three workers also on two cores: the one with the Ray tests mostly waits
test: setup-dev
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not cluster" $(ARGS)

cluster: setup-dev
	$(BIN)/python -m pytest -m cluster $(ARGS)

fast: setup-dev
	$(BIN)/python -m pytest -m "not slow and not ray" $(ARGS)

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: setup-dev
	$(BIN)/pyright

floors: setup-dev
	$(BIN)/lint-imports

check: lint types floors test
