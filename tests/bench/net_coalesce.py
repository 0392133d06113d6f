# SPDX-License-Identifier: Apache-2.0
"""Coalescing of ports by call fd: off, a static 32 frames / 1 ms and adaptive, at shares of the
highest rate and at rates so low that frames come alone. How points are measured and what is said of
them; net.py has the command line.

The load asks for a call, takes what is there and asks again at once. For each point the modes run in
turns; calls for each frame received, latency and loss are medians with the least and the greatest.
"""
import contextlib
import csv
import itertools
import math
import os
import statistics

from net_rig import running
from rig import SERVER_CPU, Failed

MODES = ("off", "static", "adaptive")
DEADLINE_US = 1500
KEYS = {"off": "", "static": ",coalesce.packets=32,coalesce.usecs=1000",
        "adaptive": f",coalesce.usecs={DEADLINE_US}"}
SHARES = tuple(i / 10 for i in range(1, 11))
LOW_RATES = (1000, 5000, 20000)
BUFFERS = (256, 1024)
# The highest rate is the highest that is kept up.
KEPT_UP, LOST_AT_MOST, SEARCH_STEPS = 0.97, 0.001, 7
# A load or a worker that is given no CPU in a short run.
ATTEMPTS = 3
CALLS_MATTER, CALLS_GOAL, BETTER_GOAL = 0.5, 0.1, 0.8
NOISE = 1.05
VALUES = ("calls", "calls_per_s", "p50_us", "p99_us", "lost")


@contextlib.contextmanager
def ports(rig, mode):
    with rig.run_dir() as run:
        socks = [f"{run}/a", f"{run}/b"]
        argv = [rig.daemon(), "--workers", str(SERVER_CPU), "--log-level", "error"]
        for name, sock in zip("ab", socks):
            argv += ["--port", f"{name},socket={sock},switch=bench,coalesce.mode={mode}{KEYS[mode]}"]
        with running("pariod", argv, run) as server:
            server.wait_for("its sockets", lambda: all(map(os.path.exists, socks)))
            yield socks


def measure(rig, mode, size, buffers, rate, options=()):
    """What one run says; rate is frames a second, or "max"."""
    for _ in range(ATTEMPTS):
        with ports(rig, mode) as socks:
            report = rig.net(socks, "--size", str(size), "--queue-size", str(buffers),
                             "--rx-buffers", str(buffers), "--notify", "irq", "--latency", "--rate",
                             str(rate), *options)
        way = report["directions"]["a-b"]
        if way["received"]:
            break
    else:
        raise Failed(f"{mode}, {rate} frames/s: no frame came; are runs too short?")
    return {"calls": report["rx_calls_per_frame"],
            "calls_per_s": report["rx_calls"] / report["runtime_s"],
            "p50_us": way["latency_ns"]["p50"] / 1e3, "p99_us": way["latency_ns"]["p99"] / 1e3,
            "lost": way["lost"] / way["sent"] if way["sent"] else 0,
            "sent_pps": way["sent_pps"], "received_pps": way["received_pps"]}


def highest_rate(run):
    """Of run(rate): between what one frame at a time takes and what is possible at all."""
    low, high = 10000.0, max(20000.0, run("max")["received_pps"])
    for _ in range(SEARCH_STEPS):
        middle = math.sqrt(low * high)
        seen = run(round(middle))
        if seen["sent_pps"] >= KEPT_UP * middle and seen["lost"] <= LOST_AT_MOST:
            low = middle
        else:
            high = middle
    return low


def median(runs, value):
    return statistics.median(run[value] for run in runs)


def spread(runs, value):
    values = [run[value] for run in runs]
    return statistics.median(values), min(values), max(values)


def within(runs, beside, value):
    """Whether a median is where the other's runs are, or within what is noise."""
    middle, (_, least, most) = median(runs, value), spread(beside, value)
    return least / NOISE <= middle <= most * NOISE


def judge(runs, low):
    """runs: mode -> list of runs, in turns. What is asked of the point: name -> held or not."""
    off, static, adaptive = (runs[mode] for mode in MODES)
    said = {"p99": median(adaptive, "p99_us") <= median(off, "p99_us") + DEADLINE_US,
            "lost": median(adaptive, "lost") <= median(off, "lost") + LOST_AT_MOST}
    if low:
        said["as off"] = all(within(adaptive, off, value) for value in ("calls", "p50_us"))
        return said
    if median(off, "calls") >= CALLS_MATTER:
        ratio = statistics.median(a["calls"] / o["calls"] for a, o in zip(adaptive, off))
        said["calls"] = ratio <= CALLS_GOAL
    calls = median(adaptive, "calls"), median(static, "calls")
    p99 = median(adaptive, "p99_us"), median(static, "p99_us")
    said["not dominated"] = not (calls[1] * NOISE < calls[0] and p99[1] * NOISE < p99[0])
    if calls[0] <= calls[1] * NOISE:
        said["better"] = p99[0] < p99[1]
    return said


class Case:
    """All points of a size and a number of buffers; sums over them are told at the end."""

    def __init__(self, rig, args, out=None):
        self.rig, self.args = rig, args
        self.csv = csv.writer(out) if out else None
        self.held = {}
        if self.csv:
            self.csv.writerow(["size", "buffers", "rate", "share", "mode", "runs"]
                              + [f"{value}{end}" for value in VALUES for end in ("", "_min", "_max")])

    def point(self, size, buffers, rate, share):
        runs = self.rig.turns(
            {mode: lambda m=mode: measure(self.rig, m, size, buffers, rate, self.args.options)
             for mode in MODES})
        said = judge(runs, share is None)
        for name, held in said.items():
            good, all_of = self.held.get(name, (0, 0))
            self.held[name] = good + held, all_of + 1
        label = "alone" if share is None else f"{share:.0%}"
        print(f"    {rate:>10,.0f}/s {label:>5}  " + "  ".join(
            f"{mode}: {{:.4f}} [{{:.4f}} {{:.4f}}] calls, p99 {{:.0f}} [{{:.0f}} {{:.0f}}] us"
            .format(*spread(runs[mode], "calls"), *spread(runs[mode], "p99_us"))
            for mode in MODES) + "  " + ", ".join(
                name if held else f"NOT {name}" for name, held in said.items()), flush=True)
        for mode in MODES if self.csv else ():
            self.csv.writerow([size, buffers, rate, share, mode, len(runs[mode])]
                              + [number for value in VALUES for number in spread(runs[mode], value)])

    def run(self):
        for size, buffers in itertools.product(self.args.sizes, self.args.buffers):
            most = highest_rate(lambda rate, s=size, b=buffers: measure(
                self.rig, "off", s, b, rate, self.args.options))
            print(f"  {size} B, {buffers} buffers: at most {most:,.0f} frames/s", flush=True)
            for rate in LOW_RATES:
                self.point(size, buffers, rate, None)
            for share in self.args.shares:
                self.point(size, buffers, round(most * share), share)
        self.sums()

    def sums(self):
        words = {"calls": f"calls at most {CALLS_GOAL:g} of off's where off has {CALLS_MATTER:g} or "
                          "more for each frame",
                 "p99": f"p99 at most off's and {DEADLINE_US} us", "lost": "no more lost than off",
                 "as off": "calls and latency as off's where frames come alone",
                 "not dominated": "not dominated by static",
                 "better": "a lower p99 than static at as few calls"}
        for name, text in words.items():
            good, all_of = self.held.get(name, (0, 0))
            goal = f"{BETTER_GOAL:.0%}" if name == "better" else "all"
            print(f"  {text}: {good} of {all_of} points (goal {goal})", flush=True)
