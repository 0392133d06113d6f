#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Captures of two taps and of two guests on a switch, by API and by command, as tshark reads them.

usage: test_capture.py PARIOD PARIO PARIO-BENCH

Everything is in a network namespace without a name, which goes with the test.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import unittest

import pariod_api
import pariod_rig

CLONE_NEWNET = 0x40000000
SOL_PACKET = 263
PACKET_VNET_HDR = 15
ETH_P_ALL = 3
SKIP = 77

MAC_A = bytes.fromhex("020000000001")
MAC_B = bytes.fromhex("020000000002")
BROADCAST = b"\xff" * 6

PARIO = ""
BENCH = ""


def internet_checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp_frame(to, source, payload):
    """IPv4 and TCP with the pseudo header's sum, which is what a partial checksum is."""
    tcp_bytes = 20 + len(payload)
    addresses = bytes([10, 9, 0, 1]) + bytes([10, 9, 0, 2])
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + tcp_bytes, 1, 0, 64, 6, 0) + addresses
    ip = ip[:10] + struct.pack("!H", internet_checksum(ip)) + ip[12:]
    partial = ~internet_checksum(addresses + struct.pack("!HH", 6, tcp_bytes)) & 0xffff
    tcp = struct.pack("!HHIIBBHHH", 5001, 80, 1, 1, 0x50, 0x10, 1000, partial, 0)
    return to + source + b"\x08\x00" + ip + tcp + payload


def arp_frame(source):
    return BROADCAST + source + b"\x08\x06" + bytes(46)


class Wire:
    """What the host sends to an interface."""

    def __init__(self, ifname):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.bind((ifname, 0))
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)

    def send(self, frame):
        self.socket.send(bytes(10) + frame)

    def send_large(self, frame, segment):
        """NEEDS_CSUM, TCPV4: header length, segment, where the checksum is."""
        self.socket.send(struct.pack("=BBHHHH", 1, 1, 54, segment, 34, 16) + frame)


def tshark(path, *fields):
    """A list of field values for each packet."""
    done = subprocess.run(["tshark", "-n", "-r", str(path), "-T", "fields",
                           *(word for field in fields for word in ("-e", field))],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          timeout=pariod_rig.DEADLINE_SECONDS)
    text = done.stderr.decode()
    if done.returncode or "cut short" in text or "damaged" in text:
        raise AssertionError(f"tshark: {done.returncode} {text}")
    return [line.split("\t") for line in done.stdout.decode().splitlines()]


class CaptureCase(pariod_rig.Case):
    """A daemon with uplinks a and b. An interface outlives its daemon a little: new ones each time."""

    uplink_b = ""
    daemons = 0

    def setUp(self):
        super().setUp()
        CaptureCase.daemons += 1
        names = [f"capture{self.daemons}{side}" for side in "ab"]
        self.socket = self.dir / "api.sock"
        self.daemon = pariod_rig.Daemon(
            [self.program, "--api", str(self.socket), "--switch", "lan",
             "--uplink", f"a,switch=lan,ifname={names[0]}",
             "--uplink", f"b,switch=lan,ifname={names[1]}" + self.uplink_b],
            self.dir / "pariod.log")
        self.addCleanup(self.daemon.kill)
        self.api = pariod_api.Api(self.socket)
        self.addCleanup(self.api.close)
        for name in names:
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
        self.wire_a = Wire(names[0])
        self.wire_b = Wire(names[1])
        self.addCleanup(self.wire_a.socket.close)
        self.addCleanup(self.wire_b.socket.close)
        self.file = self.dir / "out.pcapng"

    def start(self, **keys):
        body = {"port": "a", "file": str(self.file), **keys}
        answer = self.api.must("POST", "/v1/captures", body)
        self.assertEqual(answer["state"], "running")
        return answer

    def seen(self, cnt, port="a"):
        def enough():
            capture = self.api.must("GET", f"/v1/captures/{port}")
            return capture["counters"]["frames"] >= cnt or capture["state"] == "ended"
        pariod_rig.wait_until(enough, f"{cnt} frames are captured")

    def stop(self, port="a"):
        return self.api.must("DELETE", f"/v1/captures/{port}")

    def command(self, *words):
        # pylint: disable-next=consider-using-with
        popen = subprocess.Popen([PARIO, "--api", str(self.socket), "capture", *words],
                                 cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True)
        self.addCleanup(popen.kill)
        return popen

    def command_starts(self, *words):
        popen = self.command(*words)
        line = popen.stderr.readline()
        self.assertIn("capturing a into", line)
        return popen

    def command_fails(self, status, words, *arguments):
        popen = self.command(*arguments)
        out, err = popen.communicate(timeout=pariod_rig.DEADLINE_SECONDS)
        self.assertEqual((popen.returncode, out), (status, ""), err)
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertIn(words, err)


