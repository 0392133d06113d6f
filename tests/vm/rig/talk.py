# SPDX-License-Identifier: Apache-2.0
"""Traffic between two ends of a network, each a place where commands run, and what came of it.

An end is a guest's network namespace (Card) or one of the host (Host). Not a judge of speed: what
is asked is whether traffic comes through, whole.
"""

import json
import os
import time

from rig import image, process
from rig.errors import RigError

PORT = 5001
BLOB_MIB = 2
# Of iperf3: enough for large frames and full rings, and soon over.
TCP_BYTES = "8M"
UDP = ("-u", "-b", "20M", "-n", "512K")
CONNECT_TRIES = 50
# A listener that found its input at an end would close its side, and the sender would then leave
# early: this one never comes to an end. Nor must a listener wait for ever that nobody comes to.
LISTEN = (f"[ -p /tmp/never ] || mkfifo /tmp/never; "
          f"timeout 60 nc -l -p {PORT} <>/tmp/never | sha256sum")


class Card:
    """A guest's card, alone in a network namespace of the guest.

    So several cards of one guest can be on one wire, and each answers for itself alone.
    """

    def __init__(self, shell, nic, address):
        self.shell = shell
        self.nic = nic
        self.address = address      # the last byte of 10.0.0.x and the last word of fd00::x
        self.name = nic.name

    def plug(self):
        """Finds the card by its MAC address, moves it, gives it addresses."""
        mac, name = self.nic.mac, self.name
        self.shell.sh(
            f"dev=$(basename $(dirname $(grep -l {mac} /sys/class/net/*/address))) && "
            f"/tools/ip netns add {name} && /tools/ip link set $dev netns {name} name net0")
        steps = ["/tools/ip link set lo up", "sysctl -q -w net.ipv4.tcp_ecn=1",
                 f"/tools/ip addr add {self.v4}/24 dev net0",
                 f"/tools/ip addr add {self.v6}/64 dev net0 nodad", "/tools/ip link set net0 up"]
        if self.nic.queue_pairs > 1:
            steps.append(f"/tools/ethtool -L net0 combined {self.nic.queue_pairs}")
        # One command: an emulated CPU starts programs slowly.
        self.run(" && ".join(steps))

    @property
    def v4(self):
        return f"10.0.0.{self.address}"

    @property
    def v6(self):
        return f"fd00::{self.address}"

    def _inside(self, command):
        quoted = command.replace("'", "'\\''")
        return f"/tools/ip netns exec {self.name} sh -c '{quoted}'"

    def begin(self, command):
        self.shell.begin(self._inside(command))

    def result(self, seconds=60):
        return self.shell.result(seconds)

    def attempt(self, command, seconds=60):
        self.begin(command)
        return self.result(seconds)

    def run(self, command, seconds=60):
        status, out = self.attempt(command, seconds)
        if status:
            raise RigError(f"{self.name}: status {status} of: {command}\n{out}")
        return out

    def ip(self, words):
        return self.run(f"/tools/ip {words}")

    def counter(self, name):
        return int(self.run(f"cat /sys/class/net/net0/statistics/{name}"))

    def serve(self):
        self.run("/tools/iperf3 -s -D >/dev/null 2>&1")


def ping(here, there, size=56, count=2, v6=False):
    """Whether an answer came."""
    target = there.v6 if v6 else there.v4
    status, _out = here.attempt(
        f"ping {'-6 ' if v6 else ''}-c {count} -i 0.2 -W 2 -s {size} {target}", 30)
    return status == 0


def must_ping(here, there, **how):
    end = time.monotonic() + 15
    while not ping(here, there, **how):
        if time.monotonic() > end:
            raise RigError(f"{here.name} cannot ping {there.name} ({how})")


def must_not_ping(here, there, **how):
    if ping(here, there, count=1, **how):
        raise RigError(f"{here.name} gets answers from {there.name} ({how}), and should not")


