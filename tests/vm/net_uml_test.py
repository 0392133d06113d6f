#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""User-Mode Linux on a port: its driver's control queue comes to pariod with nothing in between.

What the guest sets with ethtool and ip is looked for in the port's state, as the API tells it; the
other end of the wire is a network namespace of the host, through a tap. Not a test of QEMU, which
keeps the control queue to itself.
"""

import time

import net_uml_rss
from rig import image, machine, netback, process, session, shell, talk
from rig.errors import RigError

UPLINK_ADDRESS = 250
STATE_SECONDS = 20
OBEYED_SECONDS = 60
NIC = "uml0"


class Step:
    """The guest, its port, and questions about both."""

    def __init__(self, guest, server):
        self.guest = guest
        self.server = server
        self.faults = []
        self.refusals = 0       # commands that are meant to be refused

    def wait(self, what, condition):
        """Waits until the state that the API tells is as the guest has set it."""
        process.wait_until(lambda: condition(self.state()), STATE_SECONDS,
                           f"{what}, in the port's state {self.state()}")

    def state(self):
        return self.server.port(NIC)["guest"]

    def commands(self):
        return self.server.counter(NIC, "control_commands")

    def queue(self, idx):
        return self.server.port(NIC)["queues"][idx]

    def coalescing(self, idx):
        """Who says how a queue's calls are coalesced, and how: ("guest", "static", 32, 200)."""
        now = self.queue(idx)["coalesce"]
        return now["by"], now["mode"], now["packets"], now["usecs"]

    def wait_coalescing(self, idx, packets, usecs):
        want = ("guest", "static", packets, usecs)
        process.wait_until(lambda: self.coalescing(idx) == want, STATE_SECONDS,
                           f"{want} on queue {idx}, which has {self.coalescing(idx)}")

    def run(self, name, function):
        started = time.monotonic()
        try:
            function()
        except RigError as error:
            self.faults.append(f"{name}: {error}")
            print(f"  FAIL {name}: {error}")
            if not self.guest.shell.machine.child.alive():
                raise
            self.guest.shell.settle()
        else:
            print(f"  ok {name}: {time.monotonic() - started:.1f} s")


def queues(step):
    """One CPU, so Linux uses one pair, of the many that there are; it says so by the queue."""
    shown = step.guest.run("/tools/ethtool -l net0")
    most = [int(line.split()[1]) for line in shown.splitlines() if line.startswith("Combined:")]
    if len(most) != 2:
        raise RigError(f"ethtool -l says: {shown}")
    before = step.commands()
    for pairs in sorted({1, min(most[0], 2)}, reverse=True):
        step.guest.run(f"/tools/ethtool -L net0 combined {pairs}")
        step.wait(f"{pairs} pairs", lambda state, pairs=pairs: state["pairs"] == pairs)
    if most[0] > 1 and step.commands() <= before:
        raise RigError("ethtool -L sent no command")


def offloads(step):
    full = step.state()["offloads"]
    step.guest.run("/tools/ethtool -K net0 rx-gro-hw off")
    step.wait("fewer offloads", lambda state: state["offloads"] != full)
    fewer = step.state()["offloads"]
    if fewer & ~full:
        raise RigError(f"offloads went from {full:#x} to {fewer:#x}")
    step.guest.run("/tools/ethtool -K net0 rx-gro-hw on")
    step.wait("all offloads", lambda state: state["offloads"] == full)


def mac_address(step):
    own = step.state()["mac"]
    step.guest.ip("link set net0 address 02:55:4d:4c:00:01")
    step.wait("the new MAC address", lambda state: state["mac"] == "02:55:4d:4c:00:01")
    step.guest.ip(f"link set net0 address {own}")
    step.wait("the old MAC address", lambda state: state["mac"] == own)


def vlan_filter(step):
    before = step.state()["vlans"]
    step.guest.ip("link add link net0 name net0.7 type vlan id 7")
    step.guest.ip("link set net0.7 up")
    step.wait("one VLAN more", lambda state: state["vlans"] == before + 1)
    step.guest.ip("link del net0.7")
    step.wait("the VLANs as before", lambda state: state["vlans"] == before)


