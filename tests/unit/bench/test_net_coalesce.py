#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tests/bench/net_coalesce.py says of points, from values in: no daemon and no load.

usage: test_net_coalesce.py"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import net_coalesce  # noqa: E402  pylint: disable=wrong-import-position


def runs(calls, p99, lost=0.0, p50=10.0):
    return [{"calls": calls * k, "p99_us": p99 * k, "p50_us": p50 * k, "lost": lost,
             "calls_per_s": 1.0} for k in (0.99, 1.0, 1.01)]


def judge(low=False, **modes):
    return net_coalesce.judge({"off": runs(1, 20), "static": runs(1 / 32, 400),
                               "adaptive": runs(0.03, 200), **modes}, low)


class Judge(unittest.TestCase):
    def test_all_is_well(self):
        self.assertEqual(set(judge().items()),
                         {("calls", True), ("p99", True), ("lost", True), ("not dominated", True),
                          ("better", True)})

    def test_calls_matter_only_where_off_has_many(self):
        self.assertFalse(judge(adaptive=runs(0.11, 20))["calls"])
        self.assertNotIn("calls", judge(off=runs(0.4, 20), adaptive=runs(0.3, 20)))

    def test_latency_is_bounded_by_the_deadline(self):
        bound = 20 + net_coalesce.DEADLINE_US
        self.assertTrue(judge(adaptive=runs(0.03, bound))["p99"])
        self.assertFalse(judge(adaptive=runs(0.03, bound + 1))["p99"])

    def test_loss(self):
        self.assertFalse(judge(adaptive=runs(0.03, 200, lost=0.01))["lost"])
        self.assertTrue(judge(off=runs(1, 20, lost=0.01),
                              adaptive=runs(0.03, 200, lost=0.01))["lost"])

    def test_beside_static(self):
        self.assertFalse(judge(adaptive=runs(0.05, 450))["not dominated"])
        # Fewer calls, or less latency: neither dominates.
        self.assertTrue(judge(adaptive=runs(0.02, 450))["not dominated"])
        self.assertTrue(judge(adaptive=runs(0.05, 300))["not dominated"])
        self.assertFalse(judge(adaptive=runs(0.02, 450))["better"])
        self.assertNotIn("better", judge(adaptive=runs(0.05, 300)))

    def test_frames_that_come_alone(self):
        self.assertEqual(judge(True, adaptive=runs(1, 20)),
                         {"p99": True, "lost": True, "as off": True})
        self.assertFalse(judge(True, adaptive=runs(0.5, 20))["as off"])
        self.assertFalse(judge(True, adaptive=runs(1, 20, p50=20))["as off"])

    def test_the_highest_rate_is_the_one_kept_up(self):
        def run(rate):
            most = 1_000_000
            sent = 3_000_000 if rate == "max" else rate
            return {"received_pps": min(sent, 2 * most), "sent_pps": min(sent, most), "lost": 0}
        found = net_coalesce.highest_rate(run)
        self.assertTrue(900_000 < found < 1_050_000, found)


if __name__ == "__main__":
    unittest.main()
