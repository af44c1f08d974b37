# Every target sets up what it needs; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/parkade
# uv from PATH, else one of our own in the cache, installed from PyPI.
UV := $(or $(shell command -v uv 2>/dev/null),$(CACHE)/uv/bin/uv)
export PATH := $(dir $(UV)):$(PATH)
RUN := $(UV) run --no-sync
CARGO := cargo
GO := go
# Real servers and whatever takes seconds are for `test-cluster`.
FAST := not cluster and not triton and not slow
JOBS ?= 2
# All tests use the router that the Rust tests build anyway; a release build takes five times as long.
PROGRAMS := $(or $(CARGO_TARGET_DIR),$(CURDIR)/kernels/target)/debug
test-fast test-cluster e2e dashboard-pictures: export ROUTER_BIN ?= $(PROGRAMS)/parkade-router

# $(call need,program,what to install)
need = command -v $(1) > /dev/null || { echo "make: $(1) is not on PATH; install $(2)" >&2; exit 1; }

.PHONY: help tools setup servers programs demo docs pages test test-fast test-rust test-go test-cluster e2e fuzz bench bench-solver bench-router bench-fleet bench-cycle bench-departures lint format crds kustomize dashboards dashboard-pictures clean

help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# Without this, maturin would quietly fetch a Rust of its own, and Go would be missed after minutes of other builds.
tools:
	@$(call need,$(CARGO),Rust 1.89 or newer: https://rustup.rs)
	@$(call need,$(GO),Go 1.26 or newer: https://go.dev/dl)

$(CACHE)/uv/bin/uv:
	@$(call need,python3,Python 3.11 or 3.12 with venv; or uv: https://docs.astral.sh/uv)
	@echo "installing uv into $(CACHE)/uv"
	@python3 -m venv $(CACHE)/uv && $(CACHE)/uv/bin/pip install -q --disable-pip-version-check uv

setup: tools $(if $(filter $(CACHE)%,$(UV)),$(UV)) ## Python environment with the compiled kernel
	@$(UV) sync --quiet --all-extras --locked

demo: setup ## Show the whole product on this machine (about a minute, cold 10)
	@PYTHONPATH=e2e $(RUN) python -m demo.run $(ARGS)

test: lint docs programs test-fast test-rust test-go test-cluster e2e ## Everything that must be green

docs: $(if $(filter $(CACHE)%,$(UV)),$(UV)) ## Build the site of docs/ into build/site, links and anchors checked (seconds)
	@NO_MKDOCS_2_WARNING=1 $(UV) run --quiet --locked --isolated --only-group docs mkdocs build --strict --quiet

pages: setup ## Generate what docs/ has of code: reference, pictures, index of runbooks
	@$(RUN) parkade crds > /dev/null && $(RUN) python docs/tools/pictures.py && $(RUN) python docs/tools/runbooks.py

servers: setup ## Upstream servers of the local plane, built once for their version
	@$(RUN) python -m parkade.local.binaries > /dev/null

programs: tools ## Parkade's own programs as all tests use them
	@cd kernels && $(CARGO) build --quiet --locked --workspace --exclude parkade-python --bins --tests

test-fast: setup programs ## Tests that need no cluster and no Triton, about a minute (JOBS=2)
	@$(RUN) python -m parkade.local.binaries nats-server > /dev/null
	@$(RUN) pytest -q -m "$(FAST)" -n $(JOBS) --dist worksteal

test-cluster: servers programs ## Tests against a real API server, Triton, NATS and router, and slow ones
	@$(RUN) pytest -q -m "not ($(FAST))" --timeout 600

test-rust: programs ## Rust tests
	@cd kernels && $(CARGO) test --quiet --locked --workspace --exclude parkade-python

# Without sanitizers, because the kernels forbid unsafe code: so stable Rust is enough.
FUZZ = $(CARGO) fuzz
fuzz: ## Fuzz the solver's readers and solves and the router's protocols, 60 seconds each (ARGS="-max_total_time=600")
	@$(FUZZ) --version > /dev/null 2>&1 || $(CARGO) install --quiet --locked cargo-fuzz
	@cd kernels/fuzz && for target in json flat solve resume fleet http http2 grpc car answers; do \
		mkdir -p corpus/$$target; echo "fuzzing $$target"; \
		case $$target in json|flat|solve|resume|fleet) words=json;; *) words=kserve;; esac; \
		$(FUZZ) run --release --fuzz-dir . -s none $$target corpus/$$target seeds/$$target -- -dict=$$words.dict -max_len=1500 \
			-len_control=0 -timeout=120 -verbosity=0 -max_total_time=60 $(ARGS); \
	done

test-go: servers ## Go tests, with real servers
	@cd operator/carlet && PARKADE_NATS_SERVER="$$($(RUN) python -m parkade.local.binaries)/nats-server" $(GO) test ./...

e2e: servers programs node ## The demo, then scenarios: kills under traffic, deletions, broken manifests, the chart on a node
	@PYTHONPATH=e2e $(RUN) python -m demo.run --dir "$$(mktemp -d)"
	@$(RUN) pytest -q e2e/scenarios e2e/node --timeout 900

.PHONY: node images
# Built apart from the tests, whose time it would take.
node: servers ## Programs of the single node on which the chart is tested, built or fetched once
	@PYTHONPATH=e2e $(RUN) python -m localnode.programs

images: servers ## Images as OCI archives without Docker, and their bills of materials, to dist/images
	@PYTHONPATH=e2e $(RUN) python -m localnode.images dist/images
	@PYTHONPATH=e2e $(RUN) python -m localnode.sbom dist/images

bench: bench-solver bench-router bench-fleet bench-cycle bench-departures ## All benchmarks

bench-solver: tools $(if $(filter $(CACHE)%,$(UV)),$(UV)) ## Compare the solver with others on the same instances (ARGS="--help")
	@$(UV) sync --quiet --all-extras --group bench --locked
	@PYTHONPATH=tests $(RUN) python -m benchmarks.solver $(ARGS)

bench-router: tools $(if $(filter $(CACHE)%,$(UV)),$(UV)) ## Measure the router beside Envoy on the same upstream (ARGS="--help")
	@$(UV) sync --quiet --all-extras --group bench --locked
	@PYTHONPATH=tests $(RUN) python -m benchmarks.router $(ARGS)

bench-fleet: servers ## Measure carlet and NATS with 100,000 driven vehicles (ARGS="--help")
	@PYTHONPATH=tests $(RUN) python -m benchmarks.fleet $(ARGS)

bench-cycle: servers ## Measure the operator beside 1,000 workloads and 2,000 cells (ARGS="--help")
	@PYTHONPATH=tests $(RUN) python -m benchmarks.cycle $(ARGS)

bench-departures: setup ## Score the cars' forecasts of departures on real charging sessions (ARGS="--help")
	@PYTHONPATH=tests $(RUN) python -m benchmarks.departures $(ARGS)

lint: setup ## Formatting, types, import contracts, clippy, go vet
	@$(RUN) ruff format --check --quiet . && $(RUN) ruff check --quiet .
	@$(RUN) mypy
	@$(RUN) lint-imports | tail -n 6
	@$(RUN) python -m mypy.stubtest parkade.solver._kernel
	@cd kernels && $(CARGO) fmt --check && $(CARGO) clippy --quiet --locked --workspace --all-targets -- -D warnings
	@cd operator/carlet && test -z "$$(gofmt -l .)" && $(GO) vet ./...

format: setup ## Format everything
	@$(RUN) ruff format . && $(RUN) ruff check --fix --quiet . ; cd kernels && $(CARGO) fmt ; cd ../operator/carlet && gofmt -w .

dashboard-pictures: servers programs ## Draw the dashboards from the running demo into docs/pictures (minutes)
	@PYTHONPATH=e2e:tests:charts $(RUN) python -m demo.pictures docs/pictures

crds: setup ## Generate crds/ and the chart's copy from the API models
	@$(RUN) parkade crds

kustomize: setup ## Write charts/kustomize from the chart
	@PYTHONPATH=tests $(RUN) python -m charts.kustomize

dashboards: setup ## Generate the chart's Grafana dashboards from charts/dashboards
	@PYTHONPATH=charts $(RUN) python -m dashboards

clean: ## Stop the local plane and delete what was built in this checkout
	@-$(RUN) parkade down --purge
	@rm -rf .venv kernels/target operator/carlet/bin operator/parkade/solver/_kernel*.so
