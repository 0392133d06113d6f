#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `make demo`: a real Linux guest in QEMU uses a disk that pariod serves. Leaves nothing behind.
# Not a build: `make demo` has built and fetched what is needed before it calls this.

set -eu

cd "$(dirname "$0")/.."
build=${1:-build}
if [ "${PARIO_VM_BACKEND:-pariod}" = pariod ] && ! [ -x "$build/pariod" ]; then
	echo "demo: no $build/pariod; run: make demo" >&2
	exit 1
fi
export PYTHONDONTWRITEBYTECODE=1
exec python3 tests/vm/demo.py --pariod "$build/pariod" --logs "$build/demo-logs"
