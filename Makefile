# Everything runs in .venv, which the targets make themselves from requirements.lock; needs python3 >= 3.11 and make.

PYTHON ?= python3
TRACES ?= ../shared/traces
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made

.DEFAULT_GOAL := help
.PHONY: demo test soak lint type bench clean help

demo: $(STAMP) ## a short trace, live on a local Ray cluster
	$(BIN)/supernode replay examples/demo.jsonl --live --speed 5

test: $(STAMP) ## all tests
	$(BIN)/python -m pytest

soak: $(STAMP) ## the tests that take many minutes: up and down 20 times, each process killed in turn, memory over 30,000 requests
	$(BIN)/python -m pytest -m soak

lint: $(STAMP) ## style, format and direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

type: $(STAMP) ## pyright, strict
	$(BIN)/pyright

bench: $(STAMP) ## speed, beside a calibration loop; traces from TRACES=DIR
	TRACES=$(TRACES) $(BIN)/python -m tests.bench

clean: ## remove caches and build outputs (not .venv)
	rm -rf build dist out .pytest_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache *.egg-info
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "supernode needs Python 3.11 or newer: set PYTHON=/path/to/python3.11 (found: $$($(PYTHON) --version 2>&1 | head -n 1))" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
