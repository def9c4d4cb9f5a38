# Everything that contributors and CI call. `make` alone lists it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BUILD  := build

SITE_PACKAGES = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
PROTOS        = $(wildcard protos/clipper/v1/*.proto)
PROTOC        = PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos
# What the contracts import travels with them, as the pinned googleapis-common-protos has it.
IMPORTED      = $(patsubst protos/%,%,$(wildcard protos/google/*/*.proto))
# $(1): where the generated code goes.
GENERATE      = $(PROTOC) --python_out=$(1) --grpc_python_out=$(1) \
                --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(PROTOS)

# What `make run` and what development need on top of the services; a change of the pins installs again.
LOCAL := $(VENV)/.installed-local
DEV   := $(VENV)/.installed-dev
PINS  := pyproject.toml requirements.lock

# Where the fuzzing of `make chaos` begins.
SEED := $(shell date +%s)
# What `make test-frameworks` installs, up to a gigabyte each, in this order; languages are C++, Java and Node.
FRAMEWORKS := languages lightgbm pytorch
# How long `make soak` takes.
MINUTES := 30

DEMO_PACKAGES := scikit-learn==1.9.1

# The images that Clipper's stand on: the environment's, else the stand-ins that were built here, else the defaults.
ifeq ($(BASE_IMAGE),)
-include $(BUILD)/images.env
endif
BASE_IMAGES := $(foreach image,BASE_IMAGE REDIS_IMAGE ENVOY_IMAGE PROMETHEUS_IMAGE,$(if $($(image)),$(image)))
ifneq ($(BASE_IMAGES),)
export $(BASE_IMAGES)
endif
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# $(1): an image and its target's name; $(2): its tag.
BUILD_IMAGE = docker build --file deploy/images/Dockerfile --target $(1) --tag clipper/$(1):$(2) \
              $(foreach image,$(BASE_IMAGES),--build-arg $(image)) . > $(BUILD)/images.log 2>&1 \
              || { cat $(BUILD)/images.log; exit 1; }

# What is started here is asked directly, whatever proxies the environment names for the rest of the world.
export no_proxy := 127.0.0.1,localhost,$(or $(no_proxy),$(NO_PROXY))

# The same sources are started by the hundred, and looked through by each of the processes that share the tests.
unexport PYTHONDONTWRITEBYTECODE

# Most tests wait for most of their time, so that more of them than there are processors may run side by side.
WORKERS      := 4
SIDE_BY_SIDE  = -n $(WORKERS) --no-loadscope-reorder

# Where those are that may not: whoever looks through all the other files for them finds none.
ALONE = $(shell grep -rl --include='test_*.py' --exclude-dir=slow 'pytest\.mark\.alone' tests)

.DEFAULT_GOAL := help
.PHONY: help install proto proto-check descriptor lint test test-all test-slow test-essential test-pythons test-cookbook test-frameworks test-without-docker chaos soak bench bench-slo bench-selection run images stand-ins stop clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(DEV) ## Install everything for development into .venv

proto: $(DEV) ## Generate the Python code of the contracts
	@echo "==> generating protos/gen"
	@$(foreach file,$(IMPORTED),cp "$(SITE_PACKAGES)/$(file)" protos/$(file) &&) true
	@$(call GENERATE,protos/gen)

proto-check: $(DEV) ## Fail when the generated code is not that of the contracts
	@echo "==> checking protos/gen against the contracts"
	@rm -rf $(BUILD)/gen && mkdir -p $(BUILD)/gen
	@$(call GENERATE,$(BUILD)/gen)
	@diff -r -x __pycache__ $(BUILD)/gen protos/gen || { echo "protos/gen is stale: run 'make proto'"; exit 1; }
	@$(foreach file,$(IMPORTED),cmp -s "$(SITE_PACKAGES)/$(file)" protos/$(file) || { echo "protos/$(file) is stale: run 'make proto'"; exit 1; } &&) true

descriptor: $(BUILD)/clipper.binpb ## Build the descriptor set that Envoy and buf read

$(BUILD)/clipper.binpb: $(PROTOS) $(DEV)
	@echo "==> building $@"
	@mkdir -p $(BUILD)
	@$(PROTOC) --include_imports --include_source_info --descriptor_set_out=$@ $(PROTOS) google/rpc/error_details.proto

lint: $(DEV) proto-check descriptor ## Check style, types, layers, contracts and Envoy's configuration
	@echo "==> ruff"
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@echo "==> mypy"
	@$(BIN)/mypy --no-error-summary .
	@echo "==> import layers"
	@$(BIN)/lint-imports --no-cache --no-logo > $(BUILD)/imports.txt || { cat $(BUILD)/imports.txt; exit 1; }
	@echo "==> buf"
	@$(BIN)/buf lint $(BUILD)/clipper.binpb --config protos/buf.yaml --path clipper
	@echo "==> envoy"
	@$(BIN)/python deploy/envoy/validate.py $(BUILD)/envoy

test: $(DEV) ## Run the tests
	@echo "==> pytest of what nothing else may disturb"
	@$(BIN)/pytest -m alone $(ALONE)
	@echo "==> pytest, $(WORKERS) tests side by side"
	@$(BIN)/pytest -m "not alone" $(SIDE_BY_SIDE)

