# threescale-backup. `make test` is what CI runs; on a bare Debian 12 it installs what it needs.
CARGO ?= cargo
SIZE ?= 50M
# Of `make bench`: --quick, --only ROAD,…, --to FILE, --against FILE.
BENCH ?=
export CARGO_TERM_COLOR ?= auto

.PHONY: build dist dist-arm64 test lint demo bench e2e bench-cluster deny install-test-deps

build:
	$(CARGO) build --release -p threescale-backup

# Archive, packages, image, chart, SBOM, krew's manifest and checksums in target/dist.
dist: build
	scripts/build --static
	scripts/dist

# The same for arm64, on x86-64, in target/dist-arm64.
dist-arm64:
	scripts/install-test-deps cross
	binary=$$(scripts/build aarch64) && static=$$(scripts/build --static aarch64) && \
	THREESCALE_DIST_BINARY=$$binary THREESCALE_DIST_STATIC=$$static scripts/dist target/dist-arm64

install-test-deps:
	scripts/install-test-deps

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

test: install-test-deps lint
	scripts/run-tests

demo: install-test-deps build
	target/release/threescale-backup demo --size $(SIZE)

# All roads beside their peers; `python3 scripts/bench --help` says what BENCH may be.
bench: install-test-deps build
	scripts/install-test-deps bench
	$(CARGO) build --release -p lab --example installation --example bucket
	$(CARGO) build --release -p threescale-backup --example many-sets
	python3 -B scripts/bench $(SIZE) $(BENCH)

# The cases of docs/e2e.md on the cluster in KUBECONFIG.
e2e: install-test-deps
	scripts/run-e2e $(CASES)

bench-cluster: install-test-deps build
	scripts/bench-cluster

# Licences and duplicate crates; advisories need the network.
deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --offline check licenses bans sources
