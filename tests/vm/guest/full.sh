# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# The scenario "full": all that a Linux guest does with a disk. Read by init.sh.
# /dev/vda is the disk under test, /dev/vdb a read-only one.
# Keys: jobs (fio's threads, one for each CPU), fio_mib (data for fio), grow (1: the host can).

disk=/dev/vda
queue=/sys/block/vda/queue
jobs=$(key jobs)
fio_mib=$(key fio_mib)

appear() {
	within 60 test -b /dev/vda && within 60 test -b /dev/vdb
}

drop_caches() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

queue_count() {
	find "/sys/block/$1/mq" -mindepth 1 -maxdepth 1 | wc -l
}

facts() {
	say value kernel "$(uname -r)"
	for name in vda vdb; do
		say value "$name.features" "$(cat /sys/block/$name/device/features)"
		say value "$name.queues" "$(queue_count $name)"
		say value "$name.serial" "$(cat /sys/block/$name/serial)"
		say value "$name.sectors" "$(cat /sys/block/$name/size)"
		say value "$name.ro" "$(/tools/blockdev --getro /dev/$name)"
		say value "$name.write_cache" "$(cat /sys/block/$name/queue/write_cache)"
		say value "$name.discard_max_bytes" "$(cat /sys/block/$name/queue/discard_max_bytes)"
		say value "$name.zeroes_max_bytes" "$(cat /sys/block/$name/queue/write_zeroes_max_bytes)"
		say value "$name.logical_block_bytes" "$(cat /sys/block/$name/queue/logical_block_size)"
		say value "$name.max_segments" "$(cat /sys/block/$name/queue/max_segments)"
	done
}

# Zeroes replace data exactly where they were asked for.
zeroes() {
	dd if=/dev/urandom of=/tmp/pattern bs=1M count=4 &&
		dd if=/tmp/pattern of=$disk bs=64k seek=128 oflag=direct &&
		/tools/blkdiscard -z -o $((9 << 20)) -l $((2 << 20)) $disk &&
		dd if=/dev/zero of=/tmp/pattern bs=1M seek=1 count=2 conv=notrunc &&
		drop_caches &&
		dd if=$disk of=/tmp/back bs=64k skip=128 count=64 iflag=direct &&
		cmp /tmp/pattern /tmp/back &&
		rm /tmp/pattern /tmp/back
}

copy_tree() {
	cp -a /tree /mnt/ && drop_caches
}

check_tree() {
	(cd /mnt && sha256sum -c /tree.sha256) | grep -v ': OK$' && return 1
	cmp /mnt/tree/links/link-9 /tree/links/link-9
}

# Blocks of many sizes at once, each with a checksum that is judged when it is read back.
fio_verify() {
	/tools/fio --name=verify --numjobs="$jobs" --thread --group_reporting --fallocate=none \
		--ioengine=libaio --direct=1 --iodepth=32 --rw=randwrite --randrepeat=1 \
		--cpus_allowed="0-$((jobs - 1))" --cpus_allowed_policy=split \
		--verify=crc32c --verify_fatal=1 --eta=never --output=/tmp/fio.out "$@" \
		2>/tmp/fio.err || {
		cat /tmp/fio.out /tmp/fio.err
		return 1
	}
}

# Sizes down to a sector go to the disk itself: ext4 fills the rest of a new block from the
# kernel's page of zeroes, which User-Mode Linux keeps outside of the memory that it shares.
# Reads are mixed with the writes.
fio_disk() {
	fio_verify --filename=$disk --size="$((fio_mib / 2 / jobs))m" --offset_increment=48m \
		--bssplit=512/25:1k/10:1536/10:4k/30:7k/5:64k/15:256k/5 --verify_backlog=64
}

# All is written, then all is read. (fio's --verify_only reads nothing if a backlog is asked for.)
fio_files() {
	# shellcheck disable=SC2016  # fio expands it
	fio_verify --directory=/mnt --filename_format='fio.$jobnum' --size="$((fio_mib / jobs))m" \
		--bssplit=4k/50:12k/10:32k/20:128k/15:256k/5 "$@"
}

# One line for each queue that has an interrupt of its own.
count_interrupts() {
	device=$(basename "$(readlink /sys/block/vda/device)")
	awk -v prefix="$device-req." 'index($NF, prefix) == 1 {
		sum = 0
		for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++)
			sum += $i
		print "@pario value irq." substr($NF, length(prefix) + 1), sum
	}' /proc/interrupts
}

trim() {
	/tools/fstrim -v /mnt >/tmp/trim || return 1
	say value trimmed "$(sed -n 's/.*(\([0-9]*\) bytes).*/\1/p' /tmp/trim)" >/dev/console
}

junk() {
	dd if=/dev/urandom of=/mnt/junk bs=1M count=16 conv=fsync
}

remove_junk() {
	rm /mnt/junk && sync
}

remount() {
	sync && umount /mnt && drop_caches && mount -t ext4 $disk /mnt
}

read_only() {
	[ "$(/tools/blockdev --getro /dev/vdb)" = 1 ] || return 1
	dd if=/dev/zero of=/dev/vdb bs=4k count=1 oflag=direct conv=notrunc && return 1
	/tools/mkfs.ext4 -F -q /dev/vdb && return 1
	say value vdb.sha256 "$(sha256sum /dev/vdb | cut -d ' ' -f 1)" >/dev/console
}

grown() {
	[ "$(cat /sys/block/vda/size)" -gt "$sectors_before" ]
}

# The disk grows under a mounted file system, which is then grown, filled and read.
grow() {
	within 60 grown || return 1
	say value vda.sectors_after "$(cat /sys/block/vda/size)" >/dev/console
	/tools/resize2fs $disk && cp -a /tree /mnt/tree2 && rm -r /mnt/tree2 && sync
}

# The cache mode is the guest's to switch, and is believed by the block layer.
cache_mode() {
	for mode in "write through" "write back"; do
		echo "$mode" >/sys/block/vda/cache_type || return 1
		[ "$(cat /sys/block/vda/cache_type)" = "$mode" ] || return 1
		[ "$(cat $queue/write_cache)" = "$mode" ] || return 1
		dd if=/dev/urandom of=/mnt/sync bs=4k count=8 conv=fsync || return 1
	done
}

step appear appear
facts
step discard /tools/blkdiscard $disk
step zeroes zeroes
step fio-disk fio_disk
step mkfs /tools/mkfs.ext4 -F -q -b 4096 $disk
step mount mount -t ext4 $disk /mnt
step copy copy_tree
step compare check_tree
step fio-files fio_files
count_interrupts
step junk junk
ask allocated-before
step remove remove_junk
step fstrim trim
ask allocated-after
step remount remount
step compare-again check_tree
step fio-again fio_files --verify_only
step cache-mode cache_mode
step read-only read_only
if [ "$(key grow)" = 1 ]; then
	sectors_before=$(cat /sys/block/vda/size)
	ask grow
	step grow grow
fi
step umount umount /mnt
