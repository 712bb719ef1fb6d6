# `make demo` sets everything up and scores the example submission; `make check` is for every change, `make test` for all of it.
PYTHON ?= python3
VENV ?= .venv
BENCH := $(VENV)/bin/bench
PIP := $(VENV)/bin/python -m pip install -c constraints.txt
PYTEST := $(VENV)/bin/python -m pytest -n auto --maxprocesses 16 --dist worksteal
ENTRY ?= submissions/shrink_perturb.py

# Every worker would compile all tests again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check test lint fast-tests all-tests docs release clean

demo: $(VENV)/demo
	$(call stage,2/3 container image: 2 to 10 minutes the first time; without an engine nothing,$(BENCH) image --if-missing)
	$(call stage,3/3 submission: ten units beside ten of Retrain; 1 to 5 minutes,$(BENCH) submit $(ENTRY))

# The type checker has one core, so the tests run beside it.
check: $(VENV)/test
	$(MAKE) -j2 lint fast-tests

test: $(VENV)/test
	$(BENCH) image --if-missing
	$(MAKE) -j2 lint all-tests

fast-tests: $(VENV)/test
	$(PYTEST)

all-tests: $(VENV)/test
	$(PYTEST) -m "not gpu" --durations 15

lint: $(VENV)/test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/zizmor --offline --quiet .github/workflows
	@if command -v actionlint >/dev/null; then actionlint; else echo "SKIPPED: actionlint is not installed" >&2; fi

$(VENV)/demo: pyproject.toml constraints.txt
	$(call stage,1/3 installation: 1 to 5 minutes by the network,$(call install,tune))
	touch $@

$(VENV)/test: pyproject.toml constraints.txt
	$(call stage,installation: 2 to 10 minutes by the network,$(call install,test))
	touch $@ $(VENV)/demo

# Say what follows and how long that takes; then how long it took.
stage = @echo "== $(1)"; start=$$(date +%s); $(2) && echo "== done in $$(($$(date +%s) - start)) s"

# Where there is no NVIDIA GPU, PyTorch comes from its own index of CPU wheels, which uv knows: 0.2 GB in place of 3 GB
# that become 6 GB. Where that index cannot be reached, it comes from the one that pip uses, like everything else.
install = $(PYTHON) -m venv $(VENV) && \
	{ nvidia-smi >/dev/null 2>&1 || \
	  { $(PIP) --quiet uv && UV_HTTP_RETRIES=0 $(VENV)/bin/uv pip install --python $(VENV)/bin/python \
	    --torch-backend cpu -c constraints.txt torch torchvision; } || \
	  echo "no CPU wheels of PyTorch here: pip installs those of its own index"; } && \
	$(PIP) -e '.[$(1)]'

# The documents as a site; its configuration is in mkdocs.yml.
docs: $(VENV)/test
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

# The wheel, and the sdist that gives the same wheel, checked as an index would, and the wheel in an environment of its own.
release: $(VENV)/test
	rm -rf dist
	$(PIP) --quiet twine
	$(VENV)/bin/python -m hatchling build -d dist
	$(VENV)/bin/python -m twine check --strict dist/*
	$(VENV)/bin/python -m tests.ci.smoke dist/*.whl

clean:
	rm -rf $(VENV)
