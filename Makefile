# `make help` lists the targets. Everything lives in .venv; nothing needs root.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?=
ARGS ?=
PYTEST_ARGS ?= -n 2 --dist loadfile

.PHONY: help setup demo test bench soak lint types contracts board generated generate lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## Build .venv from requirements.lock, with the command at .venv/bin/streamgauge

$(STAMP): requirements.lock pyproject.toml
	@if [ ! -x $(BIN)/python ]; then
	  python=
	  for candidate in "$(PYTHON)" python3.13 python3.12 python3.11 python3.14 python3 python; do
	    if [ -n "$$candidate" ] && command -v "$$candidate" >/dev/null \
	      && "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi
	  done
	  if [ -z "$$python" ]; then
	    echo "make setup: no Python 3.11 or newer found on PATH; install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
	    exit 1
	  fi
	  echo "Building $(VENV) with $$($$python --version) ..." >&2
	  if ! "$$python" -m venv $(VENV) 2>/dev/null; then  # Debian's Python without python3-venv
	    rm -rf $(VENV)
	    "$$python" -m venv --without-pip $(VENV)
	    "$$python" -m pip --python $(BIN)/python install --quiet pip || {
	      rm -rf $(VENV)
	      echo "make setup: $$python has neither ensurepip nor pip; install python3-venv, or name another: PYTHON=..." >&2
	      exit 1
	    }
	  fi
	fi
	echo "Installing requirements.lock ..." >&2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
	echo "Ready: $(BIN)/streamgauge --help" >&2

demo: setup ## Everything on one machine, on real retail events (ARGS="--for 60" to end by itself)
	@exec $(BIN)/streamgauge demo $(ARGS)

test: setup ## All tests, against a real Kafka and a real Valkey
	@POLARS_MAX_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS) $(ARGS)

bench: setup ## Measure side by side with Kafka Streams (minutes; needs a JDK and Maven)
	@POLARS_MAX_THREADS=1 $(BIN)/python -m tests.bench $(ARGS)

soak: setup ## Run the demo's whole way for an hour under faults (ARGS="--for 600" for less)
	@POLARS_MAX_THREADS=1 $(BIN)/python -m tests.bench.soak $(ARGS)

lint: setup ## ruff: rules and format
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy --strict
	@$(BIN)/mypy

contracts: setup ## import-linter: who may import whom
	@$(BIN)/lint-imports

board: setup ## Check, test and build the board's page, which sinks/board/static ships
	@$(BIN)/python board/build.py

generated: setup ## Check that generated files are what their generators write
	@$(BIN)/python -m streamgauge.reference --check
	$(BIN)/python board/build.py --check

generate: setup ## Write the generated files again
	@$(BIN)/python -m streamgauge.reference

lock: setup ## Resolve pyproject.toml into requirements.lock again
	@$(BIN)/uv pip compile pyproject.toml --extra dev --extra bench --universal --python-version 3.11 --upgrade --quiet \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --output-file requirements.lock

clean: ## Remove .venv, caches and the demo's data
	@rm -rf $(VENV) board/node_modules .streamgauge dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache tests/bench/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
