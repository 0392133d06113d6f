#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A live daemon whose port has all of its load on one of four queues spreads it.

`steering.table` sends all to pair 0; with steering.mode=rebalance the buckets of 128 flows go to
other pairs until the fullest has at most 15 % more than the best assignment would have, by what the
API says of table and load. No flow is reordered by that (`pario-bench net --verify`).

usage: test_rebalance.py PARIOD PARIO_BENCH [TEST]...
"""

import json
import os
import subprocess
import sys

import pariod_api
import pariod_rig

PAIRS = 4
FLOWS = 128
RATE = 20000
# Frames flow for longer than a table needs; nobody waits for that.
SECONDS = 90


class Rebalance(pariod_rig.Case):
    bench = ""

    def setUp(self):
        super().setUp()
        self.start("--api", "api", "--port", f"a,socket=a,switch=lan,queue-pairs={PAIRS}",
                   "--port", f"b,socket=b,switch=lan,queue-pairs={PAIRS},steering.mode=rebalance,"
                   "steering.interval-ms=50,steering.table=0", "--log-level", "warn", ready=False)
        pariod_rig.wait_until(
            lambda: all((self.dir / name).is_socket() for name in ("api", "a", "b")), "the sockets")
        self.api = pariod_api.Api(self.dir / "api")
        self.addCleanup(self.api.close)

    def steering(self):
        return self.api.must("GET", "/v1/ports/b")["steering"]

    def fullest(self):
        """Of the pairs, and of the best assignment that there could be."""
        steering = self.steering()
        if not steering["table"]:
            return 0, 0
        pairs = [0] * PAIRS
        for pair, load in zip(map(int, steering["table"].split(",")), steering["load"]):
            pairs[pair] += load
        return max(pairs), max(sum(pairs) / PAIRS, max(steering["load"]))

    def is_balanced(self):
        most, best = self.fullest()
        return best > 0 and most <= 1.15 * best

    def receives(self):
        """Frames that each pair was given."""
        return [queue["counters"]["frames"]["rx_frames"]
                for queue in self.api.must("GET", "/v1/ports/b")["queues"]
                if queue["idx"] % 2 == 0 and queue["idx"] < 2 * PAIRS]

    def test_all_on_one_queue(self):
        command = [self.bench, "net", "a", "b", "--verify", "--queue-pairs", PAIRS, "--flows",
                   FLOWS, "--rate", RATE, "--runtime", SECONDS, "--warmup", 0, "--json"]
        with open(self.dir / "bench", "wb") as stream:
            with subprocess.Popen(list(map(str, command)), cwd=self.dir, stdout=stream,
                                  stderr=stream) as bench:
                try:
                    pariod_rig.wait_until(lambda: self.steering()["table"], "all pairs are in use")
                    pariod_rig.wait_until(
                        lambda: bench.poll() is not None
                        or (self.steering()["balanced"] and self.is_balanced()),
                        "the load is spread")
                    before = self.receives()
                    pariod_rig.wait_until(
                        lambda: bench.poll() is not None
                        or all(now > then for now, then in zip(self.receives(), before)),
                        "frames on all pairs")
                    self.assertIsNone(bench.poll(), (self.dir / "bench").read_bytes())
                    steering = self.steering()
                finally:
                    bench.terminate()
        said = (self.dir / "bench").read_text(encoding="utf-8")
        print(f"balanced {steering['balanced']} times, {steering['moves']} moves: "
              f"{[queue['load'] for queue in steering['queues']]}", flush=True)
        # What follows is that it was interrupted.
        report = json.JSONDecoder().raw_decode(said)[0]
        self.assertGreater(report["verify"]["frames"], 0)
        self.assertEqual((report["verify"]["out_of_order"], report["verify"]["duplicates"]), (0, 0))
        self.assertEqual({queue["pair"] for queue in steering["queues"]}, set(range(PAIRS)))
        self.assertGreater(steering["moves"], 0)


if __name__ == "__main__":
    Rebalance.bench = os.path.abspath(sys.argv.pop(2))
    pariod_rig.main()