class Reading(CaptureCase):
    """What is in the file."""

    def test_both_ways_with_offloads(self):
        self.start()
        self.wire_a.send_large(tcp_frame(MAC_B, MAC_A, bytes(10000)), 1448)
        self.seen(1)
        self.wire_b.send(arp_frame(MAC_B))
        self.seen(2)
        answer = self.stop()
        self.assertEqual((answer["state"], answer["ended"], answer["error"]),
                         ("ended", "asked to", None))
        self.assertEqual(answer["counters"]["frames"], 2)
        self.assertEqual(answer["counters"]["file_bytes"], os.stat(self.file).st_size)
        self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o600)
        self.assertEqual(tshark(self.file, "frame.len", "frame.cap_len", "frame.interface_name",
                                "frame.packet_flags_direction", "eth.src", "ip.len", "eth.type",
                                "frame.comment"), [
            ["10054", "10054", "a", "0x00000001", "02:00:00:00:00:01", "10040", "0x0800",
             "gso tcp4 1448, partial checksum"],
            ["60", "60", "a", "0x00000002", "02:00:00:00:00:02", "", "0x0806", ""],
        ])

    def test_times_are_of_today_and_in_order(self):
        self.start()
        for cnt in range(5):
            self.wire_a.send(arp_frame(MAC_A))
            self.seen(cnt + 1)
        self.stop()
        times = [float(row[0]) for row in tshark(self.file, "frame.time_epoch")]
        made = os.stat(self.file).st_mtime
        self.assertEqual(times, sorted(times))
        self.assertEqual(len(times), 5)
        self.assertTrue(made - 600 < times[0] < made + 600, (times, made))

    def test_one_direction(self):
        for direction, source in (("in", MAC_A), ("out", MAC_B)):
            self.file = self.dir / f"{direction}.pcapng"
            self.start(direction=direction)
            self.wire_a.send(arp_frame(MAC_A))
            self.wire_b.send(arp_frame(MAC_B))
            self.seen(1)
            self.stop()
            self.assertEqual(tshark(self.file, "eth.src"), [[source.hex(":")]])

    def test_size_is_a_bound(self):
        self.start(size="8K")
        for _ in range(200):
            self.wire_a.send(arp_frame(MAC_A))
        self.seen(200)
        answer = self.api.must("GET", "/v1/captures")["captures"][0]
        self.assertEqual((answer["state"], answer["ended"]), ("ended", "size limit"))
        self.assertLessEqual(os.stat(self.file).st_size, 8192)
        self.assertEqual(len(tshark(self.file, "frame.len")), answer["counters"]["frames"])
        # Over, it is in nobody's way.
        self.file = self.dir / "second.pcapng"
        self.start()
        self.stop()

    def test_a_port_that_goes_ends_it(self):
        self.start()
        self.wire_a.send(arp_frame(MAC_A))
        self.seen(1)
        self.api.must("DELETE", "/v1/uplinks/a")
        answer = self.api.must("GET", "/v1/captures/a")
        self.assertEqual((answer["state"], answer["ended"]), ("ended", "port removed"))
        self.assertEqual(len(tshark(self.file, "frame.len")), 1)
        status, answer = self.api.ask("POST", "/v1/captures",
                                      {"port": "a", "file": str(self.dir / "no.pcapng")})
        self.assertEqual((status, answer["errors"]),
                         (404, ["capture.port: there is no port and no uplink \"a\""]))
        self.assertFalse((self.dir / "no.pcapng").exists())

    def test_a_daemon_that_ends_ends_it(self):
        self.start()
        self.wire_a.send(arp_frame(MAC_A))
        self.seen(1)
        self.assertEqual(self.daemon.end(), 0, self.daemon.text())
        self.assertEqual(len(tshark(self.file, "frame.len")), 1)
        self.assertIn("capture a: ended (port removed) with 1 frames", self.daemon.text())

    def test_a_full_file_system_ends_it(self):
        small = self.dir / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "none", small], check=True)
        self.addCleanup(subprocess.run, ["umount", small], check=True)
        self.file = small / "out.pcapng"
        self.start()
        for cnt in range(4):
            self.wire_a.send_large(tcp_frame(MAC_B, MAC_A, bytes(9000)), 1448)
            self.seen(cnt + 1)
        answer = self.api.must("GET", "/v1/captures/a")
        self.assertEqual((answer["state"], answer["ended"]), ("ended", "error"))
        self.assertIn("No space left on device", answer["error"])
        self.assertEqual(len(tshark(self.file, "frame.len")), answer["counters"]["frames"])


