# Everything a developer or a pipeline runs. Each target does the set-up it needs, and nothing twice.
#
#   PYTHON=python3.12      interpreter of the virtual environment (default: the first fitting one of 3.11 to 3.13)
#   TORCH_INDEX=URL        package index to take torch from, for a build without CUDA for instance
#   PYTEST_ARGS='-k name'  further arguments of pytest
#   TEST_PROCESSES=2        that run the tests, each with a Triton of its own
#   BENCH_ARGS=--cores=1    further arguments of the benchmark
#   STUDY_ARGS=--tasks=20   further arguments of the study
#   SOAK_ARGS=--minutes=60  further arguments of the soak

TEST_PROCESSES ?= 2

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
RUN := $(VENV)/bin/python
BUILD := .build
CHECKPOINT := export/studio_mini/checkpoint
MODELS := $(BUILD)/model_repository
PROTOS := $(shell find protos -name '*.proto' 2>/dev/null)

# A stamp lies inside what it vouches for, so that removing that removes the stamp, and is written last. The exporter
# writes the manifest, and puts a repository in its place only when all of it stands.
PACKAGES_STAMP := $(VENV)/.installed
MODELS_STAMP := $(MODELS)/manifest.json

# Versions are written down once, where the code that depends on them reads them.
TORCH := $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml | head -n 1)
TRITON_WHEEL := $(shell sed -n 's/^WHEEL = "\(.*\)"/\1/p;s/^WHEEL_VERSION = "\(.*\)"/==\1/p' \
	server/eacps/triton/installation.py | tr -d '\n')

# What the built model repository depends on; the code that trains studio-mini does not count, its checkpoint does.
MODEL_SOURCES := $(shell find export server/eacps/models server/eacps/tensors.py model_repository \
	-path export/studio_mini -prune -o -type f -not -name '*.pyc' -print 2>/dev/null) \
	$(shell find $(CHECKPOINT) -type f 2>/dev/null)

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-18s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: $(MODELS_STAMP) ## Search on bundled pictures and write out/demo
	$(VENV)/bin/eacps demo --out out/demo

.PHONY: test
test: $(MODELS_STAMP) ## Run the tests
	$(RUN) -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

.PHONY: test-faults
test-faults: $(MODELS_STAMP) ## Kill servers and Tritons at many more random moments than make test does
	EACPS_FAULTS=20 $(RUN) -m pytest --timeout 600 tests/faults $(PYTEST_ARGS)

.PHONY: check
check: $(PACKAGES_STAMP) ## Lint, check types and container files, and that the API is clean and its stubs fresh
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy server/eacps
	rm -rf $(BUILD)/protos && mkdir -p $(BUILD)/protos
	$(call generate_stubs,$(BUILD)/protos)
	diff -r -x __init__.py -x __pycache__ $(BUILD)/protos/eacps/v1 server/eacps/v1 \
		|| { echo 'generated stubs are stale: run make proto' >&2; exit 1; }
	$(VENV)/bin/hadolint docker/*.Dockerfile
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(VENV)/bin/buf lint
	$(VENV)/bin/buf breaking --against protos/released.binpb

.PHONY: bench
bench: $(MODELS_STAMP) ## Measure throughput and write out/bench
	$(RUN) -m benchmarks.throughput $(BENCH_ARGS)

.PHONY: soak
soak: $(MODELS_STAMP) ## Load a server for ten minutes, with faults, and write out/soak
	$(RUN) -m benchmarks.soak $(SOAK_ARGS)

.PHONY: study
study: $(MODELS_STAMP) ## Compare search strategies and write docs/study
	$(RUN) -m studies $(STUDY_ARGS)

.PHONY: proto
proto: $(PACKAGES_STAMP) ## Generate the gRPC stubs in server/eacps/v1 from protos/
	rm -f server/eacps/v1/*_pb2.py server/eacps/v1/*_pb2.pyi server/eacps/v1/*_pb2_grpc.py
	$(call generate_stubs,server)

.PHONY: install
install: $(PACKAGES_STAMP) ## Make the virtual environment and install everything into it

.PHONY: model-repository
model-repository: $(MODELS_STAMP) ## Build the model repository from the studio-mini checkpoint

generate_stubs = $(RUN) -m grpc_tools.protoc --proto_path=protos \
	--python_out=$(1) --pyi_out=$(1) --grpc_python_out=$(1) $(PROTOS)

# The first interpreter that can make virtual environments and has its shared library beside it (the Python models in
# Triton need that); failing that, the first that can make virtual environments, whose lack is then named.
PYTHON_CANDIDATES = $(or $(PYTHON),python3.11 python3.12 python3.13 python3)
find_python = usable=; for candidate in $(PYTHON_CANDIDATES); do \
	$$candidate -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		2>/dev/null || continue; \
	usable=$${usable:-$$candidate}; \
	if $$candidate -I -S server/eacps/triton/installation.py 2>/dev/null; then usable=$$candidate; break; fi; \
	done; \
	if [ -z "$$usable" ]; then \
		echo 'no Python 3.11 to 3.13 here that can make virtual environments (tried: $(PYTHON_CANDIDATES))' >&2; \
		echo '    mend it with: sudo apt-get install -y python3 python3-venv' >&2; exit 1; fi

# While packages are being installed the environment carries a mark; one that still carries it was interrupted and is
# made anew.
$(PACKAGES_STAMP): pyproject.toml
	@if [ -e $(VENV)/.incomplete ] || ! $(RUN) -m pip --version >/dev/null 2>&1; then \
		$(find_python); \
		echo "==> virtual environment of $$($$usable --version)"; \
		rm -rf $(VENV); mkdir $(VENV); touch $(VENV)/.incomplete; \
		$$usable -m venv $(VENV); \
	fi
	@touch $(VENV)/.incomplete
	@$(RUN) -I -S server/eacps/triton/installation.py
	@echo '==> packages'
	$(RUN) -m pip install --no-input $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(RUN) -m pip install --no-input --editable '.[export,gemini,otlp,study,triton,dev]'
	$(RUN) -m pip install --no-input --no-deps $(TRITON_WHEEL)
	@rm $(VENV)/.incomplete
	@touch $@

$(MODELS_STAMP): $(MODEL_SOURCES) | $(PACKAGES_STAMP)
	@echo '==> model repository'
	$(RUN) -m export --checkpoint $(CHECKPOINT) --target embedded --output $(MODELS)
	@touch $@
