# Everything a developer or a pipeline runs. Each target does the set-up it needs, and nothing twice.
#
#   PYTHON=python3.12      interpreter of the virtual environment (default: the first fitting one of 3.11 to 3.13)
#   TORCH_INDEX=URL        package index to take torch from, for a build without CUDA for instance
#   PYTEST_ARGS='-k name'  further arguments of pytest
#   TEST_PROCESSES=2        that run the tests, each with a Triton of its own
#   BENCH_ARGS=--cores=1    further arguments of the benchmark
#   STUDY_ARGS=--tasks=20   further arguments of the study
#   SOAK_ARGS=--minutes=60  further arguments of the soak
#   FACES=DIR               real face networks, for test-real
#   COMFYUI=DIR             ComfyUI, for test-comfyui

TEST_PROCESSES ?= 2

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
RUN := $(VENV)/bin/python
BUILD := .build
CHECKPOINT := studio_mini/checkpoint
MODELS := $(BUILD)/model_repository
PROTOS := $(shell find protos -name '*.proto' 2>/dev/null)

# A stamp lies inside what it vouches for, so that removing that removes the stamp, and is written last. The exporter
# writes the manifest, and puts a repository in its place only when all of it stands.
PACKAGES_STAMP := $(VENV)/.installed
MODELS_STAMP := $(MODELS)/manifest.json
TYPESCRIPT := $(BUILD)/typescript
TYPESCRIPT_STAMP := $(TYPESCRIPT)/.built
ENGINES_STAMP := $(VENV)/.engines-installed

# Versions are written down once, where the code that depends on them reads them.
TORCH := $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml | head -n 1)
TRITON_WHEEL := $(shell sed -n 's/^WHEEL = "\(.*\)"/\1/p;s/^WHEEL_VERSION = "\(.*\)"/==\1/p' \
	server/eacps/triton/installation.py | tr -d '\n')

# What the built model repository depends on; the code that trains studio-mini does not count, its checkpoint does.
MODEL_SOURCES := $(shell find export server/eacps/models server/eacps/tensors.py model_repository \
	-type f -not -name '*.pyc' 2>/dev/null) \
	$(shell find $(CHECKPOINT) -type f 2>/dev/null)

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-18s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: $(MODELS_STAMP) ## Search on bundled pictures and write out/demo
	$(RUN) -m eacps demo --out out/demo

.PHONY: studio
studio: $(MODELS_STAMP) ## Open the studio in the browser on the bundled pictures
	$(RUN) -m eacps studio

.PHONY: test
test: $(MODELS_STAMP) $(ENGINES_STAMP) $(TYPESCRIPT_STAMP) ## Run the tests
	$(RUN) -m pytest --ignore=tests/real --numprocesses $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

.PHONY: test-faults
test-faults: $(MODELS_STAMP) ## Kill servers and Tritons at many more random moments than make test does
	EACPS_FAULTS=20 $(RUN) -m pytest --timeout 600 tests/faults tests/durable/test_engine.py tests/evaluation/test_resume.py $(PYTEST_ARGS)

.PHONY: test-engines
test-engines: $(MODELS_STAMP) $(ENGINES_STAMP) ## Build every engine by TensorRT for RTX, without a GPU, and write out/engines.md
	$(RUN) -m pytest -m engines --timeout 3600 tests/engines $(PYTEST_ARGS)
	@cat out/engines.md

.PHONY: test-real
test-real: $(MODELS_STAMP) ## Run real face networks from FACES=DIR on real photographs, against insightface itself
	@[ -d "$${FACES-}" ] || { echo 'say where they are: make test-real FACES=DIR' >&2; exit 2; }
	EACPS_REAL_FACES="$$(realpath "$$FACES")" $(RUN) -m pytest tests/real $(PYTEST_ARGS)

.PHONY: test-comfyui
test-comfyui: $(PACKAGES_STAMP) ## Run the nodes in ComfyUI itself, from COMFYUI=DIR, whose requirements are installed
	@[ -d "$${COMFYUI-}" ] || { echo 'say where it is: make test-comfyui COMFYUI=DIR' >&2; exit 2; }
	EACPS_COMFYUI="$$(realpath "$$COMFYUI")" $(RUN) -m pytest tests/integrations/test_in_comfyui.py $(PYTEST_ARGS)