def iperf(here, there, *options, v6=False):
    """Runs iperf3 against an end that serves; returns bits a second that arrived."""
    target = there.v6 if v6 else there.v4
    words = ["/tools/iperf3", "-c", target, "-J", *options]
    if "-n" not in options and "-t" not in options:
        words += ["-n", TCP_BYTES]
    end = time.monotonic() + 15
    while True:
        status, out = here.attempt(" ".join(words), 60)
        try:
            said = json.loads(out)
        except ValueError:
            said = {"error": out}
        # The server takes a moment to listen, and another to be done with the client before.
        early = any(word in said.get("error", "") for word in ("unable to connect", "busy"))
        if not early or time.monotonic() > end:
            break
    if status or "error" in said:
        raise RigError(f"iperf3 {' '.join(options)} from {here.name} to {there.name}: "
                       f"{said.get('error')}")
    total = said["end"].get("sum_received") or said["end"]["sum"]
    if total["bits_per_second"] <= 0:
        raise RigError(f"iperf3 {' '.join(options)} from {here.name} to {there.name}: no byte came")
    return total["bits_per_second"]


def both_ways(here, there, v6=False):
    """TCP and UDP both ways."""
    for options in ((), ("-R",), UDP, (*UDP, "-R")):
        iperf(here, there, *options, v6=v6)


def copy(sender, receiver, v6=False):
    """A file that must arrive as it was sent. The ends are in different guests."""
    sender.run(f"[ -s /tmp/blob ] || head -c {BLOB_MIB << 20} /dev/urandom >/tmp/blob")
    sent = sender.run("sha256sum </tmp/blob").split()[0]
    target = receiver.v6 if v6 else receiver.v4
    receiver.begin(LISTEN)
    sender.run(f"for i in $(seq {CONNECT_TRIES}); do nc {target} {PORT} </tmp/blob && exit; "
               "sleep 0.1; done; exit 1")
    status, out = receiver.result(90)
    if status or out.split()[0] != sent:
        raise RigError(f"a file of {BLOB_MIB} MiB from {sender.name} to {receiver.name} "
                       f"arrived as {out!r}, {sent} was sent")


def copies(one, other, v6=False):
    copy(one, other, v6)
    copy(other, one, v6)


def copy_to_host(sender, host, log):
    """As copy(), to the host's side of an uplink."""
    sender.run(f"[ -s /tmp/blob ] || head -c {BLOB_MIB << 20} /dev/urandom >/tmp/blob")
    sent = sender.run("sha256sum </tmp/blob").split()[0]
    never, keep = os.pipe()
    listener = host.nc(["-l", "-p", str(PORT)], log, stdin=never)
    sender.run(f"for i in $(seq {CONNECT_TRIES}); do nc {host.v4} {PORT} </tmp/blob && exit; "
               "sleep 0.1; done; exit 1")
    listener.wait(60)
    listener.kill()
    os.close(never)
    os.close(keep)
    if image.digest(log) != sent:
        raise RigError(f"a file from {sender.name} arrived at {host.name} as something else")


def copy_from_host(host, receiver, blob, log):
    receiver.begin(LISTEN)
    end = time.monotonic() + 20
    while True:
        with open(blob, "rb") as source:
            sender = host.nc([receiver.v4, str(PORT)], log, stdin=source)
        status = sender.wait(60)
        sender.kill()
        if status == 0 or time.monotonic() > end:
            break
    status, out = receiver.result(90)
    if status or out.split()[0] != image.digest(blob):
        raise RigError(f"a file from {host.name} arrived at {receiver.name} as {out!r}")


class Host:
    """The host's side of an uplink: a network namespace of netback."""

    def __init__(self, namespace, name, address):
        self.namespace = namespace
        self.name = name
        self.address = address
        self.v4 = f"10.0.0.{address}"
        self.v6 = f"fd00::{address}"
        self.server = None

    def serve(self, log):
        self.server = process.Child("iperf3", self.namespace.command(
            [process.need("iperf3", "iperf3"), "-s"]), log=log)

    def nc(self, words, log, stdin=None):
        return process.Child("nc", self.namespace.command(
            [process.need("busybox", "busybox-static"), "nc", *words]), log=log, stdin=stdin)

    def stop(self):
        if self.server:
            self.server.kill()


def checksum_errors(card):
    """What the guest's stack found wrong in what it received."""
    rows = card.run("grep -E '^(Tcp|Udp|Icmp):' /proc/net/snmp").splitlines()
    found = {}
    for names, values in zip(rows[::2], rows[1::2]):
        for name, value in zip(names.split()[1:], values.split()[1:]):
            if name in ("InCsumErrors", "InErrs") and int(value):
                found[f"{names.split()[0]}{name}"] = int(value)
    return found
