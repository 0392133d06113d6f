# SPDX-License-Identifier: Apache-2.0
"""Steps of net_uml_test.py: what User-Mode Linux says of RSS by ethtool is seen, and is obeyed.

Where a flow has to land, and with which hash, is worked out here from what ethtool was told. Not a
test of many flows and types: DPDK judges those (tests/unit/flow).
"""

import ipaddress
import re

from rig import load
from rig.errors import RigError

# Not symmetric, and of no suite.
KEY = bytes((37 * i + 11) & 0xff for i in range(40))
FIRST_PORT = 20000
FLOWS = 32
RATE = 2000
SECONDS = 1
TRIES = 3
LAST_CNT = 20                       # of traffic's last message, on flow 0
OTHERS_MAX = LAST_CNT // 2          # frames of the two stacks' own that may come meanwhile
PAIRS = 2


def toeplitz(key, data):
    """For each bit of data that is set, the 32 bits of the key from there on."""
    bits = int.from_bytes(key, "big")
    width = 8 * len(key)
    value = 0
    for i in range(8 * len(data)):
        if data[i // 8] >> (7 - i % 8) & 1:
            value ^= bits >> (width - 32 - i) & 0xffffffff
    return value


def flow_hash(key, source, target, ports=None):
    data = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    for port in ports or ():
        data += port.to_bytes(2, "big")
    return toeplitz(key, data)


def key_text(key):
    return ":".join(f"{byte:02x}" for byte in key)


class Rss:
    """The steps; `step` is net_uml_test's, host the other end of the wire."""

    def __init__(self, step, host, traffic):
        self.step = step
        self.guest = step.guest
        self.host = host
        self.traffic = traffic

    def state(self):
        return self.step.server.port(self.guest.name)["steering"]

    def table(self):
        return [int(entry) for entry in self.state()["table"].split(",")]

    def ethtool(self, words):
        return self.guest.run(f"/tools/ethtool {words}")

    def must_be(self, what, is_right):
        state = self.state()
        if not is_right(state):
            raise RigError(f"{what}: the port's steering is "
                           f"{ {key: value for key, value in state.items() if key != 'load'} }")

    def shown(self):
        """The table and the key that ethtool -x prints."""
        text = self.ethtool("-x net0")
        rows = re.findall(r"^\s*\d+:((?:\s+\d+)+)\s*$", text, re.MULTILINE)
        key = re.search(r"^((?:[0-9a-f]{2}:)+[0-9a-f]{2})$", text, re.MULTILINE)
        if not rows or not key:
            raise RigError(f"ethtool -x says: {text}")
        return [int(word) for row in rows for word in row.split()], key[1]

    def received(self):
        """Frames on each receive queue so far."""
        queues = self.step.server.port(self.guest.name)["queues"]
        frames = {queue["idx"]: queue["counters"]["frames"]["rx_frames"] for queue in queues}
        return [frames[2 * pair] for pair in range(PAIRS)]

    # ---- what is told ----

    def tables(self):
        for words, share in (("equal 1", [1, 0]), ("weight 3 1", [0.75, 0.25]),
                             ("weight 0 1", [0, 1]), ("equal 2", [0.5, 0.5])):
            self.ethtool(f"-X net0 {words}")
            self.must_be(words, lambda state: state["by"] == "guest")
            table = self.table()
            found = [table.count(pair) / len(table) for pair in range(PAIRS)]
            if found != share or table != self.shown()[0]:
                raise RigError(f"-X {words}: the port has {table}, ethtool {self.shown()[0]}")

    def keys(self):
        self.ethtool(f"-X net0 hkey {key_text(KEY)}")
        self.must_be("the key", lambda state: state["key"] == key_text(KEY))
        if self.shown()[1] != key_text(KEY):
            raise RigError(f"ethtool -x has another key: {self.shown()[1]}")

    def types(self):
        """The driver says which only while it wants hashes at all; off is no type."""
        for words in ("on", "off", "on"):
            self.ethtool(f"-K net0 rxhash {words}")
            self.must_be(f"rxhash {words}",
                         lambda state, on=words == "on": bool(state["types"]) == on)
        every = {"ipv4", "tcpv4", "udpv4", "ipv6", "tcpv6", "udpv6"}
        for words, there in (("udp4 sd", every - {"udpv4"}), ("tcp4 sd", every - {"udpv4", "tcpv4"}),
                             ("udp6 sd", every - {"udpv4", "tcpv4", "udpv6"}),
                             ("udp4 sdfn", every - {"tcpv4", "udpv6"}),
                             ("tcp4 sdfn", every - {"udpv6"}), ("udp6 sdfn", every)):
            self.ethtool(f"-N net0 rx-flow-hash {words}")
            self.must_be(words, lambda state, there=there: set(state["types"]) == there)

    # ---- what is obeyed ----

    def flows(self):
        return [(FIRST_PORT + i, load.PORT) for i in range(FLOWS)]

    def expect(self, hashes, sent):
        """Frames for each queue, when flow i has hashes[i] and they take turns."""
        table = self.table()
        frames = [0] * PAIRS
        for i in range(FLOWS):
            queue = table[hashes[i] % len(table)]
            frames[queue] += sent // FLOWS + (i < sent % FLOWS) + (LAST_CNT if i == 0 else 0)
        return frames

    def send(self, port, rate, flows=1, taken=None, seconds=load.SINK_SECONDS,
             tries=TRIES):
        """(sent, frames by queue, taken by the guest); the best of some tries.

        A guest that the host lets wait loses frames.
        """
        for _attempt in range(tries):
            before = self.received()
            with load.Sink(self.guest, seconds, taken) as sink:
                sent = load.send(self.host, self.traffic, self.guest, SECONDS, rate, flows,
                                 size=64, first_port=port)["sent"]
                received = sink.report()["received"]
            came = [after - start for after, start in zip(self.received(), before)]
            if received == sent:
                break
        return sent, came, received

    def land(self, hashes):
        """Sends flows of which each has a hash, and looks which queues they came on."""
        sent, came, _received = self.send(FIRST_PORT, RATE, FLOWS)
        expected = self.expect(hashes, sent)
        if any(abs(have - want) > OTHERS_MAX for have, want in zip(came, expected)):
            raise RigError(f"{sent} frames of {FLOWS} flows came as {came} to the queues, not as "
                           f"{expected}")
        return expected

    def hashes(self, by_ports):
        return [flow_hash(KEY, self.host.v4, self.guest.v4, ports if by_ports else None)
                for ports in self.flows()]

    def obeyed(self):
        self.ethtool(f"-X net0 hkey {key_text(KEY)} weight 3 1")
        self.ethtool("-N net0 rx-flow-hash udp4 sdfn")
        if min(self.land(self.hashes(by_ports=True))) == 0:
            raise RigError("all flows of the test are meant for one queue")
        self.ethtool("-X net0 equal 2")
        self.land(self.hashes(by_ports=True))

    def addresses_only(self):
        self.ethtool("-N net0 rx-flow-hash udp4 sd")
        if min(self.land(self.hashes(by_ports=False))) != 0:
            raise RigError("flows between the same addresses are not meant for one queue")
        self.ethtool("-N net0 rx-flow-hash udp4 sdfn")

    def reported(self):
        """The guest's kernel gives a socket's filter the hash that came with the frame."""
        port = FIRST_PORT + FLOWS
        right = flow_hash(KEY, self.host.v4, self.guest.v4, (port, load.PORT))
        sent, _came, received = self.send(port, 500, taken=right)
        if received != sent:
            raise RigError(f"{received} of {sent} frames came with the hash {right:#x}")
        # The end is not heard of then: the sink ends by itself.
        sent, _came, received = self.send(port, 500, taken=right ^ 1, seconds=3, tries=1)
        if received:
            raise RigError(f"{received} of {sent} frames came with another hash than {right:#x}")
    def run(self):
        # ethtool -L makes a table of its own, and a driver with one pair has none to speak of.
        self.ethtool(f"-L net0 combined {PAIRS}")
        for name, function in (("ethtool -X and -x: the table", self.tables),
                               ("ethtool -X and -x: the key", self.keys),
                               ("ethtool -N rx-flow-hash", self.types),
                               ("flows land where the table says", self.obeyed),
                               ("flows by addresses alone", self.addresses_only),
                               ("the hash that is reported", self.reported)):
            self.step.run(name, function)
