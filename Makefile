# Everything a newcomer or CI runs. `make demo` and `make test` set up all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCAL ?=
TIME ?= 60

.PHONY: help demo test wall bench setup setup-dev lock clean
help:
	@echo "make demo [LOCAL=3000]  expose the sample site (or your own service) on loopback"
	@echo "make test               the wall and all tests"
	@echo "make wall               the wall alone, as a table"
	@echo "make bench [TIME=5] [PAIRS=3]   beside nginx and no tunnel, as ratios (needs wrk, nginx, curl)"

$(VENV)/run.done: ci/constraints/run.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r ci/constraints/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.done: $(VENV)/run.done ci/constraints/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r ci/constraints/dev.txt
	@touch $@

setup: $(VENV)/run.done
setup-dev: $(VENV)/dev.done

demo: setup
	@exec $(BIN)/tunnel demo $(if $(LOCAL),--local $(LOCAL))

bench: TIME = 5
bench: PAIRS ?= 3
bench: setup
	@$(BIN)/python -m bench --seconds $(TIME) --pairs $(PAIRS)

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
