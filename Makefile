# `make run` sets up and does the main job; `make test` sets up and passes the tests.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e
# pip compiles on one core. A package may hold files of other versions of Python, which do not compile.
COMPILE := $(BIN)/python -m compileall -q -j 0 -x '/tests/' $(VENV)/lib >/dev/null || true

.PHONY: run setup test test-ops pytest lint style types triton samples proto proto-release zoo bench bench-accuracy bench-live load trust-load chaos \
  soak fuzz images lock clean
.DEFAULT_GOAL := run

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[runtime]'
	$(COMPILE)
	touch $@

$(VENV)/.all: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[runtime,export,batch,compare,dev]'
	$(COMPILE)
	touch $@ $(VENV)/.runtime

run: $(VENV)/.runtime
	$(BIN)/glimpse serve --demo samples/positive.mp4

setup: $(VENV)/.all

lint: style types

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: setup
	$(BIN)/mypy

# Tests wait for services now and then: types are checked meanwhile, in one process, since mypy gives up workers that do
# not start within seconds.
test: style
	$(MAKE) --jobs 2 types pytest

# Three for two cores, for the same reason. Processes that tests start, by the hundred, would compile what they import
# anew each time.
pytest: setup
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations 15

# What needs tools of the system: images are built and run (as root, with buildah, podman and debootstrap).
test-ops: setup $(VENV)/.ray
	$(BIN)/python -m pytest tests/ops -m ops --timeout 1500 --durations 15

triton: $(VENV)/.runtime
	$(BIN)/glimpse triton

samples: setup
	$(BIN)/glimpse-export synthesize samples --kind clips

proto: setup
	PATH=$(BIN):$$PATH $(BIN)/python -m grpc_tools.protoc -Iproto --python_out=stubs --grpc_python_out=stubs \
	  --mypy_out=stubs --mypy_grpc_out=stubs proto/glimpse/v1/micro_expressions.proto

# What clients may rely on from now on: tests refuse a change that breaks it.
proto-release: setup
	$(BIN)/buf lint
	$(BIN)/buf build --exclude-source-info -o proto/v1.binpb

# What of the chart is written from settings and values.
.PHONY: chart
chart: setup
	$(BIN)/python -m helm.settings_schema
	$(BIN)/python -m helm.readme

zoo: setup
	$(BIN)/glimpse-export zoo

bench: setup
	$(BIN)/python -m bench.decode
	$(BIN)/python -m bench.align
	$(BIN)/python -m bench.flow
	$(BIN)/python -m bench.pipeline

bench-accuracy: setup
	$(BIN)/python -m bench.accuracy
	$(BIN)/python -m bench.rendered

# The ten minutes of the soak included, it takes about twenty.
bench-live: setup
	$(BIN)/python -m bench.live --only throughput --only delay --only soak

$(VENV)/.ray: pyproject.toml constraints.txt | $(VENV)/.all
	$(INSTALL) '.[runtime,ray]'
	touch $@

$(VENV)/.bench: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[runtime,bench]'
	touch $@

load: setup $(VENV)/.bench
	$(BIN)/python -m bench.live --only load

# Sixty-four clients for five minutes, then a flood beside a polite tenant: about fourteen minutes.
trust-load: setup
	$(BIN)/python -m bench.trust_load
	$(BIN)/python -m bench.trust_load --tenants --seconds 180

chaos: setup
	$(BIN)/python -m bench.chaos_workers
	$(BIN)/python -m bench.chaos_triton

# Ten minutes of everything at once.
soak: setup
	$(BIN)/python -m bench.soak

# Twenty thousand requests that are wrong, in about fifteen minutes; what is new is kept in tests/corpus.
fuzz: setup
	EXAMPLES=1000 $(BIN)/python -m pytest tests/end_to_end/test_schema.py
	$(BIN)/python -m bench.fuzz --grow

# DOCKER is the builder of images: docker, podman or buildah.
DOCKER ?= docker
VERSION = $$(sed -n 's/^__version__ = "\(.*\)"/\1/p' server/__init__.py)
images:
	for target in gateway exporter triton; do \
	  $(DOCKER) build --target $$target --tag glimpse-$$target:$(VERSION) \
	    --build-arg VERSION=$(VERSION) \
	    --build-arg REVISION=$$(git rev-parse HEAD) --build-arg SOURCE="$(SOURCE)" \
	    $(if $(BASE_DIGEST),--build-arg BASE_DIGEST=@$(BASE_DIGEST)) $(if $(TRITON_IMAGE),--build-arg TRITON_IMAGE=$(TRITON_IMAGE)) \
	    . || exit 1; \
	done

# The documentation as a site, in build/site. A link that leads nowhere is an error.
.PHONY: docs screens
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# Pictures of the page in each of its states, docs/screens/.
screens: setup
	$(BIN)/python -m bench.screens

# What the images install: every package, with the hashes of its files. Wheels of torch come from a page of PyTorch.
TORCH_WHEELS ?= https://download.pytorch.org/whl/cpu/torch/
LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11 \
  --python-platform linux --constraint constraints.txt
lock: setup
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' | \
	  $(LOCK) - -o requirements/build.txt
	$(LOCK) pyproject.toml --extra runtime -o requirements/gateway.txt
	$(LOCK) pyproject.toml --extra runtime --extra export --find-links $(TORCH_WHEELS) -o requirements/exporter.txt
	$(LOCK) pyproject.toml --extra runtime --extra export --extra dev --find-links $(TORCH_WHEELS) \
	  -o requirements/test.txt

clean:
	rm -rf $(VENV) .triton build dist *.egg-info
