# One command each, the same by hand and in continuous integration.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION := v1.9.0
NFPM_VERSION := v2.43.0
CYCLONEDX_VERSION := v1.10.0
BENCHSTAT_VERSION := v0.0.0-20260908200009-22c9c6c9d4da

TOOLS := $(CURDIR)/.tools
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)
NFPM := $(TOOLS)/nfpm-$(NFPM_VERSION)
CYCLONEDX := $(TOOLS)/cyclonedx-gomod-$(CYCLONEDX_VERSION)
BENCHSTAT := $(TOOLS)/benchstat-$(BENCHSTAT_VERSION)
SDK := cmd/sentinel/testdata/sdk

# Where the browser is: CHROMIUM, or the first of the usual names.
HAVE_CHROMIUM = command -v $${CHROMIUM:-chromium} $${CHROMIUM:-chromium-browser} $${CHROMIUM:-google-chrome} >/dev/null

FUZZTIME ?= 60s
BENCHTIME ?= 1s
BENCHFLAGS ?=
BASE ?= main
MICROBENCH ?= ^BenchmarkDecision
ROUNDS ?= 100

# Outside a repository, or in one of somebody else's that git will not read,
# the program is built without the commit in it.
BUILDVCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
# nomsgpack leaves a codec out of gin that nothing here uses: 6 MB.
export GOFLAGS := $(GOFLAGS) -tags=nomsgpack -buildvcs=$(BUILDVCS)

.PHONY: help build demo test docs fmt-check vet lint vuln ui ui-types ui-check ui-e2e unit sdk fuzz bench bench-growth bench-cluster microbench microbench-compare soak release test-release site bundle clean need-go need-cc need-node need-chromium need-servers need-postgres need-redis

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: need-go ## Build bin/sentinel, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/sentinel ./cmd/sentinel

demo: build ## Show what Sentinel does; nothing to configure
	bin/sentinel demo

test: need-go need-cc need-node need-chromium need-servers need-postgres need-redis fmt-check vet lint vuln ui-check site unit ui-e2e ## Everything that must hold: format, linters, known vulnerabilities, tests

docs: ## Make the pages that come from the code
	@mkdir -p docs/zh
	go test ./cmd/sentinel -run '^TestSettingsPages$$' -count=1 -update
	go run ./cmd/bench page docs/benchmarks.md

fmt-check: need-go
	@unformatted=$$(find . -name '*.go' -not -path './.tools/*' -not -path '*/node_modules/*' -exec gofmt -l {} +); \
	if [ -n "$$unformatted" ]; then printf 'not gofmt-ed:\n%s\n' "$$unformatted"; exit 1; fi

vet: need-go
	go vet ./...

lint: $(GOLANGCI_LINT) ## Run the linters, which also hold the direction of imports
	$(GOLANGCI_LINT) run ./...

# The list of vulnerabilities is fetched. Where it cannot be, that is said, and
# the rest goes on: exit code 3 is a finding, 1 anything else.
vuln: $(GOVULNCHECK) ## Look for known vulnerabilities in what is used
	@code=0; output=$$(timeout 180 $(GOVULNCHECK) ./... 2>&1) || code=$$?; \
	if [ $$code -eq 0 ]; then echo "govulncheck: nothing known"; \
	elif [ $$code -eq 124 ] || grep -qE 'fetching vulnerabilities|dial tcp|no such host|HTTP [45]' <<<"$$output" && [ $$code -ne 3 ]; then \
	  printf '%s\n' '*** NOT CHECKED: the list of known vulnerabilities cannot be fetched from here.' "$$(tail -n 3 <<<"$$output")"; \
	else printf '%s\n' "$$output"; exit 1; fi

ui: ui/node_modules/.package-lock.json ## Check the console, and build ui/dist, which is committed
	cd ui && npm run -s check && npm run -s lint && npm run -s test && npm run -s build

# The types of the console come from the API's own description.
ui-types: need-go ui/node_modules/.package-lock.json ## Make the console's types anew after a change of the API
	go test ./ui -run '^TestOpenAPI$$' -count=1 -update
	cd ui && npm run -s types

