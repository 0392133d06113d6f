#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two QEMU guests on one switch, and an uplink to a network namespace of the host.

One boot of the pair serves every step. Each card is in a network namespace of its guest, so that
any two can talk. Not a measurement: it is asked that traffic comes through whole, or not at all.
"""

import json
import time

import net_learn
from rig import accel, image, machine, netback, session, shell, talk
from rig.errors import RigError

# Those that QEMU 7.2 lets a guest see: USO is not among them.
OFFLOADS = ("csum", "guest-csum", "host-tso4", "host-tso6", "host-ecn", "host-ufo", "guest-tso4",
            "guest-tso6", "guest-ecn", "guest-ufo", "mrg-rxbuf")
# Feature bits (VIRTIO 1.3, 5.1.3), and what pariod must have done for a guest without it.
FEATURE = {"csum": 0, "guest-csum": 1, "guest-tso4": 7, "guest-tso6": 8, "guest-ecn": 9,
           "guest-ufo": 10, "host-tso4": 11, "host-tso6": 12, "host-ecn": 13, "host-ufo": 14,
           "mrg-rxbuf": 15}
WORK_FOR = {"guest-csum": "rx_csums", "guest-tso4": "rx_segments", "guest-tso6": "rx_segments"}
# What depends on one that is off has to be off as well (VIRTIO 1.3, 5.1.3.1).
OFF_TOGETHER = {
    "csum": ("host-tso4", "host-tso6", "host-ecn", "host-ufo", "host-uso"),
    "guest-csum": ("guest-tso4", "guest-tso6", "guest-ecn", "guest-ufo", "guest-uso4",
                   "guest-uso6"),
}
# Of a guest's own side, as ethtool -K has them.
GUEST_SWITCHES = ("tx off", "tso off", "gso off", "sg off", "rx-gro-hw off")
UPLINK_ADDRESS = 250


class Lab:
    """The switch, the guests and all their cards."""

    def __init__(self, work):
        self.work = work
        self.nics = []
        self.plan = []              # (guest, nic, last byte of its address)
        self.cards = {}
        self.faults = []

    def nic(self, guest, name, keys=(), address=None, **more):
        number = len(self.nics) + 1
        nic = netback.Nic(name, self.work / f"{name}.sock", f"52:54:00:00:00:{number:02x}",
                          keys=tuple(keys), **more)
        self.nics.append(nic)
        self.plan.append((guest, nic, address or number))
        return nic

    def boot(self, shells):
        for guest in shells.values():
            guest.boot()
        for guest in shells.values():
            guest.ready()
        for guest, nic, address in self.plan:
            card = talk.Card(shells[guest], nic, address)
            card.plug()
            self.cards[nic.name] = card

    def step(self, name, function, *arguments):
        """Runs a step; one that fails does not keep the others from being tried."""
        started = time.monotonic()
        try:
            function(*arguments)
        except RigError as error:
            self.faults.append(f"{name}: {error}")
            print(f"  FAIL {name}: {error}")
            if any(not card.shell.machine.child.alive() for card in self.cards.values()):
                raise
            for card in self.cards.values():
                card.shell.settle()
        else:
            print(f"  ok {name}: {time.monotonic() - started:.1f} s")


def plan(work):
    lab = Lab(work)
    lab.nic("a", "a0", queue_pairs=2)
    lab.nic("b", "b0", queue_pairs=2, packed=True)
    for name in OFFLOADS:
        off = (name, *OFF_TOGETHER.get(name, ()))
        lab.nic("b", f"b-{name}", [f"offloads.{one}=false" for one in off])
    lab.nic("a", "a-jumbo", ["mtu=9000"], device=("host_mtu=9000",))
    lab.nic("b", "b-jumbo", ["mtu=9000"], device=("host_mtu=9000",), packed=True)
    lab.nic("b", "b-small", ["mtu=1300"], device=("host_mtu=1300",))
    mac = f"52:54:00:00:00:{len(lab.nics) + 1:02x}"
    lab.nic("a", "a-locked", ["mac-lock=true", f"mac={mac}"])
    for guest, name, keys in (("a", "a-v10", ["vlan=10"]), ("b", "b-v10", ["vlan=10"]),
                              ("b", "b-v20", ["vlan=20"]), ("a", "a-trunk", ["trunk=10,,20"])):
        lab.nic(guest, name, keys, switch="campus")
    return lab


def has_feature(card, name):
    bits = card.run("cat /sys/class/net/net0/device/features").strip()
    return bits[FEATURE[name]] == "1"


def offload_steps(lab, server):
    a0 = lab.cards["a0"]
    for name in OFFLOADS:
        card = lab.cards[f"b-{name}"]

        def talks(card=card, name=name):
            if has_feature(card, name) or not has_feature(a0, name):
                raise RigError(f"{name} is not off in {card.name} alone")
            card.serve()
            talk.both_ways(a0, card, v6=name.endswith("6"))
            talk.copies(a0, card, v6=name.endswith("6"))
            if name in WORK_FOR and server.counter(card.name, WORK_FOR[name]) == 0:
                raise RigError(f"{WORK_FOR[name]} of {card.name} is 0")
        lab.step(f"without {name}", talks)
    b0 = lab.cards["b0"]
    for switch in GUEST_SWITCHES:
        def switched(switch=switch):
            a0.run(f"/tools/ethtool -K net0 {switch}")
            talk.both_ways(a0, b0)
            talk.copy(a0, b0)
            a0.run(f"/tools/ethtool -K net0 {switch.replace('off', 'on')}")
        lab.step(f"the guest says {switch}", switched)


def queue_pairs_change(lab):
    a0, b0 = lab.cards["a0"], lab.cards["b0"]
    b0.run("(for i in $(seq 10); do /tools/ethtool -L net0 combined 1; sleep 0.1; "
           "/tools/ethtool -L net0 combined 2; sleep 0.1; done) >/dev/null 2>&1 &")
    talk.iperf(a0, b0, "-P", "4", "-t", "2")
    talk.iperf(a0, b0, "-P", "4", "-R", "-t", "1")
    talk.copies(a0, b0)


def jumbo(lab):
    a, b = lab.cards["a-jumbo"], lab.cards["b-jumbo"]
    before = b.counter("rx_packets")
    talk.must_ping(a, b, size=8900, count=5)
    came = b.counter("rx_packets") - before
    # Each in one piece: fragments would be six times as many.
    if came > 20:
        raise RigError(f"5 jumbo pings came as {came} frames")
    b.serve()
    talk.both_ways(a, b)
    talk.copies(a, b)


def unequal_mtu(lab, server):
    jumbo_card, small, plain = (lab.cards[name] for name in ("a-jumbo", "b-small", "b0"))
    small.serve()
    for card in (small, plain):
        talk.iperf(jumbo_card, card)
        talk.iperf(jumbo_card, card, "-R")
        talk.copy(jumbo_card, card)
    before = server.counter("b-small", "rx_over_mtu")
    talk.must_not_ping(jumbo_card, small, size=8000)
    talk.must_ping(jumbo_card, small, size=1000)
    if server.counter("b-small", "rx_over_mtu") <= before:
        raise RigError("a frame over the MTU of port b-small was not counted (rx_over_mtu)")


def spoof(lab, server):
    locked, b0 = lab.cards["a-locked"], lab.cards["b0"]
    talk.must_ping(locked, b0)
    before = server.counter("a-locked", "drop_spoofed")
    locked.ip("link set net0 address 52:54:00:00:0e:01")
    talk.must_not_ping(locked, b0)
    if server.counter("a-locked", "drop_spoofed") <= before:
        raise RigError("frames with another source were not counted (drop_spoofed)")
    locked.ip(f"link set net0 address {locked.nic.mac}")
    talk.must_ping(locked, b0)


def vlans(lab):
    a10, b10, b20, trunk = (lab.cards[f"{name}"] for name in ("a-v10", "b-v10", "b-v20", "a-trunk"))
    talk.must_ping(a10, b10)
    talk.must_not_ping(a10, b20)
    talk.must_not_ping(b20, a10)
    trunk.ip("addr flush dev net0")
    for vlan, address in ((10, 210), (20, 220)):
        trunk.ip(f"link add link net0 name net0.{vlan} type vlan id {vlan}")
        trunk.ip(f"link set net0.{vlan} up")
        other = b10 if vlan == 10 else b20
        trunk.ip(f"addr add 10.0.0.{address}/24 dev net0.{vlan}")
        talk.must_ping(trunk, other)
        other.serve()
        talk.iperf(trunk, other)
        talk.copies(trunk_at(trunk, address), other)
        trunk.ip(f"addr flush dev net0.{vlan}")


def trunk_at(card, address):
    return talk.Card(card.shell, card.nic, address)


def uplink(lab, host):
    host.serve(lab.work / "iperf3.log")
    a0 = lab.cards["a0"]
    talk.must_ping(a0, host)
    talk.must_ping(a0, host, v6=True)
    talk.both_ways(a0, host)
    talk.iperf(a0, host, v6=True)
    talk.iperf(a0, host, "-R", v6=True)
    talk.copy_to_host(a0, host, lab.work / "from-guest")
    image.make_random(lab.work / "blob", talk.BLOB_MIB << 20, seed=4)
    talk.copy_from_host(host, a0, lab.work / "blob", lab.work / "nc.log")
    host.stop()


def steps(lab, server, host, traffic):
    a0, b0 = lab.cards["a0"], lab.cards["b0"]
    b0.serve()
    lab.step("ping", talk.must_ping, a0, b0)
    lab.step("ping over IPv6", lambda: talk.must_ping(a0, b0, v6=True))
    lab.step("iperf3 for a second both ways", lambda: [
        talk.iperf(a0, b0, *options, "-t", "1")
        for options in ((), ("-R",), ("-u", "-b", "50M"), ("-u", "-b", "50M", "-R"))])
    lab.step("iperf3 both ways over IPv6", lambda: talk.both_ways(a0, b0, v6=True))
    lab.step("files both ways", talk.copies, a0, b0)
    lab.step("files both ways over IPv6", lambda: talk.copies(a0, b0, v6=True))
    lab.step("queue pairs change", queue_pairs_change, lab)
    if host is None:
        return
    offload_steps(lab, server)
    lab.step("jumbo", jumbo, lab)
    lab.step("unequal MTU", unequal_mtu, lab, server)
    lab.step("mac-lock", spoof, lab, server)
    lab.step("VLANs", vlans, lab)
    lab.step("uplink", uplink, lab, host)
    lab.step("requests and responses", net_learn.request_response, a0, host, traffic)
    net_learn.Learn(a0, host, server, traffic).run(lab)


def judge(lab):
    faults = list(lab.faults)
    for name, card in lab.cards.items():
        found = talk.checksum_errors(card)
        if found:
            faults.append(f"{name}: the guest's stack found {json.dumps(found)}")
    return faults


def run_pair(lab, server, host, traffic):
    kind, why = accel.choose()
    guests = {}
    for name in ("a", "b"):
        place = lab.work / name
        place.mkdir()
        guests[name] = machine.Qemu(place, [], {"scenario": "shell"}, cpus=2, accel=kind,
                                    nics=[nic for guest, nic, _address in lab.plan
                                          if guest == name],
                                    programs=[traffic] if traffic else [])
    print(f"{guests['a'].kernel().name}, {why}; {server.name}")
    server.start()
    with shell.Shell(guests["a"], "a") as one, shell.Shell(guests["b"], "b") as two:
        started = time.monotonic()
        lab.boot({"a": one, "b": two})
        print(f"  ok boot: {time.monotonic() - started:.1f} s")
        steps(lab, server, host, traffic)
        faults = judge(lab)
        faults += one.end() + two.end()
    return faults + server.stop()


def test(options, work):
    if options.backend == "standin":
        lab = Lab(work)
        lab.nic("a", "a0", queue_pairs=2)
        lab.nic("b", "b0", queue_pairs=2)
        with netback.Testpmd(lab.nics, work) as server:
            return run_pair(lab, server, None, None)
    lab = plan(work)
    with netback.Namespace("pario-net") as namespace:
        namespace.ip("link add br0 type bridge")
        namespace.ip(f"addr add 10.0.0.{UPLINK_ADDRESS}/24 dev br0")
        namespace.ip(f"addr add fd00::{UPLINK_ADDRESS}/64 dev br0 nodad")
        namespace.ip("link set br0 up")
        with netback.NetPariod(options.pariod, lab.nics, work, [netback.Uplink("up", "tap0")],
                               namespace) as server:
            host = talk.Host(namespace, "the host", UPLINK_ADDRESS)
            server.on_start = lambda: [namespace.ip("link set tap0 master br0"),
                                       namespace.ip("link set tap0 up")]
            try:
                return run_pair(lab, server, host, options.traffic)
            finally:
                host.stop()


def main():
    parser = session.arguments(__doc__.splitlines()[0], backends=("pariod", "standin"))
    options = parser.parse_args()
    session.run("net", options.logs, lambda work: test(options, work))


if __name__ == "__main__":
    main()
