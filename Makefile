# One command each: `make` alone lists them. Everything is installed into .venv, nothing elsewhere.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
PYTEST_ARGS ?=
NAME ?=
VERSION ?=
# A remark about versions of MkDocs that are none of ours.
export NO_MKDOCS_2_WARNING := 1
# pytest keeps the tests as it compiled them: doing that anew takes each process five seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run stop status test check ci bench kubernetes test-kubernetes linters test-cluster docs sbom

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(LOCK_STAMP) ## Install what is locked, start the portal, stay in the foreground
	@exec $(BIN)/python -m astro_portal.launcher run

stop: $(LOCK_STAMP) ## Stop the portal, every Airflow and the services
	@exec $(BIN)/python -m astro_portal.launcher stop

status: $(LOCK_STAMP) ## Say what runs
	@$(BIN)/python -m astro_portal.launcher status || [ $$? = 3 ]

test: $(DEV_STAMP) ## Run all tests; PYTEST_ARGS="-k name" passes arguments on
	@if [ -n "$(PYTEST_ARGS)" ]; then $(BIN)/pytest $(PYTEST_ARGS); else $(BIN)/python -m tests.stages test; fi

kubernetes: $(DEV_STAMP) ## Build the control plane that tests use, once (needs Go)
	@KUBERNETES_VERSION="$(VERSION)" $(BIN)/python -m tests.kubernetes.assets

test-kubernetes: kubernetes ## Test on a control plane of another minor: VERSION=1.33 (needs Go)
	@KUBERNETES_VERSION="$(VERSION)" $(BIN)/pytest tests/kubernetes -q -n 0 -p no:randomly $(PYTEST_ARGS)

linters: $(DEV_STAMP) ## Get kube-score and checkov, which look at manifests, once (needs Go)
	@$(BIN)/python -m tests.deploy_manifests.linters

test-cluster: $(DEV_STAMP) ## Test on a real Kubernetes node with KEDA and Airflow (root on Debian, Go)
	@$(BIN)/python -m tests.cluster test $(PYTEST_ARGS)

check: $(DEV_STAMP) ## Format, lint, types, imports, dependencies, migrations, docs and the fast tests of what changed
	@PYTEST_ARGS="$(PYTEST_ARGS)" $(BIN)/python -m tests.stages check

ci: $(DEV_STAMP) ## Check and test everything, and name the tests that are flaky
	@$(BIN)/python -m tests.stages ci

docs: $(DEV_STAMP) ## Build the documentation into build/docs, and check its links
	$(BIN)/mkdocs build --strict --quiet

sbom: $(DEV_STAMP) ## Write what a release consists of to build/sbom.json (CycloneDX)
	@mkdir -p build
	@# A lock file has no graph of who needs whom, which is warned about.
	PYTHONWARNINGS=ignore::UserWarning $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
		--output-reproducible --output-file build/sbom.json requirements.lock

bench: $(DEV_STAMP) ## Measure on a quiet machine; NAME=one measures one, NAME=report writes the page
	@$(BIN)/python -m bench $(NAME)

# Both stamps name what .venv holds now: installing one set makes the other stale, except that the
# development set contains the other.
$(LOCK_STAMP): requirements.lock requirements/uv.txt
	@if [ -f $(DEV_STAMP) ]; then $(MAKE) --no-print-directory $(DEV_STAMP); \
	else PYTHON="$(PYTHON)" sh requirements/install.sh requirements.lock; fi
	@touch $@

$(DEV_STAMP): requirements-dev.lock requirements/uv.txt
	@PYTHON="$(PYTHON)" sh requirements/install.sh requirements-dev.lock
	@touch $@ $(LOCK_STAMP)
