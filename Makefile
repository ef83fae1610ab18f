# make demo | notebooks | test | bench | readme | lock | clean       (needs python 3.11+, make, and a package index)
PYTHON ?= python3
FLAGS ?=
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo notebooks test bench readme lock clean
help:
	@echo "make demo    train on a synthetic town, map a scene, say where the pictures are (demo/)"
	@echo "make notebooks   JupyterLab with the tutorials"
	@echo "make test    every check; ends with 'N passed, N failed, N skipped' (FLAGS='slow data' runs such cells and tests too)"
	@echo "make bench   each benchmark in benchmarks/; each prints a ratio measured in one run"
	@echo "make readme  README.md from nbs/index.ipynb"
	@echo "make lock    requirements.lock from settings.ini"
	@echo "make clean   remove what the other targets made"

setup: $(READY)

$(READY): requirements.lock settings.ini setup.py
	@echo "setup: .venv with the exact versions of requirements.lock (first time only; a minute or a few)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"{sys.executable} is Python {v[0]}.{v[1]}; 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)
	@echo "demo: train on the synthetic town and map a scene it has not seen"
	@$(BIN)/satseg demo --out demo

notebooks: $(READY)
	@echo "notebooks: JupyterLab with the tutorials; Ctrl-C ends it"
	@$(BIN)/jupyter lab --allow-root --ServerApp.root_dir=nbs $(FLAGS) nbs/tutorials/01_town.ipynb

test: $(READY)
	@echo "test: clean, export, README, imports, notebooks, pytest, wheel"
	@$(BIN)/python tools/run_tests.py $(FLAGS)

bench: $(READY)
	@echo "bench: each prints a ratio measured in one run"
	@for f in benchmarks/*.py; do echo "== $$f"; $(BIN)/python $$f || exit 1; done

readme: $(READY)
	@echo "readme: README.md from nbs/index.ipynb"
	@$(BIN)/python tools/readme.py

lock: $(READY)
	@echo "lock: requirements.lock from settings.ini, for every platform; versions already in it are kept"
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra notebooks setup.py -o requirements.lock

clean:
	@echo "clean: environments, demo output, build products"
	@rm -rf .venv .venv-newest demo build dist *.egg-info .pytest_cache .hypothesis nbs/.hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
