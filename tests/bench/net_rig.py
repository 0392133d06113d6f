# SPDX-License-Identifier: Apache-2.0
"""What the cases of net.py stand on: huge pages that are given back, servers that forward between
two vhost-user ports, and loads. Programs of DPDK poll for ever, so each lives for one run only.
Nothing is judged here."""
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

from rig import LOAD_CPU, SERVER_CPU, START_S, Failed, Rig, Skip, need

HUGE_KIB = 2048
PAGES_LOAD = 360       # testpmd with -m 700
PAGES_SERVER = 600     # the same, or OVS with 1 GiB
VSWITCHD = ("/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk",)
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
WARMUP_S = 2           # virtio-user's first link, OVS's first upcall


def number(path):
    with open(path, encoding="ascii") as file:
        return int(file.read())


class HugePages:
    """Takes 2 MiB pages from the kernel, mounts them, and gives back as many as it took."""

    COUNT = f"/sys/kernel/mm/hugepages/hugepages-{HUGE_KIB}kB/nr_hugepages"
    FREE = f"/sys/kernel/mm/hugepages/hugepages-{HUGE_KIB}kB/free_hugepages"

    def __init__(self, directory):
        self.directory, self.added, self.mounted = directory, 0, False

    def __enter__(self):
        try:
            self.top_up()
            os.mkdir(self.directory)
            self.call("mount", "-t", "hugetlbfs", "-o", f"pagesize={HUGE_KIB}K", "none",
                      self.directory)
            self.mounted = True
        except BaseException:
            self.give_back()
            raise
        return self

    def __exit__(self, *_):
        self.give_back()

    @staticmethod
    def call(*argv):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skip(f"{' '.join(argv)}: {done.stderr.strip()}")

    def top_up(self):
        """Before each run: somebody else may have given back what was ours."""
        wanted = PAGES_LOAD + PAGES_SERVER
        missing = max(0, wanted - number(self.FREE))
        if not missing:
            return
        with open("/proc/meminfo", encoding="ascii") as file:
            available = int(re.search(r"MemAvailable:\s+(\d+)", file.read())[1])
        if available < missing * HUGE_KIB + (1 << 20):
            raise Skip(f"{wanted} huge pages of 2 MiB are needed, {missing} more than are free; "
                       f"only {available >> 10} MiB of memory are left")
        if not os.access(self.COUNT, os.W_OK):
            raise Skip(f"{missing} more huge pages are needed, and only root can reserve them")
        before = number(self.COUNT)
        with open(self.COUNT, "w", encoding="ascii") as file:
            file.write(str(before + missing))
        gained = max(0, number(self.COUNT) - before)
        self.added = min(self.added + gained, wanted)
        if gained < missing:
            raise Skip(f"the kernel found {gained} of {missing} huge pages of 2 MiB: memory is in "
                       "pieces")

    def give_back(self):
        if self.mounted:
            subprocess.run(["umount", self.directory], check=False)
            self.mounted = False
        if os.path.isdir(self.directory):
            os.rmdir(self.directory)
        if self.added:
            # Not the number from before: somebody else may have taken some since.
            left = max(0, number(self.COUNT) - self.added)
            with open(self.COUNT, "w", encoding="ascii") as file:
                file.write(str(left))
            self.added = 0


class Program:
    """One process; ended by its pid, with its output in a file."""

    def __init__(self, name, argv, directory, **more):
        self.name, self.log = name, f"{directory}/{name}.log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, **more)

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for(self, what, ready):
        deadline = time.monotonic() + START_S
        while not ready():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended before {what}: {self.output()[-300:].strip()}")
            if time.monotonic() > deadline:
                raise Failed(f"{self.name}: no {what} within {START_S} s")
            time.sleep(0.02)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running(name, argv, directory, **more):
    program = Program(name, argv, directory, **more)
    try:
        yield program
    finally:
        program.stop()


