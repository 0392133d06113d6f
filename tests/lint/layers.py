#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds every #include of src/ against the table of layers in docs/architecture.md section 3."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
DOC = ROOT / "docs" / "architecture.md"

# Which folders, or single headers, a folder may include beside itself. Kept equal to the table in
# the document by check_document().
ALLOWED = {
    "base": [],
    "guest": ["base"],
    "flow": ["base", "guest"],
    "virtqueue": ["base", "guest"],
    "worker": ["base"],
    "storage": ["base", "worker", "guest/gmem.h", "guest/iov.h"],
    "network": ["base", "worker", "flow", "guest/gmem.h", "guest/iov.h"],
    "device": ["base", "guest", "flow", "virtqueue", "worker", "storage/storage.h",
               "network/frame.h", "network/netport.h"],
    "vhost_user": ["base", "guest", "virtqueue", "worker", "device/device.h"],
    "observe": ["base", "worker", "device/device.h", "storage/storage.h",
                "vhost_user/vhost_user.h"],
    "control": ["base", "worker", "device/device.h", "device/blk/blk.h", "device/net/net.h",
                "storage/storage.h", "vhost_user/vhost_user.h", "network/netport.h",
                "network/netswitch.h"],
    "app": ["*"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def folder(path):
    return path.split("/")[0]


def check_file(path, problems):
    name = str(path.relative_to(ROOT / "src"))
    own = folder(name)
    if own not in ALLOWED:
        problems.append(f"src/{name}: folder '{own}' is not in the table of layers")
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match.group(1)
        where = f"src/{name}:{number}: includes \"{target}\""
        if not (ROOT / "src" / target).is_file():
            problems.append(f"{where}, which is no path below src/")
        elif target.endswith("_priv.h") and folder(target) != own:
            problems.append(f"{where}: private to {folder(target)}/")
        elif folder(target) != own and "*" not in ALLOWED[own] and \
                folder(target) not in ALLOWED[own] and target not in ALLOWED[own]:
            problems.append(f"{where}: {own}/ may include {', '.join(ALLOWED[own]) or 'only itself'}")


def check_document(problems):
    """The table row of each folder names every allowed thing, so the document cannot drift."""
    text = DOC.read_text()
    for own, allowed in ALLOWED.items():
        row = re.search(rf"^\| `{own}` \| (.*?) \|", text, re.M)
        if not row:
            problems.append(f"docs/architecture.md: no row for `{own}` in the table of layers")
            continue
        for item in allowed:
            if item != "*" and item not in row.group(1):
                problems.append(f"docs/architecture.md: row `{own}` does not name {item}")


def main():
    problems = []
    files = sorted((ROOT / "src").rglob("*.[ch]"))
    for path in files:
        check_file(path, problems)
    check_document(problems)
    for line in problems:
        print(line)
    print(f"{len(files)} files looked at, {len(problems)} problems")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
