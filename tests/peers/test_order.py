#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No flow is reordered while buckets go to other queues and queues to other workers.

Two ports with 4 queue pairs and steering.mode=rebalance send 64 flows each to the other;
`pario-bench net --verify` judges the order on every queue and across queues. Meanwhile tables and
workers of both ports are set by the API, one change after the other, each only after frames have
gone through the one before.

What a sender's queue leaves behind when it moves is waited for, for 25 ms; where receivers have no
buffers for longer than that, and the machine no CPU for the load, order may be given up. So rings
are deep here; `make soak` takes shallow ones, and a machine of its own.

PARIO_ORDER_SECONDS is how long frames flow in all, 3; PARIO_ORDER_RATE their rate, 100000 a second
in each direction, or max; PARIO_ORDER_RING the length of rings, 4096; PARIO_ORDER_FRAMES how many
must be judged at least, 1000.
usage: test_order.py PARIOD PARIO_BENCH [TEST]...
"""

import json
import os
import random
import subprocess
import sys
import time

import pariod_api
import pariod_rig

SECONDS = float(os.environ.get("PARIO_ORDER_SECONDS", "3"))
RATE = os.environ.get("PARIO_ORDER_RATE", "100000")
RING = os.environ.get("PARIO_ORDER_RING", "4096")
FRAMES = int(os.environ.get("PARIO_ORDER_FRAMES", "1000"))
CPUS = sorted(os.sched_getaffinity(0))[:2]
BOTH = f"{CPUS[0]},{CPUS[-1]}"
PLACES = [str(CPUS[0]), BOTH, str(CPUS[-1]), BOTH]
PAIRS = 4
FLOWS = 64
ENTRIES = 64
PORTS = ("a", "b")
# Frames that are judged do not end before so many changes, however slow the machine is.
CHANGES = 8
ROUNDS_MAX = 40


class Order(pariod_rig.Case):
    bench = ""

    def setUp(self):
        super().setUp()
        self.random = random.Random(5)
        self.changes = 0

    def serve(self):
        ports = [word for name in PORTS for word in
                 ("--port", f"{name},socket={name},switch=lan,queue-pairs={PAIRS},"
                  "steering.mode=rebalance,steering.interval-ms=10")]
        served = self.start("--workers", BOTH, "--api", "api", *ports, "--log-level", "warn",
                            ready=False)
        pariod_rig.wait_until(lambda: all((self.dir / name).is_socket() for name in ("api", *PORTS)),
                              "the sockets")
        api = pariod_api.Api(self.dir / "api")
        self.addCleanup(api.close)
        for name in PORTS:
            api.must("PATCH", f"/v1/ports/{name}", self.table())
        return served, api

    def port(self, api, name):
        return api.must("GET", f"/v1/ports/{name}")

    def carried(self, api, name):
        return sum(queue["counters"]["frames"]["rx_frames"]
                   for queue in self.port(api, name)["queues"] if queue["idx"] % 2 == 0)

    def change(self, api):
        """Another table, or other workers, for one of the ports."""
        name = self.random.choice(PORTS)
        keys = {"workers": PLACES[self.changes % len(PLACES)]}
        if self.changes % 3:
            keys = self.table()
        api.must("PATCH", f"/v1/ports/{name}", keys)
        self.changes += 1
        return name

    def table(self):
        """Of one length: with another, buckets would not be the same, and none could move."""
        queues = [self.random.randrange(PAIRS) for _ in range(ENTRIES)]
        return {"steering": {"table": ",".join(map(str, queues))}}

    def change_until(self, api, bench):
        while bench.poll() is None:
            name = self.change(api)
            before = self.carried(api, name)
            while self.carried(api, name) == before and bench.poll() is None:
                time.sleep(0.001)

    def judge(self, api, ring, seconds):
        """What a load has seen while things moved."""
        command = [self.bench, "net", "a", "b", "--verify", "--direction", "both", "--queue-pairs",
                   PAIRS, "--flows", FLOWS, "--ring", ring, "--rate", RATE, "--runtime",
                   f"{seconds * 1000:.0f}ms", "--warmup", "0", "--queue-size", RING, "--json"]
        with open(self.dir / "bench", "wb") as stream:
            with subprocess.Popen(list(map(str, command)), cwd=self.dir, stdout=stream,
                                  stderr=stream) as bench:
                try:
                    # Before all queues run, a table has nothing to lead to.
                    pariod_rig.wait_until(lambda: bench.poll() is not None
                                          or self.carried(api, "b") > 0, "frames flow")
                    self.change_until(api, bench)
                finally:
                    if bench.poll() is None:
                        bench.kill()
        said = (self.dir / "bench").read_text(encoding="utf-8")
        self.assertEqual(bench.returncode, 0, said)
        report = json.loads(said)
        self.assertEqual((report["verify"]["out_of_order"], report["verify"]["duplicates"]), (0, 0))
        return report

    def returned(self, mode):
        """The least part of frames, of both directions, on the pair that their flow is sent from."""
        ports = [word for name in PORTS for word in
                 ("--port", f"{name}-{mode},socket={name}-{mode},switch={mode},"
                  f"queue-pairs={PAIRS},steering.mode={mode}")]
        served = self.start("--workers", BOTH, *ports, "--log-level", "warn", ready=False)
        least = 0.0
        # In a starved run a flow may be kept where it was.
        for _ in range(10):
            done = subprocess.run(
                [self.bench, "net", f"a-{mode}", f"b-{mode}", "--verify", "--direction", "both",
                 "--answers", "--queue-pairs", str(PAIRS), "--flows", str(FLOWS), "--rate", "20000",
                 "--runtime", "500ms", "--wait", "60", "--json"], cwd=self.dir, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
            self.assertEqual(done.returncode, 0, done.stdout)
            ways = json.loads(done.stdout)["directions"].values()
            least = min(way["returned"] / max(1, way["received"]) for way in ways)
            if least > 0.9 or mode != "learn":
                break
        self.assertEqual(served.end(), 0, served.text())
        return least

    def test_flows_return_on_the_pair_that_they_are_sent_from(self):
        self.assertGreater(self.returned("learn"), 0.9)
        self.assertLess(self.returned("rss"), 0.7)

    def test_no_flow_is_reordered(self):
        served, api = self.serve()
        self.addCleanup(lambda: print(served.text(), end="", flush=True))
        frames = crossed = rounds = 0
        seconds = {"split": SECONDS / 2, "packed": SECONDS / 2}
        while rounds < 2 or (rounds < ROUNDS_MAX and (frames < FRAMES or self.changes < CHANGES)):
            ring = ("split", "packed")[rounds % 2]
            report = self.judge(api, ring, max(0.5, seconds[ring] if rounds < 2 else 1))
            frames += report["verify"]["frames"]
            crossed += report["verify"]["crossed"]
            rounds += 1
            pariod_rig.wait_until(
                lambda: all(self.port(api, name)["state"] != "connected" for name in PORTS),
                "the front end is seen to have left")
        queues = buckets = given_up = 0
        for name in PORTS:
            port = self.port(api, name)
            queues += sum(queue["counters"]["queue"]["moves"] for queue in port["queues"])
            for group in port["counters"].values():
                buckets += group["moves"] if "moves_given_up" in group else 0
                given_up += group.get("moves_given_up", 0)
        print(f"{frames} frames judged, {crossed} crossed between queues; {self.changes} changes: "
              f"{queues} moves of queues, {buckets} of buckets, {given_up} given up", flush=True)
        self.assertGreaterEqual(frames, FRAMES)
        # Else nothing was put to the test.
        self.assertGreaterEqual(self.changes, CHANGES)
        self.assertGreater(queues, 0)
        self.assertGreater(buckets, 0)
        self.assertEqual(served.end(), 0, served.text())


if __name__ == "__main__":
    if len(CPUS) < 2:
        print("skipped: only one CPU, so that there is nowhere to move to")
        sys.exit(77)
    Order.bench = os.path.abspath(sys.argv.pop(2))
    pariod_rig.main()
