#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make bench`: pario beside its peers on this machine, in turns, as ratios. Nothing is asserted.
# usage: scripts/bench.sh [BUILD] [CASE...] [--pairs N] [--runtime SECONDS]
# Without a case: the micro-benchmarks and all cases (tests/bench/compare.py --help lists them).
# The case `net` stands alone: scripts/bench_net.sh and its options. It takes memory for huge pages.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build
if [ -f "${1:-}/build.ninja" ]; then
	build=$1
	shift
fi
if [ "${1:-}" = net ]; then
	shift
	exec scripts/bench_net.sh "$build" "$@"
fi
scripts/setup.sh build check
export PYTHONDONTWRITEBYTECODE=1
case ${1:---} in
--*)
	echo "== micro-benchmarks"
	"$build"/tests/bench/bench_virtqueue
	"$build"/tests/bench/bench_blk
	echo "== bench_switch"
	"$build"/tests/bench/bench_switch
	echo "== bench_steering"
	"$build"/tests/bench/bench_steering
	echo "== instructions"
	python3 tests/bench/instructions.py "$build"
	echo "== peers"
	;;
esac
exec python3 tests/bench/compare.py "$build" "$@"
