# On a machine with Python 3.11+, pip and make: `make tune` or `make test`, nothing else first.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
ARGS ?=
COMMA := ,

# runs on any Python, also on one that is too old
define PYTHON_CHECK
import sys
found = "%d.%d.%d" % sys.version_info[:3]
if sys.version_info < (3, 11):
    sys.exit("kdray needs Python 3.11 or newer; $(PYTHON) is " + found + ". Name a newer one: make PYTHON=python3.12")
endef
export PYTHON_CHECK

.PHONY: setup setup-dev tune test soak cluster check lint types floors docs fast fuzz matrix

# Python keeps compiled what it has imported once; where it may not, pip compiles all 28,000 files, or each process would
# compile 4,000 of them again.
COMPILE := $(if $(PYTHONDONTWRITEBYTECODE),,--no-compile)

define INSTALL
@$(PYTHON) -c "$$PYTHON_CHECK"
$(PYTHON) -m venv $(VENV)
$(BIN)/python -m pip install --quiet $(COMPILE) -c constraints.txt -e '.[$(1)]'
endef

$(VENV)/.ready: pyproject.toml constraints.txt Makefile
	$(call INSTALL,sample$(COMMA)export)
	touch $@

# has what `make setup` installs, too
$(VENV)/.ready-dev: pyproject.toml constraints.txt Makefile
	$(call INSTALL,dev)
	touch $(VENV)/.ready $@

setup: $(VENV)/.ready
setup-dev: $(VENV)/.ready-dev

tune: setup
	$(BIN)/python sweeps/tune_rte.py --bundle --formats onnx-int8,onnx $(ARGS)

# three workers also on two cores: the one with the Ray tests mostly waits
test: setup-dev
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 -m "not cluster and not soak" $(ARGS)

# the long tests, one after another: before a release, and after a change to engines, store or experiments
soak: setup-dev
	$(BIN)/python -m pytest -m soak $(ARGS)

cluster: setup-dev
	$(BIN)/python -m pytest -m cluster $(ARGS)

fast: setup-dev
	$(BIN)/python -m pytest -m "not slow and not soak and not ray" $(ARGS)

fuzz: setup-dev
	KDRAY_FUZZ_CASES=10000 $(BIN)/python -m pytest -m fuzz $(ARGS)

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: setup-dev
	$(BIN)/pyright

floors: setup-dev
	$(BIN)/lint-imports

# the site of docs/ in build/site; a dead link or a missing anchor is an error
docs: setup-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: lint types floors docs test

# every promised Python that is found here, or those in PYTHONS="python3.12 ..."
matrix:
	.ci/matrix
