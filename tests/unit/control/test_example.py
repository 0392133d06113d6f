#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example configuration is valid as it stands, but for the places that it names.

Its paths (/srv, /run) are moved under a temporary directory, its CPUs to those that this process
has; everything else goes through `pariod --check` and `pario check` unchanged.
usage: test_example.py PARIOD PARIO EXAMPLE
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout.strip()


def main():
    pariod, pario, example = sys.argv[1:4]
    text = Path(example).read_text(encoding="utf-8")
    cpu = str(min(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as directory:
        text = re.sub(r"(?<=[ :])/(srv|run)/", rf"{directory}/\1/", text)
        text = re.sub(r"(?m)^( *workers:).*$", rf"\1 {cpu}", text)
        for path in re.findall(rf"{directory}/\S+", text):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            if path.endswith(".raw"):
                Path(path).write_bytes(b"")
        moved = Path(directory) / "pario.yaml"
        moved.write_text(text, encoding="utf-8")
        counts = {}
        for block in re.split(r"(?m)^(?=[a-z]+:)", text):
            counts[block.split(":")[0]] = len(re.findall(r"(?m)^  - name:", block))
        disks, ports = counts.get("disks", 0), counts.get("ports", 0)
        uplinks, switches = counts.get("uplinks", 0), counts.get("switches", 0)
        if disks < 2 or ports < 2 or not uplinks or not switches:
            print(f"{example} shows {counts}: too few to be an example", file=sys.stderr)
            return 1
        counted = f"{disks} disks, {ports} ports and {uplinks} uplinks on {switches} switches,"
        for command in ((pariod, "--config", moved, "--check"), (pario, "check", moved)):
            status, said = run(*command)
            if status != 0 or counted not in said:
                print(f"{command[0]}: status {status}: {said}", file=sys.stderr)
                return 1
        # The check can fail: a mistake in the same file is found.
        moved.write_text(text + "  - name: vm1\n", encoding="utf-8")
        for command in ((pariod, "--config", moved, "--check"), (pario, "check", moved)):
            if run(*command)[0] == 0:
                print(f"{command[0]} does not see a mistake", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