test-slow: $(DEV) ## Cut the power, freeze services and paste README: what takes minutes by nature
	@echo "==> pytest of what is slow and nothing else may disturb"
	@$(BIN)/pytest tests/slow -m alone
	@echo "==> pytest of what else is slow, $(WORKERS) tests side by side"
	@$(BIN)/pytest tests/slow -m "not alone" $(SIDE_BY_SIDE)

test-essential: $(DEV) ## Of what is slow, a form of each promise that takes seconds, as .ci/run does
	@echo "==> pytest of what is slow, essential, and nothing else may disturb"
	@$(BIN)/pytest tests/slow -m "essential and alone"
	@echo "==> pytest of what else is slow and essential, $(WORKERS) tests side by side"
	@$(BIN)/pytest tests/slow -m "essential and not alone" $(SIDE_BY_SIDE)

chaos: $(DEV) ## Kill and freeze each part under traffic, and send 100,000 requests that are none (SEED=, WRITE=docs/reliability.md)
	@echo "==> faults and fuzzing, seed $(SEED)"
	@$(BIN)/pytest tests/chaos --timeout 3600 --fuzz-seed $(SEED) --fuzz-cases 100000 $(if $(WRITE),--write-tables $(WRITE))

soak: $(DEV) ## Keep a cluster busy for half an hour and see whether its memory is flat (MINUTES=, WRITE=1)
	@$(BIN)/python -m bench soak --seconds $$(($(MINUTES) * 60)) $(if $(WRITE),--write)

test-pythons: $(DEV) ## Install a wheel for every Python from 3.11 on that this machine has, and run the quick start on each
	@echo "==> pytest on every Python (the first time a minute or two each)"
	@$(BIN)/pytest tests/pythons

test-cookbook: $(DEV) ## Follow the pages of the cookbook that install most of a gigabyte
	@echo "==> pytest of PyTorch's pages"
	@$(BIN)/pytest tests/cookbook/test_torch_pages.py

test-frameworks: $(DEV) ## Build, train, deploy and ask in other languages and larger frameworks (FRAMEWORKS="lightgbm ...")
	@echo "==> pytest of $(FRAMEWORKS)"
	@$(BIN)/pytest $(FRAMEWORKS:%=tests/frameworks/test_%.py)

test-all: test-slow test-pythons test-cookbook test-frameworks test ## Run all of the tests

test-without-docker: $(DEV) ## Run the tests that know of Docker as on a machine without an engine
	@echo "==> pytest without a Docker engine"
	@env -u CLIPPER_REQUIRE_DOCKER DOCKER_HOST=unix:///nonexistent.sock $(BIN)/pytest -q -rfE tests/docker tests/unit/clipper_admin $(SIDE_BY_SIDE)

bench: $(DEV) ## Measure; see bench/README.md
	@$(BIN)/python -m bench floors

bench-slo: $(DEV) ## Measure what a latency objective brings, with real models
	@$(BIN)/python -m bench slo

bench-selection: $(DEV) ## Measure what several models behind one application bring
	@$(BIN)/python -m bench selection

run: $(LOCAL) ## Start a cluster here, deploy a digit classifier and ask it
	@echo "==> preparing the model's environment ($(DEMO_PACKAGES))"
	@python=$$($(BIN)/python -m clipper_admin environment $(DEMO_PACKAGES)) && \
	 echo "==> running examples/digits.py" && "$$python" examples/digits.py

images: ## Build the Docker images of the services
	@mkdir -p $(BUILD)
	@for target in query management edge; do \
	   echo "==> building clipper/$$target:$(VERSION)"; $(call BUILD_IMAGE,$$target,$(VERSION)); done
	@docker tag clipper/query:$(VERSION) clipper/query_frontend:$(VERSION)
	@docker tag clipper/management:$(VERSION) clipper/management_frontend:$(VERSION)
	@python=$$(docker run --rm --entrypoint python clipper/query:$(VERSION) \
	   -c 'import sys; print("py{}.{}".format(*sys.version_info))') && \
	 echo "==> building clipper/model-container:$(VERSION)-$$python" && { $(call BUILD_IMAGE,model-container,$(VERSION)-$$python); }

stand-ins: ## Build stand-ins for the images that ours stand on, where no registry can be reached
	@deploy/images/stand-ins.sh

stop: ## Stop the cluster that `make run` left running
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m clipper_admin stop; else echo "nothing is installed yet"; fi

clean: ## Remove what was built, installed and cached here
	@rm -rf $(VENV) $(BUILD) *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { echo "Python 3.11 or newer is needed; there is no $(PYTHON)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	 { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); try: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
	 { echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "==> making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV)

$(LOCAL): $(PINS) | $(BIN)/python
	@echo "==> installing what a local cluster needs (about a minute the first time)"
	@$(BIN)/pip install -qq --disable-pip-version-check -c requirements.lock -e '.[local,docker]'
	@touch $@

$(DEV): $(PINS) | $(BIN)/python
	@echo "==> installing what development needs (a few minutes the first time)"
	@$(BIN)/pip install -qq --disable-pip-version-check -c requirements.lock -e '.[local,docker,dev]'
	@touch $(LOCAL) $@
