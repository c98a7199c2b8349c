# Perdure needs nothing but Python 3.11 to 3.13, make and a network to the package index.
# `make` alone lists the targets.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DCLINT_VERSION := 3.1.0
DCLINT := node_modules/dclint/bin/dclint.cjs
STRIPE_CLI_VERSION := 1.52.0
STRIPE_CLI := node_modules/@stripe/cli/bin/shim.js
DJSTRIPE := .venv-djstripe
DJSTRIPE_LOCK := tests/clients/djstripe/requirements.lock
DBOS := .venv-dbos
DBOS_LOCK := tests/bench/neighbours/dbos_runs/requirements.lock
AGENTDOJO := .venv-agentdojo
AGENTDOJO_LOCK := tests/clients/agentdojo/requirements.lock
# `all` plays as many attacks as there is time for.
ATTACKS ?= sample
# Makes the virtual environment of a target ENVIRONMENT/.installed from the lock that it depends on.
define install-apart
	@echo "Installing $(@D) from $<"
	@$(BIN)/python -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@
endef
BETTER_AUTH := tests/clients/better_auth
STANDARD_WEBHOOKS := tests/clients/standard_webhooks
PLANTED := tests/gates/planted/docker-compose.yml

IS_SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(IS_SUITABLE)' 2>/dev/null && echo $$python && break; done)

# Most tests wait for servers most of the time: three processes of them, each with servers of its own,
# keep two cores busy. `make test PARALLEL=` runs them one after the other.
PARALLEL ?= --numprocesses 3 --dist loadscope --no-loadscope-reorder
# What needs a client that somebody else wrote has a target of its own.
FAST := not soak and not stripe_cli and not client
# What hangs is to fail, and to say where; on a busy machine the longest test takes ten times as long.
LIMIT := --timeout 600

PACKAGES := domain agents workflows activities services adapters database observability bootstrap api commands stack sandbox migrations deploy
CODE := $(wildcard $(PACKAGES) examples tests *.py)

# Reason: the tests start many processes, and without bytecode each would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install up demo openapi test test-sandbox soak campaign mutants cover check format lint types imports rules containers \
	stripe-cli bench campaign-models dj-stripe better-auth standard-webhooks agentdojo lock recording sizes

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## make .venv from requirements.lock

# Reason: the lock is complete, so there is nothing to resolve. pip 23's resolver asks for the newest release
# of whatever a package wants with an extra, and then refuses it for having no hash.
$(STAMP): requirements.lock
	@if ! $(BIN)/python -c '$(IS_SUITABLE)' 2>/dev/null; then \
		if ! $(or $(PYTHON),false) -c '$(IS_SUITABLE)' 2>/dev/null; then \
			echo "error: Python 3.11, 3.12 or 3.13 is needed; name one: make install PYTHON=python3.12" >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "Installing the packages of requirements.lock into $(VENV) (a minute or two)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@touch $@

up: $(STAMP) ## start the whole stack and keep it running (ARGS="--reload --fast-retries --ports auto")
	@$(BIN)/python cli.py up $(ARGS)

demo: $(STAMP) ## show the main job from end to end (ARGS=--keep leaves it running)
	@$(BIN)/python cli.py demo $(ARGS)

recording: $(STAMP) ## record the demo for the README, docs/demo.svg
	@$(BIN)/python -m tests.support.recording docs/demo.svg

openapi: $(STAMP) ## write docs/openapi.json, and the table of commands in docs/billing.md
	@$(BIN)/python -m api.openapi

test: $(STAMP) ## run the tests; no network, no Docker (ARGS="-k name")
	@$(BIN)/python -m pytest -m "$(FAST)" $(LIMIT) $(PARALLEL) $(ARGS)

test-sandbox: $(STAMP) ## run the stand-ins' own tests only, which `make test` runs too (ARGS="-k name")
	@$(BIN)/python -m pytest -m "$(FAST)" $(LIMIT) $(PARALLEL) tests/sandbox $(ARGS)

