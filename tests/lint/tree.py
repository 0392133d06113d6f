#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of the tree that a grep can hold: sizes, words, ring formats below the ring layer."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
LINES_MAX = 600
# Where a ring format may be named above virtqueue/, and why.
FORMAT_ALLOWED = {
    "src/device/device.h": "the feature bit's name in the specification is RING_PACKED",
    "src/device/device.c": "negotiated features decide the format that virtqueue_new() is asked for",
    "src/device/change.c": "negotiated features decide the format that virtqueue_new() is asked for",
    "src/device/view.c": "a view says which format a queue has",
    "src/device/blk/blk.h": "the option that offers the feature",
    "src/device/blk/blk.c": "the option that offers the feature",
    "src/device/net/net.h": "the option that offers the feature",
    "src/device/net/config.c": "the option that offers the feature",
}
# Whoever wants to share between threads below these uses messages; base/ordering.h has the rings' edges.
UNSHARED = re.compile(r"src/(device|virtqueue|storage)/")
SHARING = re.compile(r"__atomic|__sync_|stdatomic|_Atomic|\batomic_|\bpthread_|\bsem_|\bmtx_")
SHARING_ALLOWED = {
    "src/device/net/tx.c": "left_out, what a queue that moved left on other workers; moves only",
    "src/storage/flash_model.c": "the model's channels belong to the disk: one compare-exchange a piece",
    "src/storage/storage.c": "channel_cnt, for the CHECK of storage_close(); opening and closing only",
}
FORBIDDEN = [
    (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), "unfinished work belongs in an issue"),
    (re.compile(r"\b(strcpy|strcat|sprintf|gets|alloca)\s*\("), "unbounded string or stack function"),
]


def tracked():
    out = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                         capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in out.splitlines() if (ROOT / name).is_file()]


def main():
    problems = []
    sources = [p for p in tracked() if p.suffix in (".c", ".h")]
    for path in sources:
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        lines = text.splitlines()
        if len(lines) > LINES_MAX:
            problems.append(f"{name}: {len(lines)} lines, at most {LINES_MAX}")
        if not lines or "SPDX-License-Identifier: Apache-2.0" not in lines[0]:
            problems.append(f"{name}:1: no SPDX line")
        for number, line in enumerate(lines, 1):
            # A text stays in one piece, so that it can be searched for.
            if len(line.expandtabs(8)) > 100 and '"' not in line:
                problems.append(f"{name}:{number}: over 100 columns")
            for pattern, why in FORBIDDEN:
                if pattern.search(line):
                    problems.append(f"{name}:{number}: {why}: {line.strip()}")
            if UNSHARED.match(name) and name not in SHARING_ALLOWED and SHARING.search(line):
                problems.append(f"{name}:{number}: an atomic or a lock: {line.strip()}")
            if re.match(r"src/(device|storage|network)/", name) and name not in FORMAT_ALLOWED and \
                    re.search(r"packed|split", line):
                problems.append(f"{name}:{number}: names a ring format: {line.strip()}")
    for name in SHARING_ALLOWED:
        if not SHARING.search((ROOT / name).read_text()):
            problems.append(f"{name}: shares nothing any more, take it off the list of tests/lint/tree.py")
    for stem in ("misc", "utils", "common", "util", "helpers"):
        problems += [f"{p}: a file of that name says nothing" for p in sources if p.stem == stem]
    for line in problems:
        print(line)
    print(f"{len(sources)} files looked at, {len(problems)} problems")
    return 1 if problems or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
