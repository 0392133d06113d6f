#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures pariod beside qemu-storage-daemon, fio and itself: runs in turns, medians, ratios.

The server has one core (the last), the load another (the first). Each pair is one run of A and one
of B, the order swapping from pair to pair; the ratio is taken pair by pair and its median quoted,
with the least and the greatest. Nothing is judged: goals are printed beside what was measured.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from rig import GIB, LOAD_CPU, SERVER_CPU, Api, Failed, Rig, Skip, need

NULL = "backend=null,size=1G,queues=2"
CASES = {}
IMAGES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def image(directory):
    """A file of 1 GiB of random bytes, made once."""
    if directory not in IMAGES:
        space = shutil.disk_usage(directory).free
        if space < 2 * GIB:
            raise Skip(f"{directory} has {space >> 20} MiB left, 2 GiB are needed")
        handle, path = tempfile.mkstemp(prefix="pario-bench-", suffix=".img", dir=directory)
        IMAGES[directory] = path
        block = os.urandom(1 << 20)
        with os.fdopen(handle, "wb") as file:
            for _ in range(1024):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    return IMAGES[directory]


@case
def null_polled(rig):
    """null, polled by the load, split ring, beside qemu-storage-daemon's null-co"""
    ours, theirs = rig.pariod(NULL, "--poll", "always"), rig.qsd_null()
    for depth, goal in ((1, 2.5), (32, 3.7), (128, 4.6)):
        rig.pairs(f"QD {depth}", rig.iops(ours, depth=depth), rig.iops(theirs, depth=depth),
                  b="qsd", goal=goal)


@case
def packed(rig):
    """null, polled: the packed ring beside the split one"""
    ours = rig.pariod(NULL, "--poll", "always")
    for depth in (1, 32, 128):
        rig.pairs(f"QD {depth}", rig.iops(ours, depth=depth, ring="packed"),
                  rig.iops(ours, depth=depth), a="packed", b="split", goal=1)


@case
def null_called(rig):
    """null, the load sleeps until called, beside qemu-storage-daemon's null-co"""
    ours, theirs = rig.pariod(NULL, "--poll", "always"), rig.qsd_null()
    for depth, goal in ((1, 4.5), (32, None), (128, None)):
        rig.pairs(f"QD {depth}", rig.iops(ours, depth=depth, notify="irq"),
                  rig.iops(theirs, depth=depth, notify="irq"), b="qsd", goal=goal)


@case
def ram(rig):
    """ram, polled, beside qemu-storage-daemon's null-co, which copies nothing"""
    ours = rig.pariod("backend=ram,size=1G,queues=2", "--poll", "always")
    theirs = rig.qsd_null()
    # Pages that were never written are all one page.
    rig.load(ours, rw="write", bs="1M", depth=4, seconds=2)
    rig.pairs("4 KiB, QD 32", rig.iops(ours), rig.iops(theirs), b="qsd", goal=0.95)


@case
def ram_copy(rig):
    """ram, 128 KiB reads, beside memcpy() between the same buffers on the same core"""
    program = rig.program("tests/bench/copy_ram")
    ours = rig.pariod("backend=ram,size=256M", "--poll", "always")

    def copy(kind, what, dirty):
        return lambda: float(rig.run([program, kind, str(what), str(LOAD_CPU), str(rig.seconds),
                                      str(dirty)]))

    for dirty, label, goal in ((1, "buffers dirtied in between", 0.9), (0, "left alone", None)):
        rig.pairs(label, copy("disk", ours.sock, dirty), copy("memcpy", SERVER_CPU, dirty),
                  b="memcpy", goal=goal, unit="B/s")


@case
def file(rig):
    """file with O_DIRECT (on the file system of TMPDIR), beside fio with io_uring on one core"""
    need("fio")
    path = image(rig.tmp)
    ours = rig.pariod(f"path={path},queues=2", "--poll", "always")
    for rw in ("randread", "randwrite"):
        for depth, goal in ((1, 2.0 if rw == "randread" else None), (32, 0.97), (128, 0.97)):
            rig.pairs(f"always, {rw} QD {depth}", rig.iops(ours, rw=rw, depth=depth),
                      lambda r=rw, d=depth: rig.fio(path, rw=r, depth=d), b="fio", goal=goal)


