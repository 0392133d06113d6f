#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up Meson's test logs (JSON lines) and ends with "N passed, N failed, N skipped"."""
import json
import sys


def reason(row):
    """The last line that a skipped test printed says why it was skipped."""
    lines = [l for l in (row.get("stdout", "") + row.get("stderr", "")).splitlines() if l.strip()]
    return lines[-1].strip() if lines else "no reason given"


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for path in sys.argv[1:]:
        rows = 0
        try:
            with open(path, encoding="utf-8") as log:
                for line in log:
                    row = json.loads(line)
                    rows += 1
                    if row["result"] in ("OK", "EXPECTEDFAIL"):
                        counts["passed"] += 1
                    elif row["result"] == "SKIP":
                        counts["skipped"] += 1
                        print(f"skipped: {row['name']}: {reason(row)}")
                    else:
                        counts["failed"] += 1
                        print(f"FAILED: {row['name']} ({row['result']}), log in {path}")
        except FileNotFoundError:
            pass
        if rows == 0:
            counts["failed"] += 1
            print(f"FAILED: no test ran for {path}")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
