#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_verify.sh PARIOD PARIO_BENCH SECONDS: verify mode, 4 queues of 64, mixed sizes 512 B to 1 MiB,
# both ring formats, on file (O_DIRECT, page cache, registered guest memory), ram and flash. No
# mismatch may be found.
set -euo pipefail
pariod=$1 bench=$2 seconds=$3
# Not /dev/shm: O_DIRECT wants a real file system.
dir=$(mktemp -d /var/tmp/pario-verify-XXXXXX)
pid=
cleanup() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT

truncate -s 256M "$dir/direct.img" "$dir/cached.img" "$dir/pinned.img"
"$pariod" --disk "direct,path=$dir/direct.img,queues=4,socket=$dir/direct.sock,features.packed=true" \
	--disk "cached,path=$dir/cached.img,cache=writeback,queues=4,socket=$dir/cached.sock,features.packed=true" \
	--disk "pinned,path=$dir/pinned.img,pin-memory=true,queues=4,socket=$dir/pinned.sock,features.packed=true" \
	--disk "ram,backend=ram,size=256M,queues=4,socket=$dir/ram.sock,features.packed=true,features.in-order=true" \
	--disk "flash,backend=flash,size=256M,channels=8,read-us=20,write-us=40,queues=4,socket=$dir/flash.sock" \
	--workers 0-1 --log-level warn &
pid=$!
for _ in $(seq 1000); do
	[ -S "$dir/flash.sock" ] && break
	kill -0 "$pid" || exit 1
	read -r -t 0.01 <> <(:) || true
done

for disk in direct cached pinned ram flash; do
	for ring in split packed; do
		echo "-- $disk, $ring"
		"$bench" blk "$dir/$disk.sock" --rw verify --bs 512-1M --iodepth 64 --queues 4 --runtime "$seconds" \
			--ring "$ring" --no-progress
	done
done
echo "-- pinned, split, several regions and buffers that cross them"
"$bench" blk "$dir/pinned.sock" --rw verify --bs 512-1M --iodepth 64 --queues 4 --runtime "$seconds" --regions 4 \
	--cross-regions --no-progress
echo "-- ram, split, in order"
"$bench" blk "$dir/ram.sock" --rw verify --bs 512-1M --iodepth 64 --queues 4 --runtime "$seconds" --in-order --no-progress
kill "$pid"
wait "$pid"
pid=
