# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# The scenario "demo": what a person would type to try a disk out, with what they would see.
# Read by init.sh. What is not after "@pario" is for the person who watches.

# show NAME TEXT COMMAND...: does what TEXT tells the person; it is a step of the test.
show() {
	show_name=$1
	echo
	echo "# $2"
	shift 2
	"$@" || {
		say fail "$show_name: $*"
		poweroff -f
		sleep 3600
	}
	say ok "$show_name"
}

verify_tree() {
	(cd /mnt && sha256sum -c /tree.sha256) >/tmp/sums || return 1
	echo "$(grep -c ': OK$' /tmp/sums) files have the right checksum"
}

verify_blocks() {
	/tools/fio --name=blocks --directory=/mnt --size=32m --fallocate=none --ioengine=libaio \
		--direct=1 --iodepth=32 --rw=randwrite --bssplit=4k/60:16k/20:64k/20 \
		--verify=crc32c --verify_fatal=1 --eta=never --output=/tmp/fio.out || {
		cat /tmp/fio.out
		return 1
	}
	echo "32 MiB in random order, 32 requests at a time; each block read back has its checksum"
}

forget_cache() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

step appear within 60 test -b /dev/vda
echo
echo "Linux $(uname -r) is up; /dev/vda has $(($(cat /sys/block/vda/size) / 2048)) MiB," \
	"$(find /sys/block/vda/mq -mindepth 1 -maxdepth 1 | wc -l) queues," \
	"cache: $(cat /sys/block/vda/queue/write_cache)"
show mkfs "mkfs.ext4 /dev/vda" /tools/mkfs.ext4 -q -b 4096 /dev/vda
show mount "mount /dev/vda /mnt" mount -t ext4 /dev/vda /mnt
show copy "cp -a /tree /mnt" cp -a /tree /mnt
show forget "sync; echo 3 >/proc/sys/vm/drop_caches" forget_cache
show compare "sha256sum -c /tree.sha256" verify_tree
show fio "fio --rw=randwrite --verify=crc32c --iodepth=32 --direct=1 ..." verify_blocks
show fstrim "fstrim -v /mnt" /tools/fstrim -v /mnt
show umount "umount /mnt" umount /mnt
show remount "mount /dev/vda /mnt" mount -t ext4 /dev/vda /mnt
show compare-again "sha256sum -c /tree.sha256" verify_tree
show df "df -h /mnt" df -h /mnt
show umount-again "umount /mnt" umount /mnt
echo
