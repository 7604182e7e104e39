# Two commands are all that is needed: `make demo` and `make test`. Both make their own environment in .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/sh

BIN := .venv/bin
LOG := .venv/install.log
# `make demo DEMO_FLAGS='--training.steps 100'` is a shorter one.
DEMO := runs/demo
DEMO_FLAGS :=
# One thread for each worker: small tensors run slower on more.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1

.PHONY: help demo test lava lava-if-possible bench lint types docs clean

help:
	@echo "make demo    meta-train a small spiking learner for about a minute, compare it with its conventional twin, carry it to Loihi's"
	@echo "             integers, estimate its energy, write a report"
	@echo "make test    run the tests"
	@echo "make lava    make the environment in which Intel's Lava plays exported networks, and test it"
	@echo "make bench   time us against snnTorch, SpikingJelly, Norse and sinabs, in an environment of their own; a quarter of an hour"
	@echo "make lint    ruff and the import order"
	@echo "make types   basedpyright on the package"
	@echo "make docs    build the documentation into site/"
	@echo "make clean   remove the environment and everything built; runs/ stays"

demo: .venv/.installed
	@rm -rf $(DEMO)
	@echo "1. a spiking network learns to learn characters from one example each"
	@$(ONE_THREAD) $(BIN)/neurometa run experiments/demo.toml --out $(DEMO)/spiking $(DEMO_FLAGS)
	@echo "2. its conventional twin, for comparison"
	@$(ONE_THREAD) $(BIN)/neurometa run experiments/demo-relu.toml --out $(DEMO)/conventional $(DEMO_FLAGS)
	@echo "3. the spiking learner in the integers of Intel's Loihi, played by an emulator"
	@$(ONE_THREAD) $(BIN)/neurometa export $(DEMO)/spiking --to loihi --verify emulator --out $(DEMO)/loihi
	@echo "4. what both would cost on chips: A on Loihi, B on a microcontroller"
	@$(ONE_THREAD) $(BIN)/neurometa estimate $(DEMO)/spiking --against $(DEMO)/conventional --chip loihi1 --chip cortex-m-apollo
	@echo "5. the report, a page to open in a browser:"
	@$(BIN)/neurometa report $(DEMO)/spiking $(DEMO)/conventional --out $(abspath $(DEMO))/report.html

test: .venv/.installed-dev lava-if-possible
	@$(ONE_THREAD) $(BIN)/python -m pytest -q -n 2

# Intel's Lava needs a Python of its own, 3.10 if one is found. Tests that compare with Lava are skipped where it cannot be made.
LAVA := hardware/lava/.venv/.installed
lava: $(LAVA)
	@cd hardware/lava && .venv/bin/python -m pytest -q tests

lava-if-possible: .venv/.installed-dev
	@$(MAKE) $(LAVA) || echo "make: the Lava environment could not be made (the line above says why); the tests that compare with Lava are skipped"

$(LAVA): hardware/lava/pyproject.toml neurometa/export/lava_install.py | .venv/.installed
	@$(BIN)/neurometa lava install
	@touch $@

# The table and the figure of docs/speed.md are made from what this prints: python -m experiments.speed.publish runs/speed.json
bench: .venv-bench/.installed
	@mkdir -p runs
	@.venv-bench/bin/python -m experiments.speed.lif --json >runs/speed.json
	@echo "result: $(CURDIR)/runs/speed.json"

lint: .venv/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: .venv/.installed-dev
	@$(BIN)/basedpyright

docs: .venv/.installed-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "documentation: $(CURDIR)/site/index.html"

clean:
	rm -rf .venv .venv-bench hardware/lava/.venv build dist site *.egg-info .ruff_cache .import_linter_cache .hypothesis .benchmarks

# The environment: made once, and again when what it is made from changes.
.venv/bin/pip:
	@python=; for name in python3.11 python3; do \
	  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "make: found neither python3.11 nor a python3 that is 3.11 or newer; install Python 3.11 and try again" >&2; exit 1; \
	fi; \
	echo "making the environment in .venv with $$($$python --version)"; \
	$$python -m venv .venv || { echo "make: '$$python -m venv' failed; on Debian and Ubuntu install python3-venv" >&2; exit 1; }

.venv/.torch: .venv/bin/pip constraints.txt
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 && ! $(BIN)/python -c 'import torch' 2>/dev/null; then \
	  echo "installing torch for the CPU"; \
	  $(BIN)/python -m pip install --quiet --no-deps --retries 0 --timeout 15 -c constraints.txt \
	    --index-url https://download.pytorch.org/whl/cpu torch >$(LOG) 2>&1 || true; \
	fi; touch $@

.venv/.installed: .venv/.torch pyproject.toml constraints.txt
	@$(call install,.)

.venv/.installed-dev: .venv/.torch pyproject.toml constraints.txt
	@$(call install,.[dev])
	@$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt neurobench >>$(LOG) 2>&1 || \
	  echo "make: neurobench could not be installed (see $(LOG)); the tests that compare with it are skipped"
	@touch .venv/.installed

define install
echo "installing neurometa and what it needs (a minute or two; details in $(LOG))"; \
$(BIN)/python -m pip install -c constraints.txt -e '$(1)' >$(LOG) 2>&1 || { \
  tail -n 20 $(LOG) >&2; echo "make: the install failed; the lines above say why, $(LOG) says all" >&2; exit 1; }; touch $@
endef

# The peers pin other versions than we do, and SpikingJelly would replace torch: hence versions of their own.
PEERS := snntorch spikingjelly norse sinabs
.venv-bench/.installed: .venv/.installed pyproject.toml experiments/speed/constraints.txt
	@echo "making the benchmark's environment in .venv-bench (a few minutes; details in .venv-bench/install.log)"
	@$(BIN)/python -m venv .venv-bench
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then \
	  .venv-bench/bin/python -m pip install --quiet --no-deps --retries 0 --timeout 15 -c experiments/speed/constraints.txt \
	    --index-url https://download.pytorch.org/whl/cpu torch >.venv-bench/install.log 2>&1 || true; \
	fi
	@.venv-bench/bin/python -m pip install -c experiments/speed/constraints.txt -e . $(PEERS) >.venv-bench/install.log 2>&1 || { \
	  tail -n 20 .venv-bench/install.log >&2; echo "make: the install failed; the lines above say why" >&2; exit 1; }; touch $@
