#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make soak`: what is too long for every check. PARIO_SOAK_FUZZ_S (default 600) is each fuzzer's time.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build check
make --no-print-directory all

echo "== 10,000 connections, 1,000 memory tables"
build/tests/peers/churn build/src/app/pariod 10000 1000
echo "== verify, 60 s and at least 5 million requests, each ring format and back end"
tests/peers/test_verify.sh build/src/app/pariod build/tools/bench/pario-bench 60
echo "== queues moved 1,000 times under verify load, each ring format and back end"
PARIO_MOVES=1000 tests/peers/test_moves.py build/src/app/pariod build/tools/bench/pario-bench \
	build/tests/peers/test_moves_front
echo "== order of flows while buckets and queues move, 60 s and at least 5 million frames"
PARIO_ORDER_SECONDS=60 PARIO_ORDER_RATE=200000 PARIO_ORDER_RING=256 PARIO_ORDER_FRAMES=5000000 \
	tests/peers/test_order.py build/src/app/pariod build/tools/bench/pario-bench
echo "== DPDK's virtio-user through the switch, 10 minutes"
scripts/with_hugepages.sh 128 tests/peers/test_dpdk.py build/src/app/pariod \
	build/tests/peers/net_reflect 75
echo "== fuzzers"
scripts/fuzz.sh "${PARIO_SOAK_FUZZ_S:-600}"
