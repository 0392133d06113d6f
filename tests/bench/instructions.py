#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions for each request in the rings, counted by callgrind, beside their budget.

Counts do not depend on load, clock or neighbours: the same build gives the same number each time,
so a change of one per cent is seen. They are no times: what a cache miss costs is not in them.
Only virtqueue_fetch() and virtqueue_complete() are counted, with all that they call.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

ROUNDS = 400
HERE = os.path.dirname(os.path.abspath(__file__))


def count(program, ring, burst):
    """Instructions for each request."""
    with tempfile.TemporaryDirectory(prefix="pario-bench-") as tmp:
        argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={tmp}/out",
                "--toggle-collect=virtqueue_fetch", "--toggle-collect=virtqueue_complete",
                program, ring, str(ROUNDS), str(burst)]
        try:
            run = subprocess.run(argv, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            sys.exit("instructions.py: no valgrind; run scripts/setup.sh check")
    collected = re.search(r"Collected *: *(\d+)", run.stderr)
    requests = re.search(r", (\d+) requests", run.stdout)
    if run.returncode or not collected or not requests:
        sys.exit(f"{' '.join(argv)}: {run.stderr.strip()}")
    if int(requests[1]) != ROUNDS * burst:
        sys.exit(f"{ring}: {requests[1]} requests instead of {ROUNDS * burst}")
    return int(collected[1]) / int(requests[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--budget", default=f"{HERE}/instructions.json")
    parser.add_argument("--strict", action="store_true", help="fail when a budget is exceeded")
    args = parser.parse_args()
    with open(args.budget, encoding="utf-8") as file:
        budget = json.load(file)
    program = os.path.join(args.build, "tests/bench/bench_virtqueue")
    over = 0
    print("instructions a request, fetch and complete, chains of three descriptors "
          "(budget is for the default build with gcc 12)")
    for ring, limits in budget["rings"].items():
        cells = []
        for burst, limit in limits.items():
            got = count(program, ring, int(burst))
            over += got > limit
            cells.append(f"burst {burst:>2} {got:6.1f} of {limit}" +
                         (" OVER" if got > limit else ""))
        print(f"  {ring:16} " + "   ".join(cells), flush=True)
    return 1 if args.strict and over else 0


if __name__ == "__main__":
    sys.exit(main())
