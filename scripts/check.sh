#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make check`: sets up, builds with warnings as errors, runs every suite, and ends with one line:
# "N passed, N failed, N skipped". Suites that can run under ASan+UBSan do; the thread tests run
# under TSan too; what measures memory runs on the plain build.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh all

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

# dir, then meson options
configure() {
	local dir=$1
	shift
	if [ ! -f "$dir/build.ninja" ]; then
		meson setup "$dir" --werror -Dtests=enabled "$@" >/dev/null
	else
		meson configure "$dir" -Dwerror=true -Dtests=enabled "$@" >/dev/null
	fi
}

say "building: plain, ASan+UBSan, TSan"
configure build
configure build-asan -Db_sanitize=address,undefined -Db_lundef=false
configure build-tsan -Db_sanitize=thread -Db_lundef=false
make --no-print-directory all
ninja -C build --quiet
ninja -C build-asan --quiet
ninja -C build-tsan --quiet thread_tests

export ASAN_OPTIONS=abort_on_error=1:detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

logs=()
# build directory, log name, suites
run() {
	local dir=$1 name=$2 suites=() suite
	shift 2
	for suite in "$@"; do suites+=(--suite "$suite"); done
	say "$name"
	meson test -C "$dir" --no-rebuild --logbase "$name" --print-errorlogs "${suites[@]}" || true
	logs+=("$dir/meson-logs/$name.json")
}

run build lint lint
run build-asan unit-asan unit proto fuzz
run build-tsan threads-tsan threads
run build-asan peers-asan peers
run build plain plain
run build-asan guests-asan vm

say "done"
exec tests/report.py "${logs[@]}"