soak: $(STAMP) ## run the long measures
	@$(BIN)/python -m pytest -m soak $(ARGS)

bench: $(STAMP) $(DBOS)/.installed ## measure what durability costs (ARGS="runs starts --before OTHER_TREE")
	@$(BIN)/python -m tests.bench $(ARGS)

$(DBOS)/.installed: $(DBOS_LOCK) | $(STAMP)
	$(install-apart)

campaign: $(STAMP) ## play billing against all that Stripe can answer, 40 minutes (ARGS="--minutes 10 --seed 7")
	@$(BIN)/python -m tests.campaign $(ARGS)

campaign-models: $(STAMP) ## play agents against all that models answer, 20 minutes (ARGS="--minutes 10 --seed 7")
	@$(BIN)/python -m tests.campaign.models $(ARGS)

mutants: $(STAMP) ## put mended faults back one by one: does the campaign see them? (ARGS=name)
	@$(BIN)/python -m tests.campaign.mutants $(ARGS)

agentdojo: $(STAMP) $(AGENTDOJO)/.installed ## play AgentDojo's attacks with a model that obeys, a few minutes (ATTACKS=all: 20 minutes)
	@$(BIN)/python -m pytest -q -m client $(LIMIT) tests/api/agents/test_tool_attacks.py -k $(ATTACKS) $(ARGS)

$(AGENTDOJO)/.installed: $(AGENTDOJO_LOCK) | $(STAMP)
	$(install-apart)

# Reason: CPython 3.11 loses lines after an exception leaves an awaited task.
cover: $(STAMP) ## run the tests and hold them to the coverage goals (Python 3.12 or newer)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { \
		echo "error: coverage is measured on 3.12 or newer: make cover VENV=.venv-3.12 PYTHON=python3.12" >&2; \
		exit 1; }
	@$(BIN)/python -m pytest -m "$(FAST)" $(LIMIT) --cov --cov-report= $(ARGS)
	@$(BIN)/python -m coverage report --skip-covered --fail-under=85
	@$(BIN)/python -m coverage report --include='domain/*' --fail-under=100

check: format lint types imports rules containers stripe-cli dj-stripe better-auth standard-webhooks ## all gates: format, lint, types, imports, rules, containers, others' clients

format: $(STAMP)
	@echo "== format: ruff format --check"
	@$(BIN)/ruff format --check $(CODE)

lint: $(STAMP)
	@echo "== lint: ruff check"
	@$(BIN)/ruff check $(CODE)

types: $(STAMP)
	@echo "== types: mypy, strict"
	@$(BIN)/mypy $(CODE)

imports: $(STAMP)
	@echo "== imports: the contracts between layers and areas"
	@$(BIN)/lint-imports --no-logo

rules: $(STAMP)
	@echo "== rules: sizes, allowed imports, areas, words, lock files"
	@$(BIN)/python tests/gates/rules.py
	@$(BIN)/python tests/gates/words.py

sizes: $(STAMP) ## print code lines by package, and files by folder
	@$(BIN)/python -m tests.gates.code_lines

containers: $(STAMP)
	@echo "== containers: hadolint, dclint"
	@$(BIN)/hadolint Dockerfile
	@if command -v npm >/dev/null; then \
		$(MAKE) --silent --no-print-directory $(DCLINT) || exit 1; \
		if node $(DCLINT) --max-warnings 0 $(PLANTED) >/dev/null 2>&1; then \
			echo "error: dclint overlooks the planted file $(PLANTED)" >&2; exit 1; \
		fi; \
		node $(DCLINT) --max-warnings 0 docker-compose.yml; \
	elif [ "$(CI)" = true ]; then \
		echo "error: npm is needed for dclint, and CI checks everything" >&2; exit 1; \
	else \
		echo "npm is not here: docker-compose.yml is not linted (CI does it with dclint)"; \
	fi

