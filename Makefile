# make run | test | check | ... : each sets up what it needs in VENV; a second run starts at once.

VENV ?= .venv
# The first of these that is there and new enough; PYTHON=python3.11 chooses another.
PYTHON ?= $(or $(shell for python in python3.12 python3.13 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done),python3.12)
# Versions to install; empty: the newest that pyproject.toml allows.
CONSTRAINTS ?= constraints.txt
# What the image is built from: python:3.12-slim@sha256:... is the same one for ever, a tag is not.
BASE_IMAGE ?= python:3.12-slim
# Where its sources are published, for its label.
SOURCE ?=
# make soak looks at new examples each time; it prints this, to look at the same ones again.
SEED := $(or $(SEED),$(shell date +%s))
# More flags for the converter or for pytest: make run ARGS="--tile-size 512"
ARGS ?=
# So many processes run tests, each the files of its own; many tests wait, so one more than there are cores. ARGS="-n 0" takes one.
# make soak has files of hundreds of slow tests, so there a process that has run out of tests takes some of another's.
SIDE_BY_SIDE = -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --maxprocesses 6 --dist loadfile

# What is built carries the time of the commit, not of the build; without git the first time that a wheel can carry.
COMMIT_TIME = $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
REPORT = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --report
# The wheels that a Debian image of Python 3.12 takes: pip must be told each glibc, up to Debian 13's.
FOR_LINUX = --only-binary :all: --no-deps --target $(VENV)/none --python-version 3.12 --platform manylinux2014_$(1) \
	$(foreach glibc,$(shell seq 17 41),--platform manylinux_2_$(glibc)_$(1))
BUILD_REQUIRES = $(shell sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml)
PACKAGING = pyproject.toml setup.py omezarr_proc/pixels/_kernels.c $(CONSTRAINTS)

# pip's reports to lines of a requirements file: the pins, a hash for the wheel of each report where told so.
# Python 3.11 has no newest numpy any more, so the pins of constraints.txt leave it alone.
define PINS
import json, sys
kind, *reports = sys.argv[1:]
pins = {}
for package in (package for report in reports for package in json.load(open(report))["install"]):
    pin = "{name}=={version}".format_map(package["metadata"])
    if not pin.startswith("omezarr-proc=="):
        pins.setdefault(pin, set()).add(package["download_info"]["archive_info"]["hashes"]["sha256"])
for pin in sorted(pins, key=str.lower):
    hashes = (f"    --hash=sha256:{digest}" for digest in sorted(pins[pin]))
    print(*([pin, *hashes] if kind == "hashes" else [f"{pin}; python_version >= '3.12'"]), sep=" \\\n")
endef
export PINS

.DEFAULT_GOAL := help
.PHONY: help run test lint check coverage soak golden benchmark memprofile viewer test-browser tour constraints wheel sbom docker-build docker-run clean

help:
	@echo "make run           convert data/input into data/output with the settings of dev.env"
	@echo "make test          the tests"
	@echo "make check         lint, format, types and tests: the gate"
	@echo "make lint          lint, format and types only"
	@echo "make coverage      the tests, and what of the package they reach, in all processes; LINES=1 leaves out branches"
	@echo "make soak          all tests, also the slow ones, with new examples: about half an hour on two cores; SEED=... repeats"
	@echo "make golden        write the digests of tests/golden anew, for a change that is meant to change bytes"
	@echo "make benchmark     time against the unavoidable work; ARGS=\"A --scale 0.25\" chooses"
	@echo "make memprofile    memory over time against the plan; ARGS=\"--limit 512 INPUT OUTPUT\""
	@echo "make viewer        build the page of the viewer again (needs Node)"
	@echo "make test-browser  the tests of that page (needs chromium and chromium-driver)"
	@echo "make tour          take the README's pictures of that page again"
	@echo "make constraints   renew constraints.txt and requirements*.txt (needs Python 3.12)"
	@echo "make wheel         dist/*.whl, the same bytes for one commit from any folder"
	@echo "make sbom          sbom.cdx.json: what the image installs, as CycloneDX"
	@echo "make docker-build  build the image;  make docker-run  run it on data/input"
	@echo "make clean         remove what these made, but not data/output"

run: $(VENV)/.installed
	@set -a; . ./dev.env; set +a; \
	$(VENV)/bin/python -m omezarr_proc $(ARGS) && \
	echo "Pyramids in $$OUTPUT_DIR:" && find "$$OUTPUT_DIR" -name '.?*' -prune -o -name '*.ome.zarr' -print -prune | sort

test: $(VENV)/.test
	$(VENV)/bin/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

check: lint test

