# A thin index: what each target does is in the file it names. `make` alone prints this list.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
# Where the servers cannot be had, nothing covers their adapters.
LEAST_COVERAGE := $(if $(CHAPPE_REQUIRE_SERVICES),90,80)

.PHONY: help demo test test-slow run check format bench fuzz kill chaos oracle services-up services-down services-status lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

$(READY): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Chappe needs Python 3.11 or later; set PYTHON=/path/to/it."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Setting up $(VENV): about a minute, once."
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --progress-bar on -r requirements/dev.lock
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## two people talk through a real server, in under half a minute
	@$(RUN) -m chappe.demo

test: check ## lint, types, and all tests but the slow ones, with coverage
	@$(RUN) -m coverage erase
	@$(RUN) -m coverage run -m pytest
	@$(RUN) -m coverage combine --quiet && $(RUN) -m coverage report --fail-under=$(LEAST_COVERAGE)

test-slow: $(READY) ## the tests that `make test` leaves out: a ring of Cassandras, whole benchmarks
	@$(RUN) -m pytest -m slow

run: $(READY) ## the server alone, with its data in ./var
	@$(VENV)/bin/chappe serve --config config/chappe.toml

check: $(READY) ## lint and types
	@$(VENV)/bin/ruff format --check --quiet . && $(VENV)/bin/ruff check --quiet . && $(VENV)/bin/mypy

format: $(READY) ## put the source into its one format
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

bench: $(READY) ## the figures of docs/performance.md and docs/capacity.md, on this machine
	@$(RUN) -m bench
	@$(RUN) -m bench.stores

fuzz: $(READY) ## the protocol core against random input, ten minutes
	@$(RUN) -m tests.chappe.protocol.fuzz

kill: $(READY) ## the kill test for longer: a hundred kills
	@CHAPPE_TEST_KILLS=100 $(RUN) -m pytest -m slow tests/system/test_kills.py

chaos: $(READY) ## every chaos scenario, three seeds each, well over an hour; docs/chaos.md
	@$(RUN) -m chaos run --all --runs 3

oracle: $(READY) ## generated scripts on this library and on Erlang/OTP, ten minutes (needs erl)
	@$(RUN) -m tests.oracle --scripts 1000000 --minutes 10

services-up: $(READY) ## real PostgreSQL, Redis and Cassandra on this machine, for development
	@$(RUN) -m deploy.services up

services-down: $(READY) ## stop them again; their data stays
	@$(RUN) -m deploy.services down

services-status: $(READY) ## how they are reached, and whether they answer
	@$(RUN) -m deploy.services status

lock: ## pin the dependencies anew (needs uv)
	uv pip compile -q --generate-hashes --python-version 3.11 --universal --no-header pyproject.toml -o requirements/run.lock
	uv pip compile -q --generate-hashes --python-version 3.11 --universal --no-header pyproject.toml --all-extras -c requirements/run.lock -o requirements/server.lock
	uv pip compile -q --generate-hashes --python-version 3.11 --universal --no-header pyproject.toml --group dev --group bench -o requirements/dev.lock

clean: ## remove what was built
	rm -rf $(VENV) .cache .coverage* htmlcov dist .hypothesis
