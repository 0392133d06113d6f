# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# The scenario "fsync": a known number of fsyncs on each disk in each cache mode.
# Before and after each lot the host is asked to look at its counter. Key: fsyncs.

fsyncs=$(key fsyncs)

appear() {
	within 60 test -b /dev/vda && within 60 test -b /dev/vdb
}

write_and_fsync() {
	i=0
	while [ "$i" -lt "$fsyncs" ]; do
		dd if=/dev/urandom of="/dev/$1" bs=4k count=1 seek=$((i * 16)) conv=fsync,notrunc ||
			return 1
		i=$((i + 1))
	done
}

set_mode() {
	echo "$2" >"/sys/block/$1/cache_type" && [ "$(cat "/sys/block/$1/cache_type")" = "$2" ]
}

# lot DISK NAME: the fsyncs of one mode.
lot() {
	ask "start-$1-$2"
	step "$1-$2" write_and_fsync "$1"
	ask "stop-$1-$2"
}

step appear appear
for name in vda vdb; do
	say value "$name.cache_type" "$(cat "/sys/block/$name/cache_type")"
	lot $name announced
	step "$name-set-write-back" set_mode $name "write back"
	lot $name write-back
	step "$name-set-write-through" set_mode $name "write through"
	lot $name write-through
	step "$name-set-again" set_mode $name "write back"
	lot $name again
done