ui-check: ui/node_modules/.package-lock.json ## Check the console, and that ui/dist is what it builds to
	cd ui && npm run -s check && npm run -s lint && npm run -s test && npm run -s fresh

ui-e2e: build need-chromium need-postgres need-redis ui/node_modules/.package-lock.json ## Drive the console with Chromium against the built program
	go build -o bin/bench ./cmd/bench
	cd ui && SENTINEL_BIN=../bin/sentinel BENCH_BIN=../bin/bench npm run -s e2e

ui/node_modules/.package-lock.json: ui/package.json ui/package-lock.json | need-node
	npm ci --prefix ui --no-audit --no-fund
	@touch $@

unit: need-cc need-postgres need-redis sdk
	SENTINEL_REQUIRE_SERVERS=1 GORACE=atexit_sleep_ms=0 go test -race -timeout 20m ./...

sdk: $(SDK)/node_modules/.package-lock.json

$(SDK)/node_modules/.package-lock.json: $(SDK)/package.json $(SDK)/package-lock.json | need-node
	npm ci --prefix $(SDK) --no-audit --no-fund
	@touch $@

fuzz: need-go ## Run every fuzz target for FUZZTIME (60s) each
	@go list ./... | while read -r package; do \
	  for target in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
	    echo "== $$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
	  done; \
	done

# Peers that are not installed are left out.
bench: build need-servers ## Measure the built program beside its peers, and write docs/benchmarks.md
	go build -o bin/bench ./cmd/bench
	bin/bench -sentinel bin/sentinel -write docs/benchmarks.md $(BENCHFLAGS)

bench-growth: build ## The same of its growth to 10,000,000 bindings, which takes some 6 GB of disk
	go build -o bin/bench ./cmd/bench
	bin/bench -sentinel bin/sentinel -write docs/benchmarks.md -only growth $(BENCHFLAGS)

bench-cluster: build need-postgres need-redis ## The same of several nodes, with PostgreSQL and Redis
	go build -o bin/bench ./cmd/bench
	bin/bench -sentinel bin/sentinel -write docs/benchmarks.md -only cluster $(BENCHFLAGS)

microbench: need-go ## Run the Go benchmarks, BENCHTIME (1s) each
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -timeout 60m ./...

# They take turns, so that both meet the same noise. MICROBENCH chooses others.
microbench-compare: need-go $(BENCHSTAT) ## Compare the decision with that of the commit BASE (main), by the Go benchmarks of both
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	mkdir "$$dir/base"; git archive $(BASE) | tar -x -C "$$dir/base"; \
	(cd "$$dir/base" && go test -c -o "$$dir/base.test" ./cmd/bench); \
	go test -c -o "$$dir/tree.test" ./cmd/bench; \
	for turn in 1 2 3; do for side in base tree; do \
	  echo "$$side, turn $$turn of 3" >&2; \
	  (cd cmd/bench && "$$dir/$$side.test" -test.run '^$$' -test.bench '$(MICROBENCH)' -test.benchmem -test.benchtime $(BENCHTIME) -test.count 2 -test.timeout 60m) >>"$$dir/$$side.txt"; \
	done; done; \
	$(BENCHSTAT) "base=$$dir/base.txt" "tree=$$dir/tree.txt"

soak: build ## Kill it under load ROUNDS (100) times, and the like
	go run ./cmd/bench soak -sentinel bin/sentinel -rounds $(ROUNDS)

# VERSION names a release; without it, the tag or the time of the commit does.
release: need-go $(NFPM) $(CYCLONEDX) ## Make archives, packages, bill of materials and checksums in bin/release
	go run ./cmd/release -nfpm $(NFPM) -cyclonedx $(CYCLONEDX) $(if $(VERSION),-version $(VERSION)) $(if $(TARGETS),-targets $(TARGETS))

test-release: need-go $(NFPM) $(CYCLONEDX) ## Install, upgrade and remove a release on a bare Debian, offline; needs root
	NFPM=$(NFPM) CYCLONEDX=$(CYCLONEDX) timeout 50m cmd/release/testdata/debian.sh

