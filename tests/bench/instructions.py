#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions for each request, in the rings and in the whole block path, beside their budget.

Counts do not depend on load, clock or neighbours: the same build gives the same number each time,
so a change of one per cent is seen. They are no times: what a cache miss costs is not in them.
Rings: virtqueue_fetch() and virtqueue_complete(), with all that they call. Path: one poll of a
block device's queue with `null` storage: fetch, judge, submit, reap, complete, notify, latency.
Polls that find nothing are not in it: bench_blk.c says how. Switch: netport_send() and all that it
calls, the receiver's return of the frame included; its requests are frames. Steering: steering_choose(), and the
look-up of a learnt flow where there is one. Net: one poll of a transmit
queue, with all that follows up to the receiver's call.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

ROUNDS = 400
TIMEOUT_S = 120
HERE = os.path.dirname(os.path.abspath(__file__))


# Section of the budget: program, functions that are counted, and what that is.
PARTS = {
    "rings": ("bench_virtqueue", ["virtqueue_fetch", "virtqueue_complete"],
              "fetch and complete, chains of three descriptors"),
    "path": ("bench_blk", ["bench_blk_poll"], "the whole block path, 4 KiB reads from null"),
    "switch": ("bench_switch", ["bench_switch_send"], "a switch, from port to port on one worker"),
    "steering": ("bench_steering", ["bench_steering_choose"],
                 "the queue of a frame that is dissected"),
    "net": ("bench_net", ["bench_net_poll"], "60 B frames, from one guest's ring to another's"),
}


def count(program, functions, ring, burst):
    """Instructions for each request."""
    with tempfile.TemporaryDirectory(prefix="pario-bench-") as tmp:
        argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={tmp}/out",
                *[f"--toggle-collect={name}" for name in functions],
                program, ring, str(ROUNDS), str(burst)]
        try:
            run = subprocess.run(argv, capture_output=True, text=True, check=False,
                                 timeout=TIMEOUT_S)
        except FileNotFoundError:
            sys.exit("instructions.py: no valgrind; run scripts/setup.sh check")
        except subprocess.TimeoutExpired:
            sys.exit(f"{' '.join(argv)}: not done after {TIMEOUT_S} s")
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
    over = 0
    for part, (name, functions, what) in PARTS.items():
        program = os.path.join(args.build, "tests/bench", name)
        print(f"instructions a request, {what} (budget is for the default build with gcc 12)")
        for ring, limits in budget[part].items():
            cells = []
            for burst, limit in limits.items():
                got = count(program, functions, ring, int(burst))
                over += got > limit
                cells.append(f"burst {burst:>2} {got:6.1f} of {limit}" +
                             (" OVER" if got > limit else ""))
            print(f"  {ring:16} " + "   ".join(cells), flush=True)
    return 1 if args.strict and over else 0


if __name__ == "__main__":
    sys.exit(main())
