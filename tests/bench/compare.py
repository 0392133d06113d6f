#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures pariod beside qemu-storage-daemon and fio: alternating pairs, medians, ratios.

The server has one core (the last), the load another (the first). Each pair is one run of A and one
of B, the order swapping from pair to pair; the ratio is taken pair by pair and its median quoted.
"""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

SERVER_CPU = max(os.sched_getaffinity(0))
LOAD_CPU = min(os.sched_getaffinity(0))
GIB = 1 << 30


def wait_for(path, process):
    deadline = time.monotonic() + 20
    while not os.path.exists(path):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"no socket at {path}")
        time.sleep(0.01)


class Server:
    """A back end under test, alive for all its runs."""

    def __init__(self, name, argv, sock):
        self.name, self.sock = name, sock
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(sock, self.process)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)


def pariod(build, tmp, spec, *options):
    sock = f"{tmp}/pario-{len(os.listdir(tmp))}.sock"
    return Server("pario", [f"{build}/pariod", "--disk", f"d,socket={sock},{spec}", "--workers",
                            str(SERVER_CPU), "--log-level", "error", *options], sock)


def storage_daemon(tmp, *blockdev):
    sock = f"{tmp}/qsd-{len(os.listdir(tmp))}.sock"
    argv = ["taskset", "-c", str(SERVER_CPU), "qemu-storage-daemon"]
    for row in blockdev:
        argv += ["--blockdev", row]
    argv += ["--export", f"type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path={sock},"
             "writable=on,num-queues=2"]
    return Server("qemu-storage-daemon", argv, sock)


def load(build, server, seconds, rw="randread", depth=32, notify="poll", bs="4k", ring="split",
         extra=()):
    argv = [f"{build}/pario-bench", "blk", server.sock, "--rw", rw, "--bs", bs, "--iodepth",
            str(depth), "--queues", "1", "--cpus", str(LOAD_CPU), "--notify", notify, "--ring", ring,
            "--runtime", str(seconds), "--size", "1G", "--json", *extra]
    out = subprocess.run(argv, capture_output=True, text=True, check=False)
    if out.returncode:
        sys.exit(f"{' '.join(argv)}: {out.stderr.strip()}")
    return json.loads(out.stdout)["results"]["total"]


def fio(path, seconds, rw="randread", depth=32, bs="4k"):
    argv = ["taskset", "-c", str(SERVER_CPU), "fio", "--name=t", "--thread", "--time_based",
            f"--runtime={seconds}", "--norandommap", "--randrepeat=0", "--size=1G", f"--rw={rw}",
            f"--bs={bs}", f"--iodepth={depth}", f"--filename={path}", "--ioengine=io_uring",
            "--direct=1", "--output-format=json"]
    out = subprocess.run(argv, capture_output=True, text=True, check=True)
    job = json.loads(out.stdout)["jobs"][0]
    return {"iops": job["read"]["iops"] + job["write"]["iops"]}


def pairs(label, count, run_a, run_b, a="pario", b="peer", goal=None):
    """run_a and run_b return a dict with iops."""
    ratios, values_a, values_b = [], [], []
    for i in range(count):
        order = (run_a, run_b) if i % 2 == 0 else (run_b, run_a)
        first, second = order[0]()["iops"], order[1]()["iops"]
        va, vb = (first, second) if i % 2 == 0 else (second, first)
        values_a.append(va)
        values_b.append(vb)
        ratios.append(va / vb)
    goal_text = f"  (goal {goal})" if goal else ""
    print(f"{label:34} {a} {statistics.median(values_a):>12,.0f}   {b} "
          f"{statistics.median(values_b):>12,.0f}   ratio {statistics.median(ratios):5.2f} "
          f"[{min(ratios):.2f} {max(ratios):.2f}]{goal_text}", flush=True)


def bench_null(build, tmp, count, seconds):
    ours = pariod(build, tmp, "backend=null,size=1G,queues=2,features.packed=true")
    theirs = storage_daemon(tmp, f"driver=null-co,node-name=d0,size={GIB},read-zeroes=off")
    print("null, 4 KiB randread, polled by the load, IOPS (A pario, B qemu-storage-daemon null-co)")
    for depth, goal in ((1, "2.0x"), (32, "2.5x"), (128, "3.0x")):
        pairs(f"  QD {depth}", count, lambda d=depth: load(build, ours, seconds, depth=d),
              lambda d=depth: load(build, theirs, seconds, depth=d), goal=goal)
    for depth in (1, 32, 128):
        pairs(f"  QD {depth}, by call fd", count,
              lambda d=depth: load(build, ours, seconds, depth=d, notify="irq"),
              lambda d=depth: load(build, theirs, seconds, depth=d, notify="irq"))
    for depth in (1, 32, 128):
        pairs(f"  QD {depth}, pario packed / pario split", count,
              lambda d=depth: load(build, ours, seconds, depth=d, ring="packed"),
              lambda d=depth: load(build, ours, seconds, depth=d), a="packed", b="split")
    ours.stop()
    theirs.stop()


def bench_file(build, tmp, count, seconds):
    path = f"{tmp}/bench.img"
    block = os.urandom(1 << 20)
    with open(path, "wb") as image:
        for _ in range(1024):
            image.write(block)
        os.fsync(image.fileno())
    ours = pariod(build, tmp, f"path={path},queues=2")
    print("file, 4 KiB, O_DIRECT, IOPS (A pario, B fio with io_uring on the same file)")
    for rw in ("randread", "randwrite"):
        for depth in (1, 32, 128):
            pairs(f"  {rw} QD {depth}", count,
                  lambda r=rw, d=depth: load(build, ours, seconds, rw=r, depth=d),
                  lambda r=rw, d=depth: fio(path, seconds, rw=r, depth=d), b="fio ", goal="0.9x")
    ours.stop()


def cpu_seconds(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
            total += int(stat.read().split()[0])
    return total / 1e9


def bench_idle(build, tmp):
    ours = pariod(build, tmp, "backend=null,size=1G,queues=2,features.packed=true")
    argv = [f"{build}/pario-bench", "blk", ours.sock, "--rw", "randread", "--iodepth", "1",
            "--notify", "irq", "--rate", "10", "--runtime", "12", "--json"]
    client = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    time.sleep(1)
    before = cpu_seconds(ours.process.pid)
    time.sleep(10)
    busy = cpu_seconds(ours.process.pid) - before
    client.wait()
    before = cpu_seconds(ours.process.pid)
    time.sleep(10)
    alone = cpu_seconds(ours.process.pid) - before
    print(f"idle, default mode: {busy * 10:.3f} % of a core with a connected front end and 10 requests "
          f"a second, {alone * 10:.3f} % with none connected (goal: under 0.5 %)")
    ours.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("cases", nargs="*", default=["null", "file", "idle"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    tmp = tempfile.mkdtemp(prefix="pario-bench-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    print(f"server on CPU {SERVER_CPU}, load on CPU {LOAD_CPU}, {args.pairs} pairs of "
          f"{args.seconds} s, medians; kernel {os.uname().release}")
    try:
        if "null" in args.cases:
            bench_null(build, tmp, args.pairs, args.seconds)
        if "file" in args.cases:
            bench_file(build, tmp, args.pairs, args.seconds)
        if "idle" in args.cases:
            bench_idle(build, tmp)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    main()
