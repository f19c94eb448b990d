# Everything builds the release profile, also tests and lints. So llama.cpp, the slow part, is compiled once (a
# second profile would compile it again), and tests run a real model at full speed.

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TERM_COLOR ?= auto
# `make demo OUT=somewhere` uses another run directory.
OUT ?= runs/quickstart

CLIPPY := cargo clippy --locked --release --workspace --all-targets --features fuzz -- -D warnings
# Modules of tests that need a fetched file are named `fetched`. The others do not see the cache folder, so that
# one that needs a file fails on every machine. Modules whose tests take many seconds are named `slow`.
HERMETIC_TESTS := env -u EVOL_TEST_MODEL XDG_CACHE_HOME=/nonexistent \
	cargo test --locked --release --workspace -- --skip fetched::
FETCHED_TESTS := cargo test --locked --release --workspace -- fetched::

.PHONY: help demo build check test test-slurm lint setup model cuda-tools kernels kernel-report fuzz clean-demo

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: build model ## Build, fetch the default model, run the quickstart experiment
	$(CARGO_TARGET_DIR)/release/evol run examples/quickstart.toml --out $(OUT)
	@scripts/check-demo $(OUT)/summary.json

check: ## The fast loop: format, clippy, and quick tests that need no model, no network and no fetched tool
	cargo fmt --all --check
	$(CLIPPY)
	$(HERMETIC_TESTS) --skip slow::

test: setup model lint ## Everything that must pass: format, lints, documentation, all tests
	@scripts/setup --tests
	$(HERMETIC_TESTS)
	$(FETCHED_TESTS)
	scripts/test-cudarc

test-slurm: build model ## Run four shards on a real Slurm on this machine, and kill one
	@scripts/setup --slurm
	scripts/test-slurm --all

lint: setup cuda-tools ## Format, clippy, documentation and the kernels' PTX, warnings are errors
	cargo fmt --all --check
	$(CLIPPY)
	scripts/build-kernels --check
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --locked --release --workspace --no-deps --document-private-items

build: setup ## Build the release binary for this machine's instruction set
	cargo build --locked --release

setup: ## Install what the build needs (cmake, clang), saying what and why
	@scripts/setup

model: setup ## Fetch the default model into the cache folder and check its SHA-256
	@models/fetch

cuda-tools: setup ## Fetch NVRTC and ptxas into the cache folder, for tests of kernels
	@scripts/fetch-cuda-tools

kernels: setup cuda-tools ## Compile kernels/*.cu to the PTX that the binary embeds
	scripts/build-kernels

kernel-report: setup cuda-tools ## Count what the trainer's kernels move and compute, and what ptxas reports (docs/kernels.md)
	cargo bench --locked --bench kernels

fuzz: setup ## Fuzz the GGUF reader (or TARGET=ptx, the simulated device's front end) for ten minutes, or SECONDS=N
	scripts/fuzz $(or $(TARGET),gguf) $(or $(SECONDS),600)

clean-demo: ## Remove the demo's run directory
	rm -rf $(OUT)
