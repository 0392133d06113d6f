#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh SECONDS [TARGET...]: runs the libFuzzer targets one after the other for SECONDS each and
# prints executions a second and line coverage of the files each aims at. Findings end up in
# build-fuzz/findings and make it fail. New inputs stay in build-fuzz/corpus; a regression is copied
# to tests/fuzz/corpus/TARGET by hand, with a name that says what it was.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?seconds for each target}
shift
declare -A files=(
	[chain]="src/virtqueue/split.c src/virtqueue/packed.c src/virtqueue/chain.c"
	[blk_request]="src/device/blk/request.c"
	[net_tx]="src/device/net/tx.c src/device/net/rx.c src/device/net/rx_wait.c src/device/net/egress.c src/device/net/header.c"
	[frame]="src/flow/dissect.c src/flow/checksum.c src/flow/segment.c src/flow/steering.c src/flow/toeplitz.c src/flow/vxlan.c"
	[net_control]="src/device/net/control_execute.c src/device/net/control_rss.c src/device/net/control_stats.c src/device/net/rules.c src/device/net/steer.c"
	[session]="src/vhost_user/message.c src/vhost_user/table.c src/vhost_user/session.c src/vhost_user/memory.c src/vhost_user/vring.c src/vhost_user/features.c src/vhost_user/config.c"
)
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(chain blk_request session frame net_control net_tx)

build() { # directory, extra C arguments, sanitizers
	[ -f "$1/build.ninja" ] || CC=clang meson setup "$1" -Dfuzz=true -Dtests=enabled -Db_lundef=false \
		-Db_sanitize="$3" -Dc_args="$2" -Dc_link_args="$2" >/dev/null
	ninja -C "$1" --quiet
}

build build-fuzz "-fsanitize=fuzzer-no-link" address,undefined
build build-fuzz/coverage "-fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping" none
mkdir -p build-fuzz/findings
export ASAN_OPTIONS=abort_on_error=1:detect_leaks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
failed=0
for target in "${targets[@]}"; do
	corpus=build-fuzz/corpus/$target
	mkdir -p "$corpus"
	log=build-fuzz/$target.log
	echo "== $target: $seconds s"
	if ! build-fuzz/tests/fuzz/fuzz_"$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix=build-fuzz/findings/"$target"- "$corpus" tests/fuzz/corpus/"$target" >"$log" 2>&1; then
		echo "FINDING: see $log"
		tail -n 40 "$log"
		failed=1
	fi
	grep -E 'stat::(number_of_executed_units|average_exec_per_sec)' "$log" || true
	profile=build-fuzz/$target.profraw
	LLVM_PROFILE_FILE=$profile build-fuzz/coverage/tests/fuzz/fuzz_"$target" -runs=0 "$corpus" \
		tests/fuzz/corpus/"$target" >/dev/null 2>&1 || true
	llvm-profdata merge -sparse "$profile" -o "$profile.data"
	# shellcheck disable=SC2086 # a list of files
	llvm-cov report build-fuzz/coverage/tests/fuzz/fuzz_"$target" -instr-profile="$profile.data" ${files[$target]} |
		awk '/\.c / || /^TOTAL/ { printf "  %-40s %s lines covered\n", $1, $10 }'
done
exit $failed
