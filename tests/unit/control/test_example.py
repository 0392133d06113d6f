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
        disks = len(re.findall(r"(?m)^  - name:", text))
        if disks < 2:
            print(f"{example} shows {disks} disks: too few to be an example", file=sys.stderr)
            return 1
        for command in ((pariod, "--config", moved, "--check"), (pario, "check", moved)):
            status, said = run(*command)
            if status != 0 or f"{disks} disks" not in said:
                print(f"{command[0]}: status {status}: {said}", file=sys.stderr)
                return 1
        # The check can fail: a mistake in the same file is found.
        moved.write_text(text + "  - name: vda\n", encoding="utf-8")
        for command in ((pariod, "--config", moved, "--check"), (pario, "check", moved)):
            if run(*command)[0] == 0:
                print(f"{command[0]} does not see a mistake", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
