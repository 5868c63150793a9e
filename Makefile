# The front door. `make help` lists what it can do; every target sets up what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

# Every environment is built anew from a lock that names each file by its hash. There is no resolver in it (--no-deps), no
# build tool that the lock does not name (--no-build-isolation), and what a pip or uv setting could decide is neutral;
# where files come from stays the user's choice, as their hashes are checked. INSTALLER=pip does without uv.
INSTALLER ?= uv
PIP = PIP_CONSTRAINT=/dev/null PIP_USER=0 PIP_PRE=0 PIP_NO_BINARY=:none: PIP_ONLY_BINARY=:none: \
	env -u PIP_BUILD_CONSTRAINT -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT -u PIP_REQUIREMENT -u PIP_DRY_RUN \
	$1/bin/python -I -m pip --disable-pip-version-check
UV = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(call PIP,$1) config get global.index-url 2>/dev/null)}}" \
	env $(addprefix -u UV_,CONSTRAINT BUILD_CONSTRAINT OVERRIDE EXCLUDE EXCLUDE_NEWER NO_BINARY NO_BINARY_PACKAGE NO_BUILD \
	NO_BUILD_PACKAGE CONFIG_FILE TARGET PREFIX SYSTEM_PYTHON TORCH_BACKEND) $1/bin/uv --no-config --quiet pip
LOCKED := --quiet --no-deps --require-hashes --no-build-isolation
pins = <(awk '/^[^ \#]/ {keep = /^($1)==/} keep' $2)
# anomalib wants opencv-python-headless, which has the files of opencv-python: the lock leaves it out. See overrides.txt.
check = { said=$$($(call PIP,$1) check) || ! echo "$$said" | grep -v -e "^anomalib .* requires opencv-python-headless" \
	-e "^groundingdino-py .* has requirement supervision==0.6.0"; }
define build-environment
test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed; name it with make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
empty() { rm -f $1/.ready && "$(PYTHON)" -m venv --clear $1 && $(call PIP,$1) install $(LOCKED) -r $(call pins,setuptools,$2); }; \
with_uv() { empty && $(call PIP,$1) install $(LOCKED) -r $(call pins,uv,$2) && $(call UV,$1) install -p $1/bin/python $(LOCKED) -r $2; }; \
with_pip() { empty && $(call PIP,$1) install $(LOCKED) -r $2; }; \
echo "building $1 from $2; the first time this downloads about 3 GB"; \
if test "$(INSTALLER)" = pip; then with_pip || exit 1; \
elif ! with_uv; then echo "uv could not do it, so pip tries; that takes minutes" >&2; with_pip || exit 1; fi; \
$(call PIP,$1) install --quiet --no-deps --no-index --no-build-isolation -e . && $(call check,$1) && \
{ for some in $(FIRST_IMPORTS); do $1/bin/python -I -c "import $$some" >/dev/null 2>&1 & done; wait; touch $1/.ready; }
endef
# Compiled at set-up, side by side, so that the first run need not: uv leaves that to the first import.
FIRST_IMPORTS := timm,torchvision mlflow,pandas,pyarrow.parquet,sklearn.linear_model,scipy.ndimage,matplotlib.pyplot

# What to run. ARGS takes any further key=value of the config, or the words a target knows.
EXPERIMENT ?=
DATASET ?= $(if $(EXPERIMENT),,sat)
PIPELINE ?= $(if $(EXPERIMENT),,patchcore)
PROTOCOL ?=
METRIC ?=
SWEEP ?=
PAPER ?=
TABLE ?=
RUNS ?=
RUN ?=
FILE ?=
MAPS ?=
IN ?=
OUT ?=
ARGS ?=
CHOICES = $(if $(EXPERIMENT),experiment=$(EXPERIMENT)) $(if $(DATASET),dataset=$(DATASET)) $(if $(PIPELINE),pipeline=$(PIPELINE)) \
	$(if $(PROTOCOL),protocol=$(PROTOCOL)) $(if $(METRIC),metric=$(METRIC))
# One word of the shell, whatever is in it.
quoted = '$(subst ','\'',$1)'
# DATA_ROOT, RESULTS_ROOT, BENCH_CACHE, BENCH_CACHE_LOCAL and BENCH_WEIGHTS given to make reach the program as environment variables.
export MLFLOW_DISABLE_TELEMETRY = true
# What an import compiles is kept beside the packages: it is done once, and not in every process of a test.
unexport PYTHONDONTWRITEBYTECODE

