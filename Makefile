# Every target makes .venv itself when it is missing; the only needs are make and Python 3.11 or later.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || sysctl -n hw.ncpu)

.DEFAULT_GOAL := help
.PHONY: help install book evidence corpus dcase2021 check test bench memory lint clean slides pdf \
	paper-bench

help:  ## this list
	@grep -E "^[a-z0-9 -]+:.*##" Makefile | sed -E 's/:.*## /\t/' | expand -t 14

# The exact versions that were tested are in constraints.txt.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Python {v[0]}.{v[1]} found; 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[tests,docs,pretrained,onnx]'
	@touch $@

install: $(VENV)/installed  ## make .venv, with the commands asd, papermill and snakemake in .venv/bin

corpus: $(VENV)/installed  ## make the simulated corpus in data/simulated
	$(BIN)/asd simulate data/simulated

dcase2021: $(VENV)/installed  ## fetch the paper's data into data/dcase2021 (18 GB from Zenodo)
	$(BIN)/asd fetch dcase2021

export STUDY ?= study.yaml
GPUS ?= 1
SNAKEMAKE = $(BIN)/snakemake --quiet rules host --cores $(CORES) --keep-going --rerun-incomplete \
	--resources gpu=$(GPUS)

book: $(VENV)/installed  ## run the whole study and build the book: _build/html/index.html
	$(SNAKEMAKE) --config "study=$$STUDY"

evidence: $(VENV)/installed  ## measure every table behind the claims of the book; continues where it stopped (about 10 hours on two cores)
	$(BIN)/python -m workflow.evidence

slides: $(VENV)/installed  ## build the three lecture decks: _build/slides/slides/index.html
	$(BIN)/python -m sphinx -W -q -E -b revealjs -c book/slides book _build/slides

# one process for each core, with one thread each; the tests of a file share what they have made
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(CORES) --dist loadfile

pdf: $(VENV)/installed  ## print the built book as one PDF: _build/book.pdf (needs Chromium)
	$(BIN)/python -m workflow.print_book

check: $(VENV)/installed  ## lint and run the quick tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(PYTEST) -q -m "not slow"

test: $(VENV)/installed  ## run all tests
	$(PYTEST)

memory: $(VENV)/installed  ## measure the memory of a full-size machine type (ten minutes, 5 GB of disk)
	$(BIN)/python -m benchmarks.memory

bench: $(VENV)/installed  ## measure training and scoring speed, as ratios within one run
	$(BIN)/python -m benchmarks.speed

paper-bench: $(VENV)/installed  ## train the paper profile at full size for a few epochs; needs a GPU
	$(BIN)/python -m benchmarks.paper --out benchmarks/paper.csv

lint: $(VENV)/installed  ## check style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:  ## remove what runs and builds made, but no data
	rm -rf runs build _build
