#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# with_hugepages.sh MIB COMMAND...: runs COMMAND while MIB of 2 MiB pages more are reserved, and
# gives them back. Not a mount: DPDK's --in-memory needs none.
#
# One at a time holds the lock, so that each gives back what it took. Exit status 77, a skipped
# test, where no pages are to be had.

set -eu

[ $# -ge 2 ] || {
	echo "usage: with_hugepages.sh MIB COMMAND..." >&2
	exit 2
}
pages=$((($1 + 1) / 2))
shift
pool=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
lock=${TMPDIR:-/tmp}/pario-hugepages.lock

exec 9>"$lock"
flock 9
[ -w "$pool" ] || {
	echo "with_hugepages: $pool cannot be written (is this root, and no container?)" >&2
	exit 77
}
before=$(cat "$pool")
child=
# shellcheck disable=SC2317,SC2329  # called by the trap
give_back() {
	echo "$before" >"$pool"
}
trap give_back EXIT
# shellcheck disable=SC2317,SC2329  # called by the trap
pass_on() {
	[ -z "$child" ] || kill -TERM "$child" 2>/dev/null || :
}
trap pass_on TERM INT HUP
echo $((before + pages)) >"$pool"
if [ "$(cat "$pool")" -lt $((before + pages)) ]; then
	echo "with_hugepages: $pages pages of 2 MiB are wanted, memory is too scattered" >&2
	exit 77
fi
status=0
"$@" 9>&- &
child=$!
wait "$child" || status=$?
# A signal ends the first wait before the child ends.
while kill -0 "$child" 2>/dev/null; do
	wait "$child" || status=$?
done
exit "$status"
