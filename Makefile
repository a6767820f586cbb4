# `make` sets up and reproduces the pipeline; `make test` sets up and runs every test; `make help` lists the rest.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# Another interpreter: make PYTHON=/path/to/python3.12
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
export PATH := $(BIN):$(PATH)
# uv installs into this one, and not into an environment that the caller has activated.
export VIRTUAL_ENV := $(VENV)
# Package caches are in an ignored folder of the repository, unless the caller sets another one.
export PIP_CACHE_DIR ?= $(CURDIR)/.artifact-flow/pip
export UV_CACHE_DIR ?= $(CURDIR)/.artifact-flow/uv
# Use the system's certificates, which include that of a proxy that inspects TLS; by default uv trusts only its own.
export UV_SYSTEM_CERTS ?= true
MODELS ?= model.onnx
FLOWS ?=
PIPELINES = $(if $(FLOWS),--all-pipelines)
MLFLOW_PORT ?= 5000
# The image: another engine, DOCKER=podman; another model, MODEL=flows/iris/model.onnx IMAGE=artifact-flow-iris
DOCKER ?= docker
IMAGE ?= artifact-flow
TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
MODEL ?= model.onnx
PORT ?= 8000
RETRIES ?= 10
TESTS ?=
COVERAGE ?=
WORKERS ?= 3
SET ?=
JOBS ?= 1
COMMIT ?= $(shell git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)

.PHONY: all setup install test test-slow aged wheel-test docs serve scale track register train train-no-registration mlflow sweep verify lint build-docker run-docker test-endpoint stop-docker push-docker lock bench pictures clean help

all: setup  ## set up, reproduce the pipeline, print the metrics
	dvc repro
	dvc metrics show

setup: $(VENV)/lean.stamp  ## create .venv with the packages for the pipeline and DVC, and tell git the merge drivers
	$(drivers)

install: $(VENV)/serve.stamp  ## create .venv with the packages for the service too

# Counting the lines that run takes nearly as long as the tests themselves
COUNTED := -p pytest_cov --cov --cov-append --cov-report=term
# Only the plugins that it uses: those of other packages take 3 s in each process
test: $(VENV)/dev.stamp  ## set up and run the tests, without the slow ones (TESTS="tests/unit -k split" selects some; COVERAGE=1 counts lines)
	@mkdir -p .artifact-flow
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 pytest -p xdist --numprocesses=$(WORKERS) --dist=worksteal --basetemp=.artifact-flow/pytest -rs \
		$(if $(COVERAGE),$(COUNTED)) $(or $(TESTS),-m "not slow")

test-slow:  ## set up and run the slow tests: whole reproductions, clusters, MLflow, servers under load
	$(MAKE) --no-print-directory test TESTS='-m slow'

aged: $(VENV)/dev.stamp  ## take projects with common changes through the whole pipeline (AGED="own-table no-flows" selects some)
	python tests/aged.py $(AGED)

# In an environment of its own with the wheel, and in a folder with the tests alone: src/ is not there to be imported
wheel-test: $(VENV)/dev.stamp  ## build the wheel and run the unit tests against it, without src/
	sh scripts/wheel_test.sh

docs: $(VENV)/docs.stamp  ## build the documentation as a site in .artifact-flow/site, without network access
	zensical build --strict
	@rm -rf .cache   # Zensical's; the build takes two seconds without it

serve: $(VENV)/serve.stamp  ## serve model.onnx on http://127.0.0.1:8000 (MODELS="a.onnx b.onnx" serves others)
	@[ -f model.onnx ] || dvc repro
	artifact-flow serve $(MODELS)

scale: $(VENV)/scale.stamp  ## create .venv with the packages for Dask clusters and object stores too

track: $(VENV)/track.stamp  ## reproduce, then log the result to MLflow (FLOWS="flows/iris flows/olivetti_faces" logs those)
	dvc repro $(PIPELINES)
	artifact-flow track $(FLOWS)

register: track  ## run track, then register the result as a model version with the alias challenger
	artifact-flow register $(FLOWS)

# Track either to the configured server, with a model version, or only to the database in this repository
train: register  ## reproduce, track, register

train-no-registration: export MLFLOW_TRACKING_URI :=
train-no-registration: track  ## reproduce, track in the repository's own database

