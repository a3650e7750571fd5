# Every chore is one command, the same by hand and in CI. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

# All that make makes lies here, but for the developer's `.venv`.
BUILD ?= .build
PYTHONS ?= 3.10 3.11 3.12 3.13
# What `make test-full` runs on the Pythons that are not the default one.
OTHERS ?= tests/unit tests/contract -- -m "not long"
# More arguments: for pytest with `make test`, for the example with `make demo`, and so on.
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# Looked up once, and only by the targets that need it.
DEFAULT = $(eval DEFAULT := $(shell tools/find_python))$(or $(DEFAULT),$(error no usable Python, see above))
VERSION = $(eval VERSION := $(shell $(DEFAULT) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))$(VERSION)

# The folders too: their times tell that a file was taken away.
SOURCES := $(shell find submitit \( -name __pycache__ -prune \) -o -type d -print -o -name '*.py' -print -o -name '*.css' -print -o -name '*.js' -print -o -name py.typed -print)
SOURCES += pyproject.toml README.md LICENSE
WHEEL := $(BUILD)/wheel

# $(call environment,PYTHON,what to install): brings the environment of the target's folder up to date.
define environment
@echo "== preparing $(@D): $(2)"
@test -x $(@D)/bin/python || { $(1) -m venv $(@D) && $(@D)/bin/pip install -qq --upgrade pip; }
@$(@D)/bin/pip install -qq $(2)
@touch $@
endef

# Its requirements too, then the wheel itself even though its version is unchanged.
define install_wheel
@echo "== installing the wheel into $(@D)"
@$(@D)/bin/pip uninstall -qq -y submitit
@$(@D)/bin/pip install -qq $(BUILD)/dist/*.whl
@touch $@
endef

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

# ---------------------------------------------------------------- for everyone

.PHONY: demo
demo: $(BUILD)/demo/installed ## a sweep over handwritten digits (ARGS="--cluster slurm")
	@$(BUILD)/demo/bin/python examples/digits_sweep.py $(ARGS)

.PHONY: test
test: ## every tier of the tests, fast cases, one Python, on the built wheel
	@$(MAKE) -s --no-print-directory $(BUILD)/test-$(VERSION)/installed
	@tools/run_tests $(BUILD)/test-$(VERSION) $(BUILD)/report-$(VERSION).xml tests -- -m "not long" $(ARGS)

.PHONY: test-full
test-full: ## the long cases as well, then every supported Python
	@$(MAKE) -s --no-print-directory $(BUILD)/test-$(VERSION)/installed
	@echo "== Python $(VERSION): everything"
	@tools/run_tests $(BUILD)/test-$(VERSION) $(BUILD)/report-$(VERSION).xml tests -- $(ARGS)
	@for version in $(filter-out $(VERSION),$(PYTHONS)); do \
	  if ! tools/find_python $$version >/dev/null; then [ "$${CI:-}" != true ] || exit 1; continue; fi; \
	  $(MAKE) -s --no-print-directory $(BUILD)/test-$$version/installed; \
	  echo "== Python $$version: $(subst ",,$(OTHERS))"; \
	  tools/run_tests $(BUILD)/test-$$version $(BUILD)/report-$$version.xml $(OTHERS); \
	done

# ---------------------------------------------------------------- for those who work on it

.PHONY: venv
venv: .venv/ready ## .venv: the checkout, editable, with all tools

.PHONY: lint
lint: .venv/ready ## ruff, mypy strict, pyright on the public types, the import contracts
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/pyright --project pyproject.toml --pythonpath .venv/bin/python
	.venv/bin/lint-imports --no-logo

.PHONY: bench
bench: $(BUILD)/bench/installed ## the figures, beside the last 1.x and its peers (ARGS="--publish": the page of the docs too)
	@mkdir -p $(BUILD)/away
	@tests/support/install_programs || echo "without Slurm: its figures are left out" >&2
	@cd $(BUILD)/away && $(abspath $(BUILD))/bench/bin/python $(CURDIR)/benchmarks/run.py $(ARGS)

.PHONY: bench-peers
bench-peers: $(BUILD)/bench/installed ## installs what it is measured beside anew, each in an environment of its own
	@$(BUILD)/bench/bin/python benchmarks/run.py --make-peers

.PHONY: docs docs-serve
docs: $(BUILD)/docs/ready ## builds the site into .build/site, and checks every link, every name and that it needs no network
	@$(DEFAULT) tools/check_links.py
	@rm -rf $(BUILD)/site
	@NO_MKDOCS_2_WARNING=1 $(BUILD)/docs/bin/mkdocs build --quiet --strict --site-dir $(abspath $(BUILD))/site
	@$(DEFAULT) tools/check_site.py $(BUILD)/site
docs-serve: $(BUILD)/docs/ready ## shows the site, and every change of a page at once
	@NO_MKDOCS_2_WARNING=1 $(BUILD)/docs/bin/mkdocs serve $(ARGS)

.PHONY: compat
compat: ## runs exca and Hydra over 1.5.4 and over this package, and writes the counts into docs/clients.md
	@tests/support/install_programs
	@$(DEFAULT) tests/support/clients.py docs/clients.md $(ARGS)

.PHONY: reliability
reliability: .venv/ready ## writes the table of docs/reliability.md from the tests of faults
	@tests/support/install_programs
	@rm -f $(BUILD)/faults.jsonl && mkdir -p $(BUILD) && touch $(BUILD)/faults.jsonl
	@TESTS_FAULTS_ONLY=1 TESTS_FAULT_ROWS=$(abspath $(BUILD))/faults.jsonl .venv/bin/pytest -q tests $(ARGS)
	@.venv/bin/python tests/support/reliability.py $(BUILD)/faults.jsonl docs/reliability.md

.PHONY: slurm-up slurm-down
slurm-up: ## starts the throwaway Slurm cluster of the tests
	@tests/support/install_programs
	@$(DEFAULT) tests/support/slurm_cluster.py up $(ARGS)
slurm-down: ## stops it
	@$(DEFAULT) tests/support/slurm_cluster.py down $(ARGS)

.PHONY: clean
clean: ## removes all that make made, but for .venv
	rm -rf $(BUILD) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# ---------------------------------------------------------------- what they need

.venv/ready: pyproject.toml
	$(call environment,$(DEFAULT),--group lint --editable .)

# The tool that builds is an environment's own pip; the backend comes by itself.
$(WHEEL): $(SOURCES)
	@echo "== building the wheel"
	@test -x $(BUILD)/build/bin/python || $(DEFAULT) -m venv $(BUILD)/build
	@rm -rf $(BUILD)/dist
	@$(BUILD)/build/bin/pip wheel -qq --no-deps --wheel-dir $(BUILD)/dist .
	@touch $@

.PRECIOUS: $(BUILD)/test-%/ready
$(BUILD)/test-%/ready: pyproject.toml
	$(call environment,$$(tools/find_python $*),--group test)

$(BUILD)/docs/ready: pyproject.toml
	$(call environment,$(DEFAULT),--group docs)

$(BUILD)/demo/ready: pyproject.toml
	$(call environment,$(DEFAULT),--group examples)

$(BUILD)/bench/ready: pyproject.toml
	$(call environment,$(DEFAULT),cloudpickle numpy typer rich)

$(BUILD)/test-%/installed: $(BUILD)/test-%/ready $(WHEEL)
	$(install_wheel)
$(BUILD)/demo/installed $(BUILD)/bench/installed: $(BUILD)/%/installed: $(BUILD)/%/ready $(WHEEL)
	$(install_wheel)
