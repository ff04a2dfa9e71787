#!/bin/sh
# Checks park.pml and doze.pml with SPIN: the protocol as it is must hold, and each
# defect put back must be found. Needs spin and a C compiler.
set -eu
models=$(cd "$(dirname "$0")" && pwd)
model=$models/park.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# verify NAME DEFINES...: exit 0 if SPIN finds no error, in safety and liveness.
verify() {
	spin -a "$@" "$model" >spin.out 2>&1 || { cat spin.out; exit 2; }
	# Safety first: invalid end states and assertions. Then the ltl property.
	${CC:-cc} -O1 -w -DNOCLAIM -DSAFETY -o pan pan.c
	./pan -m1000000 >safety.out 2>&1
	grep -q 'errors: 0' safety.out || { grep -E 'pan:.*(invalid|assert)' safety.out | head -1; return 1; }
	grep -q 'max search depth too small' safety.out && { echo "search not complete"; exit 2; }
	${CC:-cc} -O1 -w -DNFAIR=3 -o pan pan.c
	./pan -a -f -N ends -m1000000 >live.out 2>&1
	grep -q 'errors: 0' live.out || { grep -E 'pan:.*accept' live.out | head -1; return 1; }
	grep -q 'max search depth too small' live.out && { echo "search not complete"; exit 2; }
	grep -E 'states, stored' safety.out | head -1
}

fail=0
holds() {
	if out=$(verify "$@"); then echo "holds  $* " $out
	else echo "VIOLATED  $*  $out"; fail=1; fi
}
found() {
	if out=$(verify "$@") || [ -z "$out" ]; then echo "NOT FOUND  $*"; fail=1
	else echo "found  $*  $out"; fi
}
holds -DSHIPPED
holds -DALARM
holds -DOPEN
holds -DOPEN -DALARM
found -DOPEN -DNO_RELOOK
found -DOPEN -DPLAIN_COMMIT
found -DNO_CLOSE_WAKE
found -DEND_BY_COUNT
found -DALARM -DDISARM_LEAVES
model=$models/doze.pml
holds -DSHIPPED
holds -DALARM
found -DNO_RELOOK
found -DWAKE_ONLY
found -DALARM -DSTALE_DISARM
found -DBLIND_ROUSE
exit $fail