def receive_modes(step):
    for word, key in (("promisc", "promiscuous"), ("allmulticast", "all_multicast")):
        step.guest.ip(f"link set net0 {word} on")
        step.wait(f"{key} on", lambda state, key=key: state[key])
        step.guest.ip(f"link set net0 {word} off")
        step.wait(f"{key} off", lambda state, key=key: not state[key])


def mac_table(step):
    before = step.state()["multicast_addresses"]
    step.guest.ip("maddr add 01:00:5e:7f:00:01 dev net0")
    step.wait("a multicast address more",
              lambda state: state["multicast_addresses"] == before + 1)
    step.guest.ip("maddr del 01:00:5e:7f:00:01 dev net0")
    step.wait("the multicast addresses as before",
              lambda state: state["multicast_addresses"] == before)


def ethtool_numbers(shown):
    """{"rx-usecs": 200, ...} of what ethtool -c or -Q shows."""
    rows = (line.split(":", 1) for line in shown.splitlines() if ":" in line)
    return {name.strip(): int(value) for name, value in rows if value.strip().isdigit()}


def must_show(shown, **want):
    numbers = ethtool_numbers(shown)
    for name, value in want.items():
        key = name.replace("_", "-")
        if numbers.get(key) != value:
            raise RigError(f"ethtool shows {key} {numbers.get(key)}, {value} was set: {shown}")


def coalesce_all(step):
    """RX_SET and TX_SET: all queues, those that the guest does not use yet included."""
    host = step.coalescing(0)
    if host[0] != "host":
        raise RigError(f"the guest has set nothing, and queue 0 has {host}")
    step.guest.run("/tools/ethtool -C net0 rx-usecs 200 rx-frames 32 tx-usecs 150 tx-frames 16")
    for queue in (0, 2):
        step.wait_coalescing(queue, 32, 200)
    for queue in (1, 3):
        step.wait_coalescing(queue, 16, 150)
    must_show(step.guest.run("/tools/ethtool -c net0"), rx_usecs=200, rx_frames=32, tx_usecs=150,
              tx_frames=16)


def coalesce_one(step):
    """VQ_SET: one pair; RX_SET and TX_SET go over it, and so does the end of its use."""
    step.guest.run("/tools/ethtool -L net0 combined 2")
    step.wait("2 pairs", lambda state: state["pairs"] == 2)
    step.guest.run("/tools/ethtool -Q net0 queue_mask 0x2 --coalesce rx-usecs 300 rx-frames 8 "
                   "tx-usecs 50 tx-frames 4")
    step.wait_coalescing(2, 8, 300)
    step.wait_coalescing(3, 4, 50)
    step.wait_coalescing(0, 32, 200)
    step.wait_coalescing(1, 16, 150)
    must_show(step.guest.run("/tools/ethtool -Q net0 queue_mask 0x2 --show-coalesce"),
              rx_usecs=300, rx_frames=8, tx_usecs=50, tx_frames=4)
    step.guest.run("/tools/ethtool -C net0 rx-usecs 210 rx-frames 33")
    step.wait_coalescing(2, 33, 210)
    step.guest.run("/tools/ethtool -Q net0 queue_mask 0x2 --coalesce rx-usecs 300 rx-frames 8")
    step.wait_coalescing(2, 8, 300)
    step.guest.run("/tools/ethtool -L net0 combined 1")
    step.wait_coalescing(2, 33, 210)


def coalesce_beyond_bounds(step):
    """What an operator may not ask for either is refused, by a counter of its own."""
    before = step.coalescing(0)
    status, _out = step.guest.attempt("/tools/ethtool -C net0 rx-usecs 10001 rx-frames 32")
    if status == 0:
        raise RigError("ethtool -C took 10001 us")
    step.refusals += 1
    if step.server.counter(NIC, "control_coalesce") != 1:
        raise RigError("control_coalesce has not counted what was refused")
    if step.coalescing(0) != before:
        raise RigError(f"queue 0 had {before}, and has {step.coalescing(0)}")


