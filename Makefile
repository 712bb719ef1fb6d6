# Two commands: `make demo` sets everything up and scores the example submission; `make test` runs the tests.
PYTHON ?= python3
VENV ?= .venv
BENCH := $(VENV)/bin/bench
ENTRY ?= submissions/shrink_perturb.py

.PHONY: demo test lint clean

demo: $(VENV)/demo
	$(BENCH) image --if-missing
	$(BENCH) submit $(ENTRY)

test: lint
	$(BENCH) image --if-missing
	$(VENV)/bin/python -m pytest -n 2 -m "not gpu" --durations 25

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
