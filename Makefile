PYTHON ?= python3
BIN := .venv/bin
SAMPLE := data/sample
DB := data/private/sample.duckdb
TORCH := torch

.DEFAULT_GOAL := help

# Many small computations: threads of linear algebra would wait for each other, and for the other tests.
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1

help:              ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: .venv/installed            ## install the package and all it needs into .venv

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed (make PYTHON=python3.12 ...)"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "python3 -m venv failed; on Debian: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

sample: $(SAMPLE)/truth.json        ## write the generated sample data

$(SAMPLE)/truth.json: .venv/installed $(wildcard lib/dcbudget/sample/*.py lib/dcbudget/sample/*.csv)
	$(BIN)/dcbudget sample --out $(SAMPLE)

$(DB): $(SAMPLE)/truth.json
	@mkdir -p $(dir $(DB))
	@rm -f $(DB)
	$(BIN)/dcbudget load $(SAMPLE) --db $(DB)
	@touch $(DB)

report: $(DB)      ## render the latest month's budget review of the sample
	@$(BIN)/dcbudget report --db $(DB) --out reports

lab: $(DB)         ## open JupyterLab on the workbook
	DCBUDGET_DB=$(abspath $(DB)) $(BIN)/jupyter lab $$([ $$(id -u) != 0 ] || echo --allow-root) notebooks

lint: install      ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint $(DB)   ## ruff, the test suite and pytest --nbval
	DCBUDGET_DB=$(abspath $(DB)) $(BIN)/python -m pytest tests -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
	DCBUDGET_DB=$(abspath $(DB)) DCBUDGET_CHARTS=svg $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --nbval --nbval-sanitize-with tests/nbval.cfg notebooks

notebooks: $(DB)   ## run the notebooks on the sample and store their results
	DCBUDGET_DB=$(abspath $(DB)) $(BIN)/python tests/store_notebooks.py

bench: $(DB)       ## measure speed as ratios against bare runs of the same machine, and damage files in many ways
	$(BIN)/python tests/benchmarks/bench.py
	DCBUDGET_DB=$(abspath $(DB)) $(BIN)/python tests/benchmarks/panels.py
	$(BIN)/python tests/benchmarks/optimize.py
	DCBUDGET_DB=$(abspath $(DB)) $(BIN)/python tests/benchmarks/forecast.py
	$(BIN)/python tests/benchmarks/anomaly.py
	$(BIN)/python tests/benchmarks/replay.py
	$(BIN)/python tests/benchmarks/fuzz.py
	$(BIN)/python -m pytest -q -s tests/benchmarks/side_by_side.py

browser:           ## install the headless Chromium that the browser tests use (Debian; elsewhere install Chrome)
	apt-get update -qq && apt-get install -y -qq chromium fonts-dejavu-core

torch: install     ## install PyTorch for `dcbudget measure`; without a GPU, TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock scikit-learn
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock $(TORCH)

scheduler: install ## install Jupyter Scheduler for its test, beside the environment: JupyterLab stays as it is
	$(BIN)/uv pip install --quiet --constraint requirements.lock --target .venv/scheduler jupyter-scheduler==2.12.1

lock:              ## renew requirements.lock from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra encrypted --extra dev --no-header --no-annotate pyproject.toml -o requirements.lock

clean:             ## remove what the targets made, own data apart
	rm -rf $(SAMPLE) $(DB) reports/*/ .pytest_cache .ruff_cache build

.PHONY: help install sample report lab lint test notebooks bench browser torch scheduler lock clean
