# Every target sets up .venv by itself when it is missing or older than what it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup run demo test check format lint types types-mypy types-pyright layers sizes spelling docs-current fix bench bench-mailbox docs torture relay-chaos differential interop interop-a2a platforms clean

help: ## show the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(READY) ## make the virtual environment

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "hermes-console needs Python 3.11 or newer, and '$(PYTHON)' is not one; try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: $(READY) ## open the console on your home
	$(BIN)/hermes-console

demo: $(READY) ## open the console on a throw-away home with a simulated fleet
	$(BIN)/hermes-console demo

test: $(READY) ## run the tests
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m "not torture and not interop and not differential and not platforms and not chaos" $(ARGS)

check: format lint types layers sizes spelling docs-current ## run every check that is not a test

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: types-mypy types-pyright

types-mypy: $(READY)
	$(BIN)/mypy

types-pyright: $(READY)
	$(BIN)/pyright

layers: $(READY)
	$(BIN)/lint-imports

sizes: $(READY)
	$(BIN)/loq check

spelling: $(READY)
	$(BIN)/codespell

docs-current: $(READY)
	$(BIN)/python scripts/generate_docs.py --check

fix: $(READY) ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure, and print one table (ARGS=--short for a quick look)
	$(BIN)/python bench/run.py $(ARGS)

bench-mailbox: $(READY) ## measure the mailboxes against other queues, which it fetches when they are missing
	$(BIN)/python bench/mailbox.py $(ARGS)

docs: $(READY) ## write the generated pages again
	$(BIN)/python scripts/generate_docs.py

torture: $(READY) ## kills, full disks, clock jumps; TORTURE=long for the long form
	HERMES_TORTURE=$(or $(TORTURE),short) $(BIN)/pytest -p no:randomly -m torture $(ARGS)

relay-chaos: $(READY) ## two cores that relay to each other while lines fail and cores die; CHAOS=long for the long form
	HERMES_TORTURE=$(or $(CHAOS),short) $(BIN)/pytest -p no:randomly -m chaos tests/relay_chaos $(ARGS)

differential: $(READY) ## sessions, access and pairing against hermes-agent, which it fetches when it is missing
	$(BIN)/pytest -p no:randomly -m differential tests/differential $(ARGS)

interop: $(READY) ## other people's clients against our server, and real agents behind it; fetches them when they are missing
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m interop tests/interop $(ARGS)

interop-a2a: $(READY) ## Agent2Agent both ways: the official client and server against ours; fetches them when they are missing
	$(BIN)/pytest -p no:randomly -m interop tests/interop_a2a $(ARGS)

platforms: $(READY) ## real servers of messaging platforms, and whole cores that talk to them; fetches them when they are missing
	$(BIN)/pytest -p no:randomly -m platforms tests/platforms $(ARGS)

clean: ## remove everything that can be made again
	rm -rf $(VENV) .venv-* .npm-agents* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks build dist snapshot_report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
