#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pario-bench net as its user meets it, against two ports with a wire between them: what works ends
with 0 and a report that adds up, every fault of the wire with 1 and its name.

usage: test_cli_net.py PARIO_BENCH FAKE_WIRE"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

BENCH, WIRE = sys.argv[1:3]
DEADLINE_S = 60


class Fixture(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="pario-bench-")
        self.socks = [os.path.join(self.dir.name, name) for name in "ab"]

    def tearDown(self):
        self.dir.cleanup()

    def over_wire(self, wire_args, *args):
        with subprocess.Popen([WIRE, *self.socks, *wire_args], stderr=subprocess.PIPE,
                              text=True) as wire:
            try:
                done = subprocess.run(
                    [BENCH, "net", *self.socks, "--wait", "10", "--warmup", "0", "--runtime",
                     "200ms", *args], capture_output=True, text=True, timeout=DEADLINE_S)
                _, err = wire.communicate(timeout=DEADLINE_S)
            finally:
                wire.kill()
        self.assertEqual(err, "", "the driver broke a rule")
        return done

    def good(self, *args):
        # A load that was given no CPU in its time has sent nothing.
        for _ in range(5):
            done = self.over_wire([], "--json", *args)
            self.assertEqual((done.returncode, done.stderr), (0, ""), done)
            report = json.loads(done.stdout)
            self.assertIsNone(report["error"])
            if all(row["sent"] for row in report["directions"].values()):
                break
        return report


class Works(Fixture):
    def test_every_ring_and_framing_carries_every_frame(self):
        for ring in ("split", "packed"):
            for more in ([], ["--in-order"], ["--indirect", "--segment", "100"],
                         ["--segment", "100", "--size", "300"], ["--no-event-idx"],
                         ["--notify", "irq"], ["--mergeable", "off"], ["--imix"], ["--csum"],
                         ["--vlan", "5"], ["--macs", "50"], ["--flows", "3000"],
                         ["--queue-pairs", "2"], ["--direction", "both", "--size", "1514"],
                         ["--size", "1514", "--rx-buffer-bytes", "200"],
                         ["--size", "9000", "--gso", "0"], ["--size", "64k"],
                         ["--size", "64k", "--mergeable", "off"], ["--burst", "1"]):
                with self.subTest(ring=ring, more=more):
                    report = self.good("--verify", "--rate", "2000", "--ring", ring, *more)
                    names = ["a-b", "b-a"] if "both" in more else ["a-b"]
                    self.assertEqual(list(report["directions"]), names)
                    for row in report["directions"].values():
                        self.assertGreater(row["sent"], 0)
                        self.assertGreaterEqual(row["sent"], row["lost"])
                    self.assertGreater(report["verify"]["frames"], 0)
                    self.assertEqual(report["verify"]["duplicates"], 0)
                    self.assertEqual(report["verify"]["out_of_order"], 0)

    def test_sizes_and_bits_add_up(self):
        for size in (60, 61, 1514, 65536):
            row = self.good("--size", str(size), "--rate", "1000")["directions"]["a-b"]
            self.assertEqual(row["received_bytes"], size * row["received"])
            self.assertEqual(row["sent_bytes"], size * row["sent"])
            lat = row["latency_ns"]
            order = [lat[k] for k in ("min", "p50", "p90", "p99", "p99_9", "max")]
            self.assertEqual(order, sorted(order))

    def test_rate_is_an_upper_bound(self):
        row = self.good("--rate", "1000")["directions"]["a-b"]
        # What is late by at most 1 ms is made up for.
        self.assertLessEqual(row["sent"], 200 + 5)

    def test_a_port_that_never_posts_gets_nothing(self):
        row = self.good("--rx-buffers", "0", "--rate", "1000")["directions"]["a-b"]
        self.assertEqual((row["received"], row["lost"]), (0, row["sent"]))

    def test_calls_are_asked_for_only_by_call(self):
        called = self.good("--rate", "500", "--notify", "irq", "--runtime", "1")
        self.assertGreater(called["calls"], 0)
        for ring in ("split", "packed"):
            self.assertEqual(self.good("--ring", ring)["calls"], 0)

    def test_by_call_every_frame_comes_by_a_call(self):
        for more in ([], ["--spacing", "poisson"], ["--spacing", "bursts", "--burst", "8"],
                     ["--queue-pairs", "3"], ["--no-event-idx"], ["--ring", "packed"],
                     ["--cpus", "{0},{0}".format(min(os.sched_getaffinity(0)))]):
            with self.subTest(more=more):
                report = self.good("--notify", "irq", "--rate", "2000", *more)
                row = report["directions"]["a-b"]
                self.assertGreater(row["received"], 0)
                self.assertEqual(row["lost"], 0)
                self.assertGreater(report["rx_calls"], 0)
                self.assertAlmostEqual(report["rx_calls_per_frame"],
                                       report["rx_calls"] / row["received"], places=5)
                self.assertAlmostEqual(report["frames_per_call"],
                                       row["received"] / report["rx_calls"], places=2)
                self.assertEqual(sum(q["rx_calls"] for q in report["queues"]), report["rx_calls"])
                late = row["late_ns"]
                self.assertLessEqual(late["p50"], late["max"])
                self.assertGreaterEqual(row["skipped"], 0)

    def test_a_rate_is_kept_with_every_spacing(self):
        for spacing in ("even", "bursts", "poisson"):
            row = self.good("--rate", "2000", "--spacing", spacing)["directions"]["a-b"]
            # A starved load leaves frames out, and says so; the rest is the chance of poisson.
            self.assertAlmostEqual(row["sent"] + row["skipped"], 400, delta=120)

    def test_queues_add_up(self):
        report = self.good("--queue-pairs", "3", "--rate", "3000")
        rows = report["queues"]
        self.assertEqual([(r["port"], r["queue"]) for r in rows],
                         [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)])
        # The greeting of the second side comes to the first.
        for key, port in (("sent", "a"), ("received", "b")):
            self.assertEqual(sum(r[key] for r in rows if r["port"] == port),
                             report["directions"]["a-b"][key])
        self.assertTrue(all(r["sent"] for r in rows if r["port"] == "a"))

    def test_answers_come_on_the_pair_that_asked(self):
        more = ("--verify", "--direction", "both", "--answers", "--queue-pairs", "2", "--rate",
                "2000")
        for row in self.good(*more)["directions"].values():
            self.assertGreater(row["received"], 0)
            self.assertEqual(row["returned"], row["received"])
        done = self.over_wire(["--fault", "spread"], *more, "--json")
        for row in json.loads(done.stdout)["directions"].values():
            self.assertLess(row["returned"], row["received"])

    def test_order_is_judged_across_queues(self):
        """Flows that change queues all the time are in order; a frame that is kept back is not."""
        for ring in ("split", "packed"):
            for rate in ("2000", "max"):
                with self.subTest(ring=ring, rate=rate):
                    done = self.over_wire(
                        ["--fault", "spread"], "--verify", "--queue-pairs", "4", "--flows", "8",
                        "--ring", ring, "--rate", rate, "--json")
                    self.assertEqual((done.returncode, done.stderr), (0, ""), done)
                    seen = json.loads(done.stdout)["verify"]
                    self.assertGreater(seen["frames"], 0)
                    self.assertEqual((seen["out_of_order"], seen["duplicates"]), (0, 0))
            done = self.over_wire(["--fault", "cross", "--after", "5"], "--verify", "--queue-pairs",
                                  "2", "--flows", "2", "--ring", ring, "--rate", "2000")
            self.assertEqual(done.returncode, 1, done)
            self.assertIn("verify: 0 frames came again and 1 out of order", done.stderr)

    def test_table(self):
        done = self.over_wire([], "--verify", "--rate", "1000", "--direction", "both")
        self.assertEqual(done.returncode, 0, done)
        for word in ("Mpps", "p99.9", "b-a", "kicks", "good", "sent late by"):
            self.assertIn(word, done.stdout)
        done = self.over_wire([], "--notify", "irq", "--queue-pairs", "2", "--rate", "1000")
        self.assertEqual(done.returncode, 0, done)
        for word in ("received by ", " frames for each, ", "queue ", "b 1 "):
            self.assertIn(word, done.stdout)

    def test_memcpy(self):
        cpu = min(os.sched_getaffinity(0))
        done = subprocess.run([BENCH, "net", "--memcpy", "--size", "64k", "--dirty", "--runtime",
                               "50ms", "--warmup", "0", "--cpus", f"{cpu},{cpu}", "--json"],
                              capture_output=True, text=True, timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 0, done)
        copy = json.loads(done.stdout)["memcpy"]
        # The seconds are printed to the microsecond.
        self.assertAlmostEqual(copy["bytes_per_s"] * copy["seconds"] / 65536 / copy["buffers"], 1,
                               places=4)


