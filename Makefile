# Everything runs in .venv, which the targets make themselves from requirements.lock; needs python3 >= 3.11 and make.

PYTHON ?= python3
TRACES ?= ../shared/traces
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made
TRIAL := out/wheel
ROUTERS := out/routers

.DEFAULT_GOAL := help
.PHONY: demo test fuzz soak chaos engines lint type bench clients wheel wheel-test clean help

define TALK

Next, talk to it as to any service with OpenAI's interface (docs/serving/http.md):

  $(BIN)/supernode up --detach --http
  curl -s http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' -d '{"messages": [{"role": "user", "content": "Why?"}], "max_tokens": 8}'
  $(BIN)/supernode down
endef
export TALK

demo: $(STAMP) ## a short trace, live on a local Ray cluster
	$(BIN)/supernode replay examples/demo.jsonl --live --speed 5
	@echo "$$TALK"

test: $(STAMP) ## all tests
	$(BIN)/python -m pytest

fuzz: $(STAMP) ## 10,000 requests that Schemathesis makes of the served document, most of them wrong
	FUZZ_REQUESTS=10000 $(BIN)/python -m pytest -q tests/unit/deploy/http/test_service_fuzz.py

soak: $(STAMP) ## the tests that take many minutes: up and down 20 times, each process killed in turn, memory over 30,000 requests
	$(BIN)/python -m pytest -m soak

chaos: $(STAMP) ## a minute of clients over HTTP while workers are killed, one hangs, and the control plane is killed
	$(BIN)/python -m pytest -q -s -m soak tests/live/test_http_chaos.py

engines: $(STAMP) $(ROUTERS)/.made ## routers of others, unmodified, in front of four emulated engines
	ROUTERS=$(ROUTERS) $(BIN)/python -m tests.routers

# In an environment of their own, as their dependencies are none of ours.
$(ROUTERS)/.made: Makefile
	$(PYTHON) -m venv $(ROUTERS)
	$(ROUTERS)/bin/python -m pip install -qq --disable-pip-version-check sglang-router==0.3.2 vllm-router==0.1.17
	@touch $@

lint: $(STAMP) ## style, format and direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

type: $(STAMP) ## pyright, strict
	$(BIN)/pyright

bench: $(STAMP) ## speed, beside a calibration loop; traces from TRACES=DIR; without parts that SKIP=http,live names
	TRACES=$(TRACES) $(BIN)/python -m tests.bench

clients: $(STAMP) ## clients of others (aiperf, locust, ...) against a cluster of ours; the first time it installs 2 GB into out/clients
	$(BIN)/python -m tests.clients

wheel: $(STAMP) ## dist/*.whl with the hot rooms compiled; needs a C compiler, to install it needs none
	rm -f dist/*.whl
	HATCH_BUILD_HOOKS_ENABLE=1 $(BIN)/hatchling build -t wheel

# The laws and all golden cases reach every compiled module; that both builds say the same is held to the byte.
wheel-test: wheel ## installs that wheel where no compiler is, and holds it to this checkout
	rm -rf $(TRIAL) && mkdir -p $(TRIAL)/checkout && $(PYTHON) -m venv $(TRIAL)/venv
	PATH=$(CURDIR)/$(TRIAL)/venv/bin $(CURDIR)/$(TRIAL)/venv/bin/python -m pip install -qq --disable-pip-version-check \
		-c requirements.lock dist/*.whl pytest pytest-timeout pytest-benchmark hypothesis
	cp -R tests examples pyproject.toml $(TRIAL)/checkout
	$(TRIAL)/venv/bin/supernode --version --verbose | tee /dev/stderr | grep -q '^compiled: '
	cd $(TRIAL)/checkout && ../venv/bin/python -m pytest -q tests/sim/test_against_naive.py tests/sim/test_invariants.py
	cd $(TRIAL)/checkout && ../venv/bin/python -m tests.golden.record --out ../compiled >../compiled.log
	$(BIN)/python -m tests.golden.record --out $(TRIAL)/pure >$(TRIAL)/pure.log
	diff -r $(TRIAL)/pure $(TRIAL)/compiled

clean: ## remove caches and build outputs (not .venv)
	rm -rf build dist out .pytest_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache *.egg-info
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "supernode needs Python 3.11 or newer: set PYTHON=/path/to/python3.11 (found: $$($(PYTHON) --version 2>&1 | head -n 1))" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
