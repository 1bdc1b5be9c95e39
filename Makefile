# What is done to this tree, by name. Building, running and testing need Go, git and make;
# generate and lint need npm as well, for buf and TypeScript, and web-test Node.js.

# For make VAR=... on the command line: how long for each fuzz target, and how many of them at a
# time; which benchmarks; which packages to test or measure, and more flags for
# the tests.
FUZZTIME  ?= 10s
FUZZJOBS  ?= 1
BENCH     ?= .
PKGS      ?= ./...
TESTFLAGS ?=

BUF         := tools/node_modules/.bin/buf
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Pebble's zstd in Go instead of C: the program is built without cgo, so this is what it runs
# on, and where cgo is on (the race detector needs it) it saves minutes of compiling C.
TAGS := -tags=pebblegozstd

# The revision goes into the program where there is one: not in an unpacked archive.
VCS = $(shell git rev-parse --verify --quiet HEAD >/dev/null 2>&1 && echo true || echo false)

.PHONY: help build run test web web-test browser-test screenshots conformance generate lint fuzz bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

build: ## build bin/introducer, static
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(VCS) -o bin/introducer ./cmd/introducer

run: build ## show the product: an introducer with a sample grid, on ./introducer-data
	bin/introducer demo --data ./introducer-data

test: ## run the tests, under the race detector where there is a C compiler
	@race=-race; \
	if ! go list -race runtime >/dev/null 2>&1 || ! command -v $(firstword $(shell go env CC)) >/dev/null; then \
		race=; \
		echo '*** NO RACE DETECTOR: it needs cgo and a C compiler. Testing without it. ***' >&2; \
		[ "$$CI" != true ] || exit 1; \
	fi; \
	set -x; go test -timeout=20m $$race $(TAGS) $(TESTFLAGS) $(PKGS)
	$(if $(filter ./...,$(PKGS)),$(MAKE) conformance)
	$(if $(filter ./...,$(PKGS)),$(MAKE) web-test)
	$(if $(filter ./...,$(PKGS)),$(MAKE) browser-test)

conformance: ## test the server with programs of others, and what the documents show
	-@$(MAKE) --no-print-directory tools/node_modules/.package-lock.json web/client/node_modules/.package-lock.json
	cd conformance && go test -count=1 -timeout=10m $(TAGS) ./...

web-test: ## check and test the TypeScript client, web/client
	@if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' || \
		! $(MAKE) --no-print-directory web/client/node_modules/.package-lock.json; then \
		echo '*** NO TESTS OF web/client: they need Node.js 20.19 or later, npm and its registry. ***' >&2; \
		[ "$$CI" != true ]; exit; \
	fi; \
	set -x; cd web/client && npm run check && npm test

web: web/client/node_modules/.package-lock.json web/page/node_modules/.package-lock.json ## build the status page, web/page, into web/dist
	cd web/page && npm run --silent check && npm run --silent build

browser-test: ## test the status page in a browser
	web/browser/run

screenshots: ## make the pictures of the status page in docs/screenshots
	SCREENSHOTS=$(CURDIR)/docs/screenshots web/browser/run test/screenshots.test.js test/liar.test.js

generate: tools/node_modules/.package-lock.json web/client/node_modules/.package-lock.json ## make the code of api/ and web/client from the .proto
	$(BUF) generate

# npm writes this file last, when all is installed.
%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci

lint: tools/node_modules/.package-lock.json ## buf lint and format, gofmt, vet, staticcheck
	$(BUF) lint
	$(BUF) format --diff --exit-code
	@unformatted=$$(git ls-files --cached --others --exclude-standard '*.go' | xargs gofmt -l) && \
		[ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	go vet $(TAGS) ./...
	$(STATICCHECK) $(TAGS) ./...
	cd conformance && go vet $(TAGS) ./... && $(STATICCHECK) $(TAGS) ./...

fuzz: ## run each fuzz target for FUZZTIME
	tools/fuzz $(FUZZTIME) $(FUZZJOBS) $(TAGS)

bench: ## run the benchmarks, on what is shipped: without cgo
	CGO_ENABLED=0 go test -run '^$$' -bench '$(BENCH)' -benchmem $(PKGS)

clean: ## remove what was built; data directories stay
	rm -rf bin .cache coverage* tools/node_modules web/*/node_modules web/client/dist web/page/build