@case
def file_adaptive(rig):
    """file with O_DIRECT: adaptive beside always"""
    path = image(rig.tmp)
    for rw in ("randread", "randwrite"):
        for depth in (32, 128):
            def run(mode, how, longest=200):
                # One at a time: two daemons would both want the image.
                server = rig.pariod(f"path={path},queues=2", "--poll", mode,
                                    "--poll-max-us", str(longest))
                try:
                    return rig.iops(server, **how)()
                finally:
                    rig.end(server)
            how = {"rw": rw, "depth": depth}
            rig.pairs(f"{rw} QD {depth}", lambda h=how: run("adaptive", h),
                      lambda h=how: run("always", h), a="adaptive", b="always", goal=0.97)
            # A disk that gives back in batches 300 us apart has gaps beyond the default.
            rig.pairs(f"{rw} QD {depth}, 500 us", lambda h=how: run("adaptive", h, 500),
                      lambda h=how: run("always", h), a="adaptive", b="always", goal=0.97)


@case
def tmpfs(rig):
    """file on tmpfs, beside fio with io_uring"""
    need("fio")
    if not os.access("/dev/shm", os.W_OK):
        raise Skip("/dev/shm cannot be written")
    path = image("/dev/shm")
    ours = rig.pariod(f"path={path},queues=2,cache=writeback", "--poll", "always")
    for depth, goal in ((1, 1.1), (32, 1.7)):
        rig.pairs(f"randread QD {depth}", rig.iops(ours, depth=depth),
                  lambda d=depth: rig.fio(path, depth=d, direct=0), b="fio", goal=goal)


@case
def frugal(rig):
    """file with O_DIRECT, QD 128, mode never: IOPS for each core-second of the server"""
    path = image(rig.tmp)

    def run(start):
        def one():
            server = start()
            try:
                return rig.load(server, depth=128)["server"]["iops_per_core_s"]
            finally:
                rig.end(server)
        return one

    rig.pairs("randread QD 128", run(lambda: rig.pariod(f"path={path}", "--poll", "never")),
              run(lambda: rig.qsd(f"driver=file,node-name=f0,filename={path},cache.direct=on,"
                                  "aio=io_uring", "driver=raw,node-name=d0,file=f0")),
              b="qsd", goal=1.3, unit="IOPS/core-s")


@case
def ladder(rig):
    """null at QD 1, multiples of one notified thread (waking a core is dear on this machine)"""
    never = rig.pariod(NULL, "--poll", "never")
    always = rig.pariod(NULL, "--poll", "always")
    adaptive = rig.pariod(NULL, "--poll", "adaptive")
    variants = {"never, called": rig.iops(never, depth=1, notify="irq")}
    try:
        variants["qemu-storage-daemon, called"] = rig.iops(rig.qsd_null(), depth=1, notify="irq")
    except Skip as reason:
        print(f"  without qemu-storage-daemon: {reason}")
    variants |= {"always, called": rig.iops(always, depth=1, notify="irq"),
                 "always, polled": rig.iops(always, depth=1),
                 "adaptive, called": rig.iops(adaptive, depth=1, notify="irq"),
                 "adaptive, polled": rig.iops(adaptive, depth=1)}
    results = rig.turns(variants)
    base = max(list(results)[:-4], key=lambda name: statistics.median(results[name]))
    for name, values in results.items():
        ratios = [x / y for x, y in zip(values, results[base])]
        goal = "  (goal 39.6)" if name == "always, polled" else ""
        print(f"  {name:34} {statistics.median(values):>13,.0f} IOPS  "
              f"{statistics.median(ratios):6.2f} times '{base}' "
              f"[{min(ratios):.2f} {max(ratios):.2f}]{goal}")


