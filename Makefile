# Two commands matter: `make run` and `make test`. The rest serves them.

# One build folder, kept between runs and checkouts where there is one.
SHARED_TARGET := $(wildcard $(HOME)/.cache/cairn/target)
export CARGO_TARGET_DIR ?= $(if $(SHARED_TARGET),$(SHARED_TARGET),$(CURDIR)/target)
VENV ?= $(CURDIR)/.venv
# The benchmark's peers need another DuckDB than the tests.
BENCH_VENV ?= $(CURDIR)/.venv-bench
PYTHON := $(VENV)/bin/python
DATA ?= ./cairn-data
ARGS ?=
TOOLS := $(HOME)/.cache/cairn/tools
CAIRN_GARAGE ?= $(or $(shell command -v garage),$(TOOLS)/bin/garage)

.PHONY: run test test-slow check bench bench-journal bench-lake bench-lists codegen tools clean

## Build in release mode and start everything embedded, in ./cairn-data
run:
	cargo build --locked --release -p cairn
	$(CARGO_TARGET_DIR)/release/cairn serve --data $(DATA) $(ARGS)

## Install what the tests need, then run all of them
test: check
	cargo test --locked --workspace --quiet
	cargo build --locked --workspace --bins --examples
	CAIRN_BINARY=$(CARGO_TARGET_DIR)/debug/cairn PATH=$(VENV)/bin:$$PATH $(PYTHON) -m pytest tests/e2e -n 2 --dist loadfile -q -m "not slow"

## Crashes by the hundred and other long runs, in release mode: before an issue is called resolved
test-slow: tools $(CAIRN_GARAGE)
	cargo build --locked --release -p cairn
	ISOLATION_CALLS=100000 cargo test --locked --workspace --quiet --test all isolation
	CAIRN_BINARY=$(CARGO_TARGET_DIR)/release/cairn CAIRN_GARAGE=$(CAIRN_GARAGE) PATH=$(VENV)/bin:$$PATH $(PYTHON) -m pytest tests/e2e -q -m slow

## Format, lints, invariants, licences
check: tools
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo xtask codegen --check --botocore "$$($(PYTHON) -c 'import botocore, os; print(os.path.dirname(botocore.__file__))')"
	cargo xtask tidy
	cargo deny --locked check bans licenses sources

## Against the peers, built as releases are (optimized across crates, half an hour the first time); prints ratios
bench: bench-journal bench-lake

## The journal beside NATS JetStream
bench-journal: tools
	cargo build --locked --profile dist -p cairn -p bench
	PATH=$(VENV)/bin:$$PATH $(PYTHON) bench/run.py --cairn $(CARGO_TARGET_DIR)/dist/cairn --load $(CARGO_TARGET_DIR)/dist/bench

## The lake beside DuckDB and ClickHouse; ARGS="--events 10000000" for the large one
bench-lake: $(BENCH_VENV)/.installed
	cargo build --locked --profile dist -p cairn -p bench
	$(BENCH_VENV)/bin/python bench/lake.py --cairn $(CARGO_TARGET_DIR)/dist/cairn --load $(CARGO_TARGET_DIR)/dist/bench $(ARGS)

## Lists of much: 1,000 trails, 100 event data stores, 100 accounts
bench-lists: $(BENCH_VENV)/.installed
	cargo build --locked --profile dist -p cairn
	$(BENCH_VENV)/bin/python bench/lists.py --cairn $(CARGO_TARGET_DIR)/dist/cairn

## Write crates/api/src/generated from botocore's published service models
codegen: tools
	cargo xtask codegen --botocore "$$($(PYTHON) -c 'import botocore, os; print(os.path.dirname(botocore.__file__))')"

tools: $(VENV)/.installed
	@command -v faketime >/dev/null || apt-get install -y -qq faketime >/dev/null 2>&1 || echo "faketime is not installed: tests that set the clock are skipped"
	@command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --quiet

$(VENV)/.installed: tests/requirements.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

$(BENCH_VENV)/.installed: bench/requirements.txt
	python3 -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	touch $@

# A store of others. It has a build folder of its own, which goes when the program is there.
$(TOOLS)/bin/garage:
	@echo "building Garage, the store of the slow tests: about 15 minutes, once"
	CARGO_TARGET_DIR=$(TOOLS)/garage-target cargo install garage@2.5.0 --locked --root $(TOOLS)
	rm -rf $(TOOLS)/garage-target

clean:
	cargo clean
	rm -rf $(VENV) $(BENCH_VENV)
