#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Queues move between workers while requests are under way, by the `workers` key of their disk.

PARIO_MOVES is how many moves each disk and ring format sees under verify load, 100.
usage: test_moves.py PARIOD PARIO_BENCH TEST_MOVES_FRONT [TEST]...
"""

import os
import subprocess
import sys

import pariod_api
import pariod_rig

MOVES = int(os.environ.get("PARIO_MOVES", "100"))
CPUS = sorted(os.sched_getaffinity(0))[:2]
PLACES = [str(CPUS[0]), str(CPUS[-1]), f"{CPUS[0]},{CPUS[-1]}"]
WRONG = ["io_errors", "bad_range", "bad_length", "bad_framing", "bad_flags", "unsupported",
         "too_many_segments"]


class Moves(pariod_rig.Case):
    bench = ""
    front = ""

    def serve(self, *specs, log_level="warn"):
        disks = [word for spec in specs for word in ("--disk", spec)]
        served = self.start("--workers", PLACES[2], "--api", "api", *disks, "--log-level",
                            log_level, ready=False)
        pariod_rig.wait_until(lambda: (self.dir / "api").is_socket(), "the API's socket")
        api = pariod_api.Api(self.dir / "api")
        self.addCleanup(api.close)
        return served, api

    def follow_load(self, api, name, bench):
        """Moves the disk's queues until the load ends; only after requests went through each."""
        place = 0
        disk = api.disk(name)
        while bench.poll() is None:
            completed = disk["counters"]["ring"]["completed"]
            place += 1
            api.set_disk(name, workers=PLACES[place % len(PLACES)])
            disk = api.disk(name)
            while disk["counters"]["ring"]["completed"] == completed and bench.poll() is None:
                disk = api.disk(name)

    def move_under_load(self, api, name, ring):
        before = api.disk(name)["counters"]["queue"]["moves"]
        rounds = 0
        while api.disk(name)["counters"]["queue"]["moves"] - before < MOVES:
            rounds += 1
            command = [self.bench, "blk", self.dir / name, "--rw", "verify", "--bs", "512-64k",
                       "--iodepth", "32", "--queues", "4", "--ring", ring, "--runtime", "2",
                       "--seed", str(rounds), "--no-progress"]
            with open(self.dir / "bench", "wb") as stream:
                with subprocess.Popen(list(map(str, command)), stdout=stream,
                                      stderr=stream) as bench:
                    try:
                        self.follow_load(api, name, bench)
                    finally:
                        if bench.poll() is None:
                            bench.kill()
            said = (self.dir / "bench").read_text(encoding="utf-8")
            self.assertEqual(bench.returncode, 0, said)
            self.assertIn("no mismatch", said)

    def check_nothing_lost(self, disk):
        counters = disk["counters"]
        self.assertEqual(counters["ring"]["fetched"], counters["ring"]["completed"])
        for name in WRONG:
            self.assertEqual(counters["requests"][name], 0, name)
        print(f"{disk['name']}: {counters['queue']['moves']} moves, "
              f"{counters['ring']['completed']} requests, {counters['queue']['adopted']} of them "
              "finished by a worker that had been left", flush=True)

    def test_verify(self):
        """Three back ends, two ring formats; no mismatch, nothing lost."""
        image = self.image(size=64 << 20)
        served, api = self.serve(
            "ram,backend=ram,size=64M,queues=4,socket=ram",
            "flash,backend=flash,size=64M,channels=8,read-us=50,write-us=100,queues=4,"
            "socket=flash",
            f"file,path={image},queues=4,socket=file")
        adopted = 0
        for name in ("ram", "flash", "file"):
            for ring in ("split", "packed"):
                self.move_under_load(api, name, ring)
            pariod_rig.wait_until(lambda n=name: api.disk(n)["state"] != "connected",
                                  "the front end is seen to have left")
            self.check_nothing_lost(api.disk(name))
            adopted += api.disk(name)["counters"]["queue"]["adopted"]
        # Else nothing was ever under way when a queue moved.
        self.assertGreater(adopted, 0)
        self.assertEqual(served.end(), 0)

    def test_slow_request(self):
        """A queue with one read that takes 10 s moves; its writes go on, and the read ends."""
        served, api = self.serve("slow,backend=flash,size=1M,channels=8,read-us=10000000,"
                                 "write-us=0,queues=1,socket=slow")
        front = pariod_api.Front(self.front, self.dir / "slow", 1)
        self.addCleanup(front.kill)
        front.do("read", "reading")
        front.do("write 10", "wrote, read pending")
        for place in (1, 0, 1, 0, 1):
            api.set_disk("slow", workers=PLACES[place])
            queue = api.disk("slow")["queues"][0]
            self.assertEqual((queue["state"], queue["cpu"], queue["depth"]),
                             ("running", CPUS[place], 1))
            front.do("write 100", "wrote, read pending")
        front.do("finish", "read ok")
        front.do("write 1", "wrote, read done")
        counters = api.disk("slow")["counters"]
        self.assertGreaterEqual(counters["queue"]["moves"], 4)
        self.assertEqual(counters["queue"]["adopted"], 1)
        self.assertEqual(counters["requests"]["io_errors"], 0)
        self.assertEqual(front.end(), 0)
        self.assertEqual(served.end(), 0)


if __name__ == "__main__":
    if len(CPUS) < 2:
        print("skipped: only one CPU, so that there is nowhere to move to")
        sys.exit(77)
    Moves.bench = os.path.abspath(sys.argv.pop(2))
    Moves.front = os.path.abspath(sys.argv.pop(2))
    pariod_rig.main()
