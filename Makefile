# make demo        the whole way on simulated data, into demo-output/
# make test        every check; what continuous integration runs
# make setup       .venv and system libraries; the two above do it themselves
# make lint        ruff, rules and format
# make contracts   import-linter, imports between the floors
# make types       mypy
# make manifest    npe2, the napari manifest
# make docs        sphinx, warnings as errors, into docs/_build/html
# make unit        pytest in two processes; PYTEST_ARGS="-k geometry" narrows it,
#                  PYTEST_WORKERS=0 uses one
# make test-faults every failure scenario, up to half an hour; figures for docs/failures.md
# make clean       remove .venv and everything built

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint contracts types manifest docs unit test-faults clean

BIN := .venv/bin
PYTEST_ARGS ?=
PYTEST_WORKERS ?= 2

help:
	@sed -n 's/^# //p;/^$$/q' Makefile

setup:
	@scripts/set-up.sh

demo: setup
	@echo "demo: simulated series to reconstruction, into demo-output/"
	@scripts/with-display.sh $(BIN)/inr-tomo demo --output demo-output

# In this order, one after the other, even under make -j: the quick checks first and
# pytest's closing line last.
test: setup
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory contracts
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory manifest
	@$(MAKE) --no-print-directory docs
	@$(MAKE) --no-print-directory unit

lint: setup
	@echo "lint: ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

contracts: setup
	@echo "contracts: import-linter"
	@$(BIN)/lint-imports --no-logo >.venv/contracts.log || { cat .venv/contracts.log; exit 1; }

types: setup
	@echo "types: mypy"
	@$(BIN)/mypy --no-error-summary

manifest: setup
	@echo "manifest: npe2"
	@$(BIN)/npe2 validate napari-inr-tomo

docs: setup
	@echo "docs: sphinx, warnings as errors"
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

unit: setup
	@echo "unit: pytest"
	@settings=$$(mktemp -d); trap 'rm -rf "$$settings"' EXIT; \
	OMP_NUM_THREADS=1 NAPARI_CONFIG=$$settings/settings.yaml \
	    scripts/with-display.sh $(BIN)/python -m pytest -q \
	    -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# the scenarios of other folders are marked where they are
test-faults: setup
	@echo "test-faults: pytest, one line a scenario"
	@settings=$$(mktemp -d); trap 'rm -rf "$$settings"' EXIT; \
	OMP_NUM_THREADS=1 NAPARI_CONFIG=$$settings/settings.yaml \
	    scripts/with-display.sh $(BIN)/python -m pytest -q --fault-report \
	    --timeout=3000 -m "scenario" $(PYTEST_ARGS)

clean:
	@rm -rf .venv demo-output docs/_build .mypy_cache .ruff_cache .pytest_cache \
	    .import_linter_cache
