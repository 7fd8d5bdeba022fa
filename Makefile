# Every chore of the project. `make demo` and `make test` set up what they need; nothing else has to be run before.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests wait for browsers and servers about as much as they compute; with three at a time they wait for each other.
JOBS ?= 2
UV_VERSION := 0.13.9

# What failed beside others is run once more by itself, and said to be: on a busy machine a browser or a server may be
# late for no fault of ours. What fails twice has failed.
AGAIN = echo "These failed; once more, one after the other:" && exec $(BIN)/python -m pytest --last-failed --maxfail 3

.PHONY: help demo test check bench format lock vendor

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.runtime ## Run a whole show on this machine: make demo ARGS="--seed 7"
	@exec $(BIN)/showfloor demo $(ARGS)

test: check ## Everything that CI runs: check, then all tests, the browser's included
	@deploy/test-machine.sh $(BIN)/python >&2
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS) || { [ $$? = 1 ] && $(AGAIN) $(ARGS); }

check: $(VENV)/.test ## Lint, formatting, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.test ## Run a benchmark, or list them: make bench ARGS=fanout
	@exec $(BIN)/showfloor bench $(ARGS)

format: $(VENV)/.test ## Put the code into its format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(VENV)/.test ## Choose the versions of everything anew, with their hashes
	@$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@$(LOCK) --upgrade pyproject.toml deploy/build.in --extra test -o deploy/requirements-test.txt
	@$(LOCK) pyproject.toml deploy/build.in -c deploy/requirements-test.txt -o deploy/requirements.txt

vendor: $(VENV)/.test ## Bring the pages' libraries up to deploy/vendor.lock.json, by npm
	@$(BIN)/python deploy/vendor.py

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --custom-compile-command "make lock"

# The stamps are rebuilt when what they were made from changes. All chatter goes to standard error, since the
# standard output of `make demo ARGS=--json` is for a program.
$(VENV)/.runtime: pyproject.toml $(wildcard media/native/*.[ch]) deploy/requirements.txt deploy/setup.sh
	@deploy/setup.sh $(PYTHON) $(VENV) deploy/requirements.txt >&2
	@touch $@

# The lock for the tests holds the other one.
$(VENV)/.test: pyproject.toml $(wildcard media/native/*.[ch]) deploy/requirements-test.txt deploy/setup.sh
	@deploy/setup.sh $(PYTHON) $(VENV) deploy/requirements-test.txt >&2
	@touch $@ $(VENV)/.runtime