@case
def flash(rig):
    """flash, 32 channels of 80 us, one worker, 8 queues of 32: beside the model's limit"""
    ours = rig.pariod("backend=flash,size=1G,channels=32,read-us=80,queues=8", "--poll", "always")
    rig.against("sequential", rig.iops(ours, rw="read", queues=8), 32 / 80e-6, goal=0.97)
    rig.against("random (about 0.94 by the model)", rig.iops(ours, queues=8), 32 / 80e-6)


@case
def idle_disks(rig):
    """null, one busy disk, with and without 1,000 idle ones that are connected"""
    disks = 1000
    program = rig.program("tests/bench/idle_fronts")
    names = [f"{rig.tmp}/i{i}.sock" for i in range(disks)]
    rows = []
    for i, name in enumerate(names):
        rows += ["--disk", f"i{i},socket={name},backend=null,size=1G,queues=1"]
    for mode in ("adaptive", "always"):
        ours = rig.pariod(NULL, *rows, "--poll", mode)

        def beside(how, server=ours):
            with subprocess.Popen([program, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True) as idle:
                try:
                    if idle.stdout.readline() != "ready\n":
                        raise Failed("idle_fronts did not come up")
                    return rig.iops(server, **how)()
                finally:
                    idle.stdin.close()

        for depth in (1, 32):
            how = {"depth": depth}
            rig.pairs(f"{mode}, QD {depth}", lambda h=how, f=beside: f(h),
                      rig.iops(ours, **how), a="beside 1,000", b="alone", goal=0.98)
        rig.end(ours)


@case
def idle(rig):
    """CPU of a daemon without work"""
    ours = rig.pariod(NULL)
    seconds = max(rig.seconds, 1)
    client = subprocess.Popen([rig.bench(), "blk", ours.sock, "--rw", "randread", "--iodepth", "1",
                               "--notify", "irq", "--rate", "10", "--runtime",
                               f"{seconds + 2:.0f}", "--json"], stdout=subprocess.DEVNULL)
    time.sleep(1)
    before = ours.cpu_seconds()
    time.sleep(seconds)
    busy = ours.cpu_seconds() - before
    client.wait()
    before = ours.cpu_seconds()
    time.sleep(seconds)
    alone = ours.cpu_seconds() - before
    print(f"  default mode: {busy / seconds * 100:.3f} % of a core with 10 requests a second, "
          f"{alone / seconds * 100:.3f} % with nobody connected (goal: under 0.1)")


@case
def first_request(rig):
    """null, QD 1: a request after 10 s of silence beside requests without silence"""
    program = rig.program("tests/bench/first_request")
    silence_ms = 10000 if rig.seconds >= 1 else 100
    for mode in ("always", "adaptive", "never"):
        ours = rig.pariod(NULL, "--poll", mode)
        for notify in ("poll", "irq"):
            out = rig.run([program, ours.sock, str(LOAD_CPU), str(silence_ms), str(rig.count),
                           notify])
            *first, warm = [float(line) for line in out.split()]
            print(f"  {mode + ', ' + notify:34} after {silence_ms / 1000:g} s {statistics.median(first):8.2f} us "
                  f"[{min(first):.2f} {max(first):.2f}], without silence {warm:.2f} us", flush=True)
        rig.end(ours)


@case
def moves(rig):
    """null, longest latency while queues move between two workers (one shares the load's CPU)"""
    if SERVER_CPU == LOAD_CPU:
        raise Skip("one CPU: two workers take two")
    sock = rig.sock("a")
    cpus = (str(SERVER_CPU), str(LOAD_CPU))
    if "--api" not in rig.run([rig.daemon(), "--help"]):
        raise Skip("this pariod has no API")
    ours = rig.pariod(NULL, "--api", sock, "--placement", "fixed", workers=",".join(cpus))
    deadline = time.monotonic() + 10
    while not os.path.exists(sock):
        if time.monotonic() > deadline:
            raise Failed("pariod makes no socket for its API")
        time.sleep(0.01)

    def measure(moving):
        done, errors, count = threading.Event(), [], 0
        Api(sock).call("PATCH", "/v1/disks/d", {"workers": cpus[0]})

        def mover():
            nonlocal count
            try:
                api = Api(sock)
                while not done.is_set():
                    count += 1
                    api.call("PATCH", "/v1/disks/d", {"workers": cpus[count % 2]})
                    done.wait(0.02)
            except (OSError, Failed) as error:
                errors.append(error)

        thread = threading.Thread(target=mover)
        if moving:
            thread.start()
        try:
            report = rig.load(ours, queues=2, depth=8, notify="irq")["results"]["total"]
        finally:
            done.set()
            if moving:
                thread.join()
        if errors:
            raise Failed(str(errors[0]))
        return report["latency_ns"]["max"] / 1e3, report["latency_ns"]["p99_9"] / 1e3, count

    results = rig.turns({"moving": lambda: measure(True), "still": lambda: measure(False)})
    for name, runs in results.items():
        longest = [run[0] for run in runs]
        print(f"  {name:34} longest {statistics.median(longest):10.1f} us "
              f"[{min(longest):.1f} {max(longest):.1f}], p99.9 "
              f"{statistics.median(run[1] for run in runs):.1f} us, "
              f"{statistics.median(run[2] for run in runs):.0f} moves a run")


@case
def coalesce(rig):
    """flash, the load sleeps until called: coalescing off, static and adaptive"""
    if "--coalesce.mode" not in rig.run([rig.daemon(), "--help"]):
        raise Skip("this pariod has no key coalesce.mode")
    modes = ("off", "static", "adaptive")
    servers = {m: rig.pariod("backend=flash,size=1G", "--poll", "always", "--coalesce.mode", m)
               for m in modes}
    for depth in (1, 32, 128):
        results = rig.turns({m: lambda s=servers[m]: rig.load(s, depth=depth, notify="irq")
                             for m in modes})
        for mode in modes:
            iops = [r["results"]["total"]["iops"] for r in results[mode]]
            base = [r["results"]["total"]["iops"] for r in results["off"]]
            ratios = [x / y for x, y in zip(iops, base)]
            print(f"  {'QD ' + str(depth) + ', ' + mode:34} {statistics.median(iops):>13,.0f} IOPS  "
                  f"{statistics.median(ratios):6.3f} of off [{min(ratios):.3f} {max(ratios):.3f}]  "
                  f"{statistics.median(r['calls_per_request'] for r in results[mode]):.4f} calls "
                  "per request", flush=True)


def main():
    names = "\n".join(f"  {name:14} {function.__doc__}" for name, function in CASES.items())
    parser = argparse.ArgumentParser(description=__doc__, epilog="cases:\n" + names,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="build directory")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all when none is named")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--runtime", type=float, default=2, help="seconds of a run")
    args = parser.parse_args()
    for name in args.cases:
        if name not in CASES:
            parser.error(f"no case '{name}'; there are: {', '.join(CASES)}")
    if args.pairs < 1 or args.runtime < 0.05:
        parser.error("--pairs is at least 1, --runtime at least 0.05")
    tmp = tempfile.mkdtemp(prefix="pario-bench-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    print(f"server on CPU {SERVER_CPU}, load on CPU {LOAD_CPU}, {args.pairs} pairs of "
          f"{args.runtime:g} s, medians; kernel {os.uname().release}")
    failed = 0
    try:
        for name in args.cases or CASES:
            print(f"{name}: {CASES[name].__doc__}", flush=True)
            rig = Rig(os.path.abspath(args.build), tmp, args.pairs, args.runtime)
            try:
                CASES[name](rig)
            except Skip as reason:
                print(f"  skipped: {reason}")
            except (Failed, OSError) as error:
                print(f"  FAILED: {error}")
                failed += 1
            finally:
                rig.close()
    finally:
        for path in IMAGES.values():
            os.unlink(path)
        shutil.rmtree(tmp, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
