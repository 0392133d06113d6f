# SPDX-License-Identifier: Apache-2.0
"""pariod with switches, ports and uplinks, and the network namespace that an uplink leads to.

Not a judge.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from rig import backend, process
from rig.errors import CannotRun, RigError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "peers"))
import pariod_api  # noqa: E402  pylint: disable=wrong-import-position


@dataclass
class Nic:
    """A port of pariod's switch and the guest's card that is plugged into it."""

    name: str
    socket: Path
    mac: str
    queue_pairs: int = 1
    packed: bool = False            # QEMU's choice
    keys: tuple = ()                # of the port, for example "offloads.csum=false"
    device: tuple = ()              # of QEMU's device, for example "guest_csum=off"
    switch: str = "lan"


@dataclass
class Uplink:
    name: str
    ifname: str
    keys: tuple = ()
    switch: str = "lan"


class NetPariod(backend.Backend):
    """pariod for a network; runs in a namespace when one is given."""

    name = "pariod"

    def __init__(self, program, nics, work, uplinks=(), namespace=None, more=()):
        super().__init__(program, nics, work)
        self.nics = nics
        self.uplinks = uplinks
        self.namespace = namespace
        self.api_path = work / "api.sock"
        self.more = more
        self.on_start = lambda: None

    def arguments(self):
        argv = ["--api", self.api_path, *self.more]
        for nic in self.nics:
            argv += ["--port", ",".join([f"{nic.name},socket={nic.socket},switch={nic.switch}",
                                         f"queue-pairs={nic.queue_pairs}", *nic.keys])]
        for uplink in self.uplinks:
            argv += ["--uplink", ",".join([f"{uplink.name},type=tap,ifname={uplink.ifname}",
                                           f"switch={uplink.switch}", *uplink.keys])]
        return argv

    def start(self):
        super().start()
        # Ports listen before uplinks have their interfaces.
        process.wait_until(lambda: " ready: " in self.log_text(), backend.START_SECONDS,
                           "pariod is ready", also=self.child.must_live)
        self.on_start()

    def command(self):
        words = [self.program, *self.arguments()]
        return self.namespace.command(words) if self.namespace else words

    def port(self, name):
        # A connection for each question: one that is silent for long is closed.
        api = pariod_api.Api(self.api_path)
        try:
            return api.must("GET", f"/v1/ports/{name}")
        except AssertionError as error:
            raise RigError(str(error)) from error
        finally:
            api.close()

    def set_port(self, name, **keys):
        api = pariod_api.Api(self.api_path)
        try:
            api.must("PATCH", f"/v1/ports/{name}", keys)
        except AssertionError as error:
            raise RigError(str(error)) from error
        finally:
            api.close()

    def counter(self, port, name):
        """A counter of a port, whichever group it is in."""
        groups = self.port(port)["counters"]
        found = [group[name] for group in groups.values() if name in group]
        if len(found) != 1:
            raise RigError(f"port {port} has {len(found)} counters of the name {name}")
        return found[0]


class Testpmd(backend.Backend):
    """DPDK's testpmd that passes frames between two ports, to try the rig without pariod."""

    name = "testpmd"

    def __init__(self, nics, work):
        super().__init__(process.need("dpdk-testpmd", "dpdk-dev"), nics, work)

    def arguments(self):
        argv = ["-l", "0-1", "--no-pci", "--no-huge", "-m", "512", "--file-prefix",
                "pario-vm"]
        for i, nic in enumerate(self.disks):
            argv += ["--vdev", f"net_vhost{i},iface={nic.socket},queues={nic.queue_pairs}"]
        pairs = self.disks[0].queue_pairs
        return [*argv, "--", "--nb-cores=1", f"--rxq={pairs}", f"--txq={pairs}",
                "--total-num-mbufs=16384", "--forward-mode=io", "--auto-start", "--stats-period", "10"]


class Namespace:
    """A network namespace of the test's own. Use it in a `with`: it goes, and all in it."""

    def __init__(self, name):
        self.name = f"{name}-{os.getpid()}"

    def command(self, argv):
        return [process.need("ip", "iproute2"), "netns", "exec", self.name, *map(str, argv)]

    def run(self, *argv, seconds=60):
        done = process.run(self.command(argv), seconds)
        if done.returncode:
            raise RigError(f"{' '.join(map(str, argv))}: {done.stdout.strip()}")
        return done.stdout

    def ip(self, words):
        return self.run("ip", *words.split())

    def __enter__(self):
        if os.geteuid() != 0:
            raise CannotRun("a network namespace needs root")
        done = process.run(["ip", "netns", "add", self.name])
        if done.returncode:
            raise RigError(f"cannot make a network namespace: {done.stdout.strip()}")
        self.ip("link set lo up")
        return self

    def __exit__(self, *exc):
        process.run(["ip", "netns", "del", self.name])
