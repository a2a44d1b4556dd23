# What can be done here; `make` alone lists it. Needs Python 3.11 or newer and a package index, nothing else.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# The first interpreter that is new enough and really runs (a version manager may offer names that do not).
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$python && break; done)

# Tests spend much of their time waiting: for servers, processes and disks.
TESTS_AT_ONCE ?= $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN))))

.DEFAULT_GOAL := help
.PHONY: help venv demo test coverage check bench prove-model prove-kill prove-faults prove-storm prove-stateful prove-lives prove-year prove-mutants lock clean

help: ## List what can be done
	@echo "sendctl: make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '  %-14s %s\n' "$$target" "$$text"; done

venv: $(INSTALLED) ## Create .venv with everything in requirements.lock (uv where present, else venv and pip)

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
		echo "creating $(VENV) with uv" && \
		uv venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV) && \
		uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
		uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
		echo "creating $(VENV) with $$($(PYTHON) --version)" && \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $@

demo: $(INSTALLED) ## Send a sample campaign to 200 people through SQLite into a maildir, in demo/
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh

test: $(INSTALLED) ## Run every test, on SQLite and on a Postgres of its own
	@$(BIN)/pytest -n $(TESTS_AT_ONCE)

# The smallest set of test files that takes every branch; tests/crash for what only a process of its own shows.
COVERING := tests/evidence tests/journal tests/providers $(addprefix tests/unit/test_,states.py policy.py identity.py definition.py) \
	$(addprefix tests/store/test_,bulk.py claims.py engine.py proofs.py refused_stores.py settle.py) \
	$(addprefix tests/passes/test_,breakers.py changed_stores.py claiming.py controls.py copies.py enqueue_faults.py evidence.py \
		fates.py hosts.py importing.py letters.py looking.py operating.py planning.py put_back.py reconcile.py recover.py replaying.py \
		rescheduling.py rewind.py sealed_letters.py send_due.py server_start.py steps.py submitting.py waiting.py windows.py worker.py) \
	tests/crash/test_signals.py
coverage: $(INSTALLED) ## Branch coverage of the modules that pyproject.toml names; fails below 100 % (minutes)
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest -n $(TESTS_AT_ONCE) $(COVERING)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=100

check: $(INSTALLED) ## Lint, format, strict types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(INSTALLED) ## Measure beside peers and limits: BENCH="send --quick", BENCH="--write docs/PERFORMANCE.md"
	@$(BIN)/python -m benchmarks $(BENCH)

prove-model: $(INSTALLED) ## Explore the real protocol code in every order of events (hours)
	@$(BIN)/python -m tests.model

prove-kill: $(INSTALLED) ## SIGKILL at each system call of each command; needs strace (hours)
	@$(BIN)/python -m tests.kill --at-least 10000

prove-faults: $(INSTALLED) ## Break disks, databases, hosts and backups under every command; needs strace (hours)
	@$(BIN)/python -m tests.faults

prove-storm: $(INSTALLED) ## Kill passes 50 times under 20,000 messages, on SQLite and on Postgres, and count (minutes)
	$(BIN)/python -m tests.crash.storm --store sqlite --contacts 20000 --kills 50 --passes 1 --connections 10
	$(BIN)/python -m tests.crash.storm --store postgres --contacts 20000 --kills 50 --passes 4 --connections 10

prove-stateful: $(INSTALLED) ## Try 1,000 random histories of commands and misfortunes on each database (hours)
	@$(BIN)/python -m tests.stateful

prove-lives: $(INSTALLED) ## Invent 5,000 lives of sequences and ask an oracle what must come of them (an hour)
	@$(BIN)/python -m tests.lives

prove-year: $(INSTALLED) ## Live through a year of a sequence with 10,000 people on each database (minutes)
	@$(BIN)/python -m tests.year

prove-mutants: $(INSTALLED) ## Break the lines that carry the promise, one at a time, and see who notices (hours)
	@$(BIN)/python -m tests.mutation

lock: ## Resolve pyproject.toml into requirements.lock; UPGRADE=1 takes the newest versions
	@command -v uv >/dev/null 2>&1 || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 1; }
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras --group dev \
		--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
		--output-file requirements.lock pyproject.toml

clean: ## Remove what the other targets made, except .venv
	rm -rf demo build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find sendctl tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
