#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make bench`: pario beside its peers on this machine, in turns, as ratios. Nothing is asserted.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build check
echo "== micro-benchmarks"
"${1:-build}"/tests/bench/bench_virtqueue
echo "== instructions"
python3 tests/bench/instructions.py "${1:-build}"
echo "== peers"
exec python3 tests/bench/compare.py "${1:-build}" "${@:2}"
