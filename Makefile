# `make demo` and `make test` do everything on a fresh machine; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STUDY := $(BIN)/python -m study
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# where pip looks for torch besides the package index, as https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
EXPERIMENT ?= demo
DATASET ?=
DATA ?=
PIXELS ?=
FUZZ_CASES ?= 21000

export PATH := $(BIN):$(PATH)
# several processes of one thread each: faster here than few of many, and sums are the same everywhere
export OMP_NUM_THREADS ?= 1

NBVAL := $(BIN)/pytest -q -n $(CORES) --dist loadfile --nbval-lax --nbval-current-env \
         --nbval-cell-timeout=300

.PHONY: help setup demo run data-check lab test refresh bench fuzz clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY) ## make the environment in .venv, or bring it up to date

demo: $(READY) ## run every notebook on the embedded phantom (12 to 18 minutes on 2 cores)
	@$(STUDY) run demo --cores $(CORES)

run: $(READY) ## run an experiment: make run EXPERIMENT=mini_mias DATA=folder
	@$(STUDY) run "$(EXPERIMENT)" --cores $(CORES) $(if $(DATA),--data "$(DATA)")

# EXPERIMENT counts where it was given, as on the command line: not by its default above
data-check: $(READY) ## look through a set: make data-check DATASET=cbis_ddsm DATA=folder [PIXELS=1]
	@$(STUDY) data-check "$(DATASET)" --data "$(DATA)" --cores $(CORES) $(if $(PIXELS),--pixels) \
	  $(if $(filter file,$(origin EXPERIMENT)),,--experiment "$(EXPERIMENT)")

lab: $(READY) ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

# unit tests, then every notebook from nothing at the smallest size, then what the stored outputs say
test: $(READY) ## run all tests (about 9 minutes on 2 cores)
	$(BIN)/pytest -q -n $(CORES) tests
	rm -rf runs/smoke figures/smoke
	@$(STUDY) run smoke --cores $(CORES)
	$(NBVAL) runs/smoke/notebooks
	@if $(STUDY) check demo --complete 2>/dev/null; then \
	  echo "$(NBVAL) notebooks"; $(NBVAL) notebooks; \
	else \
	  echo "stored outputs of notebooks/ not checked: the demo is not complete here (make demo)"; \
	fi

refresh: demo ## bring the demo's outputs into the committed notebooks
	@$(STUDY) refresh

bench: $(READY) ## measure speed and memory (benchmarks/)
	@for file in benchmarks/bench_*.py; do $(BIN)/python $$file; done

fuzz: $(READY) ## read damaged files by the thousand: make fuzz [FUZZ_CASES=21000] -> runs/fuzz
	$(BIN)/python tests/data_manifest/fuzz/fuzz_run.py --cases $(FUZZ_CASES) --workers $(CORES)

clean: ## remove what was computed (runs/), not the environment
	rm -rf runs .snakemake figures/smoke

# pip compiles the bytecode of what it installs, which every later start of torch gains from
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info[:2] >= (3, 11) or sys.exit("error: Python 3.11 or newer is needed. Name one: make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the packages of constraints.txt (about 2 minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e ".[all]"
	@$(BIN)/python -m pip check
	@touch $@
