#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a running pariod finds of its front ends' virtual CPUs, and where it puts their queues.

Which worker is the right one on larger machines: tests/unit/worker/test_placement.c.
usage: test_placement.py PARIOD TEST_MOVES_FRONT [TEST]...
"""

import os
import sys

import pariod_api
import pariod_rig

CPUS = sorted(os.sched_getaffinity(0))[:2]
DISK = "vda,backend=ram,size=1M,queues=2,socket=s"


class Placement(pariod_rig.Case):
    front = ""

    def serve(self, more="", *options):
        served = self.start("--workers", f"{CPUS[0]},{CPUS[1]}", "--api", "api", "--disk",
                            DISK + more, *options)
        api = pariod_api.Api(self.dir / "api")
        self.addCleanup(api.close)
        return served, api

    def come(self, *cpus):
        front = pariod_api.Front(self.front, self.dir / "s", 2, *cpus)
        self.addCleanup(front.kill)
        return front

    def await_cpus(self, api, source, cpus):
        def there():
            disk = api.disk("vda")
            return disk["placement"]["source"] == source and \
                [queue.get("cpu") for queue in disk["queues"]] == cpus
        pariod_rig.wait_until(there, f"queues on CPUs {cpus} by {source}")
        return api.disk("vda")

    def test_threads(self):
        """Each queue is away from the virtual CPU that drives it, and those are in the way."""
        served, api = self.serve()
        front = self.come(*CPUS)
        disk = self.await_cpus(api, "threads", [CPUS[1], CPUS[0]])
        self.assertEqual(disk["placement"], {"mode": "auto", "source": "threads", "vcpus": 2,
                                             "conflicts": 2})
        self.assertEqual([queue["vcpus"] for queue in disk["queues"]], ["0", "1"])
        for queue in disk["queues"]:
            self.assertIn(queue["nearness"], ("cache", "node", "far", "sibling"))
        self.assertIn(f"may only run on CPU {CPUS[0]}, which is worker 0's", served.text())
        front.do("write 10", "wrote, read done")
        self.assertEqual(front.end(), 0)
        self.assertEqual(served.end(), 0)

    def test_pinned_later(self):
        """A front end whose threads are pinned after its queues were placed."""
        served, api = self.serve("", "--rebalance-s", "1")
        front = self.come(CPUS[0], CPUS[1])
        self.await_cpus(api, "threads", [CPUS[1], CPUS[0]])
        front.do(f"pin 0 {CPUS[1]}", "pinned")
        front.do(f"pin 1 {CPUS[0]}", "pinned")
        self.await_cpus(api, "threads", [CPUS[0], CPUS[1]])
        front.do("write 10", "wrote, read done")
        self.assertEqual(front.end(), 0)
        self.assertEqual(served.end(), 0)

    def test_key(self):
        """Where no thread is known by its name the key counts, also one that comes later."""
        served, api = self.serve(f",vcpus={CPUS[0]}")
        front = self.come()
        disk = self.await_cpus(api, "vcpus", [CPUS[1], CPUS[1]])
        self.assertEqual((disk["placement"]["vcpus"], disk["placement"]["conflicts"]), (1, 1))
        api.set_disk("vda", vcpus=str(CPUS[1]))
        disk = api.disk("vda")
        self.assertEqual([queue["cpu"] for queue in disk["queues"]], [CPUS[0], CPUS[0]])
        status, answer = api.ask("PATCH", "/v1/disks/vda", {"vcpus": "3-1"})
        self.assertEqual(status, 400, answer)
        self.assertEqual(api.disk("vda")["config"]["vcpus"], str(CPUS[1]))
        api.set_disk("vda", vcpus=None)
        self.assertEqual(api.disk("vda")["placement"]["source"], "order")
        self.assertEqual(front.end(), 0)
        self.assertEqual(served.end(), 0)

    def test_fixed(self):
        """By order, whatever the threads are."""
        served, api = self.serve(",placement=fixed")
        front = self.come(*CPUS)
        self.await_cpus(api, "order", [CPUS[0], CPUS[1]])
        api.set_disk("vda", placement="auto")
        disk = api.disk("vda")
        self.assertEqual([queue["cpu"] for queue in disk["queues"]], [CPUS[1], CPUS[0]])
        api.set_disk("vda", placement="off")
        disk = api.disk("vda")
        self.assertEqual([queue["cpu"] for queue in disk["queues"]], [CPUS[0], CPUS[1]])
        self.assertEqual(disk["placement"]["mode"], "off")
        self.assertEqual(front.end(), 0)
        self.assertEqual(served.end(), 0)


if __name__ == "__main__":
    if len(CPUS) < 2:
        print("skipped: only one CPU, so that all queues are on it")
        sys.exit(77)
    Placement.front = os.path.abspath(sys.argv.pop(2))
    pariod_rig.main()
