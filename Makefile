# Every target makes .venv itself when it is missing; the only needs are make and Python 3.11 or later.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)

.DEFAULT_GOAL := help
.PHONY: help corpus test bench lint clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

# The exact versions that were tested stand in constraints.txt.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Python {v[0]}.{v[1]} found; 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[tests,docs]'
	@touch $@

corpus: $(VENV)/installed  ## make the simulated corpus in data/simulated
	$(BIN)/python -m asdlib.simulate data/simulated

test: $(VENV)/installed  ## run all tests
	$(BIN)/python -m pytest

bench: $(VENV)/installed  ## measure training and scoring speed, as ratios within one run
	$(BIN)/python -m benchmarks.speed

lint: $(VENV)/installed  ## check style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:  ## remove what runs and builds made, but no data
	rm -rf runs build _build
