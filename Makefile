# Every target works from a fresh checkout with Go, git and make; -race needs a C compiler too.

MODULES := . adapter/prombuf adapter/wsbuf bench cmd/logbuf examples
TARGETS := linux/amd64 linux/arm64 linux/386 linux/s390x darwin/arm64 windows/amd64
FUZZTIME ?= 10s
SOAK ?= 10m
GO ?= go

# in-each runs a command in every module, and stops at the first that fails.
in-each = @set -e; for m in $(MODULES); do echo "== $$m: $(1)"; (cd $$m && $(1)); done

.PHONY: check test race test-386 test-1 test-portable fmt vet staticcheck tidy cross fuzz bench bench-guard spin explore explore-long mutants soak demo clean

check: fmt vet staticcheck tidy cross test race test-386 test-1 test-portable ## all that must hold before a commit lands

test: ## the tests of every module
	$(call in-each,$(GO) test ./...)

race: ## the same tests under the race detector
	$(call in-each,$(GO) test -race ./...)

test-386: ## the library's tests as a 32-bit program, where this machine can run one
	@case "$$($(GO) env GOHOSTOS)/$$($(GO) env GOHOSTARCH)" in \
	linux/amd64|linux/386) echo "== .: GOARCH=386 $(GO) test ./..."; GOARCH=386 CGO_ENABLED=0 $(GO) test ./... ;; \
	*) echo "test-386: needs linux on amd64; skipped" ;; esac

test-1: ## rings, channels and recorder on one processor
	GOMAXPROCS=1 $(GO) test -short ./queue ./channel ./internal/park ./recorder

test-portable: ## journal and recorder on the I/O calls that every system has, telemetry without unsafe
	$(GO) test -tags logbuf_portable ./internal/vfs ./journal ./recorder ./adapter/tracebuf

fmt: ## fails if gofmt would change a file
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet:
	$(call in-each,$(GO) vet ./...)

bin/staticcheck: tools/go.mod tools/go.sum
	cd tools && GOWORK=off $(GO) build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck

staticcheck: bin/staticcheck
	$(call in-each,$(CURDIR)/bin/staticcheck ./...)

tidy: ## fails if go mod tidy would change a module
	@set -e; for m in $(MODULES) tools; do echo "== $$m: go mod tidy -diff"; (cd $$m && GOWORK=off $(GO) mod tidy -diff); done

cross: ## builds the library for the other platforms, and tool, adapters and examples for those that differ; and their tests
	@set -e; for t in $(TARGETS); do case $$t in linux/386|darwin/*|windows/*) ms=". adapter/prombuf adapter/wsbuf cmd/logbuf examples" ;; *) ms=. ;; esac; \
		for m in $$ms; do echo "== $$m: $$t"; (cd $$m && GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 $(GO) vet ./...); done; done

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for m in $(MODULES); do (cd $$m; for f in $$(grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '/bench/' || true); do \
		for n in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$f); do \
			echo "== $$m: $$(dirname $$f) $$n"; $(GO) test -run '^$$' -fuzz "^$$n\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$f); done; done); done

bench: ## one table for each question, beside peers, and plots into docs/bench; a quarter of an hour on an idle machine
	cd bench && $(GO) run ./tables -rounds 11 -svg ../docs/bench

bench-guard: ## compares the instructions of the hot calls with the recorded counts; needs Debian's valgrind
	cd bench && $(GO) run ./guard

EXPLORE := $(GO) test -tags logbuf_explore -count=1 -timeout 6h
explore: ## runs the shipped rings and channels in every order up to a bound, two or three minutes
	$(GO) vet -tags logbuf_explore ./internal/... ./queue ./channel
	$(EXPLORE) ./internal/explore
	$(EXPLORE) -run Explore ./internal/park ./queue ./channel

explore-long: ## the same with one preemption more, as far as a bound on the runs, and samples of the rest; six minutes of CPU
	LOGBUF_EXPLORE=long $(EXPLORE) -run Explore -v ./queue ./channel

mutants: ## one defect at a time in the rings, the parker, the channels, the recorder: each must be caught; minutes
	$(GO) run ./internal/mutants

spin: ## checks the model of the park/wake handshake; needs Debian's spin and a C compiler
	spec/park/run.sh

soak: ## rings and channels with everything going wrong, for SOAK, and as long again under the race detector; the recorder likewise; then 200 recordings killed, and 200 services
	LOGBUF_SOAK=$(SOAK) $(GO) test -count=1 -timeout 24h -v ./internal/soak
	LOGBUF_SOAK=$(SOAK) $(GO) test -race -count=1 -timeout 24h -v ./internal/soak
	LOGBUF_SOAK=$(SOAK) $(GO) test -race -count=1 -timeout 24h -v -run TestEveryRecord ./recorder
	cd cmd/logbuf && LOGBUF_SOAK=$(SOAK) $(GO) test -count=1 -timeout 1h -v -run TestKilled .
	cd examples && LOGBUF_SOAK=$(SOAK) $(GO) test -count=1 -timeout 1h -v -run 'Killed|Python|PowerCut' ./eventsourcing

demo: ## record a live feed, verify it, read it back, replay it
	$(GO) run ./cmd/logbuf demo

clean:
	rm -rf bin
