# Two commands are all a newcomer needs: `make sweep` and `make test`. `uv run` works as well, with uv.lock.
PYTHON ?= python3
# Another PYTHON has an environment of its own: `make test PYTHON=python3.13` makes .venv-3.13.
version = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := .venv$(if $(filter-out file,$(origin PYTHON)),-$(version))
$(if $(filter %-,$(VENV)),$(error PYTHON=$(PYTHON) does not run; name a Python of 3.11 or newer))
BIN := $(VENV)/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder -m "not slow and not gpu"
PACKAGES := tests/augment tests/methods tests/contracts

.PHONY: sweep test check compat drill lint docs

sweep: $(VENV)/runs
	$(BIN)/python -m orchestrator.sweep search_spaces/msr.yaml

# Under 12 minutes on two cores.
test: lint
	$(PYTEST)

# Under 3 minutes: all that needs no Ray.
check: lint
	$(PYTEST) $(PACKAGES) tests/orchestrator/config tests/orchestrator/core

# What another version of Python could break, and a sweep from the wheel in an empty folder.
compat: $(VENV)/develops
	$(PYTEST) $(PACKAGES)
	folder=$$(mktemp -d) && $(BIN)/pip wheel --quiet --no-deps --wheel-dir $$folder . && \
	    $(BIN)/pip install --quiet --no-deps --target $$folder/site $$folder/*.whl && ls -sh $$folder/*.whl && \
	    cd $$folder && PYTHONPATH=$$folder/site site/bin/augsweep sweep smoke && rm -r $$folder

# Minutes; wants PostgreSQL installed, and root for a disk that it can fill.
drill: $(VENV)/develops
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.drill

lint: $(VENV)/develops
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

# The site, in build/site.
docs: $(VENV)/develops
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# Stamps: the environment is made once, and again when pyproject.toml changes. The packages are installed as editable:
# the environment holds no copy of them.
$(VENV)/runs: pyproject.toml
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/develops: $(VENV)/runs
	$(BIN)/pip install --quiet --group dev
	touch $@