class NetRig(Rig):
    """Servers as context managers that give the sockets of two connected ports."""

    def __init__(self, build, tmp, pairs, seconds):
        super().__init__(build, tmp, pairs, seconds)
        self.huge = f"{tmp}/huge"
        self.pages = None

    @contextlib.contextmanager
    def huge_pages(self):
        with HugePages(self.huge) as self.pages:
            try:
                yield
            finally:
                self.pages = None

    @contextlib.contextmanager
    def run_dir(self):
        directory = tempfile.mkdtemp(prefix="run-", dir=self.tmp)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    @contextlib.contextmanager
    def server_dir(self):
        """For what has server and load in it; DPDK leaves files behind, and they hold pages."""
        if self.pages:
            self.pages.top_up()
        try:
            with self.run_dir() as directory:
                yield directory
        finally:
            if os.path.isdir(self.huge):
                for name in os.listdir(self.huge):
                    os.unlink(f"{self.huge}/{name}")

    @contextlib.contextmanager
    def pario_ports(self):
        with self.server_dir() as run:
            socks = [f"{run}/a", f"{run}/b"]
            argv = [self.daemon(), "--workers", str(SERVER_CPU), "--poll", "always", "--log-level",
                    "error"]
            for name, sock in zip("ab", socks):
                argv += ["--port", f"{name},socket={sock},switch=bench"]
            with running("pariod", argv, run) as server:
                server.wait_for("its sockets", lambda: all(map(os.path.exists, socks)))
                yield socks

    @contextlib.contextmanager
    def testpmd_ports(self, huge=True):
        need("dpdk-testpmd")
        with self.server_dir() as run:
            socks = [f"{run}/a", f"{run}/b"]
            memory = ["--no-huge"]
            if huge:
                memory = [f"--huge-dir={self.huge}", "--single-file-segments"]
            argv = ["dpdk-testpmd", "--lcores", f"0@{LOAD_CPU},1@{SERVER_CPU}", "--main-lcore", "0",
                    "--no-pci", "--file-prefix", f"pbs{os.getpid()}", "-m", "700", *memory,
                    "--vdev", f"net_vhost0,iface={socks[0]},queues=1,tso=1",
                    "--vdev", f"net_vhost1,iface={socks[1]},queues=1,tso=1",
                    "--", "--nb-cores=1", "--forward-mode=io", "--auto-start",
                    # Without a terminal it would end at once.
                    "--stats-period", "3600"]
            with running("testpmd-server", argv, run) as server:
                server.wait_for("its sockets", lambda: all(map(os.path.exists, socks)))
                yield socks

    @contextlib.contextmanager
    def ovs_ports(self):
        for program in ("ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl"):
            need(program)
        vswitchd = next((path for path in VSWITCHD if os.access(path, os.X_OK)), None)
        if not vswitchd or not os.path.exists(SCHEMA):
            raise Skip("Open vSwitch with DPDK is not installed")
        with self.server_dir() as run, contextlib.ExitStack() as stack:
            yield self.ovs_start(run, stack, vswitchd)

    def ovs_start(self, run, stack, vswitchd):
        env = os.environ | {"OVS_RUNDIR": run, "OVS_LOGDIR": run, "OVS_DBDIR": run}
        database, bridge = f"unix:{run}/db.sock", f"pbench{os.getpid() % 10000}"

        def vsctl(*argv):
            self.run(["ovs-vsctl", f"--db={database}", *argv], env=env, timeout=60)

        self.run(["ovsdb-tool", "create", f"{run}/conf.db", SCHEMA], env=env)
        server = stack.enter_context(running(
            "ovsdb-server", ["ovsdb-server", f"{run}/conf.db", f"--remote=punix:{run}/db.sock",
                             f"--unixctl={run}/db.ctl"], run, env=env))
        server.wait_for("its socket", lambda: os.path.exists(f"{run}/db.sock"))
        vsctl("--no-wait", "init")
        vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
              f"other_config:dpdk-lcore-mask={1 << LOAD_CPU:#x}",
              f"other_config:pmd-cpu-mask={1 << SERVER_CPU:#x}",
              "other_config:dpdk-alloc-mem=1024", f"other_config:dpdk-hugepage-dir={self.huge}",
              f"other_config:dpdk-extra=--no-pci --file-prefix pbo{os.getpid()}")
        switch = stack.enter_context(running(
            "ovs-vswitchd", [vswitchd, database, f"--unixctl={run}/vs.ctl"], run, env=env))
        vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev")
        for name in ("a", "b"):
            vsctl("add-port", bridge, name, "--", "set", "Interface", name, "type=dpdkvhostuser",
                  f"ofport_request={1 if name == 'a' else 2}")
        socks = [f"{run}/a", f"{run}/b"]
        switch.wait_for("its sockets", lambda: all(map(os.path.exists, socks)))
        self.run(["ovs-ofctl", "del-flows", f"{run}/{bridge}.mgmt"], env=env)
        for src, dst in ((1, 2), (2, 1)):
            self.run(["ovs-ofctl", "add-flow", f"{run}/{bridge}.mgmt",
                      f"in_port={src},actions=output:{dst}"], env=env)
        return socks

    def flowgen(self, socks, size, ring):
        """Frames a second that two virtio-user ports of testpmd receive, both directions."""
        need("dpdk-testpmd")
        with self.run_dir() as run:
            packed = int(ring == "packed")
            argv = ["dpdk-testpmd", "--lcores", f"0@{SERVER_CPU},1@{LOAD_CPU}", "--main-lcore", "0",
                    "--no-pci", "--file-prefix", f"pbl{os.getpid()}", "-m", "700",
                    f"--huge-dir={self.huge}", "--single-file-segments"]
            for i, sock in enumerate(socks):
                argv += ["--vdev", f"net_virtio_user{i},path={sock},queues=1,packed_vq={packed}"]
            # Its lengths are with the FCS that no virtio frame has.
            argv += ["--", "--nb-cores=1", "--forward-mode=flowgen", f"--txpkts={size + 4}",
                     "--auto-start", "--stats-period", "1"]
            shows = WARMUP_S + max(1, round(self.seconds))
            with running("testpmd-load", argv, run) as load:
                # A figure of each port and second, and one more pair for the part of a second.
                load.wait_for(f"{shows} reports", lambda: len(rates(load.output())) > 2 * shows)
                values = rates(load.output())
        sums = [a + b for a, b in zip(values[::2], values[1::2])]
        return statistics.mean(sums[WARMUP_S:shows])

    def net(self, socks, *options):
        """The whole report of a load by pario-bench on LOAD_CPU."""
        return json.loads(self.run(
            [self.bench(), "net", *socks, "--cpus", str(LOAD_CPU), "--runtime",
             f"{self.seconds * 1000:.0f}ms", "--wait", "10", "--json", *options]))

    def memcpy(self, *options):
        report = json.loads(self.run(
            [self.bench(), "net", "--memcpy", "--cpus", f"{LOAD_CPU},{SERVER_CPU}", "--runtime",
             f"{self.seconds * 1000:.0f}ms", "--json", *options]))
        return report["memcpy"]["bytes_per_s"]


def rates(output):
    return [int(value) for value in re.findall(r"Rx-pps:\s+(\d+)", output)]
