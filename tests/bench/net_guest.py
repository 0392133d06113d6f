#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what ports' adaptive coalescing is to real guests, Linux in QEMU and in User-Mode Linux:
coalesce.mode adaptive beside off, set at run time, in turns, in the same guest.

The guest has one CPU of the host (the first), pariod and the sender the other (the last); the
sender is a network namespace behind a tap. UDP of full frames comes at 30 % of what the guest can
take, which is found first. Each pair is one run of each mode, the order swapping from pair to pair;
ratios are taken pair by pair, and their median is quoted: of throughput and interrupts with the
least and the greatest, of times with the interval in which the median lies (95 %, by order
statistics). Nothing is judged: goals are printed beside what was measured.
"""
import argparse
import contextlib
import json
import math
import os
import re
import statistics
import sys
import time
from pathlib import Path

# Before this directory, which has a rig of its own.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))
from rig import accel, load, machine, netback, process, session, shell, talk  # noqa: E402
from rig.errors import CannotRun, RigError  # noqa: E402

GUEST_CPU = min(os.sched_getaffinity(0))
PARIO_CPU = max(os.sched_getaffinity(0))
ADDRESS = 250
MODES = ("adaptive", "off")
SHARE = 0.3
FULL_BYTES = 1472                   # of UDP, in a frame of 1514
START_RATE = 2000
STEP = 1.5
STEP_SECONDS = 1.5
LOST_SHARE = 0.01                   # of what is sent, still taken
MOST_RATE = 2e6
CONNECTIONS = 16
IPERF_TRIES = 50
TICKS = os.sysconf("SC_CLK_TCK")


def interval(values):
    """The order statistics between which the median lies, with 95 % at least: (low, high)."""
    values = sorted(values)
    cnt = len(values)
    below, rank = 0.0, 0
    while rank < cnt // 2:
        below += math.comb(cnt, rank) / 2 ** cnt
        if 2 * below > 0.05:
            break
        rank += 1
    # rank values may be cut off either side; fewer than 6 values say nothing: all of them then.
    rank = max(rank - 1, 0)
    return values[rank], values[cnt - 1 - rank]


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def column(values):
    return (f"{number(statistics.median(values)):>9} "
            f"[{number(min(values))} {number(max(values))}]")


def say(label, values, unit, ratio=None, spread=None, goal=""):
    """One line: both modes' medians with the least and the greatest, and the ratio."""
    line = f"  {label:27} adaptive {column(values['adaptive'])}  off {column(values['off'])} {unit}"
    if ratio:
        low, high = spread(ratio)
        line += f"  ratio {statistics.median(ratio):6.3f} [{low:.3f} {high:.3f}]"
    print(line + (f"  (goal {goal})" if goal else ""), flush=True)


def least_and_greatest(values):
    return min(values), max(values)


def ratios(top, bottom):
    pairs = [(x, y) for x, y in zip(top, bottom) if y > 0]
    return [x / y for x, y in pairs]


