#!/bin/sh
# What the work tree changes of a commit, as markdown. Ends with 1, naming file and
# line, if no controller would take it.
# usage: ci/plan.sh COMMIT
set -eu
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$1" specs | tar -x -C "$before"

if ! daoli-reconcile validate specs >"$before/report" 2>&1; then
	printf '### The network refuses this change\n\n```\n%s\n```\n' "$(cat "$before/report")"
	exit 1
fi
# Both are asked about the same containers: those of the change. Where a rule stands is
# left out, since lines move.
reach() { daoli-reconcile matrix "$1" --endpoints endpoints.yaml | awk '{ print $1, $2, $3, $4, $5, $6 }'; }
reach "$before/specs" >"$before/was"
reach specs >"$before/is"
if cmp -s "$before/was" "$before/is"; then
	echo '### Nobody reaches more or less by this change'
	exit 0
fi
printf '### Who reaches whom by this change\n\n```diff\n'
diff -U0 "$before/was" "$before/is" | sed -e 1,2d -e '/^@@/d' || true
echo '```'
