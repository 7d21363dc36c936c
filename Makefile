# Every target makes or updates .venv by itself (scripts/venv) and is quick when nothing changed.
.DEFAULT_GOAL := help
.PHONY: help venv demo dev test test-browser faults bench lint format docs wheels constraints clean

BIN := .venv/bin
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
EXAMPLES := $(patsubst %/pyproject.toml,%,$(wildcard examples/*/pyproject.toml))
# One package each: `mypy plugins` would take their tests folders for one module.
PLUGIN_PACKAGES := $(wildcard $(addsuffix /axisor_*,$(PLUGINS) $(EXAMPLES)))
TYPED := axisor_executor $(filter-out %.egg-info,$(PLUGIN_PACKAGES)) tests/harness tests/faults tests/typing tests/conftest.py

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r target what; do \
		printf '  make %-12s %s\n' "$$target" "$$what"; done

venv: ## Make or update .venv
	@scripts/venv .venv

demo: venv ## Carry out every action on the paper exchange (ARGS=--keep, ARGS=--json)
	@$(BIN)/axisor-executor demo $(ARGS)

dev: venv ## Run a worker that restarts when the source changes
	@$(BIN)/dramatiq axisor_executor.actors --watch axisor_executor --watch-include '**/*.py' $(ARGS)

test: venv ## Test on every Python that is there (PYTHONS="3.11 3.13", ARGS="-k name")
	@PYTHONS="$(PYTHONS)" scripts/test-all $(ARGS)

test-browser: venv ## Test the console in a real Chromium (ARGS="-k name")
	@scripts/test-browser $(ARGS)

faults: venv ## Run the fault tests with many jobs (JOBS=500)
	@AXISOR_FAULT_JOBS=$(or $(JOBS),500) $(BIN)/python -m pytest tests/faults -n 2 --timeout 1800 $(ARGS)

bench: venv ## Measure cost and speed into build/bench/ (ARGS="job_cost --quick", ARGS=--help)
	@$(BIN)/python -m benchmarks $(ARGS)

lint: venv ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)

format: venv ## Format, and repair what can be
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: venv ## Build the documentation strictly into site/
	@$(BIN)/mkdocs build --strict

wheels: venv ## Build the wheels of all distributions into dist/
	@rm -rf dist build plugins/*/build
	@for source in . $(PLUGINS); do \
		$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist $$source || exit 1; done
	@rm -rf build plugins/*/build
	@ls dist

constraints: ## Write constraints.txt anew with the newest versions that suit all Pythons
	@scripts/constraints

clean: ## Remove everything that was made
	rm -rf .venv .venv-* build dist site *.egg-info plugins/*/build plugins/*/*.egg-info \
		examples/*/build examples/*/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find axisor_executor plugins examples tests -name __pycache__ -type d -prune -exec rm -rf {} +