class Guest:
    """A guest that runs on its CPU, its port and its host; what is measured in it."""

    def __init__(self, kind, card, host, server, program):
        self.kind, self.card, self.host, self.server = kind, card, host, server
        self.traffic = ["taskset", "-c", str(PARIO_CPU), str(program)]

    def set_mode(self, mode):
        self.server.set_port(self.card.name, coalesce={"mode": mode})
        queues = self.server.port(self.card.name)["queues"]
        other = [queue["idx"] for queue in queues if queue["coalesce"]["mode"] != mode]
        # The control queue may have a mind of its own.
        if any(idx < 2 for idx in other):
            raise RigError(f"{self.kind}: queues {other} do not take coalesce.mode={mode}")

    def look(self):
        """Interrupts of the card, ticks that its CPUs were busy for and all; in one command."""
        text = self.card.run("cat /proc/interrupts; head -n 1 /proc/stat")
        interrupts = sum(int(word) for line in text.splitlines() if "virtio" in line
                         for word in re.match(r"\s*\d+:((?:\s+\d+)+)\s", line)[1].split())
        ticks = [int(word) for word in re.search(r"^cpu +(.*)$", text, re.MULTILINE)[1].split()]
        idle = ticks[3] + ticks[4]
        return interrupts, sum(ticks[:8]) - idle, sum(ticks[:8])

    def host_ticks(self):
        """What the host's CPU spent for the guest; a guest's own clock ticks oddly when emulated."""
        pid = self.card.shell.machine.child.pid
        group = os.getpgid(pid)
        total = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
                if int(fields[2]) == group:
                    total += int(fields[11]) + int(fields[12])
        return total

    def calls(self):
        """Counters of the receive ring that tell of calls, by name."""
        ring = self.server.port(self.card.name)["queues"][0]["counters"]["ring"]
        return {name: value for name, value in ring.items() if name.startswith("calls")}

    def udp(self, rate, seconds):
        """Frames at a rate; what came of them."""
        with load.Sink(self.card, int(seconds) + 20) as sink:
            before, host_before, calls_before = self.look(), self.host_ticks(), self.calls()
            started = time.monotonic()
            said = load.send(self.host, self.traffic, self.card, seconds, rate, size=FULL_BYTES)
            took = time.monotonic() - started
            after, host_after, calls_after = self.look(), self.host_ticks(), self.calls()
            got = sink.report()
        megabytes = got["bytes"] / 1e6
        if not megabytes:
            raise RigError(f"{self.kind}: nothing came of {said['sent']} frames")
        why = {name: calls_after[name] - calls_before[name] for name in calls_after}
        return {
            "why": why,
            "interrupts": (after[0] - before[0]) / megabytes,
            "calls": why["calls"] / megabytes,
            "lost": said["sent"] - got["received"],
            "lost_share": 1 - got["received"] / said["sent"],
            "received_pps": got["received"] / said["seconds"],
            "guest_cpu": 100 * (after[1] - before[1]) / max(1, after[2] - before[2]),
            "host_cpu": 100 * (host_after - host_before) / TICKS / took,
        }

    def find_most(self):
        """Frames a second that it takes without coalescing, with next to none lost."""
        self.set_mode("off")
        rate, most, refused = START_RATE, 0, 0
        while refused < 2 and rate < MOST_RATE:
            if self.udp(rate, STEP_SECONDS)["lost_share"] <= LOST_SHARE:
                most, refused = rate, 0
            else:
                refused += 1
            rate *= STEP
        if not most:
            raise RigError(f"{self.kind}: loses frames at {START_RATE} a second already")
        return most

    def tcp(self, seconds, reverse):
        """Bits a second of one connection, to the guest or from it."""
        words = ["taskset", "-c", str(PARIO_CPU), "iperf3", "-c", self.card.v4, "-J", "-t",
                 str(max(1, round(seconds)))] + (["-R"] if reverse else [])
        for _attempt in range(IPERF_TRIES):
            done = process.run(self.host.namespace.command(words), seconds + 30)
            said = json.loads(done.stdout[done.stdout.index("{"):])
            # The server takes a moment to be done with the client before.
            if "error" not in said:
                return said["end"]["sum_received"]["bits_per_second"]
            time.sleep(0.1)
        raise RigError(f"iperf3: {said['error']}")

    def ping(self, seconds):
        return load.ping(self.host, self.traffic, self.card, seconds)["p50_us"]

    def ask(self, seconds, flows):
        said = load.ask_from_host(self.host, self.traffic, self.card, seconds, flows)
        return {"latency": said["p50_us"], "rate": said["per_second"]}


class Bench:
    """The pairs of one guest."""

    def __init__(self, guest, options):
        self.guest, self.options = guest, options

    def turns(self, cnt, run):
        """{mode: results}; the first run of each is to warm up and does not count."""
        results = {mode: [] for mode in MODES}
        for i in range(-1, cnt):
            for mode in MODES if i % 2 == 0 else reversed(MODES):
                self.guest.set_mode(mode)
                result = run()
                if i >= 0:
                    results[mode].append(result)
        return results

    def udp(self):
        rate = self.options.rate
        if not rate:
            most = self.guest.find_most()
            rate = SHARE * most
            print(f"  at most {most:,.0f} full frames a second without coalescing; "
                  f"{rate:,.0f} a second from here on")
        runs = self.turns(self.options.pairs, lambda: self.guest.udp(rate, self.options.seconds))
        by = {key: {mode: [run[key] for run in runs[mode]] for mode in MODES}
              for key in runs["off"][0] if key != "why"}
        say("UDP, interrupts of guest", by["interrupts"], "/MB",
            ratios(by["interrupts"]["off"], by["interrupts"]["adaptive"]), least_and_greatest,
            "off / adaptive >= 5")
        say("UDP, calls of pariod", by["calls"], "/MB",
            ratios(by["calls"]["off"], by["calls"]["adaptive"]), least_and_greatest)
        why = {name: sum(run["why"][name] for run in runs["adaptive"])
               for name in runs["adaptive"][0]["why"]}
        print("  UDP, adaptive, all runs      " +
              ", ".join(f"{name} {cnt:,}" for name, cnt in why.items() if cnt))
        say("UDP, lost", by["lost"], "frames", goal="no more")
        for key, label in (("guest_cpu", "UDP, CPU, guest's account"),
                           ("host_cpu", "UDP, CPU, host's account")):
            say(label, by[key], "%", ratios(by[key]["adaptive"], by[key]["off"]),
                least_and_greatest, "adaptive / off < 1")

    def tcp(self):
        self.guest.card.serve()
        for label, reverse in (("TCP to guest", False), ("TCP from guest", True)):
            runs = self.turns(self.options.pairs,
                              lambda r=reverse: self.guest.tcp(self.options.seconds * 2 / 3, r) / 1e6)
            say(label, runs, "Mbit/s", ratios(runs["adaptive"], runs["off"]), least_and_greatest,
                "adaptive / off >= 1")

    def times(self):
        """Ratios of times that one thing takes: above 1 is worse."""
        seconds = self.options.seconds / 4
        goal = "interval not above 1.03"
        runs = self.turns(self.options.time_pairs, lambda: self.guest.ping(seconds))
        say("ping, median", runs, "us", ratios(runs["adaptive"], runs["off"]), interval, goal)
        with load.Server(self.guest.card):
            for flows in (1, CONNECTIONS):
                runs = self.turns(self.options.time_pairs,
                                  lambda f=flows: self.guest.ask(seconds, f))
                for key, label, unit in (("latency", "median", "us"), ("rate", "rate", "/s")):
                    values = {mode: [run[key] for run in runs[mode]] for mode in MODES}
                    top, bottom = ("adaptive", "off") if key == "latency" else ("off", "adaptive")
                    say(f"TCP, {flows} asking, {label}", values, unit,
                        ratios(values[top], values[bottom]), interval,
                        goal if key == "latency" else f"{top} / {bottom}: {goal}")