stripe-cli: $(STAMP)
	@echo "== stripe-cli: Stripe's own triggers against the sandbox"
	@if command -v npm >/dev/null; then \
		$(MAKE) --silent --no-print-directory $(STRIPE_CLI) || exit 1; \
		$(BIN)/python -m pytest -q -m stripe_cli tests/sandbox $(ARGS); \
	elif [ "$(CI)" = true ]; then \
		echo "error: npm is needed for Stripe's CLI, and CI checks everything" >&2; exit 1; \
	else \
		echo "npm is not here: Stripe's triggers are not run (CI does it with Stripe's CLI)"; \
	fi

dj-stripe: $(STAMP) $(DJSTRIPE)/.installed
	@echo "== dj-stripe: its sync and its webhook view against the sandbox"
	@$(BIN)/python -m pytest -q -m client $(LIMIT) tests/clients/test_djstripe.py $(ARGS)

$(DJSTRIPE)/.installed: $(DJSTRIPE_LOCK) | $(STAMP)
	$(install-apart)

better-auth: $(STAMP)
	@echo "== better-auth: a shop with Better Auth's Stripe plugin against the sandbox"
	@if command -v npm >/dev/null; then \
		$(MAKE) --silent --no-print-directory $(BETTER_AUTH)/node_modules/.installed || exit 1; \
		$(BIN)/python -m pytest -q -m client $(LIMIT) tests/clients/test_better_auth.py $(ARGS); \
	elif [ "$(CI)" = true ]; then \
		echo "error: npm is needed for Better Auth, and CI checks everything" >&2; exit 1; \
	else \
		echo "npm is not here: Better Auth's plugin is not run (CI does it)"; \
	fi

standard-webhooks: $(STAMP)
	@echo "== standard-webhooks: npm's library verifies the webhooks that go out"
	@if command -v npm >/dev/null; then \
		$(MAKE) --silent --no-print-directory $(STANDARD_WEBHOOKS)/node_modules/.installed || exit 1; \
		$(BIN)/python -m pytest -q -m client $(LIMIT) tests/clients/test_standard_webhooks.py $(ARGS); \
	elif [ "$(CI)" = true ]; then \
		echo "error: npm is needed for Standard Webhooks, and CI checks everything" >&2; exit 1; \
	else \
		echo "npm is not here: Standard Webhooks' library is not run (CI does it)"; \
	fi

# Reason: package.json pins all packages, also those that others need; npm's own lock would name hosts.
$(BETTER_AUTH)/node_modules/.installed $(STANDARD_WEBHOOKS)/node_modules/.installed: \
		%/node_modules/.installed: %/package.json
	@echo "Installing the packages of $< into $*/node_modules"
	@npm install --prefix $* --silent --no-package-lock --no-audit --no-fund --ignore-scripts
	@touch $@

# Reason: without a package.json npm takes away what it is not told to install.
$(DCLINT) $(STRIPE_CLI):
	@echo "Installing dclint $(DCLINT_VERSION) and Stripe's CLI $(STRIPE_CLI_VERSION) into node_modules"
	@npm install --silent --no-save --no-package-lock --no-audit --no-fund \
		dclint@$(DCLINT_VERSION) @stripe/cli@$(STRIPE_CLI_VERSION) && test -e $@

lock: ## compile the locks (needs uv)
	@command -v uv >/dev/null || { echo "error: uv is needed to lock" >&2; exit 1; }
	uv pip compile pyproject.toml --group embedded --group dev --universal --generate-hashes \
		--no-header --no-annotate --python-version 3.11 --output-file requirements.lock --quiet
	uv pip compile $(dir $(DJSTRIPE_LOCK))requirements.in --universal --generate-hashes \
		--no-header --no-annotate --python-version 3.11 --output-file $(DJSTRIPE_LOCK) --quiet
	uv pip compile $(dir $(DBOS_LOCK))requirements.in --universal --generate-hashes \
		--no-header --no-annotate --python-version 3.11 --output-file $(DBOS_LOCK) --quiet
	uv pip compile $(dir $(AGENTDOJO_LOCK))requirements.in --universal --generate-hashes \
		--no-header --no-annotate --python-version 3.11 --output-file $(AGENTDOJO_LOCK) --quiet
