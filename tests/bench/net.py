#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures pariod's ports beside testpmd, Open vSwitch with DPDK and memcpy(): runs in turns,
medians, ratios.

The server has one core (the last), the load another (the first). testpmd forwards between two
ports and does not switch; Open vSwitch has two flows by port; pariod switches. Each pair is one run
of each, the order swapping from pair to pair; the ratio is taken pair by pair and its median
quoted, with the least and the greatest. Goals are printed beside what was measured, and whether
they were met; no figure is a failure. (An order that is not kept is: the case order.)
"""
import argparse
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

import net_coalesce
from net_rig import NetRig
from rig import LOAD_CPU, SERVER_CPU, Failed, Skip

CASES = {}
# By peer, frame and ring.
GOALS = {("testpmd", 60, "split"): 1.0, ("testpmd", 1514, "split"): 1.5,
         ("testpmd", 60, "packed"): 0.9, ("testpmd", 1514, "packed"): 1.2,
         ("ovs", 60, "split"): 1.4, ("ovs", 1514, "split"): 1.7,
         ("ovs", 60, "packed"): 1.4, ("ovs", 1514, "packed"): 1.7}


def case(function):
    CASES[function.__name__] = function
    return function


def beside(rig, args, name, theirs):
    """flowgen through pario and through a peer, for each frame and ring that was asked for."""
    def run(ports, size, ring):
        with ports() as socks:
            return rig.flowgen(socks, size, ring)

    with rig.huge_pages():
        for ring in args.rings:
            for size in args.sizes:
                rig.pairs(f"{size} B, {ring}", lambda s=size, r=ring: run(rig.pario_ports, s, r),
                          lambda s=size, r=ring: run(theirs, s, r), b=name,
                          goal=GOALS.get((name, size, ring)), unit="frames/s")


@case
def testpmd(rig, args):
    """two virtio-user ports of testpmd as the load: beside testpmd's io forwarding"""
    beside(rig, args, "testpmd", rig.testpmd_ports)


@case
def ovs(rig, args):
    """two virtio-user ports of testpmd as the load: beside Open vSwitch with DPDK"""
    beside(rig, args, "ovs", rig.ovs_ports)


@case
def front(rig, args):
    """pario-bench as the load, both directions: beside testpmd's io forwarding"""
    def run(ports, size, ring):
        with ports() as socks:
            report = rig.net(socks, "--size", str(size), "--ring", ring, "--direction", "both",
                             *args.options)
            return report["total"]["received_pps"]

    for ring in args.rings:
        for size in args.sizes:
            rig.pairs(f"{size} B, {ring}", lambda s=size, r=ring: run(rig.pario_ports, s, r),
                      lambda s=size, r=ring: run(lambda: rig.testpmd_ports(huge=False), s, r),
                      b="testpmd", unit="frames/s")


@case
def tso(rig, args):
    """frames of 64 KiB to be segmented, dirtied by the load: beside memcpy() on the same core"""
    def run(ring, *options):
        with rig.pario_ports() as socks:
            report = rig.net(socks, "--size", "64k", "--ring", ring, *options)
            return report["total"]["received_bits_per_s"] / 8

    for ring in args.rings:
        for label, options, goal in (("dirtied in between", ("--dirty",), 0.8),
                                     ("left alone", (), None)):
            more = (*options, *args.options)
            rig.pairs(f"64 KiB, {ring}, {label}", lambda r=ring, o=more: run(r, *o),
                      lambda o=more: rig.memcpy("--size", "64k", *o), b="memcpy", goal=goal,
                      unit="B/s")


@case
def coalesce(rig, args):
    """pario-bench by call: off, static 32 frames / 1 ms and adaptive against rate"""
    with contextlib.ExitStack() as stack:
        out = None
        if args.csv:
            out = stack.enter_context(open(args.csv, "w", encoding="utf-8", newline=""))
        net_coalesce.Case(rig, args, out).run()


@case
def order(rig, args):
    """order of flows while buckets and queues move, 60 s and at least 5 million frames"""
    env = os.environ | {"PARIO_ORDER_SECONDS": str(args.order_seconds), "PARIO_ORDER_RATE": "200000",
                        "PARIO_ORDER_RING": "256", "PARIO_ORDER_FRAMES": str(args.order_frames)}
    test = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers", "test_order.py")
    print("  " + rig.run([sys.executable, test, rig.daemon(), rig.bench()], env=env).strip())


@case
def guest(rig, args):
    """real guests, Linux in QEMU and in User-Mode Linux: coalescing beside none"""
    argv = [sys.executable, f"{os.path.dirname(os.path.abspath(__file__))}/net_guest.py", rig.build,
            "--pairs", str(args.pairs), *args.options]
    # A process of its own: its rig is that of tests/vm.
    if subprocess.run(argv, check=False).returncode:
        raise Failed("not all was measured")


def words(allowed, kind=str):
    def parse(text):
        values = [kind(word) for word in text.split(",")]
        for value in values:
            if allowed and value not in allowed:
                raise argparse.ArgumentTypeError(
                    f"no '{value}'; there are: {', '.join(map(str, allowed))}")
        return values
    return parse


def main():
    names = "\n".join(f"  {name:10} {function.__doc__}" for name, function in CASES.items())
    parser = argparse.ArgumentParser(description=__doc__, epilog="cases:\n" + names,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="build directory")
    parser.add_argument("--cases", type=words(list(CASES)), default=list(CASES),
                        help="some of them, with commas between; all")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4, help="of each run")
    # What flowgen can make.
    parser.add_argument("--sizes", type=words([60, 1514], int), default=[60, 1514])
    parser.add_argument("--rings", type=words(["split", "packed"]), default=["split", "packed"])
    parser.add_argument("--options", type=shlex.split, default=[], metavar="'--OPTION ...'",
                        help="more of pario-bench net, in the cases front, tso and coalesce,"
                        " and of net_guest.py in the case guest")
    parser.add_argument("--buffers", type=words([256, 1024], int), default=net_coalesce.BUFFERS,
                        help="receive buffers, in the case coalesce")
    parser.add_argument("--shares", type=words(None, float), default=net_coalesce.SHARES,
                        help="of the highest rate, in the case coalesce")
    parser.add_argument("--csv", metavar="FILE", help="values of the case coalesce")
    parser.add_argument("--order-seconds", type=float, default=60)
    parser.add_argument("--order-frames", type=int, default=5000000)
    args = parser.parse_args()
    if args.pairs < 1 or args.seconds < 0.1:
        parser.error("--pairs is at least 1 and --seconds 0.1")
    if not all(0 < share <= 1 for share in args.shares):
        parser.error("--shares are above 0 and at most 1")
    if SERVER_CPU == LOAD_CPU:
        print("skipped: two CPUs are needed, one for the server and one for the load")
        return 0
    tmp = tempfile.mkdtemp(prefix="pario-bench-net-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    print(f"server on CPU {SERVER_CPU}, load on CPU {LOAD_CPU}, {args.pairs} pairs of "
          f"{args.seconds:g} s, medians; kernel {os.uname().release}")
    failed = 0
    try:
        for name in args.cases:
            print(f"{name}: {CASES[name].__doc__}", flush=True)
            rig = NetRig(os.path.abspath(args.build), tmp, args.pairs, args.seconds)
            try:
                CASES[name](rig, args)
            except Skip as reason:
                print(f"  skipped: {reason}")
            except (Failed, OSError) as error:
                print(f"  FAILED: {error}")
                failed += 1
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
