#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pario-bench as its user meets it, against the fake back end: what works ends with 0 and a report
that adds up, every fault with 1 and its name, every wrong option with 2 and one line.

usage: test_cli.py PARIO_BENCH FAKE_BACKEND"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

BENCH, FAKE = sys.argv[1:3]
DEADLINE_S = 60


class Fixture(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="pario-bench-")
        self.sock = os.path.join(self.dir.name, "s")

    def tearDown(self):
        self.dir.cleanup()

    def run_bench(self, *args):
        return subprocess.run([BENCH, "blk", self.sock, "--no-progress", *args],
                              capture_output=True, text=True, timeout=DEADLINE_S)

    def against_fake(self, fake_args, *args):
        """Runs the bench against a fake back end that serves this one connection."""
        with subprocess.Popen([FAKE, self.sock, *fake_args], stderr=subprocess.PIPE,
                              text=True) as fake:
            try:
                done = self.run_bench("--wait", "10", *args)
                _, err = fake.communicate(timeout=DEADLINE_S)
            finally:
                fake.kill()
        self.assertEqual(err, "", "the driver broke a rule")
        return done

    def good(self, fake_args, *args):
        done = self.against_fake(fake_args, "--json", *args)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        report = json.loads(done.stdout)
        self.assertIsNone(report["error"])
        self.add_up(report)
        return report

    def add_up(self, report):
        results = report["results"]
        kinds = [v for k, v in results.items() if k != "total"]
        total = results["total"]
        self.assertEqual(sum(k["requests"] for k in kinds), total["requests"])
        self.assertEqual(sum(k["bytes"] for k in kinds), total["bytes"])
        for row in results.values():
            lat = row["latency_ns"]
            order = [lat[k] for k in ("min", "p50", "p90", "p99", "p99_9", "max")]
            self.assertEqual(order, sorted(order))
            self.assertTrue(lat["min"] <= lat["mean"] <= lat["max"], lat)