DECIDED_BY_GUEST = ("calls_due_packets", "calls_due_deadline")


def received(step, host):
    """Datagrams to the guest: frames, interrupts and decisions of its receive queue 0."""
    def now():
        queue = step.queue(0)
        ring = queue["counters"]["ring"]
        return {"frames": queue["counters"]["frames"]["rx_frames"], "calls": ring["calls"],
                "held": ring["calls_held"],
                "by_setting": sum(ring[name] for name in DECIDED_BY_GUEST)}

    before = now()
    talk.iperf(step.guest, host, "-u", "-b", "60M", "-n", "2M", "-R")
    return {name: value - before[name] for name, value in now().items()}


def obeyed(each, fewer):
    """None, or what is wrong with the interrupts at one call each, and with calls that may wait."""
    if each["held"]:
        return "calls were held that the guest wants at once"
    if not fewer["held"] or not fewer["by_setting"]:
        return "no call was held as the guest said"
    if fewer["calls"] * each["frames"] >= each["calls"] * fewer["frames"]:
        return "as many calls for each frame as before"
    return None


def coalesce_obeyed(step, host, work):
    """The same datagrams at one call each at most, and then with calls that may wait.

    A worker that polls calls before it sleeps; one that never polls sleeps until the call is due.
    What the host says meanwhile of its own coalescing changes nothing. Where the machine has little
    time for the guest its buffers run short, and calls do not wait then: so it may try again.
    """
    host.serve(work / "iperf3-coalesce.log")
    step.server.set_port(NIC, poll="never", coalesce={"mode": "off"})
    end = time.monotonic() + OBEYED_SECONDS
    wrong = "nothing was tried"
    try:
        while wrong and time.monotonic() < end:
            step.guest.run("/tools/ethtool -C net0 rx-usecs 0 rx-frames 1")
            step.wait_coalescing(0, 1, 0)
            each = received(step, host)
            step.guest.run("/tools/ethtool -C net0 rx-usecs 10000 rx-frames 48")
            step.wait_coalescing(0, 48, 10000)
            fewer = received(step, host)
            wrong = obeyed(each, fewer)
            print(f"  each: {each}; 48 frames or 10 ms: {fewer}; {wrong or 'obeyed'}")
    finally:
        host.stop()
        step.server.set_port(NIC, poll="adaptive", coalesce={"mode": "adaptive"})
    if step.coalescing(0) != ("guest", "static", 48, 10000):
        raise RigError(f"queue 0 has {step.coalescing(0)}")
    if wrong:
        raise RigError(f"{wrong}: {each}, then {fewer}")


def coalesce_adaptive(step, host, work):
    """The driver's own search (net_dim) sets one queue again and again while traffic flows."""
    step.guest.run("/tools/ethtool -C net0 adaptive-rx on")
    before = step.commands()
    host.serve(work / "iperf3-dim.log")
    try:
        end = time.monotonic() + STATE_SECONDS
        while step.commands() < before + 2:
            if time.monotonic() > end:
                raise RigError("adaptive-rx has set nothing")
            talk.iperf(step.guest, host, "-R", "-n", "32M")
    finally:
        host.stop()
        step.guest.run("/tools/ethtool -C net0 adaptive-rx off")
    if step.coalescing(0)[0] != "guest":
        raise RigError(f"queue 0 has {step.coalescing(0)}")


def coalesce_end(step):
    """Nothing waits in what follows."""
    step.guest.run("/tools/ethtool -C net0 rx-usecs 0 rx-frames 1 tx-usecs 0 tx-frames 1")
    for queue in (0, 1, 2, 3):
        step.wait_coalescing(queue, 1, 0)


