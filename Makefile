# The two commands of the README, `make demo` and `make test`, do all set-up themselves.
# `make help` lists the rest.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := $(VENV)/demo
READY  := $(VENV)/ready
OLDEST := $(VENV)/oldest
TYPES  := build/types
# Tests run in so many processes, one thread each; make test PROCESSES=0 runs them in one, where a debugger can stop them.
PROCESSES ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --no-loadscope-reorder --durations=20

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-oldest lint types check-wheel audit benchmark golden results clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(DEMO) ## A real experiment on the bundled collection, offline
	RANKLOOM_OFFLINE=1 $(BIN)/rankloom run configs/quickstart.yaml

test: $(READY) ## All tests
	$(PYTEST)

test-fast: $(READY) ## The tests that take no more than a few seconds each
	$(PYTEST) -m 'not slow'

test-oldest: $(OLDEST)/ready ## The adapters on the oldest versions of their hosts, in an environment of its own
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -q tests/serving/adapters

lint: $(READY) ## Style, docstrings, formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# Type checkers do not follow import hooks, so they are shown the package as a wheel installs it.
types: $(READY) ## The strict type checker, over the whole package
	rm -rf build
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --target $(TYPES) .
	cd $(TYPES) && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p rankloom

check-wheel: $(READY) ## The wheel alone, with core dependencies only, in a clean folder
	PYTHON=$(PYTHON) VENV=$(abspath $(VENV)) bash tests/check_wheel.sh

audit: $(READY) ## Known advisories about the pins; exit status 3 where no advisory service could be asked
	$(BIN)/pip install --quiet -c constraints.txt -e '.[audit]'
	$(BIN)/python .ci/audit.py

benchmark: $(READY) ## Speed and memory against peers
	$(BIN)/python benchmarks/run_columns.py
	$(BIN)/python benchmarks/evaluation.py

golden: $(READY) ## Check the figures of docs/results.md (all that RANKLOOM_DATA has data for)
	$(BIN)/rankloom golden

results: $(READY) ## Write docs/results.md from configs/golden.yaml
	$(BIN)/rankloom golden --page

clean: ## Remove what was built; the environment stays
	rm -rf build dist runs *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# torch goes first and pinned: left to the resolver it may bring gigabytes of GPU packages.
$(DEMO): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rankloom needs Python 3.11 or newer")'
	@echo 'Setting up $(VENV); this takes some minutes, once.'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt --upgrade pip setuptools wheel
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[mini]'
	touch $@

$(READY): $(DEMO)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[test,lint]'
	touch $@

$(OLDEST)/ready: pyproject.toml tests/serving/oldest.txt
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/pip install --quiet -r tests/serving/oldest.txt
	$(OLDEST)/bin/pip install --quiet --no-deps -e .
	touch $@
