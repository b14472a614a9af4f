# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint types unit schemas evidence matrix pages clean

$(READY): pyproject.toml constraints/tested.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints/tested.txt --editable ".[dev]"
	touch $@

demo: $(READY)
	$(BIN)/neuron-catalog export esm --task fill-mask --overwrite build/esm-fill-mask
	$(BIN)/neuron-catalog verify build/esm-fill-mask

test: lint types unit

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/generate_schemas.py --check
	$(BIN)/python tools/generate_pages.py --check
	$(BIN)/python tools/generate_code_pages.py --check
	$(BIN)/neuron-catalog check

types: $(READY)
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/pytest --numprocesses 2 -m "slow or not slow"

schemas: $(READY)
	$(BIN)/python tools/generate_schemas.py

evidence: $(READY)
	$(BIN)/neuron-catalog selftest --jobs 2 --record
	$(BIN)/python tools/generate_pages.py

matrix: $(READY)
	$(BIN)/python tools/version_matrix.py
	$(BIN)/python tools/generate_pages.py

pages: $(READY)
	$(BIN)/python tools/generate_pages.py
	$(BIN)/python tools/generate_code_pages.py

clean:
	rm -rf $(VENV) build dist
