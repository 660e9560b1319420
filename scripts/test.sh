#!/bin/bash
# Runs the tests and ends with a plain summary. With -quick, leaves out the
# packages that bring up test nodes.
set -uo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
	echo "make test needs root: it makes network namespaces and boots nodes. Run: sudo make test" >&2
	exit 1
fi

log=build/test.log
mkdir -p build
rm -rf build/_artifacts # what failed tests keep, such as the nodes' journals
: >"$log"
failed=0
began=$SECONDS

step() { # step NAME COMMAND...
	local name=$1
	shift
	echo "== $name"
	"$@" || { failed=1; echo "== failed: $name" >&2; }
}

# tests ARGS...: to the screen and to the log.
tests() {
	go test -count=1 "$@" 2>&1 | grep --line-buffered -v 'no test files' | tee -a "$log"
	return "${PIPESTATUS[0]}"
}

# Some tools are not on every Debian machine. What the nodes need is the
# business of internal/lab.
tools() {
	local missing=()
	command -v mandoc >/dev/null || missing+=(mandoc)
	command -v ip >/dev/null || missing+=(iproute2)
	command -v nft >/dev/null || missing+=(nftables)
	[ -e /etc/services ] || missing+=(netbase)
	[ ${#missing[@]} -eq 0 ] && return
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
}

# What nodes write, a hundred of them, keeps a disk busy, and the kernel that flushes it
# takes a good part of two processors from them. Where there is memory to spare the nodes'
# file systems are in it, which goes with the last process of this mount namespace.
onnodes() { # onnodes ARGS...: go test
	local room=8 kib
	kib=$(awk '$1 == "MemAvailable:" {print $2}' /proc/meminfo)
	if [ "$kib" -lt $((2 * room * 1024 * 1024)) ] || [ -n "$(ls -A /var/lib/mailha-lab 2>/dev/null)" ]; then
		tests "$@"
		return
	fi
	mkdir -p /var/lib/mailha-lab
	export -f tests
	export log room
	unshare --mount bash -c 'set -o pipefail; mount -t tmpfs -o mode=0755,size=${room}g mailha-lab /var/lib/mailha-lab && tests "$@"' bash "$@"
}

# Packages whose tests boot nodes go one at a time: a node that waits for a
# processor looks like one that has failed.
all=$(go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./...)
nodes=$(grep -E 'internal/(cmd/)?lab(/| |\])' <<<"$all" | cut -d' ' -f1)
others=$(grep -vE 'internal/(cmd/)?lab(/| |\])' <<<"$all" | cut -d' ' -f1)

step "tools" tools
step "format" bash -c 'out=$(gofmt -l .); echo -n "$out"; test -z "$out"'
step "go vet" go vet ./...
step "go vet of what needs virtual machines" go vet -tags machines ./internal/lab ./fencing/watchdog ./internal/torment/clocks ./internal/labtests
# shellcheck disable=SC2086
step "tests that need no nodes" tests $others
if [ "${1:-}" != -quick ]; then
	# The image of the nodes is built outside of any test's time.
	step "the nodes' base image" go run ./internal/cmd/lab image
	# shellcheck disable=SC2086
	step "tests on nodes" onnodes -p 1 -timeout 60m -artifacts -outputdir "$PWD/build" $nodes
fi

# What failed is a long way up by now.
awk '/^ *--- FAIL/ {n = 8} /the end of the journal of/ {n = 0} n-- > 0 {print substr($0, 1, 300)}' "$log"
passed=$(grep -c '^ok' "$log")
broken=$(grep -c '^FAIL\s\+github' "$log")
echo "== packages, in $((SECONDS - began)) s; what was printed is in $log"
echo "$passed passed, $broken failed"
exit $failed
