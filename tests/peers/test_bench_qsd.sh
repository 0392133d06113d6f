#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# qemu-storage-daemon as a back end for pario-bench: an independent device end for our driver end.
# usage: test_bench_qsd.sh PARIO_BENCH
set -euo pipefail

bench=${1:?usage: test_bench_qsd.sh PARIO_BENCH}
if ! command -v qemu-storage-daemon >/dev/null; then
	echo "skipped: qemu-storage-daemon is not installed (package qemu-system-common or qemu-utils)"
	exit 77
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/pario-qsd-XXXXXX")
qsd_pid=
cleanup() {
	if [ -n "$qsd_pid" ]; then
		kill "$qsd_pid" 2>/dev/null || true
		wait "$qsd_pid" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap cleanup EXIT

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

# start NAME BLOCKDEV...: an export of node d0 with two queues at $dir/NAME.sock
start() {
	local name=$1
	shift
	if [ -n "$qsd_pid" ]; then
		kill "$qsd_pid"
		wait "$qsd_pid" || true
	fi
	sock=$dir/$name.sock
	qemu-storage-daemon "$@" --export \
		"type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path=$sock,writable=on,num-queues=2" &
	qsd_pid=$!
}

# run NAME ARGS...: a run that must end well; its report goes to $dir/NAME.json
run() {
	local name=$1
	shift
	# --wait covers the time until qemu-storage-daemon listens.
	"$bench" blk "$sock" --wait 20 --timeout 60 --no-progress --json "$@" >"$dir/$name.json" ||
		fail "$name: pario-bench $* ended with $?: $(cat "$dir/$name.json")"
	echo "ok    $name"
}

# holds NAME EXPRESSION: a Python expression over the report r is true
holds() {
	python3 - "$dir/$1.json" "$2" <<'PY' || fail "$1: $2 does not hold: $(cat "$dir/$1.json")"
import json, sys
r = json.load(open(sys.argv[1]))
sys.exit(0 if eval(sys.argv[2], {"r": r}) else 1)
PY
}

size=$((64 * 1024 * 1024))
truncate -s "$size" "$dir/disk.raw"
start file --blockdev "driver=file,node-name=f0,filename=$dir/disk.raw,aio=threads,discard=unmap" \
	--blockdev driver=raw,node-name=d0,file=f0

run probe --probe
holds probe "r['config']['capacity_sectors'] * 512 == $size and r['queues'] == 2"
holds probe "{'EVENT_IDX', 'INDIRECT_DESC', 'VERSION_1'} <= set(r['features']['names'])"

for notify in poll irq; do
	for rw in randread randwrite; do
		run "$rw-$notify" --rw $rw --ios 5000 --queues 2 --notify $notify
		holds "$rw-$notify" "r['results']['total']['requests'] == 5000"
		holds "$rw-$notify" "r['server']['pid'] == $qsd_pid and r['server']['cpu_s'] > 0"
		holds "$rw-$notify" "r['options']['event_idx'] and r['options']['indirect']"
	done
	run "verify-$notify" --rw verify --bs 512-256k --iodepth 16 --queues 2 --ios 8000 --notify $notify
	holds "verify-$notify" "r['verify']['sectors_compared'] > 0"
	holds "verify-$notify" "{'read', 'write', 'discard', 'zeroes', 'flush'} < set(r['results'])"
done
holds randread-irq "0 < r['calls'] <= 5000 + 2"
# libvhost-user always signals a queue's first completion.
holds randread-poll "r['calls'] <= 2"

run direct-chains --rw verify --bs 512-64k --segment 4k --no-indirect --ring-size 1024 --queues 2 --ios 3000
holds direct-chains "not r['options']['indirect']"
run by-flags --rw verify --bs 4k --no-event-idx --notify irq --ios 3000
holds by-flags "not r['options']['event_idx']"
run regions --rw verify --bs 512-64k --regions 8 --ios 3000
run many-regions --rw verify --bs 512-64k --regions 20 --ios 3000
run depth --rw randread --bs 512 --iodepth 1024 --ios 20000
run one --rw randrw --iodepth 1 --ios 500

# What it writes is where it should be: the last sectors of the file and no other.
truncate -s 0 "$dir/disk.raw" && truncate -s "$size" "$dir/disk.raw"
run last --rw write --bs 4k --offset $((size - 4096)) --ios 1
if [ -n "$(tr -d '\0' < <(head -c $((size - 4096)) "$dir/disk.raw") | head -c 1)" ]; then
	fail "a write to the last 4 KiB changed something before them"
fi
if [ -z "$(tr -d '\0' < <(tail -c 4096 "$dir/disk.raw") | head -c 1)" ]; then
	fail "a write to the last 4 KiB did not arrive"
fi
echo "ok    place of a write"

# Packed rings are not offered: that is a failure with its reason, not a run of something else.
rc=0
"$bench" blk "$sock" --ring packed 2>"$dir/err" || rc=$?
if [ $rc -ne 1 ] || ! grep -q 'does not offer RING_PACKED' "$dir/err"; then
	fail "--ring packed: $rc $(cat "$dir/err")"
fi
echo "ok    packed refused"

start null --blockdev "driver=null-co,node-name=d0,size=1073741824,read-zeroes=off"
run null-poll --rw randread --queues 2 --iodepth 128 --ios 100000
run null-irq --rw randread --iodepth 32 --ios 20000 --notify irq
holds null-irq "r['calls'] > 0"

# A back end that dies is noticed, at once and by name.
"$bench" blk "$sock" --runtime 60 --progress >"$dir/out" 2>"$dir/err" &
bench_pid=$!
deadline=$((SECONDS + 30))
until grep -q IOPS "$dir/err"; do
	[ $SECONDS -lt $deadline ] || fail "no progress line: $(cat "$dir/err")"
	kill -0 $bench_pid 2>/dev/null || fail "pario-bench ended: $(cat "$dir/err")"
	sleep 0.05
done
kill -9 "$qsd_pid"
wait "$qsd_pid" 2>/dev/null || true
qsd_pid=
rc=0
wait $bench_pid || rc=$?
if [ $rc -ne 1 ] || ! grep -q 'closed the connection' "$dir/err"; then
	fail "back end killed: $rc $(cat "$dir/err")"
fi
echo "ok    back end killed"
