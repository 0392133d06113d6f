#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`pario-bench figures block` and `net` with the real daemon, in runs too short to mean anything: what it
writes is complete, well formed and refers to nothing outside.

usage: test_figures_run.py PARIO_BENCH PARIOD"""
import csv
import html.parser
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BENCH, PARIOD = sys.argv[1:3]
DEADLINE_S = 240
VALUES = ("iops", "p50_us", "p99_us", "cpu_us_per_request")
COLUMNS = ["figure", "backend", "server", "step", "queues", "workers", "depth", "poll", "notify",
           "runs"]
for name in VALUES:
    COLUMNS += [name, name + "_min", name + "_max"]
COLUMNS += ["calls_per_request", "kicks_per_request", "note"]
VOID = {"meta", "br"}


class Page(html.parser.HTMLParser):
    """Holds every element against its end, and keeps what the tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.faults, self.tags, self.attributes = [], [], [], []
        self.words, self.styles = [], []
        self.feed(text)
        self.close()
        self.faults += [f"{tag} is not ended" for tag in self.stack]

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(f"/{tag} at {self.getpos()} ends nothing")

    def handle_data(self, data):
        (self.styles if self.stack and self.stack[-1] == "style" else self.words).append(data)


def run(*args, **env):
    return subprocess.run([BENCH, "figures", *args], capture_output=True, text=True,
                          timeout=DEADLINE_S, check=False, env=os.environ | env)


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "one CPU: the load and a worker take two")
class Run(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory(prefix="pario-figures-")
        cls.addClassCleanup(cls.dir.cleanup)
        cls.out = os.path.join(cls.dir.name, "new")
        cls.tmp = os.path.join(cls.dir.name, "t")
        os.mkdir(cls.tmp)
        cls.done = run("block", "--out", cls.out, "--quick", "--runtime", "50ms", "--rounds", "3",
                       "--backends", "null", "--fio", "none", "--qsd", "none", "--daemon", PARIOD,
                       TMPDIR=cls.tmp)
        cls.text = pathlib.Path(cls.out, "figures-block.html").read_text(encoding="utf-8")
        with open(os.path.join(cls.out, "figures-block.csv"), encoding="utf-8", newline="") as file:
            cls.rows = list(csv.reader(file))
        cls.page = Page(cls.text)

    def records(self):
        return [dict(zip(self.rows[0], row)) for row in self.rows[1:]]

    def test_it_ends_well_and_leaves_nothing_else(self):
        self.assertEqual((self.done.returncode, self.done.stderr), (0, ""), self.done)
        self.assertEqual(sorted(os.listdir(self.out)), ["figures-block.csv", "figures-block.html"])
        self.assertEqual(os.listdir(self.tmp), [])

    def test_columns(self):
        self.assertEqual(self.rows[0], COLUMNS)
        for row in self.rows[1:]:
            self.assertEqual(len(row), len(COLUMNS), row)

    def test_a_row_has_values_or_a_reason(self):
        shown = 0
        for row in self.records():
            if row["note"]:
                self.assertTrue(row["note"].startswith("not shown: "), row)
                self.assertGreater(len(row["note"]), 20)
                self.assertEqual((row["runs"], row["iops"], row["p50_us"]), ("0", "", ""))
                continue
            shown += 1
            self.assertEqual(row["runs"], "3")
            for value in VALUES[:3]:
                least, median, most = (float(row[value + end]) for end in ("_min", "", "_max"))
                self.assertTrue(0 < least <= median <= most, row)
            # So short a run may see no CPU time of the server, or miss to look at its clock.
            self.assertGreaterEqual(float(row[VALUES[3]] or 0), 0)
            self.assertLess(float(row["p50_us"]), float(row["p99_us"]) + 1e-9)
        self.assertGreater(shown, 0)

    def test_points_of_every_figure(self):
        rows = self.records()
        self.assertEqual({r["figure"] for r in rows}, {"depth", "scale", "ladder"})
        self.assertEqual({r["backend"] for r in rows}, {"null"})
        depth = {(r["poll"], r["depth"]) for r in rows if r["figure"] == "depth"}
        self.assertEqual(depth, {(p, d) for p in ("always", "adaptive", "never")
                                 for d in ("1", "16", "256")})
        ladder = [r for r in rows if r["figure"] == "ladder"]
        self.assertEqual({r["depth"] for r in ladder}, {"1", "32"})
        self.assertEqual(list(dict.fromkeys(r["step"] for r in ladder)),
                         ["baseline", "+ parallel workers", "+ polling", "+ dedicated cores",
                          "+ completion affinity", "adaptive"])
        reasons = {r["server"]: r["note"] for r in ladder if r["step"] == "baseline"}
        self.assertEqual(reasons, {"pariod": "", "qemu-storage-daemon":
                                   "not shown: not asked for"})

    def test_page_is_well_formed(self):
        self.assertTrue(self.text.startswith("<!DOCTYPE html>\n"))
        self.assertEqual(self.page.faults, [])
        self.assertEqual(self.page.tags.count("svg"), 2 + 1 + 2 + 2)
        self.assertIn("prefers-color-scheme:dark", "".join(self.page.styles))
        for svg in re.findall(r"<svg.*?</svg>", self.text, re.DOTALL):
            self.assertNotRegex(svg, r"\bnan\b|\binf\b")
        self.assertEqual(self.text.count("<svg"), self.text.count('role="img"'))

    def test_page_needs_nothing_from_outside(self):
        for name, value in self.page.attributes:
            self.assertNotIn(name, ("href", "src", "srcset", "data", "action", "xlink:href"))
            self.assertFalse(name.startswith("on"), name)
            self.assertNotIn("://", value or "")
        self.assertNotRegex("".join(self.page.styles), r"url\(|@import")
        self.assertFalse({"script", "link", "img", "iframe", "object"} & set(self.page.tags))

    def test_page_says_what_it_was_and_what_is_missing(self):
        words = " ".join("".join(self.page.words).split())
        for text in ("The machine", "Kernel", "pariod 0.", "dear on this machine", "latency, us",
                     "requests per second", "the load polls", "Made with --quick"):
            self.assertIn(text, words)
        for row in self.records():
            self.assertIn(row["note"], words)


NET_VALUES = ("pps", "calls_per_frame", "calls_per_s", "p50_us", "p99_us", "cpu_us_per_frame",
              "lost")
NET_COLUMNS = ["figure", "size", "step", "coalesce", "queues", "workers", "steering", "share",
               "rate", "notify", "runs"]
for name in NET_VALUES:
    NET_COLUMNS += [name, name + "_min", name + "_max"]
NET_COLUMNS += ["note"]


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "one CPU: the load and a worker take two")
class RunNet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory(prefix="pario-figures-")
        cls.addClassCleanup(cls.dir.cleanup)
        cls.out = os.path.join(cls.dir.name, "new")
        cls.tmp = os.path.join(cls.dir.name, "t")
        os.mkdir(cls.tmp)
        cls.done = run("net", "--out", cls.out, "--quick", "--runtime", "50ms", "--rounds", "2",
                       "--sizes", "60", "--daemon", PARIOD, TMPDIR=cls.tmp)
        cls.text = pathlib.Path(cls.out, "figures-net.html").read_text(encoding="utf-8")
        with open(os.path.join(cls.out, "figures-net.csv"), encoding="utf-8", newline="") as file:
            cls.rows = list(csv.reader(file))
        cls.page = Page(cls.text)

    def records(self):
        return [dict(zip(self.rows[0], row)) for row in self.rows[1:]]

    def test_it_ends_well_and_leaves_nothing_else(self):
        self.assertEqual((self.done.returncode, self.done.stderr), (0, ""), self.done)
        self.assertEqual(sorted(os.listdir(self.out)), ["figures-net.csv", "figures-net.html"])
        self.assertEqual(os.listdir(self.tmp), [])

    def test_columns(self):
        self.assertEqual(self.rows[0], NET_COLUMNS)
        for row in self.rows[1:]:
            self.assertEqual(len(row), len(NET_COLUMNS), row)

    def test_a_row_has_values_or_a_reason(self):
        shown = 0
        for row in self.records():
            if row["note"]:
                self.assertTrue(row["note"].startswith("not shown: "), row)
                self.assertEqual((row["runs"], row["pps"], row["p99_us"]), ("0", "", ""))
                continue
            shown += 1
            self.assertEqual(row["runs"], "2")
            for value in ("pps", "p50_us", "p99_us"):
                least, median, most = (float(row[value + end]) for end in ("_min", "", "_max"))
                self.assertTrue(0 < least <= median <= most, row)
            if row["notify"] == "irq":
                self.assertGreater(float(row["calls_per_frame"]), 0)
        self.assertGreater(shown, 0)

    def test_points_of_every_figure(self):
        rows = self.records()
        self.assertEqual({r["figure"] for r in rows}, {"max", "rate", "scale", "ladder"})
        rate = [r for r in rows if r["figure"] == "rate"]
        self.assertEqual({(r["coalesce"], r["share"]) for r in rate},
                         {(m, s) for m in ("off", "static", "adaptive") for s in ("5", "60")})
        for row in rate:
            most = next(float(r["pps"]) for r in rows if r["figure"] == "max")
            self.assertAlmostEqual(float(row["rate"]), most * int(row["share"]) / 100, delta=2)
        self.assertEqual([r["step"] for r in rows if r["figure"] == "ladder"],
                         ["baseline", "+ coalescing", "+ vRSS", "+ both"])

    def test_page_stands_alone_and_says_what_it_was(self):
        self.assertEqual(self.page.faults, [])
        self.assertGreater(self.page.tags.count("svg"), 6)
        self.assertFalse({"script", "link", "img", "iframe", "object"} & set(self.page.tags))
        for name, value in self.page.attributes:
            self.assertNotIn(name, ("href", "src", "srcset", "data", "action", "xlink:href"))
            self.assertNotIn("://", value or "")
        words = " ".join("".join(self.page.words).split())
        for text in ("The machine", "Kernel", "pariod 0.", "calls for each frame off",
                     "frames per second offered", "Made with --quick", "+ coalescing"):
            self.assertIn(text, words)
        for row in self.records():
            self.assertIn(row["note"], words)