soak: $(VENV)/.soak
	@echo "examples of hypothesis: make soak SEED=$(SEED)"
	@$(VENV)/bin/python -m compileall -q omezarr_proc # its tests start the program thousands of times, some where nobody writes bytecode
	$(VENV)/bin/python -m pytest $(SIDE_BY_SIDE) --dist worksteal -m "" --hypothesis-profile fresh --hypothesis-seed $(SEED) $(ARGS)

# Branches take twice the CPU time of the tests. LINES=1 leaves them out, for a quarter more than the tests where Python has sys.monitoring.
# What a killed process has written of its data is left out. The report comes also after a test that fails, which the status still tells.
# Only the first run has a source: with one, each of thousands of processes would look for all files that it has not run.
COVER = $(VENV)/bin/coverage run $(if $(LINES),,--branch)
CORE = $$($(VENV)/bin/python -c 'import sys; print("sysmon" if "$(LINES)" and hasattr(sys, "monitoring") else "ctrace")')
coverage: $(VENV)/.test
	$(VENV)/bin/coverage erase
	$(COVER) --source omezarr_proc -m omezarr_proc --version
	status=0; COVERAGE_CORE=$(CORE) $(COVER) --include '$(CURDIR)/omezarr_proc/*' -m pytest $(SIDE_BY_SIDE) $(ARGS) || status=$$?; \
	$(VENV)/bin/coverage combine --quiet 2>/dev/null; $(VENV)/bin/coverage report; exit $$status

golden: $(VENV)/.test
	PYTHONPATH=tests/helpers $(VENV)/bin/python -m tests.golden

benchmark: $(VENV)/.test
	$(VENV)/bin/python -m tests.benchmarks.speed $(ARGS)

memprofile: $(VENV)/.plot
	$(VENV)/bin/python -m omezarr_proc.app.memprofile $(or $(ARGS),--limit 512 data/input/brightfield.ome.tiff data/output)

viewer:
	cd viewer && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build

test-browser: $(VENV)/.browser
	BROWSER_TESTS=required $(VENV)/bin/python -m pytest $(SIDE_BY_SIDE) tests/viewer $(ARGS)

tour: $(VENV)/.browser
	PYTHONPATH=tests/helpers $(VENV)/bin/python -m tests.viewer.tour docs/tour

constraints: $(VENV)/.python
	$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12) and "constraints.txt is made with Python 3.12: make constraints VENV=.venv-3.12 PYTHON=python3.12")'
	$(REPORT) $(VENV)/all.json '.[test,dev,browser,sbom]'
	$(VENV)/bin/python -c "$$PINS" pins $(VENV)/all.json > constraints.txt
	$(REPORT) $(VENV)/run.json --constraint constraints.txt '.[remote]'
	$(VENV)/bin/python -c "$$PINS" pins $(VENV)/run.json > $(VENV)/run.txt
	$(foreach arch,x86_64 aarch64,$(REPORT) $(VENV)/$(arch).json $(call FOR_LINUX,$(arch)) --requirement $(VENV)/run.txt &&) true
	$(VENV)/bin/python -c "$$PINS" hashes $(VENV)/x86_64.json $(VENV)/aarch64.json > requirements.txt
	$(REPORT) $(VENV)/build.json $(BUILD_REQUIRES)
	$(VENV)/bin/python -c "$$PINS" hashes $(VENV)/build.json > requirements-build.txt

wheel: $(VENV)/.python
	rm -rf build dist
	SOURCE_DATE_EPOCH=$(COMMIT_TIME) $(VENV)/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

sbom: $(VENV)/.sbom
	$(PYTHON) -m venv --clear --without-pip $(VENV)-sbom
	$(VENV)/bin/python -m pip --python $(VENV)-sbom/bin/python install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	$(VENV)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON --output-file sbom.cdx.json $(VENV)-sbom

docker-build: sbom
	docker build --tag omezarr-proc --build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg SOURCE=$(SOURCE) \
		--build-arg VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' omezarr_proc/__init__.py) \
		--build-arg REVISION=$$(git describe --always --abbrev=40 --dirty --exclude '*') --build-arg CREATED=$$(git log -1 --format=%cI) \
		--build-arg SBOM=/usr/share/doc/omezarr-proc/sbom.cdx.json --build-arg SOURCE_DATE_EPOCH=$(COMMIT_TIME) .

docker-run: docker-build
	docker compose run --rm omezarr-proc $(ARGS)

clean:
	rm -rf .venv* build dist sbom.cdx.json *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage* omezarr_proc/pixels/_kernels.*so

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

$(VENV)/.soak: $(VENV)/.installed
	$(INSTALL) --editable '.[test,dev,browser,readers,deploy]'
	@touch $@

$(VENV)/.sbom: $(VENV)/.installed
	$(INSTALL) --editable '.[sbom]'
	@touch $@
