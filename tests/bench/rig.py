# SPDX-License-Identifier: Apache-2.0
"""What the cases of compare.py stand on: servers that are started and ended by their pid, loads,
and pairs of runs in turns. Nothing is judged here: a goal is printed beside what was measured."""
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import time

SERVER_CPU = max(os.sched_getaffinity(0))
LOAD_CPU = min(os.sched_getaffinity(0))
GIB = 1 << 30
START_S = 60


class Skip(Exception):
    """What this machine lacks for a case."""


class Failed(Exception):
    """A program that did not do what it was asked for."""


def need(program):
    if not shutil.which(program):
        raise Skip(f"{program} is not installed")


class Server:
    """A back end under test, alive for all its runs."""

    def __init__(self, name, argv, sock):
        self.name, self.sock = name, sock
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True)
        deadline = time.monotonic() + START_S
        while not os.path.exists(sock):
            if self.process.poll() is not None:
                raise Failed(f"{name} ended at once: {self.process.stderr.read().strip()}")
            if time.monotonic() > deadline:
                raise Failed(f"{name}: no socket at {sock}")
            time.sleep(0.01)

    def cpu_seconds(self):
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/schedstat", encoding="ascii") as stat:
                total += int(stat.read().split()[0])
        return total / 1e9

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


class Api(http.client.HTTPConnection):
    """pariod's API on its UNIX socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def call(self, method, path, body):
        self.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            raise Failed(f"{method} {path}: {answer.status} {text.strip()}")


class Rig:
    """One case's programs, directories and numbers; ends what it started."""

    def __init__(self, build, tmp, pairs, seconds):
        self.build, self.tmp, self.count, self.seconds = build, tmp, pairs, seconds
        self.servers, self.names = [], 0

    def close(self):
        for server in self.servers:
            server.stop()
        self.servers = []

    def program(self, *names):
        """The first that is there: Meson's place, or the links that `make` puts into the build."""
        for name in names:
            if os.access(f"{self.build}/{name}", os.X_OK):
                return f"{self.build}/{name}"
        raise Failed(f"{self.build}/{names[0]} is not built")

    def bench(self):
        return self.program("tools/bench/pario-bench", "pario-bench")

    def daemon(self):
        return self.program("src/app/pariod", "pariod")

    def sock(self, kind):
        self.names += 1
        return f"{self.tmp}/{kind}{self.names}.sock"

    def server(self, name, argv, sock):
        server = Server(name, argv, sock)
        self.servers.append(server)
        return server

    def end(self, server):
        server.stop()
        self.servers.remove(server)

    def pariod(self, spec, *options, workers=SERVER_CPU):
        sock = self.sock("p")
        return self.server("pariod", [self.daemon(), "--disk", f"d,socket={sock},{spec}",
                                      "--workers", str(workers), "--log-level", "error", *options],
                           sock)

    def qsd(self, *blockdev):
        need("qemu-storage-daemon")
        sock = self.sock("q")
        argv = ["taskset", "-c", str(SERVER_CPU), "qemu-storage-daemon"]
        for row in blockdev:
            argv += ["--blockdev", row]
        argv += ["--export", f"type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,"
                 f"addr.path={sock},writable=on,num-queues=2"]
        return self.server("qemu-storage-daemon", argv, sock)

    def qsd_null(self):
        return self.qsd(f"driver=null-co,node-name=d0,size={GIB},read-zeroes=off")

    def run(self, argv, **more):
        out = subprocess.run(argv, capture_output=True, text=True, check=False, **more)
        if out.returncode:
            raise Failed(f"{' '.join(argv[:4])}...: {out.stderr.strip()[-300:]}")
        return out.stdout

    def load(self, server, rw="randread", depth=32, notify="poll", bs="4k", ring="split", queues=1,
             size="1G", seconds=None):
        """The whole report of a load on LOAD_CPU."""
        seconds = seconds or self.seconds
        return json.loads(self.run(
            [self.bench(), "blk", server.sock, "--rw", rw, "--bs", bs, "--iodepth", str(depth),
             "--queues", str(queues), "--cpus", str(LOAD_CPU), "--notify", notify, "--ring", ring,
             "--runtime", f"{seconds * 1000:.0f}ms", "--warmup", f"{seconds * 100:.0f}ms",
             "--size", size, "--no-progress", "--json"]))

    def iops(self, server, **how):
        return lambda: self.load(server, **how)["results"]["total"]["iops"]

    def fio(self, path, rw="randread", depth=32, bs="4k", direct=1):
        need("fio")
        argv = ["taskset", "-c", str(SERVER_CPU), "fio", "--name=t", "--thread", "--time_based",
                f"--runtime={self.seconds * 1000:.0f}ms", f"--ramp_time={self.seconds * 100:.0f}ms",
                "--norandommap", "--randrepeat=0", "--size=1G", f"--rw={rw}", f"--bs={bs}",
                f"--iodepth={depth}", f"--filename={path}", "--ioengine=io_uring",
                f"--direct={direct}", "--output-format=json"]
        out = self.run(argv)
        job = json.loads(out[out.index("{"):])["jobs"][0]
        return job["read"]["iops"] + job["write"]["iops"]

    def pairs(self, label, run_a, run_b, a="pario", b="peer", goal=None, unit="IOPS"):
        """Runs of A and B in turns, the order swapping from pair to pair; the ratio pair by pair."""
        values = ([], [])
        for i in range(self.count):
            for which in ((0, 1) if i % 2 == 0 else (1, 0)):
                values[which].append((run_a, run_b)[which]())
        if not all(values[1]):
            raise Failed(f"{label}: a run of {b} in which nothing was done; are runs too short?")
        ratios = [x / y for x, y in zip(*values)]
        goal_text = f"  (goal {goal})" if goal is not None else ""
        print(f"  {label:34} {a} {statistics.median(values[0]):>13,.0f}  {b} "
              f"{statistics.median(values[1]):>13,.0f} {unit}  ratio {statistics.median(ratios):6.3f} "
              f"[{min(ratios):.3f} {max(ratios):.3f}]{goal_text}", flush=True)

    def against(self, label, run, limit, goal=None, unit="IOPS"):
        """Runs beside a number that is known."""
        values = [run() for _ in range(self.count)]
        ratios = [v / limit for v in values]
        goal_text = f"  (goal {goal})" if goal is not None else ""
        print(f"  {label:34} {statistics.median(values):>13,.0f} of {limit:,.0f} {unit}  ratio "
              f"{statistics.median(ratios):6.3f} [{min(ratios):.3f} {max(ratios):.3f}]{goal_text}",
              flush=True)

    def turns(self, variants):
        """name -> list of results; each round begins with another variant."""
        names = list(variants)
        results = {name: [] for name in names}
        for i in range(self.count):
            for j in range(len(names)):
                name = names[(i + j) % len(names)]
                results[name].append(variants[name]())
        return results
