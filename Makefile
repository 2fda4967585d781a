# Two commands are all a newcomer needs: `make sweep` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: sweep test drill lint docs

sweep: .venv/runs
	$(BIN)/python -m orchestrator.sweep search_spaces/msr.yaml

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder -m "not slow and not gpu"

# Minutes; wants PostgreSQL installed, and root for a disk that it can fill.
drill: .venv/develops
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.drill

lint: .venv/develops
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

# The site, in build/site.
docs: .venv/develops
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# Stamps: the environment is made once, and again when pyproject.toml changes.
.venv/runs: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet .
	touch $@

.venv/develops: .venv/runs
	$(BIN)/pip install --quiet --group dev
	touch $@
