# mailha: build, test, show, measure, install. "make help" lists the targets.

PREFIX  ?= /usr
DESTDIR ?=
OCFDIR  ?= /usr/lib/ocf/resource.d
UNITDIR ?= $(PREFIX)/lib/systemd/system
MANDIR  ?= $(PREFIX)/share/man
SBINDIR  = $(PREFIX)/sbin

GO      ?= go
VERSION ?= $(shell cat VERSION)
COMPLETIONS = bash-completion/completions zsh/site-functions fish/vendor_completions.d
# Every agent has a page, which is made from its tables.
AGENTS   = $(patsubst man/ocf_mailha_%.7,%,$(wildcard man/ocf_mailha_*.7))
export CGO_ENABLED = 0

.DEFAULT_GOAL := build
.PHONY: help build man test quick demo endure torment machines bench lint fuzz install uninstall lab clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Variables: DESTDIR PREFIX OCFDIR UNITDIR MANDIR GO; ENGINE ONLY of demo; TRIES ONLY FOR of torment, such as ONLY=clock-jump, ONLY=split, ONLY=device or ONLY=cpu-load"

build: ## build the shipped programs into build/
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o build/ ./cmd/...

man: ## write the agents' manual pages into man/
	$(GO) run ./internal/cmd/man -o man

test: ## run every test that needs no virtual machine, from unit tests to real clusters (root, about a quarter of an hour)
	./scripts/test.sh

quick: ## run the tests that need no test nodes (root)
	./scripts/test.sh -quick

ENGINE  ?= mailhad
demo: ## play the main job on a real cluster (ENGINE=mailhad or pacemaker) and show what a client sees (root)
	$(GO) run ./internal/cmd/demo -engine $(ENGINE) -only "$(ONLY)"

endure: ## move and kill services twenty times each under clients (root, half an hour)
	$(GO) run ./internal/cmd/endure

TRIES   ?= 10
ONLY    ?=
FOR     ?= 1h
torment: ## put a cluster through faults, TRIES times each, and judge from outside what was ever on two nodes (root, two hours)
	$(GO) run ./internal/cmd/torment -tries $(TRIES) -only "$(ONLY)" -for $(FOR)

machines: ## run the tests that need virtual machines: a kernel and a watchdog device of their own (root, twenty minutes)
	$(GO) test -count=1 -p 1 -parallel 1 -tags machines -timeout 30m -run 'TestMachine|TestDevices' ./internal/lab ./fencing/watchdog ./internal/torment/clocks ./internal/labtests

bench: ## measure against the neighbours' agents; writes docs/benchmarks.md (root)
	$(GO) run ./internal/cmd/bench

lab: ## build the tool for test nodes by hand: build/lab help
	$(GO) build -o build/ ./internal/cmd/lab

lint: ## gofmt, go vet, and golangci-lint where it is installed
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: left out"; fi

fuzz: ## run each fuzz test for half a minute
	./scripts/fuzz.sh 30s

install: build ## install below DESTDIR
	install -D -m 0755 build/mailha-ocf $(DESTDIR)$(SBINDIR)/mailha-ocf
	install -m 0755 -t $(DESTDIR)$(SBINDIR) build/mailhad build/mailhactl build/mailha-fenced build/fence_mailha
	install -d $(DESTDIR)$(OCFDIR)/mailha
	for a in $(AGENTS); do ln -sf $(SBINDIR)/mailha-ocf $(DESTDIR)$(OCFDIR)/mailha/$$a; done
	install -D -m 0644 -t $(DESTDIR)$(UNITDIR) contrib/systemd/*.service
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/lib/mailha/recover contrib/recover/*
	install -D -m 0644 -t $(DESTDIR)$(MANDIR)/man7 man/*.7
	install -D -m 0644 -t $(DESTDIR)$(MANDIR)/man8 man/*.8
	install -d $(COMPLETIONS:%=$(DESTDIR)$(PREFIX)/share/%)
	build/mailhactl completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/mailhactl
	build/mailhactl completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_mailhactl
	build/mailhactl completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/mailhactl.fish

uninstall: ## remove what install put there
	for a in $(AGENTS); do rm -f $(DESTDIR)$(OCFDIR)/mailha/$$a; done
	for p in mailha-ocf mailhad mailhactl mailha-fenced fence_mailha; do rm -f $(DESTDIR)$(SBINDIR)/$$p; done
	for f in contrib/systemd/*.service; do rm -f $(DESTDIR)$(UNITDIR)/$$(basename $$f); done
	rm -rf $(DESTDIR)$(PREFIX)/lib/mailha/recover
	for f in man/*.7; do rm -f $(DESTDIR)$(MANDIR)/man7/$$(basename $$f); done
	for f in man/*.8; do rm -f $(DESTDIR)$(MANDIR)/man8/$$(basename $$f); done
	rm -f $(COMPLETIONS:%=$(DESTDIR)$(PREFIX)/share/%/*mailhactl*)

clean: ## remove build/
	rm -rf build

distclean: clean ## also remove test nodes that were left and their cached image
	$(GO) run ./internal/cmd/lab sweep
	rm -rf /var/cache/mailha-lab
