# Two commands do everything on a machine with CPython 3.11 or newer, make and git:
#   make bench   environment, core install (no compiler), then the expressivity benchmark
#   make test    what the tests need (torch_scatter and torch_sparse compile once), then the tests
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY := $(BIN)/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2

.PHONY: core dev bench test slow lint types contract notebooks check clean

core: $(VENV)/.core
dev: $(VENV)/.dev

$(VENV)/.core: setup.cfg pyproject.toml constraints.txt
	@echo "core install: about 2 minutes"
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "test install: about 1 minute, and about 12 more the first time, to compile torch_scatter and torch_sparse"
	$(PIP) setuptools wheel ninja
	$(PIP) --no-build-isolation -e '.[pyg-ext,test,notebooks,dev]'
	@touch $@

bench: core
	$(BIN)/graphgdl bench wl

test: dev
	@echo "tests: about 10 minutes on two cores"
	$(PY) -m pytest -n $(WORKERS)

slow: dev
	@echo "slow checks: about 2 hours on two cores; set GRAPHGDL_DATA"
	$(PY) -m pytest -m slow

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(BIN)/mypy

contract: dev
	$(BIN)/lint-imports

notebooks: dev
	$(PY) -m pytest --nbmake --nbmake-timeout=120 notebooks/*.ipynb

check: lint types contract notebooks

clean:
	rm -rf $(VENV) build dist *.egg-info