def make_guest(kind, work, nic, program):
    place = work / "guest"
    place.mkdir()
    if kind == "qemu":
        chosen, _why = accel.choose()
        guest = machine.Qemu(place, [], {"scenario": "shell"}, accel=chosen, nics=[nic],
                             programs=[program])
    else:
        guest = machine.Uml(place, [], {"scenario": "shell"}, nics=[nic], programs=[program])
    unpinned = guest.command
    guest.command = lambda initrd: ["taskset", "-c", str(GUEST_CPU), *unpinned(initrd)]
    return guest


def measure(kind, options, work):
    program = options.build / "tests/vm/traffic"
    pariod = options.build / "src/app/pariod"
    for path in (program, pariod):
        if not path.exists():
            raise RigError(f"{path} is not built")
    uml = kind == "uml"
    keys = [key for key in options.keys.split(",") if key]
    nic = netback.Nic("g0", work / "g0.sock", "" if uml else "52:54:00:00:00:01",
                      keys=(*keys, *(["queue-num=rings"] if uml else [])))
    with netback.Namespace("pario-bench") as namespace, \
            netback.NetPariod(pariod, [nic], work, [netback.Uplink("up", "tap0")], namespace,
                              more=("--workers", str(PARIO_CPU))) as server:
        server.on_start = lambda: [namespace.ip(f"addr add 10.0.0.{ADDRESS}/24 dev tap0"),
                                   namespace.ip("link set tap0 up")]
        guest = make_guest(kind, work, nic, program)
        print(f"{guest.kernel().name} in {kind}:", flush=True)
        server.start()
        with shell.Shell(guest, nic.name) as console:
            console.boot()
            console.ready()
            nic.mac = nic.mac or server.port(nic.name)["guest"]["mac"]
            card = talk.Card(console, nic, 1)
            card.plug()
            host = talk.Host(namespace, "the host", ADDRESS)
            talk.must_ping(card, host)
            bench = Bench(Guest(kind, card, host, server, program), options)
            for part in options.parts:
                getattr(bench, part)()
            faults = console.end() + server.stop()
    if faults:
        raise RigError("; ".join(faults))


def words(allowed):
    def parse(text):
        values = text.split(",")
        for value in values:
            if value not in allowed:
                raise argparse.ArgumentTypeError(f"no '{value}'; there are: {', '.join(allowed)}")
        return values
    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="build directory")
    parser.add_argument("--guests", type=words(["qemu", "uml"]), default=["qemu", "uml"])
    parser.add_argument("--parts", type=words(["udp", "tcp", "times"]),
                        default=["udp", "tcp", "times"])
    parser.add_argument("--pairs", type=int, default=7, help="of throughput and interrupts")
    parser.add_argument("--rate", type=float, help="frames a second of UDP, in place of "
                        f"{SHARE:.0%} of what the guest takes")
    parser.add_argument("--time-pairs", type=int, default=15, help="of times")
    parser.add_argument("--keys", default="", metavar="KEY=VALUE,...",
                        help="of the port, beside coalesce.mode, for example coalesce.usecs=2000")
    parser.add_argument("--seconds", type=float, default=3,
                        help="of each run of UDP; of TCP two thirds, of times a quarter")
    options = parser.parse_args()
    options.build = options.build.resolve()
    if options.pairs < 1 or options.time_pairs < 1 or options.seconds < 1:
        parser.error("--pairs, --time-pairs and --seconds are at least 1")
    if GUEST_CPU == PARIO_CPU:
        print("skipped: two CPUs are needed, one for the guest and one for pariod")
        return 0
    print(f"guest on CPU {GUEST_CPU}, pariod and sender on CPU {PARIO_CPU}, {options.pairs} pairs "
          f"of {options.seconds:g} s, {options.time_pairs} pairs of times; kernel "
          f"{os.uname().release}", flush=True)
    failed = 0
    for kind in options.guests:
        work = session.work_directory()
        try:
            measure(kind, options, work)
        except CannotRun as reason:
            print(f"  skipped: {reason}")
        except (RigError, OSError) as error:
            print(f"  FAILED: {error}")
            failed += 1
        finally:
            process.run(["rm", "-rf", work])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
