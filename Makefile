# Everything a person types while working on notaus. `make demo` shows it at work, `make test` checks all of it.
# Both set themselves up: a virtual environment in .venv, installed from the locks, every file checked by its hash.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

# The first interpreter that is new enough and can make a virtual environment.
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for each in python3.11 python3 python3.12 python3.13; do \
	if $$each -c '$(USABLE)' >/dev/null 2>&1; then echo $$each; break; fi; done)

VENV ?= .venv
BIN := $(VENV)/bin
# What is never imported needs no bytecode; the rest is compiled when it is.
INSTALL := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install --no-compile
LOCKS := requirements.lock requirements-build.lock requirements-dev.lock
COMPILE := uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help demo test apart venv judges lint coverage scenarios rules unit audit simulation soak load mutants lock docs clean

help:  ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

# --- setting up ---------------------------------------------------------------------------------------------------
# Each stamp is newer than what it was made from, so that a second run costs nothing.

$(VENV)/.made:
	@$(if $(PYTHON),,echo 'notaus needs Python 3.11 or newer with its venv module (Debian: python3-venv); or name one: make PYTHON=/path/to/python' >&2; exit 2)
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.made requirements.lock requirements-build.lock pyproject.toml src/notaus/__init__.py
	$(INSTALL) --require-hashes --requirement requirements.lock
	$(INSTALL) --require-hashes --requirement requirements-build.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	$(INSTALL) --require-hashes --requirement requirements-dev.lock
	@touch $@

venv: $(VENV)/.dev  ## .venv with everything for development

# --- the two commands of the README -------------------------------------------------------------------------------

demo: $(VENV)/.runtime  ## sandbox, daemon and two incidents, in about a minute
	$(BIN)/notaus demo

test: TWICE := 40
test: apart coverage scenarios unit simulation  ## everything that can be checked here
	@dev/not-run

# Two at a time what keeps one processor busy; the parts after it keep all of them.
apart:
	@$(MAKE) --no-print-directory -j 2 --output-sync=target judges venv
	@$(MAKE) --no-print-directory -j 2 --output-sync=target lint rules audit

judges: $(VENV)/.made  ## clients and engines that are not ours (docs/testing.md), as far as they can be had
	@dev/judges/install $(BIN)/python

# --- the parts of `test` ------------------------------------------------------------------------------------------

lint: venv  ## style, types, who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --config .importlinter --no-cache

coverage: venv  ## the core's own tests reach every branch of the core
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 tests/core
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=100

scenarios: venv  ## the scenario files, as a user runs them
	$(BIN)/notaus test --config config tests/scenarios/*.yaml
	$(BIN)/notaus test --config tests/scenarios/config tests/scenarios/custom/*.yaml

rules: venv  ## Prometheus' own judgement of the alert rules, where promtool is to be had
	@dev/promtool-tests

unit: venv  ## every test that the other parts do not run; on four workers, since many wait for processes
	@dev/postgresql >/dev/null || true  # unpacked once, not by four workers
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -rsfE --ignore tests/core --ignore tests/scenarios --ignore tests/simulation

audit: venv  ## known vulnerabilities of what the locks name, as far as they can be looked up
	@$(BIN)/python dev/audit.py

simulation: venv  ## 200 seeds of six simulated hours in a hostile world, each twice (in `make test` every fortieth)
	$(BIN)/python -m pytest -n 2 tests/simulation --twice $(or $(TWICE),1)

soak: venv  ## the simulation for long: SEEDS=5000 FIRST=1000 HOURS=6
	$(BIN)/python -m pytest tests/simulation -n 2 -k promise --seeds $(or $(SEEDS),2000) --first $(or $(FIRST),1000) --hours $(or $(HOURS),6)

load: venv  ## many services in one process against the sandbox, on virtual time (many hours): SERVICES=1000 HOURS=24
	$(BIN)/python -m benchmarks.load --services $(or $(SERVICES),1000) --hours $(or $(HOURS),24)

mutants: venv  ## small wrong edits, each of which its test must notice: ONLY=lease for some of them
	$(BIN)/python -m tests.mutants.run $(ONLY)

# --- chores -------------------------------------------------------------------------------------------------------

lock:  ## resolve the dependencies anew (needs uv)
	$(COMPILE) pyproject.toml --upgrade --extra postgresql --output-file requirements.lock
	$(COMPILE) pyproject.toml --upgrade --group dev --extra apprise --extra postgresql --constraint requirements.lock \
	  --output-file requirements-dev.lock
	dev/build-requirements | $(COMPILE) - --upgrade --no-annotate --constraint requirements-dev.lock \
	  --output-file requirements-build.lock

docs: venv  ## write the generated pages anew
	$(BIN)/python dev/licences.py > docs/licences.md
	$(BIN)/python dev/incident.py > docs/incident.md
	$(BIN)/python -m notaus.metrics > docs/metrics.md
	$(BIN)/python -m notaus.config.reference > docs/configuration.md
	$(BIN)/python -m tests.docs.walk

clean:  ## remove all that make made
	rm -rf $(VENV) .tools dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
