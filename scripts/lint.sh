#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Linters. `lint.sh cheap` is what `make check` runs (seconds); without an argument everything.
# shellcheck disable=SC2317 # functions are called through step
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
mode=${1:-all}
failed=0

step() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "ok    $name"
	else
		echo "FAIL  $name"
		printf '%s\n' "$out" | grep -vE '^[0-9]+ warnings? (generated|treated)' | tail -n 60
		failed=1
	fi
}

sources() { git ls-files -co --exclude-standard '*.c' '*.h' | while read -r f; do [ -f "$f" ] && echo "$f"; done; }
c_files() { git ls-files -co --exclude-standard 'src/*.c' 'tools/*.c' | while read -r f; do [ -f "$f" ] && echo "$f"; done; }
scripts() {
	git ls-files -co --exclude-standard '*.sh' .ci/run | while read -r f; do [ -f "$f" ] && echo "$f"; done
}

# clang sees what gcc does not: GUEST pointers are noderef there.
syntax_clang() {
	c_files | xargs -P 2 -n 8 clang -fsyntax-only -std=gnu17 -D_GNU_SOURCE -DPARIO_VERSION='"lint"' -Isrc -Itools/bench \
		-Itools/bench/driver -Wall -Wextra -Werror -Wshadow -Wcast-qual -Wmissing-prototypes -Wnoderef
}
spelling() { git ls-files -co --exclude-standard | grep -vE 'corpus|LICENSE' | xargs codespell --quiet-level=2 -L 'te,fo,ot,crate,inout,inflight'; }
shells() { scripts | xargs shellcheck -x; }
formatted() { sources | grep -v '/corpus/' | xargs clang-format --dry-run -Werror; }
cppchecks() {
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches --suppress=nullPointer -D__x86_64__ -D_GNU_SOURCE -DPARIO_VERSION='"lint"' -Isrc \
		-j 2 src tools
}
tidy() {
	[ -f build/compile_commands.json ] || make --no-print-directory all || return 1
	c_files | xargs -P 2 -n 1 clang-tidy --quiet -p build
}

step "layers of #include" tests/lint/layers.py .
step "rules of the tree" tests/lint/tree.py .
step "clang, noderef" syntax_clang
step "codespell" spelling
step "shellcheck" shells
step "clang-format" formatted
if [ "$mode" = all ]; then
	step "cppcheck" cppchecks
	step "clang-tidy" tidy
fi
exit $failed
