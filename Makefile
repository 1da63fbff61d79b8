# Every target sets itself up: the first call installs into .venv, later calls find it there.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test check bench chaos clean

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[flows,timm,dev]'
	touch $@

demo: .venv/installed  ## a Prefect flow over a synthetic catalogue: products, a picture, the mean IoU
	$(BIN)/python -m flows.demo

test: .venv/installed  ## the whole suite, slow tests included
	$(BIN)/pytest -n auto --dist worksteal

check: .venv/installed  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed  ## ratios measured side by side in one run, peers among them
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[peers]'
	$(BIN)/python -m tests.benchmarks

chaos: .venv/installed  ## faults of all kinds over a catalogue; the same bytes at the end
	$(BIN)/python -m tests.chaos

clean:
	rm -rf .venv demo-output bench-output