# The same database and folder that runs go into when no server is configured
mlflow: $(VENV)/track.stamp  ## show the runs and models on http://127.0.0.1:5000 (MLFLOW_PORT=5001 uses another port)
	@mkdir -p .artifact-flow/mlflow
	MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server \
		--host 127.0.0.1 --port $(MLFLOW_PORT) --workers 1 --no-serve-artifacts \
		--backend-store-uri "sqlite:///$(CURDIR)/.artifact-flow/mlflow/mlflow.db" \
		--default-artifact-root "$(CURDIR)/.artifact-flow/mlflow/artifacts"

sweep: setup  ## try values of parameters as DVC experiments and compare them (SET="train.C=0.01,0.1,1" JOBS=2)
	@[ -n "$(SET)" ] || { echo "sweep needs parameters and values: make sweep SET=\"train.C=0.01,0.1,1 train.max_iter=100,1000\"" >&2; exit 1; }
	artifact-flow sweep $(foreach set,$(SET),'$(set)') --jobs $(JOBS)

verify: setup  ## reproduce this commit in clean clones and compare the bytes with dvc.lock
	artifact-flow verify

lint: $(VENV)/dev.stamp  ## ruff, mypy, import contracts, shell scripts, the image, params.yaml, workflows
	ruff check .
	ruff format --check .
	mypy
	lint-imports --cache-dir .artifact-flow/import-linter
	shellcheck .ci/run scripts/wheel_test.sh src/artifact_flow/core/stage.sh
	hadolint Dockerfile
	check-jsonschema --schemafile params.schema.json params.yaml
	check-jsonschema --builtin-schema vendor.compose-spec compose.yaml compose.team.yaml
	zizmor --offline --quiet .github
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

build-docker:  ## build the image of MODEL, with its hash and the commit in its labels
	@[ -f "$(MODEL)" ] || { echo "$(MODEL) does not exist: run 'dvc repro', which makes the models that dvc.yaml has stages for." >&2; exit 1; }
	$(DOCKER) build --build-arg MODEL="$(MODEL)" --build-arg COMMIT="$(COMMIT)" \
		--build-arg SHA256="$$(sha256sum < "$(MODEL)" | cut -c 1-64)" --tag "$(IMAGE):$(TAG)" .

run-docker:  ## run the image on http://127.0.0.1:8000 (PORT=8001 uses another port)
	$(DOCKER) run --detach --name "$(notdir $(IMAGE))" --publish "127.0.0.1:$(PORT):8000" --env ARTIFACT_FLOW_API_KEY \
		--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --memory 1g "$(IMAGE):$(TAG)"

test-endpoint:  ## request the prediction of the example row from the running service
	@curl --fail --silent --output /dev/null --retry $(RETRIES) --retry-delay 1 --retry-all-errors "http://127.0.0.1:$(PORT)/ready" || { \
		echo "no service is ready on port $(PORT): run 'make run-docker' to start it." >&2; exit 1; }
	@ask() { curl --fail-with-body --silent --show-error --header "X-API-Key: $$ARTIFACT_FLOW_API_KEY" "$$@"; }; \
		card=$$(ask "http://127.0.0.1:$(PORT)/model") && \
		row=$$(printf '%s' "$$card" | "$(PYTHON)" -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["example"]))') && \
		printf '%s' "$$row" | ask --header 'Content-Type: application/json' --data-binary @- "http://127.0.0.1:$(PORT)/predict" && echo

stop-docker:  ## stop the container after its requests in progress have finished, and remove it
	@$(DOCKER) stop -t 30 "$(notdir $(IMAGE))" && $(DOCKER) rm "$(notdir $(IMAGE))"

push-docker:  ## push the image to REGISTRY, under the commit it was built from
	@[ -n "$(REGISTRY)" ] || { echo "push-docker needs a registry: make push-docker REGISTRY=registry.example.org/team" >&2; exit 1; }
	@target="$(REGISTRY)/$(IMAGE):$$($(DOCKER) image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$(IMAGE):$(TAG)")" && \
		$(DOCKER) tag "$(IMAGE):$(TAG)" "$$target" && $(DOCKER) push "$$target"

bench: $(VENV)/dev.stamp  ## compare with other tools, and write docs/benchmarks.md and the README's figures (25 minutes; needs wrk)
	python -m benchmarks --write

pictures: $(VENV)/dev.stamp  ## redraw the README's pictures of the plots and the page (needs Chromium)
	python scripts/pictures.py
	python scripts/screenshot.py
	python scripts/compare.py

