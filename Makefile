# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
BASE ?= origin/main
# Finished rows of the selftest; see docs/continuous-integration.md.
JOURNAL := build/selftest.jsonl

# An environment of its own for the backend xla: torch 2.9, which brings gigabytes for GPUs on x86-64.
XLA_VENV := build/xla-env
XLA_READY := $(XLA_VENV)/.ready

.PHONY: torture xla-env lowered lowered-sample install demo test test-all lint types unit full changed schemas evidence matrix pages clean

$(READY): pyproject.toml constraints/tested.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints/tested.txt --editable ".[dev]"
	touch $@

install: $(READY)

$(XLA_READY): pyproject.toml constraints/tested.txt
	$(PYTHON) -m venv $(XLA_VENV)
	grep -v '^torch==' constraints/tested.txt > $(XLA_VENV)/constraints.txt
	$(XLA_VENV)/bin/pip install --quiet --disable-pip-version-check --constraint $(XLA_VENV)/constraints.txt --editable ".[test,xla]"
	touch $@

xla-env: $(XLA_READY)

demo: $(READY)
	$(BIN)/neuron-catalog export esm --task fill-mask --overwrite build/esm-fill-mask
	$(BIN)/neuron-catalog verify build/esm-fill-mask

test: lint types unit lowered-sample

test-all: test full

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/generate_schemas.py --check
	$(BIN)/python tools/generate_runtime_classes.py --check
	$(BIN)/python tools/generate_pages.py --check
	$(BIN)/python tools/generate_code_pages.py --check
	$(BIN)/python tools/generate_neuron_pages.py --check
	$(BIN)/python tools/generate_lowering_page.py --check
	$(BIN)/neuron-catalog check

types: $(READY)
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/pytest --numprocesses 2 -m "not full"

full: $(READY)
	$(BIN)/neuron-catalog selftest --jobs $(JOBS) --resume $(JOURNAL)
	$(BIN)/pytest -m full

# Two steps and no pipe, so that a failure of the first one is not taken for "nothing changed".
changed: $(READY)
	mkdir -p build
	$(BIN)/python tools/changed.py --base $(BASE) > build/changed.txt
	xargs -r $(BIN)/neuron-catalog selftest --jobs $(JOBS) < build/changed.txt

# Kill exports wherever they can be killed, and fuzz the readers; writes docs/torture.md in less than ten minutes.
torture: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints/tested.txt --editable ".[dev,fuzz]"
	$(BIN)/python tools/torture.py --jobs $(JOBS)

schemas: $(READY)
	$(BIN)/python tools/generate_schemas.py
	$(BIN)/python tools/generate_runtime_classes.py

evidence: $(READY)
	$(BIN)/neuron-catalog selftest --jobs $(JOBS) --resume $(JOURNAL) --record
	$(BIN)/python tools/generate_pages.py

# Lower the catalog, verify it on XLA's CPU device, and record it. It can be interrupted and goes on.
lowered: $(XLA_READY) $(READY)
	$(XLA_VENV)/bin/python tools/lower_catalog.py --jobs $(JOBS)
	$(BIN)/python tools/generate_pages.py
	$(BIN)/python tools/generate_lowering_page.py

# Today's sample of that, where the environment is.
lowered-sample: $(READY)
	$(BIN)/python tools/lower_sample.py

matrix: $(READY)
	$(BIN)/python tools/version_matrix.py
	$(BIN)/python tools/generate_pages.py

pages: $(READY)
	$(BIN)/python tools/generate_pages.py
	$(BIN)/python tools/generate_code_pages.py
	$(BIN)/python tools/generate_neuron_pages.py
	$(BIN)/python tools/generate_lowering_page.py

clean:
	rm -rf $(VENV) build dist