class Dropped(CaptureCase):
    """b carries VLAN 5, a all VLANs."""

    uplink_b = ",vlan=5"

    def test_reasons(self):
        tagged = BROADCAST + MAC_A + b"\x81\x00\x00\x07" + arp_frame(MAC_A)[12:]
        self.start(drops=True)
        self.wire_a.send(tagged)
        self.wire_b.send(arp_frame(MAC_B))
        self.seen(1)
        self.assertEqual(self.stop()["counters"]["dropped"], 1)
        self.assertEqual(tshark(self.file, "vlan.id", "frame.comment"),
                         [["7", "dropped: no other port"]])

    def test_tags(self):
        self.start()
        self.wire_b.send(arp_frame(MAC_B))
        self.seen(1)
        self.stop()
        self.assertEqual(tshark(self.file, "frame.len", "vlan.id", "eth.src"),
                         [["64", "5", MAC_B.hex(":")]])
        self.file = self.dir / "b.pcapng"
        self.start(port="b")
        self.wire_b.send(arp_frame(MAC_B))
        self.seen(1, "b")
        self.stop("b")
        self.assertEqual(tshark(self.file, "frame.len", "vlan.id", "frame.comment"),
                         [["60", "", "vlan 5"]])


class Command(CaptureCase):
    """pario capture."""

    def test_filter_and_snaplen(self):
        popen = self.command_starts("a", "-w", "out.pcapng", "--filter", "tcp port 80",
                                    "--snaplen=60")
        self.wire_a.send(arp_frame(MAC_A))
        self.wire_a.send_large(tcp_frame(MAC_B, MAC_A, bytes(3000)), 1448)
        self.seen(1)
        popen.send_signal(signal.SIGINT)
        out, err = popen.communicate(timeout=pariod_rig.DEADLINE_SECONDS)
        self.assertEqual(popen.returncode, 0, err)
        self.assertIn("1 frames (0 of them dropped by the switch)", out)
        self.assertIn("ended: asked to", out)
        self.assertEqual(tshark(self.file, "frame.len", "frame.cap_len"), [["3054", "60"]])
        self.assertEqual(self.api.must("GET", "/v1/captures"), {"captures": []})

    def test_ends_at_the_limit(self):
        popen = self.command_starts("a", "-w", str(self.file), "--size", "4096", "--json")
        for _ in range(100):
            self.wire_a.send(arp_frame(MAC_A))
        out, err = popen.communicate(timeout=pariod_rig.DEADLINE_SECONDS)
        self.assertEqual(popen.returncode, 0, err)
        self.assertEqual(json.loads(out)["ended"], "size limit")

    def test_left_and_ended(self):
        popen = self.command_starts("a", "-w", str(self.file))
        popen.kill()
        popen.communicate()
        self.command_fails(1, f"a is captured already, to {self.file}", "a", "-w", "b.pcapng")
        self.assertFalse((self.dir / "b.pcapng").exists())
        self.wire_a.send(arp_frame(MAC_A))
        self.seen(1)
        popen = self.command("a", "--stop")
        out, err = popen.communicate(timeout=pariod_rig.DEADLINE_SECONDS)
        self.assertEqual(popen.returncode, 0, err)
        self.assertIn("1 frames", out)
        self.command_fails(1, "no capture of \"a\"", "a", "--stop")

    def test_wrong_usage(self):
        for words, arguments in [
                ("a port and a file", []),
                ("a port and a file", ["a"]),
                ("a port and a file", ["-w", "x"]),
                ("a port and a file", ["a", "--stop", "-w", "x"]),
                ("one port", ["a", "b", "-w", "x"]),
                ("-w needs a value", ["a", "-w"]),
                ("given twice", ["a", "-w", "x", "-w", "y"]),
                ("\"--sizes\" is no option of capture", ["a", "-w", "x", "--sizes", "1M"]),
                ("pcap-filter(7)", ["a", "-w", "x", "--filter", "prot 80"])]:
            self.command_fails(2, words, *arguments)
        self.assertEqual(list(self.dir.glob("x")), [])

    def test_refusals(self):
        self.file.write_text("mine", encoding="utf-8")
        link = self.dir / "link.pcapng"
        link.symlink_to(self.dir / "target.pcapng")
        good = {"port": "a", "file": str(self.dir / "new.pcapng")}
        for status, words, keys in [
                (409, f"capture.file: {self.file} exists", {"file": str(self.file)}),
                (409, f"capture.file: {link} exists", {"file": str(link)}),
                (400, "capture.file: it must be a whole path", {"file": "new.pcapng"}),
                (400, "capture.file: a file is needed", {"file": None}),
                (400, "cannot be made: No such file or directory", {"file": "/nowhere/x"}),
                (400, "capture.port: the name of a port", {"port": None}),
                (404, "capture.port: there is no port and no uplink \"vm\"", {"port": "vm"}),
                (400, "capture.size: 1K is below the minimum of 4K", {"size": "1K"}),
                (400, "capture.snaplen: ", {"snaplen": 70000}),
                (400, "capture.direction: ", {"direction": "up"}),
                (400, "capture.filter: it does not begin with", {"filter": "arp"}),
                (400, "capture.filter: the program is not safe", {"filter": "1 5 0 0 4294967295"}),
                (400, "capture.drops: ", {"drops": "maybe"}),
                (400, "capture.sized: there is no such key (is it size?)", {"sized": "1M"})]:
            got, answer = self.api.ask("POST", "/v1/captures", {**good, **keys})
            self.assertEqual((got, len(answer["errors"])), (status, 1), (keys, answer))
            self.assertIn(words, answer["errors"][0])
        self.assertEqual(self.file.read_text(encoding="utf-8"), "mine")
        self.assertFalse((self.dir / "target.pcapng").exists())
        self.assertFalse((self.dir / "new.pcapng").exists())
        self.assertEqual(self.api.ask("GET", "/v1/captures/a")[0], 404)
        self.assertEqual(self.api.ask("DELETE", "/v1/captures/a")[0], 404)