def statistics(step):
    """ethtool -S; the device's own statistics, if the driver asks for them, come by the queue."""
    shown = step.guest.run("/tools/ethtool -S net0")
    rows = dict(line.strip().split(": ") for line in shown.splitlines() if ": " in line)
    packets = [int(value) for name, value in rows.items() if name.endswith("_packets")]
    if not packets or sum(packets) == 0:
        raise RigError(f"ethtool -S says: {shown[:500]}")
    print("  ethtool -S has", len(rows), "rows, of the device:",
          sum("hw" in name for name in rows))


def traffic(step, host, work):
    host.serve(work / "iperf3.log")
    talk.both_ways(step.guest, host)
    talk.copy_to_host(step.guest, host, work / "from-guest")
    image.make_random(work / "blob", talk.BLOB_MIB << 20, seed=4)
    talk.copy_from_host(host, step.guest, work / "blob", work / "nc.log")
    host.stop()


def all_steps(step, host, work, traffic_program):
    step.run("ping", lambda: talk.must_ping(step.guest, host))
    step.run("traffic", lambda: traffic(step, host, work))
    for name, function in (("ethtool -L", queues), ("ethtool -K", offloads),
                           ("MAC address", mac_address), ("VLAN filter", vlan_filter),
                           ("promiscuous and allmulticast", receive_modes),
                           ("MAC table", mac_table), ("ethtool -C, -c", coalesce_all),
                           ("ethtool -Q", coalesce_one),
                           ("ethtool -C beyond bounds", coalesce_beyond_bounds),
                           ("ethtool -S", statistics)):
        step.run(name, lambda function=function: function(step))
    step.run("coalescing is obeyed", lambda: coalesce_obeyed(step, host, work))
    step.run("coalescing by net_dim", lambda: coalesce_adaptive(step, host, work))
    step.run("coalescing ends", lambda: coalesce_end(step))
    net_uml_rss.Rss(step, host, traffic_program).run()
    step.run("ping after all that", lambda: talk.must_ping(step.guest, host))


def run_guest(options, work, server, nic, host):
    place = work / "guest"
    place.mkdir()
    guest = machine.Uml(place, [], {"scenario": "shell"}, nics=[nic],
                        programs=[options.traffic])
    print(f"{guest.kernel().name}; {server.name}")
    server.start()
    with shell.Shell(guest, NIC) as console:
        console.boot()
        console.ready()
        nic.mac = server.port(NIC)["guest"]["mac"]
        card = talk.Card(console, nic, 1)
        card.plug()
        step = Step(card, server)
        try:
            all_steps(step, host, work, options.traffic)
        finally:
            host.stop()
        errors = talk.checksum_errors(card)
        if errors:
            step.faults.append(f"the guest's stack found {errors}")
        if server.counter(NIC, "control_refused") != step.refusals or \
                server.counter(NIC, "control_malformed"):
            step.faults.append("a command of an honest driver was refused")
        return step.faults + console.end() + server.stop()


def flag(value):
    return "true" if value else "false"


def test(options, work):
    nic = netback.Nic(NIC, work / f"{NIC}.sock", "", queue_pairs=2,
                      keys=("queue-num=rings", f"features.packed={flag(options.ring == 'packed')}"))
    with netback.Namespace("pario-uml") as namespace:
        namespace.ip("link add br0 type bridge")
        namespace.ip(f"addr add 10.0.0.{UPLINK_ADDRESS}/24 dev br0")
        namespace.ip("link set br0 up")
        with netback.NetPariod(options.pariod, [nic], work, [netback.Uplink("up", "tap0")],
                               namespace) as server:
            server.on_start = lambda: [namespace.ip("link set tap0 master br0"),
                                       namespace.ip("link set tap0 up")]
            return run_guest(options, work, server, nic,
                             talk.Host(namespace, "the host", UPLINK_ADDRESS))


def main():
    parser = session.arguments(__doc__.splitlines()[0], backends=("pariod", "none"))
    parser.add_argument("--ring", choices=("split", "packed"), default="split")
    options = parser.parse_args()
    session.run(f"net-uml-{options.ring}", options.logs, lambda work: test(options, work))


if __name__ == "__main__":
    main()
