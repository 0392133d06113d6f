#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pario's ports beside testpmd, Open vSwitch with DPDK and memcpy(), in turns, as ratios; coalescing
# off, static and adaptive (--cases coalesce), and in real guests (--cases guest, some ten minutes;
# --options="--guests uml --parts udp" for a part of it, as tests/bench/net_guest.py --help says); order
# while queues move (--cases order). No figure is asserted. Huge pages that DPDK needs are reserved
# and given back.
# usage: scripts/bench_net.sh [BUILD] [--cases LIST] [--pairs N] [--seconds S] [--sizes LIST] [--rings LIST] [--options="..."] [--buffers LIST] [--shares LIST] [--csv FILE]
set -euo pipefail
cd "$(dirname "$0")/.."
build=build
if [ -f "${1:-}/build.ninja" ]; then
	build=$1
	shift
fi
export PYTHONDONTWRITEBYTECODE=1
exec python3 tests/bench/net.py "$build" "$@"