class Fails(unittest.TestCase):
    def setUp(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one CPU: the load and a worker take two")
        self.dir = tempfile.TemporaryDirectory(prefix="pario-figures-")
        self.addCleanup(self.dir.cleanup)

    def start(self, daemon, *args):
        return run("block", "--out", self.dir.name, "--quick", "--runtime", "10ms", "--rounds", "1",
                   "--backends", "null", "--fio", "none", "--qsd", "none", "--daemon", daemon,
                   *args)

    def test_a_daemon_that_is_not_there(self):
        done = self.start("/nonexistent/pariod")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("give the path of pariod with --daemon", done.stderr)

    def test_a_daemon_that_ends_is_a_failed_point_with_its_words(self):
        fake = os.path.join(self.dir.name, "pariod")
        pathlib.Path(fake).write_text("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n"
                                      "echo 'out of \"luck\" <b>' >&2; exit 1\n", encoding="utf-8")
        os.chmod(fake, 0o755)
        done = self.start(fake)
        self.assertEqual(done.returncode, 1)
        self.assertIn("points failed", done.stderr)
        path = pathlib.Path(self.dir.name, "figures-block.csv")
        with open(path, encoding="utf-8", newline="") as file:
            notes = {row["note"] for row in csv.DictReader(file)}
        self.assertIn('failed: pariod ended at once: out of "luck" <b>', notes)
        page = Page(pathlib.Path(self.dir.name, "figures-block.html").read_text(encoding="utf-8"))
        self.assertEqual(page.faults, [])
        self.assertNotIn("b", page.tags)


    def test_the_same_of_ports(self):
        fake = os.path.join(self.dir.name, "pariod")
        pathlib.Path(fake).write_text("#!/bin/sh\ncase $1 in --*on) exit 0;; esac\n"
                                      "echo 'no <ports> here' >&2; exit 1\n", encoding="utf-8")
        os.chmod(fake, 0o755)
        done = run("net", "--out", self.dir.name, "--quick", "--runtime", "10ms", "--rounds", "1",
                   "--sizes", "60", "--daemon", fake)
        self.assertEqual(done.returncode, 1)
        self.assertIn("points failed", done.stderr)
        path = pathlib.Path(self.dir.name, "figures-net.csv")
        with open(path, encoding="utf-8", newline="") as file:
            notes = {row["note"] for row in csv.DictReader(file)}
        self.assertIn("failed: pariod ended at once: no <ports> here", notes)
        self.assertIn("failed: the highest rate, of which this is a share, is not known", notes)
        page = Page(pathlib.Path(self.dir.name, "figures-net.html").read_text(encoding="utf-8"))
        self.assertEqual(page.faults, [])
        self.assertNotIn("ports", page.tags)


class Usage(unittest.TestCase):
    CASES = (
        ([], "'' given, block or net allowed"),
        (["disk", "--out", "x"], "'disk' given, block or net allowed"),
        (["net"], "--out DIR is missing"),
        (["net", "--out", "x", "more"], "'more' given, options allowed"),
        (["net", "--out", "x", "--sizes", "61"], "--sizes: '61' given, one of 60, 1514"),
        (["net", "--out", "x", "--rounds", "0"], "--rounds: '0' given, 1 to 21 allowed"),
        (["net", "--out", "x", "--speed"], "--speed: no such option"),
        (["net", "--out"], "--out: needs a value"),
        (["block"], "--out DIR is missing"),
        (["block", "--out", ""], "--out: a path of 0 bytes given"),
        (["block", "--out", "x", "more"], "'block' given, block or net allowed"),
        (["block", "--out", "x", "--backends", "null,disk"], "--backends: 'disk' given"),
        (["block", "--out", "x", "--backends", ""], "--backends: '' given"),
        (["block", "--out", "x", "--cpus", "a"], "--cpus: 'a' is not a list of CPUs"),
        (["block", "--out", "x", "--cpus", "999999"], "--cpus: CPU 999999 given"),
        (["block", "--out", "x", "--runtime", "0"], "--runtime: 0 given, 10ms to 60m allowed"),
        (["block", "--out", "x", "--rounds", "22"], "--rounds: '22' given, 1 to 21 allowed"),
        (["block", "--out", "x", "--speed"], "--speed: no such option"),
        (["block", "--out"], "--out: needs a value"),
    )

    def test_wrong_options(self):
        for args, text in self.CASES:
            with self.subTest(args=args):
                done = run(*args)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done)
                self.assertIn(text, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_one_cpu_is_too_few(self):
        cpu = min(os.sched_getaffinity(0))
        done = run("block", "--out", "x", "--cpus", str(cpu))
        self.assertEqual(done.returncode, 2)
        self.assertIn("at least 2 are needed", done.stderr)
        done = run("block", "--out", "x", "--cpus", f"{cpu},{cpu}")
        self.assertIn("listed twice", done.stderr)

    def test_help_and_manual_name_the_same_options(self):
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        said = set(re.findall(r"(?m)^  (--[a-z-]+)", done.stdout))
        root = pathlib.Path(__file__).resolve().parents[3]
        page = (root / "docs" / "man" / "pario-bench.1.scd").read_text(encoding="utf-8")
        page = page.split("# FIGURES")[1].split("\n# ")[0]
        self.assertEqual(said, set(re.findall(r"(?m)^\*(--[a-z-]+)\*", page)))
        self.assertIn("--out", said)

    def test_help_and_manual_name_the_same_options_for_ports(self):
        done = run("net", "--help")
        self.assertEqual(done.returncode, 0)
        said = set(re.findall(r"(?m)^  (--[a-z-]+)", done.stdout))
        root = pathlib.Path(__file__).resolve().parents[3]
        page = (root / "docs" / "man" / "pario-bench.1.scd").read_text(encoding="utf-8")
        page = page.split("# FIGURES OF PORTS")[1].split("\n# ")[0]
        self.assertEqual(said, set(re.findall(r"(?m)^\*(--[a-z-]+)\*", page)))
        self.assertIn("--sizes", said)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
