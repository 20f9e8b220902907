# `make demo` and `make test` do everything on a fresh machine; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON ?= python3
# relative: make takes a blank in the project's own path for the end of a name
BIN := .venv/bin
READY := .venv/.ready
STUDY := $(BIN)/python -m study
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# where pip looks for torch besides the package index, as https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
EXPERIMENT ?= demo
# a folder of workflow/profiles: where and how jobs run
PROFILE ?= local
# not empty where EXPERIMENT was given: data-check does not take its default
ASKED := $(filter-out file,$(origin EXPERIMENT))
DATASET ?=
DATA ?=
PIXELS ?=
PREDICTIONS ?=
PREVALENCE ?=
# VERIFY=1 reads every file under runs/ and compares its digest; otherwise sizes and times are compared
VERIFY ?=
FUZZ_CASES ?= 21000
FILE ?=
# what a user gives is data: neither make nor the shell reads code in it, as each recipe has it as "$$NAME"
GIVEN := EXPERIMENT PROFILE DATASET DATA PIXELS PREDICTIONS PREVALENCE VERIFY TORCH_INDEX FUZZ_CASES FILE
$(foreach name,$(GIVEN),$(eval override export $(name) := $$(value $(name))))

export PATH := $(CURDIR)/$(BIN):$(PATH)
# several processes of one thread each: faster here than few of many, and sums are the same everywhere
export OMP_NUM_THREADS ?= 1

PYTEST := $(BIN)/python -m pytest -q -n $(CORES)
NBVAL := $(PYTEST) --dist loadfile --nbval-lax --nbval-current-env \
         --nbval-cell-timeout=300

.PHONY: help setup demo run evidence report data-check lab test refresh site readers-edition checkpoint restore \
        bench bench-gpu torture fuzz clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY) ## make the environment in .venv, or bring it up to date

demo: $(READY) ## run every notebook on the embedded phantom (11 to 17 minutes on 2 cores)
	@$(STUDY) run demo --cores $(CORES)

# how many jobs a cluster takes, its profile says, unless CORES is given
run: $(READY) ## run an experiment: make run EXPERIMENT=mini_mias DATA=folder [PROFILE=slurm] [VERIFY=1]
	@LESIONLIB_VERIFY="$$VERIFY" $(STUDY) run "$$EXPERIMENT" --profile="$$PROFILE" \
	  $(if $(filter local,$(PROFILE))$(filter-out file,$(origin CORES)),--cores $(CORES)) \
	  $${DATA:+--data="$$DATA"}

evidence: $(READY) ## run the ten phantoms of experiments/PROTOCOL.md (about an hour) -> figures/evidence
	@$(STUDY) evidence --cores $(CORES)

report: $(READY) ## judge any lesion scores: make report PREDICTIONS=file.csv [PREVALENCE=.1]
	@$(STUDY) report $${PREVALENCE:+--prevalence="$$PREVALENCE"} -- "$$PREDICTIONS"

data-check: $(READY) ## look through a set: make data-check DATASET=cbis_ddsm DATA=folder [PIXELS=1]
	@$(STUDY) data-check "$$DATASET" --data="$$DATA" --cores $(CORES) $${PIXELS:+--pixels} \
	  $(if $(ASKED),--experiment="$$EXPERIMENT")

lab: $(READY) ## open copies of the notebooks (lab/) in JupyterLab
	@$(STUDY) lab

readers-edition: $(READY) ## write readers/: the notebooks without their solutions, and these apart
	@$(STUDY) readers-edition

checkpoint: $(READY) ## write a finished demo as one file, for a class that starts at notebook 08
	@$(STUDY) checkpoint --experiment "$$EXPERIMENT"

restore: $(READY) ## put such a file in place: make restore FILE=checkpoint_demo.tar.gz
	@$(STUDY) restore -- "$$FILE"

# unit tests, then every notebook from nothing at the smallest size, then what the stored outputs say
test: $(READY) ## run all tests (10 to 13 minutes on 2 cores, with the set-up)
	$(PYTEST) --dist worksteal tests
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

site: $(READY) ## write the notebooks, the data sets and the reference as a site -> _site/index.html
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[site]"
	@$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs . _site
	@rm -rf jupyter_execute
	@echo "open _site/index.html"

# what it is compared with comes by: .venv/bin/pip install -e ".[bench]"
bench: $(READY) ## measure speed and memory beside other tools -> figures/benchmarks
	@$(BIN)/python benchmarks/suite.py

bench-gpu: $(READY) ## measure patches per second and training steps on a GPU -> figures/benchmarks
	@$(BIN)/python benchmarks/bench_gpu.py --device cuda --precision bf16-mixed

torture: $(READY) ## kill a smoke run fifty times and damage its files (about an hour) -> runs/torture
	$(BIN)/python tests/study/torture.py kills --folder runs/torture
	$(BIN)/python tests/study/torture.py damage --folder runs/torture

fuzz: $(READY) ## read damaged files by the thousand: make fuzz [FUZZ_CASES=21000] -> runs/fuzz
	$(BIN)/python tests/data_manifest/fuzz/fuzz_run.py --cases "$$FUZZ_CASES" --workers $(CORES)

clean: ## remove what was computed (runs/), not the environment
	rm -rf runs .snakemake figures/smoke

# every later start of torch gains from bytecode; pip would make it on one core, and of the packages'
# own tests too, which takes longer than all the rest
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info[:2] >= (3, 11) or sys.exit("error: Python 3.11 or newer is needed. Name one: make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv "$$PWD/.venv"
	@echo "installing the packages of constraints.txt (about 2 minutes the first time)"
	@$(BIN)/python -m pip install --no-compile --disable-pip-version-check --root-user-action=ignore \
	  $${TORCH_INDEX:+--extra-index-url="$$TORCH_INDEX"} -c constraints.txt -e ".[all]"
	@$(BIN)/python -m pip check
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib || true
	@touch $@
