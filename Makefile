# What can be done here; `make` alone explains. Everything is made by scripts/, which say more with --help or at their top.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

VENV := .venv/bin
CACHE := $(or $(VIDEOTASK_CACHE),$(HOME)/.cache/videotask-operator)
CODE := operator/src step_images/src emulators/src tests scripts
# Read by scripts/demo and scripts/film, whether they stand before `make` or after it.
export FULL PROVIDERS SCENES KEYS YES NAMESPACE GEMINI_BASE_URL KLING_BASE_URL ELEVENLABS_BASE_URL

.PHONY: help demo film test test-unit test-integration test-e2e sabotage mutation lint fmt lock benchmark setup cluster-up cluster-down clean

help: ## Explain what can be done here
	@echo 'videotask-operator: a VideoTask resource becomes a finished, narrated film.'
	@echo
	@echo 'First look, no cluster, no root, no keys:      make demo'
	@echo 'The real thing, on a cluster that it brings:   make film'
	@echo 'Everything proved, in one run:                 make test'
	@echo
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'
	@echo
	@echo 'Options: make demo FULL=1                      the house film: 22 images, 18 scenes'
	@echo '         make film SCENES=4                    only its first scenes'
	@echo '         make film PROVIDERS=real SCENES=1 KEYS=keys.env'
	@echo '                                               real providers: checks the keys, tells the price, asks first'
	@echo '         make test TESTS="-k approve"          further words for pytest'

demo: ## A film on this machine alone, in about two minutes
	@scripts/demo

film: ## A film on a real Kubernetes cluster, then the command that approves it
	@scripts/film

test: ## Unit, integration and e2e tests; brings up what they need (without a cluster: says so, runs the rest)
	@scripts/test all $(TESTS)

test-unit: ## Pure and instant tests
	@scripts/test unit $(TESTS)

test-integration: ## Tests on a real PostgreSQL, real HTTP and real FFmpeg
	@scripts/test integration $(TESTS)

test-e2e: ## Tests on a real cluster
	@scripts/test e2e $(TESTS)

sabotage: ## Break each promise in a copy and name the test that notices (ONLY=ledger JOBS=2; minutes)
	@scripts/sabotage $(if $(JOBS),-j $(JOBS)) $(foreach name,$(ONLY),--only $(name))

mutation: ## Change core, ledger, errors and prices bit by bit and name what no test notices (FULL=1: all of it)
	@scripts/mutation $(if $(FULL),--all) $(if $(JOBS),-j $(JOBS)) $(if $(ONLY),--only $(ONLY))

lint: setup ## Style, types, rooms and chart
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	MYPYPATH=scripts/lib $(VENV)/mypy -p film_making -p local_cluster -p local_images -p image_build -p sabotage -p mutation
	$(VENV)/lint-imports
	@helm=$$(command -v $(CACHE)/bin/helm || command -v helm || true); \
	if [ -n "$$helm" ]; then "$$helm" lint --strict charts/videotask-operator; \
	else echo 'make lint: helm is missing, so the chart was not looked at; `make cluster-up` brings it' >&2; exit 1; fi

fmt: setup ## Format the code and mend what can be mended without thinking
	$(VENV)/ruff check --fix-only --quiet .
	$(VENV)/ruff format .

lock: setup ## Resolve pyproject.toml anew into requirements/ (UPGRADE=1: newest versions)
	scripts/lock

benchmark: ## How long passes between two steps, and what the operator needs
	@scripts/test benchmark $(TESTS)

setup: ## .venv with everything a developer needs
	@scripts/venv dev

cluster-up: ## A Kubernetes cluster on this machine, with the images in it
	@scripts/cluster up
	@scripts/images

cluster-down: ## End that cluster and remove all it left
	@scripts/cluster down

clean: ## Remove what was built here; films and the cluster stay
	rm -rf .build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
