# make run | test | check | ... : each sets up what it needs in VENV; a second run starts at once.

VENV ?= .venv
# The first of these that is there and new enough; PYTHON=python3.11 chooses another.
PYTHON ?= $(or $(shell for python in python3.12 python3.13 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done),python3.12)
# Versions to install; empty: the newest that pyproject.toml allows.
CONSTRAINTS ?= constraints.txt
# make soak looks at new examples each time; it prints this, to look at the same ones again.
SEED := $(or $(SEED),$(shell date +%s))
# More flags for the converter or for pytest: make run ARGS="--tile-size 512"
ARGS ?=

INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
PACKAGING = pyproject.toml setup.py omezarr_proc/engine/_kernels.c $(CONSTRAINTS)

# pip's report to lines of a constraints file. Python 3.11 has no newest numpy any more, so the pins leave it alone.
define PINS
import json, sys
pins = (p["metadata"] for p in json.load(open(sys.argv[1]))["install"])
lines = [f"{p['name']}=={p['version']}; python_version >= '3.12'" for p in pins if p["name"] != "omezarr-proc"]
print(*sorted(lines, key=str.lower), sep="\n")
endef
export PINS

.DEFAULT_GOAL := help
.PHONY: help run test lint check soak benchmark memprofile viewer test-browser constraints docker-build docker-run clean

help:
	@echo "make run           convert data/input into data/output with the settings of dev.env"
	@echo "make test          the tests"
	@echo "make check         lint, format, types and tests: the gate"
	@echo "make lint          lint, format and types only"
	@echo "make soak          all tests at length, also the slow ones, with new examples; SEED=... repeats"
	@echo "make benchmark     time against the unavoidable work; ARGS=\"A --scale 0.25\" chooses"
	@echo "make memprofile    memory over time against the plan; ARGS=\"--limit 512 INPUT OUTPUT\""
	@echo "make viewer        build the page of the viewer again (needs Node)"
	@echo "make test-browser  the tests of that page (needs chromium and chromium-driver)"
	@echo "make constraints   renew constraints.txt (needs Python 3.12)"
	@echo "make docker-build  build the image;  make docker-run  run it on data/input"
	@echo "make clean         remove what these made, but not data/output"

run: $(VENV)/.installed
	@set -a; . ./dev.env; set +a; \
	$(VENV)/bin/python -m omezarr_proc $(ARGS) && \
	echo "Pyramids in $$OUTPUT_DIR:" && find "$$OUTPUT_DIR" -name '.?*' -prune -o -name '*.ome.zarr' -print -prune | sort

test: $(VENV)/.test
	$(VENV)/bin/python -m pytest $(ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

check: lint test

soak: $(VENV)/.test
	@echo "examples of hypothesis: make soak SEED=$(SEED)"
	$(VENV)/bin/python -m pytest -m "" --hypothesis-profile fresh --hypothesis-seed $(SEED) $(ARGS)

benchmark: $(VENV)/.test
	$(VENV)/bin/python -m tests.benchmarks.speed $(ARGS)

memprofile: $(VENV)/.plot
	$(VENV)/bin/python -m omezarr_proc.memprofile $(or $(ARGS),--limit 512 data/input/brightfield.ome.tiff data/output)

viewer:
	cd viewer && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build

test-browser: $(VENV)/.browser
	BROWSER_TESTS=required $(VENV)/bin/python -m pytest tests/test_browser.py $(ARGS)

constraints: $(VENV)/.python
	$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12) and "constraints.txt is made with Python 3.12: make constraints VENV=.venv-3.12 PYTHON=python3.12")'
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --report $(VENV)/report.json '.[test,dev,browser]'
	$(VENV)/bin/python -c "$$PINS" $(VENV)/report.json > constraints.txt

docker-build:
	docker build --tag omezarr-proc .

docker-run: docker-build
	HOST_USER=$$(id -u):$$(id -g) docker compose run --rm omezarr-proc $(ARGS)

clean:
	rm -rf .venv* build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python $(PACKAGING)
	$(INSTALL) --editable .
	@$(VENV)/bin/python -m compileall -q omezarr_proc # also where the environment lets nobody write bytecode: a fifth of the start-up
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.plot: $(VENV)/.installed
	$(INSTALL) --editable '.[plot]'
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(INSTALL) --editable '.[test,dev]'
	@touch $@

$(VENV)/.browser: $(VENV)/.installed
	$(INSTALL) --editable '.[test,browser]'
	@touch $@
