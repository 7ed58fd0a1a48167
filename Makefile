# make join    set up and start a node (make join ARGS="--bootstrap /ip4/…" for its options)
# make swarm   set up and run four nodes for ten minutes
# make test    set up and run the tests
# make soak    set up and run the long tests: 20 nodes under chaos for ARNODE_SOAK_MINUTES (15)
# make fuzz    set up and look for input that breaks a decoder, for a minute (make fuzz ARGS=600 for ten)
# make check   linters, types, layering
# make docs    write docs/cli.md from the commands, and build the pages into build/site, links checked
# make simulate  run the scenarios of configs/simulations in full, and write docs/scaling.md's section and its plots
#              (a coffee break for each; make simulate ARGS="night liars" for some)
# make bench   measure the figures of docs/benchmarks.md and compare them with bench/baseline.json (an hour at most;
#              make bench ARGS="records sync" for some, ARGS=--all for the long ones too, ARGS=--save-baseline to keep)

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ARGS ?=

.PHONY: join swarm setup test soak fuzz check docs bench simulate clean

join: setup
	@exec $(BIN)/arnode join $(ARGS)

swarm: setup
	@exec $(BIN)/arnode swarm 4 --minutes 10 $(ARGS)

setup: $(VENV)/.arnode

$(VENV)/.arnode: pyproject.toml
	@scripts/require-system $(PYTHON)
	@echo "setting up $(VENV): a few minutes, once"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.arnode-dev: $(VENV)/.arnode
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

test: $(VENV)/.arnode-dev
	$(BIN)/pytest $(ARGS)

soak: $(VENV)/.arnode-dev
	$(BIN)/pytest -m soak -s $(ARGS)

fuzz: $(VENV)/.arnode-dev
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[fuzz]"
	$(BIN)/python scripts/fuzz.py $(ARGS)

check: $(VENV)/.arnode-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.arnode
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[docs]"
	$(BIN)/python -m scripts.cli_reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.arnode-dev
	@$(BIN)/python -m bench $(ARGS)

simulate: $(VENV)/.arnode-dev
	$(BIN)/python -m scripts.simulations $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info