class Works(Fixture):
    def test_every_kind_counts_its_requests(self):
        for rw, kinds in (("read", {"read"}), ("write", {"write"}), ("randread", {"read"}),
                          ("randwrite", {"write"}), ("randrw", {"read", "write"}),
                          ("trim", {"discard"})):
            with self.subTest(rw=rw):
                report = self.good([], "--rw", rw, "--ios", "1001", "--queues", "3", "--bs", "8k")
                self.assertEqual(set(report["results"]) - {"total"}, kinds)
                self.assertEqual(report["results"]["total"]["requests"], 1001)
                self.assertEqual(report["results"]["total"]["bytes"], 1001 * 8192)

    def test_rings_and_features(self):
        for ring in ("split", "packed"):
            for notify in ("poll", "irq"):
                for more in ([], ["--no-indirect"], ["--no-event-idx"], ["--in-order"],
                             ["--no-indirect", "--no-event-idx", "--in-order"],
                             ["--segment", "1024", "--regions", "7"],
                             ["--regions", "40", "--cross-regions"],
                             ["--no-indirect", "--segment", "1024", "--ring-size", "512",
                              "--iodepth", "28"]):
                    with self.subTest(ring=ring, notify=notify, more=more):
                        report = self.good(["--shuffle"], "--rw", "verify", "--ios", "4000",
                                           "--ring", ring, "--notify", notify, "--queues", "2",
                                           "--bs", "512-16k", "--size", "8M", *more)
                        self.assertGreater(report["verify"]["sectors_compared"], 0)
                        self.assertEqual(report["verify"]["bad_used_lengths"], 0)
                        self.assertEqual(report["options"]["in_order"], "--in-order" in more)
                        self.assertEqual(report["options"]["indirect"],
                                         "--no-indirect" not in more)

    def test_verify_mixes_everything(self):
        report = self.good(["--block", "4096"], "--rw", "verify", "--ios", "30000", "--bs", "4k-1M",
                           "--iodepth", "16", "--size", "32M", "--queues", "4")
        self.assertEqual(set(report["results"]),
                         {"read", "write", "discard", "zeroes", "flush", "total"})

    def test_packed_ring_of_any_size(self):
        report = self.good([], "--ring", "packed", "--ring-size", "33", "--rw", "verify", "--ios",
                           "5000", "--size", "4M")
        self.assertEqual(report["options"]["ring_size"], 33)

    def test_threads_and_depths(self):
        cpus = sorted(os.sched_getaffinity(0))
        listed = ",".join(str(c) for c in (cpus * 2)[:2])
        report = self.good([], "--rw", "verify", "--queues", "3", "--iodepth", "1", "--cpus",
                           listed, "--ios", "3000", "--size", "4M")
        self.assertEqual(report["options"]["threads"], 2)
        self.good([], "--iodepth", "1024", "--ios", "20000", "--bs", "512")

    def test_by_call_asks_for_calls_and_polling_does_not(self):
        calls = self.good([], "--notify", "irq", "--iodepth", "1", "--ios", "2000")
        self.assertGreater(calls["calls"], 0)
        for ring in ("split", "packed"):
            polled = self.good([], "--iodepth", "4", "--ios", "200000", "--ring", ring)
            self.assertEqual(polled["calls"], 0)

    def test_warmup_is_not_counted(self):
        report = self.good([], "--warmup", "100ms", "--ios", "500")
        self.assertEqual(report["results"]["total"]["requests"], 500)

    def test_rate_is_an_upper_bound(self):
        for notify in ("poll", "irq"):
            report = self.good([], "--rate", "500", "--runtime", "500ms", "--notify", notify,
                               "--iodepth", "4")
            self.assertLessEqual(report["results"]["total"]["requests"], 250 + 4)
            self.assertGreater(report["results"]["total"]["requests"], 0)

    def test_offset_and_size_hold(self):
        # The last 64 KiB of the disk: one sector further would be an I/O error.
        self.good(["--size", "1"], "--offset", "960k", "--rw", "verify", "--bs", "512-8k", "--ios",
                  "5000")
        self.good(["--size", "1"], "--offset", "960k", "--rw", "write", "--bs", "8k", "--ios",
                  "100", "--queues", "4")

    def test_config_change_is_answered(self):
        self.good(["--fault", "config-change"], "--ios", "100")

    def test_a_back_end_that_connects(self):
        with subprocess.Popen([FAKE, self.sock, "--connect"]) as fake:
            done = self.run_bench("--listen", "--ios", "100", "--timeout", "10s")
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual(fake.wait(DEADLINE_S), 0)

    def test_server_cpu_is_that_of_the_listener(self):
        with subprocess.Popen([FAKE, self.sock]) as fake:
            done = self.run_bench("--wait", "10", "--runtime", "300ms", "--json")
            fake.wait(DEADLINE_S)
        report = json.loads(done.stdout)
        self.assertEqual(report["server"]["pid"], fake.pid)
        self.assertGreater(report["server"]["cpu_s"], 0)

    def test_probe(self):
        done = self.against_fake([], "--probe", "--json")
        self.assertEqual(done.returncode, 0)
        report = json.loads(done.stdout)
        self.assertIn("RING_PACKED", report["features"]["names"])
        self.assertIn("REPLY_ACK", report["protocol_features"]["names"])
        self.assertEqual(report["config"]["capacity_sectors"], 131072)
        done = self.against_fake([], "--probe")
        self.assertIn("67108864 bytes, blocks of 512", done.stdout)

    def test_table(self):
        done = self.against_fake([], "--rw", "verify", "--ios", "2000", "--size", "4M")
        self.assertEqual(done.returncode, 0)
        for word in ("IOPS", "p99.9", "total", "kicks", "no mismatch"):
            self.assertIn(word, done.stdout)

    def test_progress(self):
        done = self.against_fake([], "--runtime", "1200ms", "--progress")
        self.assertEqual(done.returncode, 0)
        self.assertIn("IOPS", done.stderr)

    def test_interrupt_ends_the_run_with_its_report(self):
        with subprocess.Popen([FAKE, self.sock]), subprocess.Popen(
                [BENCH, "blk", self.sock, "--wait", "10", "--runtime", "60", "--progress"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE) as bench:
            bench.stderr.read(1)  # the first sign of progress: it runs
            bench.send_signal(signal.SIGINT)
            out, err = bench.communicate(timeout=DEADLINE_S)
        self.assertEqual(bench.returncode, 1)
        self.assertIn(b"interrupted", err)
        self.assertIn(b"IOPS", out)


class Fails(Fixture):
    FAULTS = {
        "silent": "waiting for the reply to GET_FEATURES: no answer within",
        "bad-flags": "reply to GET_FEATURES has flags 0xd, they must be 0x5",
        "bad-config": "reply to GET_CONFIG of 60 bytes says 59",
        "refuse": "the back end refused SET_MEM_TABLE (1)",
        "close": "the back end closed the connection",
        "stall": "timeout: queue",
        "ioerr": "status 1 (IOERR)",
        "no-status": "status 255 (not written)",
        "bad-id": "not in flight",
        "error-fd": "queue 0: the back end signalled an error on its error fd",
        "bad-base": "GET_VRING_BASE answers",
        "corrupt": "found a damaged sector",
        "lose-write": "mismatch at offset",
        "misplace": "mismatch at offset",
        "keep-zeroes": "expected zeroes, found generation",
        "no-data": "mismatch at offset",
    }

    def test_every_fault_is_seen_and_named(self):
        for fault, text in self.FAULTS.items():
            for ring in ("split", "packed"):
                with self.subTest(fault=fault, ring=ring):
                    done = self.against_fake(
                        ["--fault", fault, "--after", "1000"], "--rw", "verify", "--bs", "512-8k",
                        "--size", "4M", "--queues", "2", "--iodepth", "8", "--ios", "20000",
                        "--ring", ring, "--timeout", "2s", "--json")
                    self.assertEqual(done.returncode, 1, done)
                    self.assertIn(text, done.stderr)
                    self.assertEqual(done.stderr.count("\n"), 1)
                    self.assertIn(text, json.loads(done.stdout)["error"])

    def test_nobody_there(self):
        done = self.run_bench()
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.sock}: cannot connect: No such file", done.stderr)