# One version per package for every supported Python; names, versions and hashes, no addresses.
LOCK := uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock"
lock: setup  ## resolve the locks in requirements/ again (UPGRADE=--upgrade allows newer versions)
	$(LOCK) $(UPGRADE) requirements/installers.in -o requirements/installers.txt
	$(LOCK) $(UPGRADE) pyproject.toml -o requirements/lean.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra dev --extra serve --extra track --extra scale --extra attest -c requirements/lean.txt -o requirements/dev.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra track -c requirements/dev.txt -o requirements/track.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra scale -c requirements/dev.txt -o requirements/scale.txt
	$(LOCK) $(UPGRADE) requirements/docs.in -c requirements/dev.txt -o requirements/docs.txt
	$(LOCK) $(UPGRADE) requirements/serve.in -c requirements/dev.txt -o requirements/serve.txt

clean:  ## remove .venv and every cache, never an output
	rm -rf .venv .artifact-flow .dvc/tmp

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 24

# uv installs the locked files. Where only pip knows the way to the registry (a mirror named in pip.conf), pip installs the same
# files. One package (antlr4) is built here: the lock constrains what builds it. Python compiles a module when it first imports
# it; to compile all of them takes 15 s, which pays only where Python must not write what it compiles.
define install
	@echo "installing $(1)"
	@uv pip install --quiet --require-hashes --build-constraints $(1) $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode) -r $(1) || \
		$(BIN)/pip install --quiet --require-hashes -r $(1)
endef

# Configure the merge driver that .gitattributes names, in this clone only. A folder without .git, as from an archive, is skipped.
# Linked worktrees share git's settings and not .venv: without one there, git keeps the file and reports a conflict.
MERGE_LOCK = if [ -x .venv/bin/artifact-flow ]; then .venv/bin/artifact-flow merge-lock %O %A %B %P; else \
	echo %P: not merged, because this worktree has no .venv: git merge --abort, make setup, then merge again. >&2; exit 1; fi
define drivers
	@[ ! -e .git ] || { git config merge.dvc-lock.name "dvc.lock, stage by stage" && \
		git config merge.dvc-lock.driver '$(MERGE_LOCK)' && \
		git config merge.dvc-output.name "outputs of the pipeline, as they are here" && \
		git config merge.dvc-output.driver true; }
endef

# The pip of $(PYTHON) installs pip and uv by their hashes. Where that has none, or one older than 22.3, venv brings its own, which
# takes 7 s more.
INSTALLERS := install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/installers.txt
$(VENV)/installers.stamp: requirements/installers.txt
ifeq ($(PYTHON),)
	@echo "artifact-flow needs Python 3.11 or newer; found: $$(python3 --version 2>&1 || true)." \
		"Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1
endif
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		"artifact-flow needs Python 3.11 or newer; PYTHON=$(PYTHON) is $$("$(PYTHON)" --version 2>&1 | tail -n 1)." >&2; exit 1; }
	@echo "creating $(VENV) with $$("$(PYTHON)" --version)"
	@python=$$("$(PYTHON)" -c 'import sys; print(sys._base_executable)') && "$$python" -m venv --clear --without-pip $(VENV) && { \
		"$$python" -m pip --python $(BIN)/python $(INSTALLERS) 2>/dev/null || \
		{ "$$python" -m venv --clear $(VENV) && $(BIN)/pip $(INSTALLERS); }; }
	@touch $@

$(VENV)/lean.stamp: $(VENV)/installers.stamp requirements/lean.txt pyproject.toml
	$(call install,requirements/lean.txt)
	@uv pip install --quiet --offline --no-deps --no-build-isolation --editable .
	@dvc config --local core.site_cache_dir "$(CURDIR)/.dvc/tmp/site-cache"
	$(drivers)
	@touch $@

$(VENV)/serve.stamp: $(VENV)/lean.stamp requirements/serve.txt
	$(call install,requirements/serve.txt)
	@touch $@

$(VENV)/track.stamp: $(VENV)/lean.stamp requirements/track.txt
	$(call install,requirements/track.txt)
	@touch $@

$(VENV)/scale.stamp: $(VENV)/lean.stamp requirements/scale.txt
	$(call install,requirements/scale.txt)
	@touch $@

$(VENV)/docs.stamp: $(VENV)/lean.stamp requirements/docs.txt
	$(call install,requirements/docs.txt)
	@touch $@

$(VENV)/dev.stamp: $(VENV)/lean.stamp requirements/dev.txt
	$(call install,requirements/dev.txt)
	@touch $@