# A misspelt name would go unread, and the run would be another one than was asked for. Names with an underscore may
# be variables of the environment (OMP_NUM_THREADS).
GIVEN := $(foreach v,$(.VARIABLES),$(if $(findstring command line,$(origin $v)),$v))
READ := PYTHON VENV PY INSTALLER EXPERIMENT DATASET PIPELINE PROTOCOL METRIC SWEEP PAPER TABLE RUNS RUN FILE MAPS IN OUT ARGS
PASSED_ON := DATA_ROOT RESULTS_ROOT BENCH_CACHE BENCH_CACHE_LOCAL BENCH_WEIGHTS SHELL HOME PATH TMPDIR
environment = $(if $(findstring .,$1),,$(findstring _,$1))
$(foreach v,$(filter-out $(READ) $(PASSED_ON),$(GIVEN)),$(if $(call environment,$v),,$(error $v=… means nothing to make. \
	It knows $(READ) and $(PASSED_ON); a key of the config goes into ARGS="key=value")))

# What each target reads of them. A variable that none of the targets reads would go unread, too.
CHOSEN := EXPERIMENT DATASET PIPELINE PROTOCOL METRIC
READS_bench := $(CHOSEN) ARGS
READS_sweep := $(CHOSEN) SWEEP ARGS
READS_latency := $(CHOSEN) ARGS
READS_predict := DATASET PIPELINE IN OUT ARGS
READS_reproduce := PAPER TABLE ARGS
$(foreach t,compare decide rows,$(eval READS_$t := RUNS ARGS))
$(foreach t,submit export,$(eval READS_$t := RUN ARGS))
READS_verify-submission := FILE MAPS ARGS
READS_data := DATASET ARGS
READS_weights := PIPELINE ARGS
$(foreach t,report doctor answers cache ui reference test lock,$(eval READS_$t := ARGS))
WORDS := $(CHOSEN) SWEEP PAPER TABLE RUNS RUN FILE MAPS IN OUT ARGS
UNREAD := $(filter-out $(foreach t,$(MAKECMDGOALS),$(READS_$t)),$(filter $(WORDS),$(foreach v,$(GIVEN),$(if $($v),$v))))
$(if $(MAKECMDGOALS),$(foreach v,$(UNREAD),$(error make $(MAKECMDGOALS) does not read $v=…; it reads \
	$(or $(sort $(foreach t,$(MAKECMDGOALS),$(READS_$t))),no variable))))

.PHONY: help setup bench sweep reproduce compare decide rows predict latency submit verify-submission export report doctor data weights answers cache ui tables reference docs test lint lock extras clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(READY) ## build .venv from requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(call build-environment,$(VENV),requirements.lock)

bench: $(READY) ## one run: make bench DATASET=mtd PIPELINE=resnet_mlp, or EXPERIMENT=iap_as_mpdd [PROTOCOL=] [METRIC=] [DATA_ROOT=] [ARGS="run.limit=20"]
	@$(PY) -m benchmark $(CHOICES) $(ARGS)

sweep: $(READY) ## many runs: make sweep PIPELINE=… SWEEP=preset, or ARGS="pipeline.top_k=1,5,10"
	@$(PY) -m benchmark -m $(CHOICES) $(if $(SWEEP),+sweep=$(SWEEP)) $(ARGS)

reproduce: $(READY) ## a paper's tables: make reproduce PAPER=domain_gap [TABLE=1] [ARGS=dry_run]
	@$(PY) -m benchmark reproduce $(PAPER) $(TABLE) $(ARGS)

compare: $(READY) ## two runs, or a run and a published method: make compare RUNS="sat-a sat-b" [ARGS=force]
	@$(PY) -m benchmark compare $(RUNS) $(ARGS)

decide: $(READY) ## thresholds by cost and false-alarm rate: make decide RUNS=sat-a [ARGS="cost.miss=100 cost.overkill=1"]
	@$(PY) -m benchmark decide $(RUNS) $(ARGS)

rows: $(READY) ## a run's images as CSV, each with found, missed, passed or false alarm: make rows RUNS=sat-a [ARGS="only=wrong"]
	@$(PY) -m benchmark rows $(RUNS) $(ARGS)

predict: $(READY) ## images without labels, to maps, masks, scores: make predict PIPELINE=patchcore IN=new [OUT=found] [ARGS="train=good_parts good=more_good_parts"]
	@$(PY) -m benchmark predict $(if $(PIPELINE),pipeline=$(PIPELINE)) $(if $(filter command line environment,$(origin DATASET)),dataset=$(DATASET)) $(if $(IN),$(call quoted,in=$(IN))) $(if $(OUT),$(call quoted,out=$(OUT))) $(ARGS)

