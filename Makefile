# `make help` lists the targets. Everything that is built goes to bin/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

FUZZTIME ?= 60s
PKG ?= ./...
SOAKTIME ?= 10m
SEED ?= 0

# A clone that belongs to somebody else makes git refuse to answer, and go
# build with it: then binaries go without the commit they were made from.
ifneq ($(shell git status >/dev/null 2>&1 && echo answered),answered)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install what this machine lacks (Debian 12 with Go)
	@.ci/deps

.PHONY: build
build: ## build the programs into bin/
	@mkdir -p bin
	go build -o bin/ $$(go list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./...)

.PHONY: package
package: build ## build Debian packages of the host's and the controller's programs into bin/
	@hostd/package/build bin bin

.PHONY: demo
demo: deps build ## three hosts with Docker join, two tenants, real packets, in about a minute (root)
	@bin/daoli-demo

.PHONY: check
check: ## all that needs no root: format, vet, staticcheck, architecture, Rego, generated files, race tests
	@.ci/suites check

.PHONY: test
test: deps ## check and end to end on real Open vSwitch (root): what CI runs
	@.ci/suites check e2e

# Directories, relative to here, of the packages whose tests match a pattern.
packages_with = $$(grep -rlE '$(1)' --include='*_test.go' . | xargs -r -n1 dirname | sort -u)

.PHONY: test-long
test-long: deps ## kill every program and every ordered pair of them, on each host, with dockerds too; 200 containers: some 30 minutes (root)
	go test -vet=off -race -tags e2e -count=1 -v -timeout 0 -run '^(TestKill|TestDocker.*)$$' ./testbed/e2e -kill-all -docker-many 200 -docker-starts 200 -seed $(SEED)

.PHONY: soak
soak: deps ## attach, move, edit and kill at random for SOAKTIME (10m), then look; SEED=n repeats (root)
	go test -tags e2e -count=1 -v -timeout 0 -run '^TestNothing' ./testbed/soak -for $(SOAKTIME) -seed $(SEED)

STEPS ?= 10000
SEEDS ?= 1

.PHONY: simulate
simulate: ## run SEEDS seeds of STEPS steps under virtual time, or repeat a failure: SEED=n STEPS=m
	@mkdir -p bin
	@go build -o bin/ ./testbed/cmd/daoli-simulate
	@bin/daoli-simulate --seed $(SEED) --seeds $(SEEDS) --steps $(STEPS)

.PHONY: golden
golden: ## rewrite the golden files; read the diff before it goes in
	go test $(call packages_with,flag\.Bool\("update") -update

# Lines to measure, by regular expression on their names (bin/daoli-bench --list).
RUN ?=

.PHONY: bench
ifeq ($(PKG),./...)
bench: ## measure against the targets (root; RUN=regexp: some lines; PKG=./dir: a package's own)
	@.ci/deps bench
	@mkdir -p bin
	go build -o bin/ ./reconciler/cmd/daoli-reconcile ./reconciler/cmd/daolictl ./hostd/cmd/daoli-hostd ./testbed/cmd/daoli-bench
	@bin/daoli-bench --binaries bin --run '$(RUN)'
else
bench: bench-go
endif

.PHONY: bench-go
bench-go: ## run the packages' own benchmarks (PKG=./reconciler/packet for one)
	@if [ "$(PKG)" = ./... ]; then pkgs="$(call packages_with,^func Benchmark)"; else pkgs="$(PKG)"; fi; \
	go test -run '^$$' -bench . -benchmem -p 1 $$pkgs

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (60s)
	@grep -roE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sort | while IFS=: read -r file func; do \
		target=$${func#func }; \
		echo "== $$(dirname "$$file") $$target $(FUZZTIME)"; \
		log=$$(mktemp); status=0; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null 2>&1 | tee "$$log" || status=1; \
		if [ $$status -ne 0 ] && grep -q '^    context deadline exceeded' "$$log" && ! grep -q 'Failing input' "$$log"; then \
			echo "the time was up while an input ran, which go test calls a failure; none was found"; status=0; \
		fi; \
		rm -f "$$log"; [ $$status -eq 0 ] || exit 1; \
	done

.PHONY: cover
cover: ## coverage of the unit tests, total and as bin/cover.html
	@mkdir -p bin
	go test -vet=off -coverpkg=./... -coverprofile=bin/cover.out ./...
	go tool cover -html=bin/cover.out -o bin/cover.html
	go tool cover -func=bin/cover.out | tail -n 1

.PHONY: generate
generate: ## rewrite generated code
	go generate ./...

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
