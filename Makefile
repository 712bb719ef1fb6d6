# `make demo` sets everything up and scores the example submission; `make check` is for every change, `make test` for all of it.
PYTHON ?= python3
VENV ?= .venv
BENCH := $(VENV)/bin/bench
PYTEST := $(VENV)/bin/python -m pytest -n auto --maxprocesses 16 --dist worksteal
ENTRY ?= submissions/shrink_perturb.py

.PHONY: demo check test lint clean

demo: $(VENV)/demo
	$(BENCH) image --if-missing
	$(BENCH) submit $(ENTRY)

check: lint
	$(PYTEST)

test: lint
	$(BENCH) image --if-missing
	$(PYTEST) -m "not gpu" --durations 15

lint: $(VENV)/test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/zizmor --offline --quiet .github/workflows
	@if command -v actionlint >/dev/null; then actionlint; else echo "SKIPPED: actionlint is not installed" >&2; fi

$(VENV)/demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -c constraints.txt -e .
	touch $@

$(VENV)/test: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -c constraints.txt -e '.[test]'
	touch $@ $(VENV)/demo

clean:
	rm -rf $(VENV)