latency: $(READY) ## how long one image takes, and many: make latency DATASET=sat PIPELINE=patchcore [ARGS="run.limit=100"]
	@$(PY) -m benchmark latency $(CHOICES) $(ARGS)

submit: $(READY) ## a finished run as a small public result for a pull request: make submit RUN=sat-patchcore ARGS="who=NAME licence=CC-BY-4.0"
	@$(PY) -m benchmark submit $(RUN) $(ARGS)

verify-submission: $(READY) ## what can be checked of submitted results: make verify-submission FILE=results/community/sat/F.json [MAPS=FOLDER] [ARGS=quick]
	@$(PY) -m benchmark verify-submission $(FILE) $(if $(MAPS),$(call quoted,maps=$(MAPS))) $(ARGS)

export: $(READY) ## results for other places: make export RUN=sat-patchcore ARGS="form=csv", or form=huggingface dataset_id=OWNER/NAME
	@$(PY) -m benchmark export $(RUN) $(ARGS)

report: $(READY) ## one HTML file of all runs and sweeps, to open without a server
	@$(PY) -m benchmark report $(ARGS)

doctor: $(READY) ## machine, versions, data and weights that are here, and what could be run now
	@$(PY) -m benchmark doctor $(ARGS)

data: $(READY) ## get or check a dataset: make data DATASET=mvtec [ARGS=verify]
	@$(PY) -m benchmark data $(DATASET) $(ARGS)

weights: $(READY) ## get the weights of a pipeline: make weights PIPELINE=resnet_mlp [ARGS=dry_run]
	@$(PY) -m benchmark weights $(PIPELINE) $(ARGS)

answers: $(READY) ## stored answers of vision-language models: ARGS="show", "export FILE …" or "import FILE"
	@$(PY) -m benchmark answers $(ARGS)

cache: $(READY) ## the stage store: sizes, or ARGS="prune --older 30d", ARGS=verify
	@$(PY) -m benchmark cache $(ARGS)

ui: $(READY) ## open the tracked runs in MLflow's own interface (Ctrl-C ends it)
	@$(PY) -m benchmark ui $(ARGS)

tables: $(READY) ## write the generated tables of the READMEs and docs/ anew
	@$(PY) -m benchmark tables

reference: $(READY) ## make the committed reference results anew: make reference DATA_ROOT=~/data [ARGS="check mtd-constant"]
	@$(PY) -m benchmark reference $(ARGS)

docs: $(READY) ## build the pages of docs/ as a site that needs no network: site/index.html
	@$(SITE) --site-dir site
	@echo "the site: site/index.html; its search takes a server, such as $(PY) -m http.server -d site"

test: $(READY) ## all fast tests
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not gpu" -q $(ARGS)

lint: $(READY) ## style, types, generated tables that drifted, and the docs
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) -m tests.structure
	@$(PY) -m benchmark tables --check
	@site=$$(mktemp -d) && trap 'rm -rf "$$site"' EXIT && $(SITE) --site-dir "$$site"

# The theme's own notice of its successor is no warning of the docs.
SITE = NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

extras: .venv-extras/.ready ## build .venv-extras: the same with Optuna, PostgreSQL, FiftyOne, Hugging Face datasets and anomalib

.venv-extras/.ready: requirements-extras.lock pyproject.toml
	@$(call build-environment,.venv-extras,requirements-extras.lock)

COMPILE = env -u UV_FIND_LINKS -u UV_CONSTRAINT -u UV_OVERRIDE $(VENV)/bin/uv pip compile --no-config pyproject.toml \
	--universal --generate-hashes --python-version 3.11 --override overrides.txt --extra dev

lock: ## compile both lock files anew; ARGS=--upgrade moves the pins
	@test -x $(VENV)/bin/uv || $(MAKE) setup ARGS= # an environment that lacks what pyproject.toml now asks for cannot be set up before
	@$(COMPILE) -o requirements.lock --quiet $(ARGS)
	@$(COMPILE) --extra optuna --extra postgres --extra fiftyone --extra huggingface --extra anomalib \
		--no-emit-package opencv-python-headless -o requirements-extras.lock --quiet $(ARGS)

clean: ## remove the environment and tool caches; data, results and the stage store stay
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
