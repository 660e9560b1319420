#!/bin/bash
# Runs every fuzz test of the module for a while, one after another, and says in
# a line each how it went: fuzz.sh [TIME], 30s unless told otherwise.
set -uo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}

out=$(mktemp)
trap 'rm -f "$out"' EXIT

# go test -list prints a package's tests first and then its "ok" line.
if ! go test -list '^Fuzz' ./... >"$out"; then
	cat "$out"
	echo "fuzz.sh: cannot list the fuzz tests" >&2
	exit 1
fi
targets=$(awk '/^Fuzz/ {names = names " " $1} $1 == "ok" {n = split(names, f); for (i = 1; i <= n; i++) print $2, f[i]; names = ""}' "$out")
if [ -z "$targets" ]; then
	echo "fuzz.sh: there are no fuzz tests" >&2
	exit 1
fi

failed=0
while read -r package name; do
	if go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 100x "$package" >"$out" 2>&1 </dev/null; then
		echo "ok    $package $name $time"
	else
		failed=1
		echo "FAIL  $package $name"
		sed 's/^/      /' "$out"
	fi
done <<<"$targets"
exit $failed