.PHONY: check
check: $(PACKAGES_STAMP) $(TYPESCRIPT_STAMP) ## Lint, check types, protos, stubs, container files, manifests and documentation
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy server/eacps export studio_mini studies benchmarks docs integrations
	rm -rf $(BUILD)/protos && mkdir -p $(BUILD)/protos
	$(call generate_stubs,$(BUILD)/protos)
	$(call describe_api,$(BUILD)/protos/eacps.binpb)
	diff -r -x __init__.py -x __pycache__ $(BUILD)/protos/eacps/v1 server/eacps/v1 \
		&& cmp $(BUILD)/protos/eacps.binpb $(DESCRIPTORS) \
		|| { echo 'generated stubs are stale: run make proto' >&2; exit 1; }
	$(VENV)/bin/hadolint docker/*.Dockerfile
	$(RUN) -m check_jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(RUN) -m kubernetes_validate --strict --quiet \
		$(filter-out %/kustomization.yaml %/monitoring.yaml,$(wildcard deploy/kubernetes/*.yaml))
	$(RUN) -m grpc_tools.protoc $(PROTO_PATHS) --include_imports --include_source_info \
		--descriptor_set_out=$(BUILD)/protos/commented.binpb $(PROTOS)
	$(VENV)/bin/buf lint $(BUILD)/protos/commented.binpb --config buf.yaml --path eacps
	$(VENV)/bin/buf breaking $(BUILD)/protos/commented.binpb --against protos/released.binpb --path eacps
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet

.PHONY: docs
docs: $(PACKAGES_STAMP) ## Build the documentation into out/docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build

.PHONY: bench
bench: $(MODELS_STAMP) ## Measure throughput and write out/bench
	$(RUN) -m benchmarks.throughput $(BENCH_ARGS)

.PHONY: bench-load
bench-load: $(PACKAGES_STAMP) ## Measure what a candidate costs the search server itself and write out/load_table
	$(RUN) -m benchmarks.load_table $(BENCH_ARGS)

.PHONY: soak
soak: $(MODELS_STAMP) ## Load a server for ten minutes, with faults, and write out/soak
	$(RUN) -m benchmarks.soak $(SOAK_ARGS)

.PHONY: study
study: $(MODELS_STAMP) ## Compare search strategies and write docs/study
	$(RUN) -m studies $(STUDY_ARGS)

.PHONY: proto
proto: $(PACKAGES_STAMP) ## Generate the gRPC stubs in server/eacps/v1 and docker/eacps.binpb from protos/
	rm -f server/eacps/v1/*_pb2.py server/eacps/v1/*_pb2.pyi server/eacps/v1/*_pb2_grpc.py
	$(call generate_stubs,server)
	$(call describe_api,$(DESCRIPTORS))

.PHONY: typescript-client
typescript-client: $(TYPESCRIPT_STAMP) ## Generate and compile the TypeScript client that the tests run

# Go's module proxy is not needed: Debian packages the generators and the libraries.
GO_PACKAGES := golang-go protoc-gen-go protoc-gen-go-grpc golang-google-grpc-dev golang-google-protobuf-dev \
	golang-google-genproto-dev
GO_LIBRARIES := /usr/share/gocode

.PHONY: go-packages
go-packages:
	@echo $(GO_PACKAGES)

.PHONY: go-client
go-client: $(PACKAGES_STAMP) ## Generate and compile a Go client with Debian's packages of Go, which check does without
	@for tool in go protoc-gen-go protoc-gen-go-grpc; do command -v $$tool >/dev/null \
		|| { echo "$$tool is not here: sudo apt-get install -y $(GO_PACKAGES)" >&2; exit 2; }; done
	@rm -rf $(BUILD)/go && mkdir -p $(BUILD)/go/src
	$(RUN) -m grpc_tools.protoc $(PROTO_PATHS) --go_out=$(BUILD)/go/src --go-grpc_out=$(BUILD)/go/src $(PROTOS)
	GO111MODULE=off GOPATH=$(CURDIR)/$(BUILD)/go:$(GO_LIBRARIES) go vet eacps/v1

.PHONY: install
install: $(PACKAGES_STAMP) ## Make the virtual environment and install everything into it

.PHONY: model-repository
model-repository: $(MODELS_STAMP) ## Build the model repository from the studio-mini checkpoint

# Google's own protos, which annotate ours, come with a package.
GOOGLEAPIS = $(shell $(RUN) -c 'import google.rpc.status_pb2 as m, pathlib; print(pathlib.Path(m.__file__).parents[2])')
PROTO_PATHS = --proto_path=protos --proto_path=$(GOOGLEAPIS)

generate_stubs = $(RUN) -m grpc_tools.protoc $(PROTO_PATHS) \
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
	$(RUN) -m pip install --no-input --editable '.[export,gemini,http,mcp,otlp,parquet,studio,study,triton,dev]'
	$(RUN) -m pip install --no-input --no-deps $(TRITON_WHEEL)
	@rm $(VENV)/.incomplete
	@touch $@

# Only tests need it: `make demo` does without.
$(ENGINES_STAMP): $(PACKAGES_STAMP)
	@echo '==> TensorRT for RTX'
	$(RUN) -m pip install --no-input --editable '.[engines]'
	@touch $@

# What Envoy needs to know of the API, and of the details of its errors.
DESCRIPTORS := docker/eacps.binpb
describe_api = $(RUN) -m grpc_tools.protoc $(PROTO_PATHS) --include_imports --descriptor_set_out=$(1) \
	$(PROTOS) google/rpc/error_details.proto google/rpc/status.proto

# Node comes with the packages, so that a client in another language is compiled wherever the tests run.
$(TYPESCRIPT_STAMP): export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
$(TYPESCRIPT_STAMP): $(PROTOS) $(shell find tests/typescript -type f 2>/dev/null) | $(PACKAGES_STAMP)
	@echo '==> TypeScript client'
	@rm -rf $(TYPESCRIPT) && mkdir -p $(TYPESCRIPT)/gen && cp -r tests/typescript/. $(TYPESCRIPT)
	@cd $(TYPESCRIPT) && npm ci --ignore-scripts --loglevel=error
	@$(RUN) -m grpc_tools.protoc $(PROTO_PATHS) \
		--plugin=$(TYPESCRIPT)/node_modules/.bin/protoc-gen-es --es_out=$(TYPESCRIPT)/gen \
		--es_opt=target=ts,import_extension=js $(PROTOS:protos/%=%) google/rpc/error_details.proto \
		google/api/annotations.proto google/api/http.proto
	@cd $(TYPESCRIPT) && node_modules/.bin/tsc
	@touch $@

$(MODELS_STAMP): $(MODEL_SOURCES) | $(PACKAGES_STAMP)
	@echo '==> model repository'
	$(RUN) -m export --checkpoint $(CHECKPOINT) --target embedded --output $(MODELS)
	@touch $@