class Usage(Fixture):
    CASES = (
        (["--iodepth", "0"], "--iodepth: 0 given, 1 to 1024 allowed"),
        (["--iodepth", "1025"], "--iodepth: 1025 given, 1 to 1024 allowed"),
        (["--iodepth", "many"], "--iodepth: 'many' is not a number"),
        (["--iodepth", "-1"], "--iodepth: '-1' is not a number"),
        (["--queues", "65"], "--queues: 65 given, 1 to 64 allowed"),
        (["--rw", "scribble"], "--rw: 'scribble' given, one of read, write, randread"),
        (["--ring", "round"], "--ring: 'round' given, one of split, packed allowed"),
        (["--notify", "bell"], "--notify: 'bell' given, one of poll, irq allowed"),
        (["--bs", "1000"], "--bs: 1000 given, multiples of 512"),
        (["--bs", "4x"], "--bs: '4x' is not a size"),
        (["--bs", "8k-4k"], "--bs: '8k-4k' is not a size"),
        (["--bs", "32M"], "--bs: 32M given, multiples of 512 up to 16M"),
        (["--size", "100"], "--size: 100 given, multiples of 512"),
        (["--runtime", "soon"], "--runtime: 'soon' is not a time"),
        (["--runtime", "0"], "--runtime: 0 given"),
        (["--cpus", "0-"], "--cpus: '0-' is not a list of CPUs"),
        (["--cpus", "999999"], "--cpus: CPU 999999 given"),
        (["--ring-size", "100"], "--ring-size: 100 given, a split ring's size is a power of two"),
        (["--rate", "0"], "--rate: 0 given, 1 to"),
        (["--rwmixread", "101"], "--rwmixread: 101 given, 0 to 100"),
        (["--speed"], "--speed: no such option"),
        (["--bs"], "--bs: needs a value"),
        (["another.sock"], "one socket allowed"),
    )
    # What only the device can tell.
    DEVICE_CASES = (
        (["--queues", "9"], "--queues: 9 given, the back end has 8"),
        (["--offset", "64M"], "--offset: 67108864 given, the disk has 67108864 bytes"),
        (["--size", "65M"], "--size: 68157440 from offset 0 given, the disk has 67108864 bytes"),
        (["--bs", "512"], "--bs: 512 to 512 given, the disk takes multiples of 4096"),
        (["--offset", "512"], "--offset: 512 given, the disk takes multiples of 4096"),
        (["--ring-size", "16"], "--ring-size: 16 given, 32 requests in flight need 32"),
        (["--bs", "16M", "--segment", "4k"], "the disk takes 1024 segments"),
        (["--rw", "read", "--bs", "1M", "--size", "2M", "--queues", "4"], "leave less for each"),
        (["--rw", "trim", "--bs", "4M"], "discards at most 4096 sectors"),
        (["--no-indirect", "--iodepth", "1024", "--bs", "1M", "--segment", "16k"],
         "the largest ring has 32768"),
    )

    def refused(self, done, text):
        self.assertEqual((done.returncode, done.stdout), (2, ""), done)
        self.assertIn(text, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("pario-bench: "), done.stderr)

    def test_wrong_options(self):
        for args, text in self.CASES:
            with self.subTest(args=args):
                self.refused(self.run_bench(*args), text)

    def test_what_the_device_cannot_do(self):
        for args, text in self.DEVICE_CASES:
            with self.subTest(args=args):
                self.refused(self.against_fake(["--block", "4096"], *args), text)

    def test_no_command_or_a_wrong_one(self):
        for args in ([], ["fly"], ["blk"], ["net"]):
            done = subprocess.run([BENCH, *args], capture_output=True, text=True, timeout=DEADLINE_S)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("pario-bench", done.stderr)

    def test_help_and_manual_name_the_same_options(self):
        done = subprocess.run([BENCH, "blk", "--help"], capture_output=True, text=True,
                              timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 0)
        said = set(re.findall(r"(?m)(?:^  |, )(--[a-z-]+)", done.stdout))
        root = pathlib.Path(__file__).resolve().parents[3]
        page = (root / "docs" / "man" / "pario-bench.1.scd").read_text(encoding="utf-8")
        blk, net = page.split("# FIGURES")[0].split("# NET")
        self.assertEqual(said, set(re.findall(r"(?m)(?:^|, )\*(--[a-z-]+)\*", blk)))
        for option in ("--rw", "--bs", "--iodepth", "--queues", "--json", "--no-progress"):
            self.assertIn(option, said)
        done = subprocess.run([BENCH, "net", "--help"], capture_output=True, text=True,
                              timeout=DEADLINE_S)
        said = set(re.findall(r"(?m)(?:^  |, )(--[a-z-]+)", done.stdout))
        self.assertEqual(said, set(re.findall(r"(?m)(?:^|, |_, )\*(--[a-z-]+)\*", net)))
        self.assertIn("--peer-mac", said)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