site: docs/node_modules/.package-lock.json ## Make docs as pages for the browser, readable from a disk, in bin/docs
	npm run -s build --prefix docs

docs/node_modules/.package-lock.json: docs/package.json docs/package-lock.json | need-node
	npm ci --prefix docs --no-audit --no-fund
	@touch $@

bundle: release site ## Make one archive for a site without the internet: release, pages, image where there is Docker
	VERSION=$(VERSION) go run ./cmd/release bundle bin/release bin/docs docs/monitoring

clean: ## Remove what was built and installed here
	rm -rf bin .tools $(SDK)/node_modules ui/node_modules docs/node_modules

$(GOLANGCI_LINT): | need-go
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv $(TOOLS)/golangci-lint $@

$(GOVULNCHECK): | need-go
	GOBIN=$(TOOLS) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	@mv $(TOOLS)/govulncheck $@

$(NFPM): | need-go
	GOBIN=$(TOOLS) go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	@mv $(TOOLS)/nfpm $@

$(CYCLONEDX): | need-go
	GOBIN=$(TOOLS) go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)
	@mv $(TOOLS)/cyclonedx-gomod $@

$(BENCHSTAT): | need-go
	GOBIN=$(TOOLS) go install golang.org/x/perf/cmd/benchstat@$(BENCHSTAT_VERSION)
	@mv $(TOOLS)/benchstat $@

need-go:
	@command -v go >/dev/null || { echo 'missing: go (see go.mod for the version), https://go.dev/doc/install'; exit 1; }

need-cc:
	@command -v "$${CC:-cc}" >/dev/null || command -v gcc >/dev/null || { echo 'missing: a C compiler, which the race detector needs: apt-get install gcc libc6-dev'; exit 1; }

need-node:
	@command -v node >/dev/null && command -v npm >/dev/null || { echo 'missing: node and npm, which the console and the tests with the official clients need: apt-get install nodejs npm'; exit 1; }
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || a === 20 && b >= 19 ? 0 : 1)' \
	  || { echo "too old: node $$(node --version); the console and the tests with the official clients need 20.19 or newer"; exit 1; }

# Root on Debian, as in continuous integration, gets installed what is missing.
INSTALL = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
    echo "installing $(1)"; export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1) >/dev/null || true; \
  fi

need-chromium:
	@$(HAVE_CHROMIUM) && exit 0; \
	if [ -z "$${CHROMIUM:-}" ]; then $(call INSTALL,chromium); fi; \
	$(HAVE_CHROMIUM) || { echo 'missing: chromium, which the tests of the console drive: apt-get install chromium, or set CHROMIUM to its path'; exit 1; }

HAVE_SERVERS = command -v nginx >/dev/null && command -v haproxy >/dev/null && command -v caddy >/dev/null && command -v promtool >/dev/null && command -v systemd-analyze >/dev/null

need-servers:
	@$(HAVE_SERVERS) && exit 0; \
	$(call INSTALL,nginx-light haproxy caddy prometheus systemd); \
	$(HAVE_SERVERS) || { echo 'missing: nginx, haproxy, caddy, promtool or systemd-analyze, which run and check what the guides have: apt-get install nginx-light haproxy caddy prometheus systemd'; exit 1; }

# As store/postgres/pgtest finds them. Tests start servers of their own, whatever runs.
HAVE_POSTGRES = { ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null; }

need-postgres:
	@$(HAVE_POSTGRES) && exit 0; \
	$(call INSTALL,postgresql); \
	$(HAVE_POSTGRES) || { echo 'missing: a PostgreSQL server, which the tests of store/postgres start: apt-get install postgresql'; exit 1; }

# As store/redis/redistest finds it.
HAVE_REDIS = { command -v redis-server >/dev/null || command -v valkey-server >/dev/null; }

need-redis:
	@$(HAVE_REDIS) && exit 0; \
	$(call INSTALL,redis-server); \
	$(HAVE_REDIS) || { echo 'missing: a Redis server, which the tests of store/redis start: apt-get install redis-server'; exit 1; }
