# Everything a developer types. `make help` explains each target.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check install
TORCH := -r requirements/torch-version.txt
SHARED ?= ../shared
VERSION := $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q;}' pyproject.toml)
# A released version, whose heading is in CHANGELOG.md, is in use: what is delivered under its number never changes again.
UNRELEASED := $(shell grep -qE '^.. $(VERSION)( |$$)' CHANGELOG.md || echo $(VERSION))

.DEFAULT_GOAL := help
.PHONY: help run test test-fast test-cluster mutants cases lint format golden docs lock bench images test-images manifests clean

help: ## Show all targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/local.stamp ## Train, publish and serve a churn model on real data, end to end.
	@$(BIN)/stagewright demo

test: $(VENV)/dev.stamp ## Run every test.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/dev.stamp ## Run the tests that take less than ten seconds each.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-cluster: $(VENV)/dev.stamp ## Test manifests and deployment on a real API server, from KUBEBUILDER_ASSETS or SHARED/bin.
	SHARED=$(SHARED) $(BIN)/python -m pytest tests/cluster

mutants: $(VENV)/dev.stamp build/mutation/cosmic_ray ## Change the modules that decide, one place at a time, and count what their tests notice; ARGS="--module parity".
	PYTHONPATH=build/mutation:tests $(BIN)/python -m mutation $(ARGS)

cases: $(VENV)/dev.stamp ## Run every case of SHARED/cases and compare its output with the expected output.
	SHARED=$(SHARED) $(BIN)/python -m pytest tests/cases

images: $(VENV)/dev.stamp ## Build the CPU images; show their sizes and build times.
	@images/docker start >/dev/null
	$(BIN)/python images/build.py

test-images: $(VENV)/dev.stamp ## Build the images and test them with a complete run; starts Docker if necessary.
	images/test

lint: $(VENV)/dev.stamp ## Check style, types, layers, plain English, and that generated files are up to date.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p stagewright.components -p stagewright.pipelines
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m stagewright.pipelines.tooling.docs --check
	$(BIN)/python -m stagewright.pipelines.tooling.wordlist

format: $(VENV)/dev.stamp ## Format the code and apply automatic fixes.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: $(VENV)/dev.stamp ## Compile the pipelines again, including the delivered ones of an unreleased version.
	$(BIN)/stagewright compile --output pipelines/compiled --profile default
ifneq ($(UNRELEASED),)
	$(BIN)/stagewright compile --format kubernetes --profile production --registry registry.example.com/ml --tag $(UNRELEASED) \
	  --output manifests/gitops/pipelines/versions/$(UNRELEASED)
endif

docs: $(VENV)/dev.stamp ## Generate the pages of pipelines and components.
	$(BIN)/python -m stagewright.pipelines.tooling.docs

bench: $(VENV)/dev.stamp ## Measure the overhead of a step and of imports.
	$(BIN)/python benchmarks/overhead.py

manifests: $(VENV)/dev.stamp ## Render every manifest, and validate it and the compiled pipelines against the real schemas in SHARED.
	rm -rf build/manifests
	$(BIN)/python -m stagewright.pipelines.tooling.examples --check
	$(BIN)/stagewright compile --output build/manifests/compiled --format kubernetes
	@for file in $$(grep -rlx --include=kustomization.yaml 'kind: Kustomization' manifests | sort); do \
	  folder=$${file%/kustomization.yaml}; \
	  $(BIN)/kubectl kustomize $$folder > build/manifests/$$(echo $${folder#manifests/} | tr / -).yaml || exit 1; \
	done
	$(BIN)/python $(SHARED)/tools/validate_manifests.py --crds $(SHARED)/crds build/manifests

lock: $(VENV)/dev.stamp ## Resolve the lock files again.
	PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock

clean: ## Remove build outputs; the virtual environment and local services are kept.
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; set PYTHON=/path/to/python" >&2; exit 2; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)

build/mutation/cosmic_ray: tests/mutation/requirements.txt | $(BIN)/python
	@$(PIP) --no-deps --require-hashes --upgrade --target build/mutation -r $<
	@touch $@

$(VENV)/local.stamp: requirements/local.txt pyproject.toml $(COMPILED) | $(BIN)/python
	@echo "Installing (about a minute, once) ..."
	@$(PIP) --no-deps --require-hashes -r requirements/local.txt
	@$(PIP) --no-deps --editable .
	@touch $@

# torch and torchvision are outside the locks: their builds, and so their hashes, differ from one machine to another.
$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml $(COMPILED) | $(BIN)/python
	@echo "Installing everything that development needs (two minutes, once) ..."
	@$(PIP) --no-deps --require-hashes -r requirements/dev.txt
	@$(PIP) $(TORCH)
	@$(PIP) --no-deps --editable .
	@touch $@ $(VENV)/local.stamp
