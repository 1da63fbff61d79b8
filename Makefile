# Every target sets itself up: the first call installs into .venv, later calls find it there.
PYTHON ?= python3.11
BIN := .venv/bin

QUICK := not (cluster or pages or notebooks or chaos or awkward or compile or real or slow)

.PHONY: demo quick test check docs notebooks bench chaos release clean

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[flows,timm,cluster,docs,dev]'
	touch $@

demo: .venv/installed  ## a Prefect flow over a synthetic catalogue: products, a picture, the mean IoU
	$(BIN)/python -m flows.demo

quick: .venv/installed  ## the tests that need no other process: an answer in three minutes
	$(BIN)/pytest -n auto --dist loadgroup --durations 10 -m '$(QUICK)'

test: .venv/installed  ## the whole suite
	$(BIN)/pytest -n auto --dist loadgroup --durations 10

check: .venv/installed  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed  ## the site, notebooks run and figures drawn: site/index.html
	$(BIN)/python -m docs.build site

notebooks: .venv/installed  ## every notebook run, as .ipynb with its figures
	$(BIN)/python -m notebooks.render notebooks/rendered

bench: .venv/installed  ## ratios measured side by side in one run, peers among them
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[peers]'
	$(BIN)/python -m tests.benchmarks

chaos: .venv/installed  ## faults of all kinds over a catalogue; the same bytes at the end; hostile .pt2 files
	$(BIN)/python -m tests.chaos
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.models.fuzz --calls 300 --files 5000

release: .venv/installed  ## dist/: sdist and wheel; the wheel runs the demo in an environment that has nothing else
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(PYTHON) -m venv dist/empty
	dist/empty/bin/pip install --quiet --constraint constraints.txt dist/*.whl
	cd dist && empty/bin/rsmtl demo --out demo
	rm -rf dist/empty dist/demo

clean:
	rm -rf .venv demo-output bench-output dist site notebooks/rendered
