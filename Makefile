# One environment (.venv) for running, testing and building. GNU make 3.81 and a POSIX shell are enough.
#   make run                        the web page, from a bare checkout
#   make setup GPU=1                CUDA: faiss-gpu in place of faiss-cpu; `make setup` alone goes back
#   make setup EXTRAS=postgres      another set of extras (pyproject.toml lists them)
#   make setup TORCH_INDEX=ADDRESS  a further package index, for example one with the small CPU builds of torch for Linux
#   make setup PYTHON=/path/python  another Python, 3.11 or newer

STAMP := .venv/.installed
BIN := .venv/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet

# The stamp keeps the choices of the last setup, so that `make run` after `make setup GPU=1` stays on the GPU.
ifeq ($(filter setup,$(MAKECMDGOALS)),)
RECORDED := $(shell cat $(STAMP) 2>/dev/null)
endif
recorded = $(patsubst $(1)=%,%,$(filter $(1)=%,$(RECORDED)))
EXTRAS ?= $(or $(call recorded,EXTRAS),dev)
GPU ?= $(call recorded,GPU)
TORCH_INDEX ?= $(call recorded,TORCH_INDEX)
# Looked for when it is first needed, and once: a thing that only an installation asks for.
PYTHON ?= $(eval PYTHON := $$(shell for name in python3.13 python3.12 python3.11 python3; do \
	$$$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$$$name && break; done))$(PYTHON)

# Tests and checks need the tools of developers, whatever was installed before.
ifneq ($(filter test check format build bench screenshots pins,$(MAKECMDGOALS)),)
ifeq ($(findstring dev,$(EXTRAS)),)
override EXTRAS := $(EXTRAS),dev
endif
endif

ifeq ($(GPU),1)
extras := $(EXTRAS),gpu
constraints := -c constraints.txt -c constraints-gpu.txt
else
extras := $(EXTRAS)
constraints := -c constraints.txt
endif
index := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
choices := EXTRAS=$(EXTRAS) GPU=$(GPU) TORCH_INDEX=$(TORCH_INDEX)
ifneq ($(strip $(choices)),$(strip $(shell cat $(STAMP) 2>/dev/null)))
CHANGED := other-choices
endif

.PHONY: help run setup test check format build vectors bench screenshots pins clean other-choices
.DEFAULT_GOAL := help

help: ## show what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

run: $(STAMP) ## install what is missing, then start the web page (AGRI_PORT, 8501)
	@exec $(BIN)/agri serve

setup: $(STAMP) ## install the pinned packages into .venv
	@echo "Ready: $(BIN)/agri --help"

$(STAMP): pyproject.toml constraints.txt constraints-gpu.txt $(CHANGED)
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or newer was found, and nothing runs without it; install one, or name it: make setup PYTHON=/path/to/python3." >&2; exit 1; fi
	@if [ "$(GPU)" = 1 ] && [ "$$(uname -sm)" != "Linux x86_64" ]; then \
		echo "This machine is $$(uname -sm), and faiss-gpu exists for Linux x86_64 alone; leave GPU=1 out." >&2; exit 1; fi
	@if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
		echo "Making .venv with $(PYTHON)"; $(PYTHON) -m venv --clear .venv || { rm -rf .venv; \
		echo "$(PYTHON) cannot make an environment, and the packages need one; install its venv module (Debian: python3-venv)." >&2; exit 1; }; fi
	@echo "Installing the pinned packages ($(extras)): some minutes the first time"
	@rm -f $@
	@if $(PIP) show faiss-gpu >/dev/null 2>&1; then $(PIP) uninstall --yes faiss-gpu faiss-cpu; fi
	$(PIP) install -c constraints.txt setuptools wheel
	$(PIP) install --no-build-isolation $(constraints) $(index) -e '.[$(extras)]'
ifeq ($(GPU),1)
	$(PIP) uninstall --yes faiss-cpu
	$(PIP) install --no-deps -c constraints-gpu.txt faiss-gpu nvidia-cublas-cu12 nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12 nvidia-curand-cu12
endif
	@echo "$(choices)" > $@

# Two at once, file by file, each with one thread: the tiny models of the tests are slower with more.
WORKERS ?= 2
test: $(STAMP) ## run all tests (ARGS="-k potato" for some; WORKERS=1 for one after the other)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: $(STAMP) ## look for mistakes without running: style, types, layers, Dockerfile, compose.yml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	bash -n .ci/run
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yml

format: $(STAMP) ## put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(STAMP) ## build the wheel into dist/
	rm -rf build dist
	$(BIN)/python -m build --wheel --no-isolation

vectors: $(STAMP) ## compute the vectors that ship with the sheets, after a sheet was changed
	$(BIN)/agri vectors

bench: $(STAMP) ## run all benchmarks (DATA=folder with the collections)
	@if [ -z "$(DATA)" ]; then \
		echo "No collections were named, so there is nothing to measure; write make bench DATA=/path/to/collections." >&2; exit 1; fi
	$(BIN)/python benchmarks/retrieval.py --data "$(DATA)"
	$(BIN)/python benchmarks/answers.py --data "$(DATA)"
	$(BIN)/python benchmarks/evidence.py --data "$(DATA)"
	$(BIN)/python benchmarks/languages.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/embedding.py --data "$(DATA)"
	$(BIN)/python benchmarks/scale.py --data "$(DATA)"
	$(BIN)/python benchmarks/photo_quality.py --data "$(DATA)"
	$(BIN)/python benchmarks/leaf_area.py --data "$(DATA)"

screenshots: $(STAMP) ## take the pictures in docs/screenshots from the running page
	$(BIN)/python benchmarks/screenshots.py

pins: $(STAMP) ## write constraints.txt anew from what is installed
	@{ grep '^#' constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable \
		| sed -e '/^pip==/d' -e '/^agri /d' -e 's/+cpu$$//' | sort -f; } > constraints.new && mv constraints.new constraints.txt

clean: ## remove .venv and everything that was built; your data stays
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
