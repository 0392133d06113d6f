#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""DPDK's virtio-user driver on two ports of a switch, in each of its ways of driving a ring.

test_dpdk.py PARIOD NET_REFLECT SECONDS [VARIANT...]. A third port (net_reflect.c) sends to both
ports; testpmd passes what comes to one on to the other, back to the third. So all frames cross the
switch twice, and each must come back as it was. Not a benchmark. Needs huge pages:
scripts/with_hugepages.sh.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pariod_rig

VARIANTS = {
    "split": "packed_vq=0,mrg_rxbuf=0,in_order=0",
    "split-mergeable": "packed_vq=0,mrg_rxbuf=1,in_order=0",
    "split-in-order": "packed_vq=0,mrg_rxbuf=1,in_order=1",
    "split-vectorized": "packed_vq=0,mrg_rxbuf=0,in_order=0,vectorized=1",
    "packed": "packed_vq=1,mrg_rxbuf=0,in_order=0",
    "packed-mergeable": "packed_vq=1,mrg_rxbuf=1,in_order=0",
    "packed-in-order": "packed_vq=1,mrg_rxbuf=1,in_order=1",
    "packed-vectorized": "packed_vq=1,mrg_rxbuf=0,in_order=1,vectorized=1",
}
MEMORY_MIB = 128
REFLECT_MAC = "02:00:00:00:00:01"       # as net_reflect.c has them
PORT_MACS = ("02:00:00:00:00:02", "02:00:00:00:00:03")


def end(popen):
    """Ends a program of ours, by its pid."""
    if popen.poll() is None:
        popen.send_signal(signal.SIGTERM)
        try:
            popen.wait(pariod_rig.DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def testpmd(name, eal, application, log):
    """DPDK's testpmd. Without a terminal it runs for as long as it has statistics to show."""
    program = shutil.which("dpdk-testpmd")
    if not program:
        sys.exit("no dpdk-testpmd: install dpdk-dev (scripts/setup.sh check does)")
    with open(log, "wb") as stream:
        # pylint: disable-next=consider-using-with
        return subprocess.Popen(
            [program, "--no-pci", "--no-telemetry", "--file-prefix", f"{name}-{os.getpid()}", *eal,
             "--", "--total-num-mbufs=8192", "--auto-start", "--stats-period", "60", *application],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)


def lcores():
    """One that sleeps, and one that polls, where pariod's worker is not if that can be."""
    cpus = sorted(os.sched_getaffinity(0))
    return ["--lcores", f"0@{cpus[0]},1@{cpus[-1]}", "--main-lcore", "0"]


def client(sockets, variant, log):
    """testpmd whose ports are virtio-user's on the sockets."""
    eal = [*lcores(), "--in-memory", "--single-file-segments", "-m", str(MEMORY_MIB)]
    for i, path in enumerate(sockets):
        eal += ["--vdev", f"net_virtio_user{i},path={path},queues=1,mac={PORT_MACS[i]},"
                f"{VARIANTS[variant]}"]
    mode = ["--forward-mode=mac", *(f"--eth-peer={i},{REFLECT_MAC}" for i in range(2))]
    if len(sockets) == 1:
        mode = ["--forward-mode=macswap"]
    return testpmd("client", eal, ["--nb-cores=1", *mode], log)


def run_variant(variant, sockets, reflect, seconds, directory):
    """One line that says what came of it; raises AssertionError."""
    log = directory / f"testpmd-{variant}.log"
    peer = client(sockets[:-1], variant, log)
    try:
        ring = "packed" if variant.startswith("packed") else "split"
        done = subprocess.run([reflect, sockets[-1], ring, seconds], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=pariod_rig.DEADLINE_SECONDS + 4 * float(seconds),
                              check=False)
        if peer.poll() is not None:
            raise AssertionError(f"testpmd ended with status {peer.returncode}:\n"
                                 f"{log.read_text(errors='replace')[-800:]}")
        if done.returncode:
            raise AssertionError(f"{done.stdout.strip()}\ntestpmd says:\n"
                                 f"{log.read_text(errors='replace')[-800:]}")
        return done.stdout.strip()
    finally:
        end(peer)


def serve(program, directory):
    """pariod with three ports: (process, sockets)."""
    sockets = [directory / f"{name}.sock" for name in ("p0", "p1", "r")]
    command = [program, "--workers", "0", "--log-level", "error"]
    for path in sockets:
        command += ["--port", f"{path.stem},socket={path},switch=lan,queue-pairs=1"]
    with open(directory / "pariod.log", "wb") as stream:
        # pylint: disable-next=consider-using-with
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream,
                                stderr=stream), sockets


def stand_in(directory):
    """testpmd that joins two vhost ports, to try this without pariod: one reflector."""
    sockets = [directory / f"{name}.sock" for name in ("p0", "r")]
    eal = [*lcores(), "--no-huge", "-m", "256"]
    for i, path in enumerate(sockets):
        eal += ["--vdev", f"net_vhost{i},iface={path},queues=1"]
    return testpmd("server", eal, ["--nb-cores=1", "--forward-mode=io"],
                   directory / "server.log"), sockets


def main():
    if len(sys.argv) < 4:
        sys.exit(f"usage: {sys.argv[0]} PARIOD|standin NET_REFLECT SECONDS [VARIANT...]")
    program, reflect, seconds, *wanted = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.stdout.reconfigure(line_buffering=True)
    directory = Path(tempfile.mkdtemp(prefix="pario-dpdk-"))
    server, sockets = stand_in(directory) if program == "standin" else serve(program, directory)
    failed = False
    try:
        pariod_rig.wait_until(lambda: all(path.exists() for path in sockets),
                              "the server makes its sockets")
        for variant in wanted or VARIANTS:
            try:
                print(f"ok {variant}: {run_variant(variant, sockets, reflect, seconds, directory)}")
            except AssertionError as error:
                failed = True
                print(f"FAIL {variant}: {error}")
            if server.poll() is not None:
                break
    finally:
        end(server)
        for log in ("pariod.log", "server.log"):
            if server.returncode and (directory / log).exists():
                print((directory / log).read_text(errors="replace")[-8000:])
        shutil.rmtree(directory, ignore_errors=True)
    if server.returncode:
        sys.exit(f"FAIL: the server ended with status {server.returncode}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