class Guests(pariod_rig.Case):
    """Ports p and q, with pario-bench as both guests."""

    def setUp(self):
        super().setUp()
        self.sockets = [str(self.dir / f"{name}.sock") for name in "pq"]
        self.daemon = pariod_rig.Daemon(
            [self.program, "--api", str(self.dir / "api.sock"), "--switch", "lan",
             "--port", f"p,switch=lan,socket={self.sockets[0]}",
             "--port", f"q,switch=lan,socket={self.sockets[1]}"], self.dir / "pariod.log")
        self.addCleanup(self.daemon.kill)
        self.api = pariod_api.Api(self.dir / "api.sock")
        self.addCleanup(self.api.close)
        self.file = self.dir / "out.pcapng"

    def captured(self, port, load, **keys):
        """Direction, length, captured length and comment of each packet under a load."""
        self.api.must("POST", "/v1/captures", {"port": port, "file": str(self.file), **keys})
        done = subprocess.run([BENCH, "net", *self.sockets, "--runtime", "1s", "--warmup", "0",
                               *load], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=pariod_rig.DEADLINE_SECONDS, check=False, text=True)
        answer = self.api.must("DELETE", f"/v1/captures/{port}")
        self.assertGreater(answer["counters"]["frames"], 0, done.stdout)
        return tshark(self.file, "frame.packet_flags_direction", "frame.len", "frame.cap_len",
                      "frame.comment")

    def test_large_frames(self):
        rows = self.captured("p", ["--size", "40000", "--rate", "200"], snaplen=100,
                             direction="in")
        rows = {tuple(row) for row in rows if int(row[1]) > 30000}
        self.assertEqual(rows, {("0x00000001", "40000", "100",
                                 "gso tcp4 1448, partial checksum")})

    def test_receiver_without_buffers(self):
        rows = self.captured("q", ["--rate", "2000", "--rx-buffers", "0"], drops=True)
        self.assertEqual({(row[0], row[3]) for row in rows},
                         {("0x00000002", "dropped: no receive buffers")})


def why_not():
    if os.geteuid() != 0:
        return "taps and namespaces need root"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    for tool in ("tshark", "ip"):
        if not shutil.which(tool):
            return f"there is no {tool}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    return None


def main():
    global PARIO, BENCH  # pylint: disable=global-statement
    pariod_rig.Case.program, PARIO, BENCH = map(os.path.abspath, sys.argv[1:4])
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return SKIP
    # Nobody but the test says anything.
    with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as setting:
        setting.write("1")
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