class Fails(Fixture):
    FAULTS = {
        "twice": "verify: 1 frames came again and 0 out of order",
        "swap": "verify: 0 frames came again and 1 out of order",
        "corrupt": "is wrong",
        "short": "have come, its IPv4 header says",
        "csum": "checksum is left to us",
        # When the next frame is there already, its buffer is taken for this one's.
        "buffers": "more buffers than were used|bytes have come",
        "length": "beyond the buffer",
        "bad-id": "not in flight",
        "stall": "nothing was taken for 1 s",
        "close": "the back end closed the connection",
    }

    def test_every_fault_is_seen_and_named(self):
        for fault, text in self.FAULTS.items():
            for ring in ("split", "packed"):
                with self.subTest(fault=fault, ring=ring):
                    # Most end the run at once; it is long for a starved machine to get there.
                    done = self.over_wire(
                        ["--fault", fault, "--after", "5"], "--verify", "--ring", ring, "--flows",
                        "1", "--json", "--timeout", "1",
                        "--runtime", "2" if fault in ("twice", "swap") else "10",
                        *(["--rate", "2000"] if fault != "stall" else []))
                    self.assertEqual(done.returncode, 1, done)
                    self.assertRegex(done.stderr, text)
                    self.assertEqual(done.stderr.count("\n"), 1)
                    self.assertRegex(json.loads(done.stdout)["error"], text)

    def test_a_lost_frame_is_counted_and_can_be_a_failure(self):
        wire = ["--fault", "drop", "--after", "5"]
        done = self.over_wire(wire, "--verify", "--flows", "1", "--rate", "1000", "--json",
                              "--runtime", "1")
        self.assertEqual(done.returncode, 0, done)
        report = json.loads(done.stdout)
        self.assertGreaterEqual(report["directions"]["a-b"]["lost"], 1)
        self.assertGreaterEqual(report["verify"]["gaps"], 1)
        done = self.over_wire(wire, "--no-loss", "--rate", "1000", "--runtime", "1")
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("--no-loss: ", done.stderr)

    def test_nobody_there(self):
        done = subprocess.run([BENCH, "net", *self.socks], capture_output=True, text=True,
                              timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.socks[0]}: cannot connect: No such file", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
