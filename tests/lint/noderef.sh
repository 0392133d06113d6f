#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Proves that guest memory cannot be dereferenced outside guest/gptr.h: what looks through a GUEST
# pointer does not compile (clang, -Wnoderef), and what goes through gptr.h does.
# Usage: noderef.sh SOURCE_ROOT. Exit status: 0 proven, 1 not, 77 no clang here.
set -u

root=${1:?usage: noderef.sh SOURCE_ROOT}
clang=${CLANG:-clang}
if ! command -v "$clang" >/dev/null 2>&1; then
	echo "skipped: $clang is not installed (Debian package clang)"
	exit 77
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

# compile FILE: 0 when clang accepts it; what it says goes to $work/log.
compile() {
	"$clang" -std=gnu17 -D_GNU_SOURCE -fsyntax-only -Wall -Wextra -Werror -Wnoderef \
		-I"$root/src" "$1" >"$work/log" 2>&1
}

# snippet NAME BODY: a function that is given ring and i.
snippet() {
	cat >"$work/$1.c" <<-EOF
		#include "guest/gptr.h"
		#include "virtqueue/wire.h"
		uint64_t $1(struct wire_used GUEST *ring, unsigned i);
		uint64_t $1(struct wire_used GUEST *ring, unsigned i)
		{
			(void)i;
			$2
		}
	EOF
}

must_compile() {
	snippet "$1" "$2"
	if ! compile "$work/$1.c"; then
		echo "$1: does not compile, but should:"
		cat "$work/log"
		failed=1
	fi
}

must_not_compile() {
	snippet "$1" "$2"
	if compile "$work/$1.c"; then
		echo "$1: compiles, but dereferences guest memory: $2"
		failed=1
	elif ! grep -q 'Wnoderef' "$work/log"; then
		echo "$1: does not compile, but for another reason:"
		cat "$work/log"
		failed=1
	fi
}

must_compile load_member 'return gptr_load_le16(&ring->idx);'
must_compile load_element 'return gptr_load_le32(&ring->ring[i].len);'
must_compile store_member 'gptr_store_le16(&ring->flags, 1); return 0;'

must_not_compile read_member 'return ring->idx.raw;'
must_not_compile read_element 'return ring->ring[i].len.raw;'
must_not_compile read_whole 'struct wire_used copy = *ring; return copy.idx.raw;'
must_not_compile write_member 'ring->flags.raw = 1; return 0;'
must_not_compile write_element 'ring->ring[i].id.raw = 1; return 0;'
must_not_compile escape_by_assignment 'struct le16 *p = &ring->idx; return p->raw;'

for file in "$root"/src/guest/*.c "$root"/src/virtqueue/*.c; do
	if ! compile "$file"; then
		echo "$file: does not compile with -Wnoderef:"
		cat "$work/log"
		failed=1
	fi
done

exit $failed
