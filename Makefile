# SPDX-License-Identifier: Apache-2.0
# The habitual names, over Meson and ninja. Everything that is more than a line is in scripts/.

B ?= build

.PHONY: all demo check lint format bench soak install clean

all: $(B)/build.ninja
	@ninja -C $(B) --quiet
	@ln -sf src/app/pariod tools/pario/pario tools/bench/pario-bench $(B)/

$(B)/build.ninja:
	@scripts/setup.sh build
	@meson setup $(B) >$(B).log 2>&1 || { cat $(B).log; exit 1; }
	@rm -f $(B).log

demo:
	@scripts/setup.sh build vm
	@$(MAKE) --no-print-directory all
	@scripts/demo.sh $(B)

check:
	@scripts/check.sh

lint:
	@scripts/lint.sh

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

bench: all
	@scripts/bench.sh $(B)

soak:
	@scripts/soak.sh

install: all
	@meson install -C $(B)

clean:
	@rm -rf $(B) build-asan build-tsan build-fuzz
