# Each target makes what it needs: `make demo` or `make test` is enough on a fresh machine with
# python3 (3.11 or newer), make and git.

PYTHON ?= python3
EXTRAS ?= cluster,dev,dicom,docs,onnx,openvino,phantom
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   := runs/demo
MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help demo bench bench-gpu test test-clinic fuzz check format-check lint types contracts doctest \
        docs format \
        install system system-dicom constraints schema clean

help:
	@echo "make demo     install, then train on the sample data, translate held-out people, report"
	@echo "make bench    install, then measure speed beside the usual ways, and write the page of results"
	@echo "make bench-gpu  the same for training steps on an NVIDIA GPU, after the tests that need one"
	@echo "make test     install, then the fast tests"
	@echo "make test-clinic  (root) DICOM against Orthanc, dciodvfy and dcm2niix, which it installs"
	@echo "make fuzz     read damaged and hostile files for 10 minutes (MINUTES=N for another time)"
	@echo "make check    what CI runs: format, lint, types, contracts, tests, doctests, docs"
	@echo "make format   put the code in shape"
	@echo "make docs     build the documentation into site/"
	@echo "make system   (root) the Debian packages that a virtual environment needs"
	@echo "make system-dicom  (root) Debian's dcm2niix, which some DICOM tests compare with"
	@echo "make clean    remove what was built; runs/ is kept"

# --- installation ---------------------------------------------------------------------------

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt .ci/install.py
	$(PYTHON) .ci/install.py $(VENV) $(EXTRAS)
	@touch $@

system:
	apt-get update
	apt-get install --yes --no-install-recommends python3-venv

system-dicom:
	apt-get update
	apt-get install --yes --no-install-recommends dcm2niix

# --- to see it work -------------------------------------------------------------------------

# An earlier demo is moved aside under the time it was made, never overwritten.
demo: $(STAMP)
	@if [ -e $(DEMO) ]; then \
	  kept=$(DEMO)-$$(date -r $(DEMO) +%Y%m%d-%H%M%S) && mv $(DEMO) $$kept && \
	  echo "==> the earlier demo is kept in $$kept"; \
	fi
	$(BIN)/medtranslate run pipelines/demo.yaml --data sample_data --out $(DEMO)

# --- to see how fast it is ------------------------------------------------------------------

# On an idle machine; the page says what else was running.
bench: $(STAMP)
	$(BIN)/python tests/benchmarks/speed.py --out runs/bench.json
	$(BIN)/python tests/benchmarks/speed_page.py runs/bench.json docs/results/performance.md

# Training steps on an NVIDIA GPU, after the tests that need one.
bench-gpu: $(STAMP)
	@$(BIN)/python -c "import torch; raise SystemExit(None if torch.cuda.is_available() \
	  else 'bench-gpu: torch sees no NVIDIA GPU on this machine; make bench needs none')"
	$(BIN)/python -m pytest -m gpu tests/gpu
	$(BIN)/python tests/benchmarks/speed.py --training-only --out runs/bench-gpu.json

# --- checks ---------------------------------------------------------------------------------

test: $(STAMP)
	$(BIN)/python -m pytest

# Orthanc is started by the tests alone: its own service is kept from starting on installation.
test-clinic: $(STAMP)
	@if [ ! -e /usr/sbin/policy-rc.d ]; then \
	  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && \
	  chmod 755 /usr/sbin/policy-rc.d && trap 'rm -f /usr/sbin/policy-rc.d' EXIT; \
	fi; \
	apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes \
	  --no-install-recommends dcm2niix dicom3tools orthanc orthanc-dicomweb
	$(BIN)/python -m pytest -m clinic

# What is neither read nor refused by name is kept below tests/findings; the tests read it again.
fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz.run --minutes $(MINUTES)

check: format-check lint types contracts test doctest docs
	@echo "==> all checks passed"

format-check: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

doctest: $(STAMP)
	$(BIN)/python -m pytest --doctest-modules medtranslate

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file docs/_mkdocs/mkdocs.yml
	@echo "==> the documentation is in site/index.html"

# --- upkeep ---------------------------------------------------------------------------------

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The committed JSON Schema of the pipeline file; a test keeps it up to date.
schema: $(STAMP)
	$(BIN)/medtranslate schema > .schema.tmp
	mv .schema.tmp medtranslate/pipeline.schema.json

# Pins from a clean environment with every extra, at the newest versions that pyproject.toml allows.
constraints:
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install --upgrade pip setuptools
	build/constraints/bin/pip install torch==2.13.0 monai==1.6.1 \
	  '.[cluster,dicom,web,onnx,openvino,phantom,docs,dev]'
	{ sed '/^[^#]/d' constraints.txt; \
	  build/constraints/bin/pip freeze --all | grep -v '^medtranslate' | sed 's/+cpu$$//' | sort -f; \
	} > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
