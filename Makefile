# `make demo` shows the package at work, `make test` proves it. Both need only make and Python 3.11
# or newer; a C++ compiler is used for torchsort where there is one. Set-up happens in .venv, once,
# and again when pyproject.toml or the constraints change.

PYTHON ?= python3
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist worksteal
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
INSTALL := $(PIP) install -qq --no-input -c constraints.txt

OLDEST := .venv-sklearn16
RUNTIME := .venv-runtime
OLDEST_TESTS ?= tests/kernels tests/neutralization tests/metrics tests/model_selection tests/preprocessing tests/ensemble tests/staking tests/upload/test_make_predict.py tests/test_eras.py tests/test_persistence.py tests/test_routing.py tests/test_training_without_eras.py tests/test_install.py

export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Two rules must never run pip in one environment at the same time.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-oldest test-upload lint format bench docs clean

help:
	@echo 'make demo         set up what the command needs, and show it at work'
	@echo 'make test         set up everything, and run all tests and doctests'
	@echo 'make test-oldest  run what needs no extras on the oldest versions supported'
	@echo 'make test-upload  run exported models on the packages of the tournament'
	@echo 'make lint         ruff (rules and format) and mypy'
	@echo 'make format       let ruff mend what it can'
	@echo 'make bench        measure the package beside its peers'
	@echo 'make docs         build the documentation into docs/_build/html'
	@echo 'make clean        remove the environments and everything built'

demo: $(VENV)/.stamp-demo
	@$(BIN)/sknumerai demo

# One OpenMP thread per process: on small eras, and beside other processes, more threads mostly wait
# for each other, which makes the gradient boosting of tests and examples several times slower.
test: $(VENV)/.stamp-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

test-oldest: $(OLDEST)/.stamp
	$(OLDEST)/bin/python -m pytest -o addopts='--strict-markers --strict-config -rfEs' $(OLDEST_TESTS)

test-upload: $(VENV)/.stamp-test $(RUNTIME)/.stamp
	OMP_NUM_THREADS=1 SKNUMERAI_UPLOAD_PYTHON=$(CURDIR)/$(RUNTIME)/bin/python $(BIN)/python -m pytest -q tests/upload/test_pinned.py

lint: $(VENV)/.stamp-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.stamp-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.stamp-bench
	$(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

docs: $(VENV)/.stamp-docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo 'the documentation is in docs/_build/html/index.html'

clean:
	rm -rf $(VENV) $(OLDEST) $(RUNTIME) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf docs/_build docs/auto_examples docs/generated sknumerai-demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ---------------------------------------------------------------------------------------

define create_environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
  echo 'sknumerai needs Python 3.11 or newer and "$(PYTHON)" is not: name one, as in make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; \
  exit 1; }
@echo 'creating $(1) ...'
@$(PYTHON) -m venv $(1) || { \
  echo '"$(PYTHON) -m venv $(1)" failed: install the venv module of this Python (on Debian: apt install python3-venv)' >&2; \
  exit 1; }
@$(1)/bin/python -m pip install -qq --no-input -U -c $(2) pip setuptools
endef

$(VENV)/.stamp-venv: constraints.txt
	$(call create_environment,$(VENV),constraints.txt)
	@touch $@

$(VENV)/.stamp-demo: pyproject.toml $(VENV)/.stamp-venv
	@echo 'installing the package and its command ...'
	@$(INSTALL) -e '.[cli,data]'
	@touch $@

$(VENV)/.stamp-lint: pyproject.toml $(VENV)/.stamp-venv
	@echo 'installing the package, ruff and mypy ...'
	@$(INSTALL) -e '.[lint]'
	@touch $@

# torch comes first and alone: it is the one that must come as the constrained build.
$(VENV)/.stamp-test: pyproject.toml $(VENV)/.stamp-venv
	@echo 'installing torch ...'
	@$(INSTALL) torch
	@echo 'installing the package with all its extras ...'
	@$(INSTALL) -e '.[all,test]'
	@$(build_torchsort)
	@touch $@

$(VENV)/.stamp-docs: pyproject.toml $(VENV)/.stamp-test
	@echo 'installing the documentation tools ...'
	@$(INSTALL) -e '.[all,docs]'
	@touch $@

# Of numerblox only the neutralizers are compared with. They need nothing that is not here already,
# while the dependencies numerblox declares would bring some hundred megabytes.
$(VENV)/.stamp-bench: pyproject.toml $(VENV)/.stamp-test
	@echo 'installing numerblox and PIQP, to compare with ...'
	@$(INSTALL) --no-deps numerblox
	@$(INSTALL) piqp
	@$(BIN)/python -c 'import numerblox.neutralizers'
	@touch $@

$(OLDEST)/.stamp: pyproject.toml constraints-oldest.txt
	$(call create_environment,$(OLDEST),constraints-oldest.txt)
	@$(OLDEST)/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || { \
	  echo 'the oldest versions supported have no builds for this Python: make PYTHON=python3.11 test-oldest' >&2; \
	  rm -rf $(OLDEST); exit 1; }
	@echo 'installing the package on the oldest versions it supports ...'
	@$(OLDEST)/bin/python -m pip install -qq --no-input -c constraints-oldest.txt -e . hypothesis numerai-tools polars pytest
	@touch $@

$(RUNTIME)/.stamp: constraints-upload.txt
	$(call create_environment,$(RUNTIME),constraints-upload.txt)
	@echo 'installing the packages of the tournament ...'
	@$(RUNTIME)/bin/python -m pip install -qq --no-input -c constraints-upload.txt torch
	@$(RUNTIME)/bin/python -m pip install -qq --no-input -r constraints-upload.txt
	@touch $@

# torchsort compiles against the torch that is installed, hence no build isolation, no cached build
# of another torch, and a new build when the present one does not run. Its set-up tries CUDA
# whenever it finds an nvcc, which fails beside a CPU-only torch, hence the short PATH.
torchsort_runs := $(BIN)/python -c 'import torch, torchsort; torchsort.soft_rank(torch.eye(2))'

define build_torchsort
$(torchsort_runs) 2>/dev/null || { \
  echo 'building torchsort (about a minute) ...'; \
  $(PIP) install -q --no-input -c constraints.txt wheel > $(VENV)/torchsort.log 2>&1 \
  && PATH="$(CURDIR)/$(BIN):/usr/bin:/bin" $(PIP) install --no-input -c constraints.txt \
       --no-build-isolation --no-cache-dir --no-deps --force-reinstall torchsort >> $(VENV)/torchsort.log 2>&1 \
  && $(torchsort_runs) >> $(VENV)/torchsort.log 2>&1; \
} || { \
  $(PIP) uninstall -qq -y torchsort; \
  echo 'torchsort could not be built (no compiler? $(VENV)/torchsort.log has the reason): going on without it, tests that need it are skipped'; \
}
endef
