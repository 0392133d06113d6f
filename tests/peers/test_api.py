#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A running pariod, looked at and changed through its HTTP API and through the command pario.

Keys and counters come from the API's own descriptions, so that a new one is tested the day it
exists. Every test ends the daemon and wants status 0 from it, which a sanitizer's report is not.
usage: test_api.py PARIOD PARIO PARIO-BENCH [TEST]...
"""

import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import unittest

import pariod_rig
from pariod_rig import DEADLINE_SECONDS, wait_until

PROGRAMS = {}
CPUS = sorted(os.sched_getaffinity(0))[-2:]
CPU_LIST = ",".join(map(str, CPUS))


class Connection(http.client.HTTPConnection):
    """HTTP to a UNIX socket."""

    def __init__(self, path):
        super().__init__("pariod", timeout=DEADLINE_SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Blocking: others may be waiting to be accepted.
        self.sock.connect(str(self.path))
        self.sock.settimeout(DEADLINE_SECONDS)


def flat(tree, prefix=""):
    """Nested keys with a dot."""
    values = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            values.update(flat(value, f"{prefix}{key}."))
        else:
            values[prefix + key] = value
    return values


class Case(pariod_rig.Case):
    """A daemon with one disk and an API."""

    disks = ("vda,backend=null,size=1G,socket=vda.sock",)
    net = ()
    # One of each kind, where a test has them.
    names = {"disks": "vda", "objects": "vda", "switches": "lan", "ports": "vm1", "uplinks": "lo0",
             "captures": "vm1"}

    def setUp(self):
        super().setUp()
        self.api = self.dir / "api.sock"
        arguments = ["--api", self.api, "--workers", CPU_LIST]
        for disk in self.disks:
            arguments += ["--disk", disk]
        arguments += self.net
        self.daemon = self.start(*arguments)

    def tearDown(self):
        self.assertEqual(self.daemon.end(), 0, self.daemon.text())
        self.assertFalse(self.api.exists(), "the API's socket is left behind")

    def ask(self, method, path, body=None):
        """Status and document."""
        connection = Connection(self.api)
        text = json.dumps(body) if body is not None else None
        connection.request(method, path, text)
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        if answer.status >= 400:
            self.assertEqual(list(document), ["errors"])
            self.assertTrue(document["errors"])
            for line in document["errors"]:
                self.assertNotIn("\n", line)
        return answer.status, document

    def get(self, path):
        status, document = self.ask("GET", path)
        self.assertEqual(status, 200, document)
        return document

    def refused(self, status, words, method, path, body=None):
        got, document = self.ask(method, path, body)
        self.assertEqual(got, status, document)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, " ".join(document["errors"]))

    def pario(self, *arguments, environment=None):
        """Status, standard output, lines of standard error."""
        done = subprocess.run([PROGRAMS["pario"], *map(str, arguments)], cwd=self.dir,
                              env={**os.environ, "PARIO_API": str(self.api),
                                   **(environment or {})},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DEADLINE_SECONDS, check=False)
        return (done.returncode, done.stdout.decode(),
                done.stderr.decode("utf-8", "replace").splitlines())

    def run_pario(self, *arguments):
        status, out, lines = self.pario(*arguments)
        self.assertEqual((status, lines), (0, []), (arguments, out))
        return out

    def bench(self, disk, *arguments):
        """pario-bench on a disk's socket, in the background."""
        # pylint: disable-next=consider-using-with
        process = subprocess.Popen(
            [PROGRAMS["bench"], "blk", str(self.dir / f"{disk}.sock"), "--rw", "randread",
             "--bs", "4k", "--iodepth", "4", "--queues", "2", *map(str, arguments)],
            cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

        def end():
            process.kill()
            process.wait()
        self.addCleanup(end)
        return process


NET = ("--port", "vm1,switch=lan,socket=vm1.sock,vlan=7", "--uplink", "lo0,switch=lan,type=loop")


class Looking(Case):
    net = NET

    def test_every_route_answers(self):
        root = self.get("/v1")
        self.assertEqual(root["pid"], self.daemon.popen.pid)
        self.assertEqual((root["disks"], root["workers"]), (1, len(CPUS)))
        self.assertEqual((root["switches"], root["ports"], root["uplinks"]), (1, 1, 1))
        self.refused(404, "no capture", "GET", "/v1/captures/vm1")
        status, document = self.ask("POST", "/v1/captures",
                                    {"port": "vm1", "file": str(self.dir / "vm1.pcapng")})
        self.assertEqual(status, 201, document)
        looking = [route["path"] for route in root["routes"] if route["method"] == "GET"]
        self.assertGreater(len(looking), 18)
        for path in looking:
            self.get(path.replace("NAME", self.names.get(path.split("/")[2:3][0], "-")
                                  if "NAME" in path else ""))
        self.assertEqual(stat.S_IMODE(os.stat(self.api).st_mode), 0o600)

    def test_what_is_not_there(self):
        self.refused(404, "there is no /v2", "GET", "/v2")
        self.refused(404, "\"vdb\"", "GET", "/v1/disks/vdb")
        self.refused(404, "\"vdb\"", "DELETE", "/v1/disks/vdb")
        self.refused(404, "\"vdb\"", "PATCH", "/v1/disks/vdb", {"poll": "never"})
        self.refused(404, "\"vdb\"", "POST", "/v1/disks/vdb/resize", {"size": "1G"})
        self.refused(405, "allowed: GET, PATCH", "PUT", "/v1/daemon", {})
        self.refused(400, "size", "POST", "/v1/disks/vda/resize", {"size": []})
        self.refused(400, "size", "POST", "/v1/disks/vda/resize", {"size": "1G", "x": 1})

    def test_schema_is_that_of_the_command(self):
        self.assertEqual(self.get("/v1/schema"), json.loads(self.run_pario("schema", "--json")))

    def test_every_counter_is_described(self):
        rows = {(row["object"], row["group"], row["name"]): row
                for row in self.get("/v1/counters")["counters"]}
        self.assertGreater(len(rows), 60)
        for row in rows.values():
            self.assertIn(row["kind"], ("counter", "gauge"))
            self.assertTrue(row["help"].endswith("."), row)
        stats = self.get("/v1/stats")
        shown = {("disk", group, name) for disk in stats["disks"]
                 for group, counters in disk["counters"].items() for name in counters}
        shown |= {(one["kind"], group, name) for one in stats["ports"] + stats["uplinks"]
                  for group, counters in one["counters"].items() for name in counters}
        shown |= {("worker", group, name) for worker in stats["workers"]
                  for group, field in (("worker", "counters"), ("exchange", "exchange"))
                  for name in worker[field]}
        # A tap needs rights that this test may not have.
        self.assertEqual(shown, {row for row in rows if row[1] != "tap"})

    def test_every_key_is_shown(self):
        schema = self.get("/v1/schema")
        for kind in ("disks", "switches", "ports", "uplinks"):
            document = self.get(f"/v1/{kind}/{self.names[kind]}")
            self.assertEqual(set(flat(document["config"])), {row["key"] for row in schema[kind]})
            self.assertEqual(self.get(f"/v1/objects/{self.names[kind]}")["config"],
                             document["config"])
        self.assertEqual(set(flat(self.get("/v1/daemon")["config"])),
                         {row["key"] for row in schema["daemon"]})

    def test_command(self):
        self.assertEqual(json.loads(self.run_pario("list", "--json")), self.get("/v1/objects"))
        self.assertEqual(self.run_pario("list").split()[7:12],
                         ["vda", "disk", "waiting", "null", "1G"])
        self.assertEqual(json.loads(self.run_pario("--json", "show", "vda"))["config"],
                         self.get("/v1/disks/vda")["config"])
        self.assertIn("no queue has run yet", self.run_pario("show", "vda"))
        self.assertNotIn("poll-max-us", self.run_pario("show", "daemon"))
        self.assertIn("poll-max-us", self.run_pario("show", "daemon", "--all"))
        self.assertIn("1G (1073741824 bytes) in blocks of 512 bytes", self.run_pario("show", "vda"))
        self.assertIn("vda", self.run_pario("stats"))
        self.assertEqual(len(self.run_pario("workers").splitlines()), 1 + len(CPUS))
        self.assertEqual({kind: len(list_) for kind, list_ in
                          json.loads(self.run_pario("stats", "vda", "--json")).items()},
                         {"disks": 1, "ports": 0, "uplinks": 0})
        status, out, lines = self.pario("stats", "vdb")
        self.assertEqual((status, out, lines),
                         (1, "", ["pario: there is no disk, port or uplink \"vdb\""]))
        status, _, lines = self.pario("show", "v/d?b")
        self.assertEqual((status, len(lines)), (1, 1))
        for wrong in (["list", "x"], ["show"], ["set", "vda"], ["set", "vda", "poll"],
                      ["add", "vdb,backend=null"], ["add", "disk", "backend=null"], ["remove"],
                      ["add", "cable", "x,y=z"], ["macs"], ["macs", "lan", "x"],
                      ["resize", "vda"], ["nonsense"], ["--nonsense"], ["list", "--all"], ["--api"],
                      []):
            with self.subTest(wrong=wrong):
                self.assertEqual(self.pario(*wrong)[0], 2)

    def test_what_is_shown(self):
        """Without --all what was given, with it all that has a meaning."""
        def keys(*arguments):
            lines = self.run_pario("show", "vda", *arguments).split("\n\n")[1].splitlines()
            return {line.split()[0]: line.split()[1:] for line in lines[1:]
                    if not line.startswith("  others ")}
        self.assertEqual(keys(), {"name": ["vda"], "backend": ["null"], "size": ["1G"],
                                  "socket": ["vda.sock"]})
        self.run_pario("set", "vda", "poll=never")
        self.assertEqual(keys()["poll"], ["never"])
        shown = keys("--all")
        self.assertEqual((shown["poll"], shown["queues"]), (["never", "yes"], ["64"]))
        for row in self.get("/v1/schema")["disks"]:
            if "null" not in row.get("backends", ["null"]):
                self.assertNotIn(row["key"], shown)
                self.assertIsNone(flat(self.get("/v1/disks/vda")["config"])[row["key"]])

    def test_command_on_a_network(self):
        lines = [line.split() for line in self.run_pario("list").splitlines()]
        self.assertEqual(lines[4], ["lan", "switch", "up", "-", "-", "-", "-", "-"])
        self.assertEqual(lines[5][:4] + lines[5][5:], ["vm1", "port", "waiting", "lan"] + ["0"] * 3)
        self.assertEqual(lines[6][:5], ["lo0", "uplink", "up", "lan", "-"])
        mac = self.get("/v1/ports/vm1")["config"]["mac"]
        self.assertEqual(lines[5][4], mac)
        shown = self.run_pario("show", "vm1")
        for words in ("vm1: port, waiting", f"on switch lan, MAC address {mac}", "link up",
                      "vlan    7", "no queue has run yet", "COUNTER"):
            self.assertIn(words, shown)
        self.assertNotIn("LATENCIES", shown)
        shown = self.run_pario("show", "lan")
        for words in ("lan: switch, up", "ports: vm1\n", "uplinks: lo0\n"):
            self.assertIn(words, shown)
        self.assertIn("mac-table-size  8192", self.run_pario("show", "lan", "--all"))
        self.assertIn("on switch lan, interface -", self.run_pario("show", "lo0"))
        self.assertIn("vm1\n", self.run_pario("stats", "vm1"))
        self.assertEqual(self.run_pario("macs", "lan").split()[:3], ["MAC", "VLAN", "PORT"])
        self.assertEqual(json.loads(self.run_pario("macs", "lan", "--json")), {"macs": []})
        self.assertEqual(self.pario("macs", "vm1"),
                         (1, "", ["pario: there is no switch \"vm1\""]))

    def test_no_daemon(self):
        status, out, lines = self.pario("--api", "nobody.sock", "list")
        self.assertEqual((status, out, len(lines)), (1, "", 1))
        self.assertIn("no daemon answers on nobody.sock: No such file or directory (start pariod "
                      "with api=nobody.sock", lines[0])
        status, _, lines = self.pario("list", environment={"PARIO_API": "elsewhere.sock"})
        self.assertEqual(status, 1)
        self.assertIn("elsewhere.sock", lines[0])


class Documented(Case):
    """docs/api.md names every route and every field, and none that is not there."""

    net = NET

    @classmethod
    def setUpClass(cls):
        cls.page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(
            encoding="utf-8")

    def fields(self, title):
        """The first column under a heading; "placement.mode" counts for placement."""
        section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", self.page, re.M | re.S)
        self.assertIsNotNone(section, title)
        cells = re.findall(r"^\| (`.+?`) \|", section[1], re.M)
        return [field for cell in cells for field in re.findall(r"`([^`]+)`", cell)]

    def check(self, title, document):
        names = set(document)
        for name in {field.split(".")[0] for field in self.fields(title) if "." in field}:
            names |= {f"{name}.{inner}" for inner in document[name]}
            names.remove(name)
        self.assertEqual(sorted(self.fields(title)), sorted(names), title)

    def test_routes(self):
        named = []
        for method, path in re.findall(r"^\| ([A-Z]+) \| `([^`]+)` \|", self.page, re.M):
            kinds = ("disks", "switches", "ports", "uplinks") if "KIND" in path else ("",)
            named += [(method, path.replace("KIND", kind)) for kind in kinds]
        self.assertEqual(sorted(named), sorted((route["method"], route["path"])
                                               for route in self.get("/v1")["routes"]))

    def test_words_of_decisions(self):
        due = {row["name"][len("calls_due_"):].replace("_", "-")
               for row in self.get("/v1/counters")["counters"]
               if row["object"] == "port" and row["name"].startswith("calls_due_")}
        self.assertGreater(len(due), 8)
        self.assertEqual(set(self.fields("What decides on an interrupt")), due | {"hold"})

    def test_fields(self):
        self.bench("vda", "--runtime", 600)
        wait_until(lambda: self.get("/v1/disks/vda")["queues"], "a queue runs")
        disk = self.get("/v1/disks/vda")
        self.check("The process", self.get("/v1"))
        self.check("The daemon", self.get("/v1/daemon"))
        self.check("A disk in short", self.get("/v1/disks")["disks"][0])
        self.check("A disk", disk)
        self.check("A queue", disk["queues"][0])
        self.check("A worker", self.get("/v1/workers")["workers"][0])
        self.check("Latencies", disk["latency"])
        self.check("A counter", self.get("/v1/counters")["counters"][0])
        self.check("A port", self.get("/v1/ports/vm1"))
        self.check("A switch", self.get("/v1/switches/lan"))
        self.check("An uplink", self.get("/v1/uplinks/lo0"))
        short = self.get("/v1/objects")
        self.assertEqual(set(self.fields("A switch, port or uplink in short")),
                         {field for kind in ("switches", "ports", "uplinks")
                          for field in short[kind][0]})
        stats = self.get("/v1/stats")
        self.assertEqual(list(stats), ["disks", "ports", "uplinks", "workers"])
        self.assertEqual(sorted(stats["ports"][0]), ["counters", "kind", "name"])
        self.assertEqual(sorted(stats["disks"][0]), ["counters", "kind", "latency", "name"])
        self.assertEqual(list(stats["workers"][0]), list(self.get("/v1/workers")["workers"][0]))


class Setting(Case):
    """Every key, with values that it takes and values that it does not."""

    disks = ("vda,path=vda.raw,size=1M,socket=vda.sock", "vdb,backend=null,size=1G,socket=vdb.sock")
    net = ("--port", "vm1,switch=lan,socket=vm1.sock", "--uplink", "lo0,switch=lan,type=loop")

    def start(self, *arguments, **options):
        """The image must be there before the daemon."""
        self.image("vda.raw")
        return super().start(*arguments, **options)

    def good_values(self, row, now):
        """Two values of the row's type that differ from the one it has."""
        kind = row["type"]
        if kind == "boolean":
            values = [not now]
        elif kind == "choice":
            values = row["choices"]
        elif kind in ("integer", "descriptor", "size"):
            values = [value for value in (row["minimum"], row["minimum"] + 1, row["maximum"])
                      if kind != "size" or value % 512 == 0]
        elif kind == "cpu-list":
            values = [str(cpu) for cpu in CPUS]
        elif kind == "cpu-order":
            values = [",".join(map(str, reversed(CPUS))), str(CPUS[0])]
        else:
            values = {"mode": ["0660"], "name": ["other"], "text": ["other"], "path": ["other"],
                      "user": [0], "group": [0], "mac-address": ["02:00:00:00:00:01"],
                      "vlan-list": ["0,7-9", "4094"], "key": ["01:02:0f", "6d"],
                      "table": ["0,15,1,0", "1"], "words": ["tcpv4,udpv6", "ipv4"]}[kind]
        return [value for value in values if value != now][:2]

    def bad_values(self, row):
        kind = row["type"]
        values = [[], [1], {}, {"a": {"b": 1}}, ""]
        values += {"boolean": ["perhaps", 2], "choice": ["zzz", 7, True],
                   "cpu-list": ["9999", "3-", "x"], "cpu-order": ["x", "1-", "-"],
                   "mac-address": ["x", "01:00:5e:00:00:01"],
                   "vlan-list": ["x", "9-8", "4095"],
                   "key": ["6d:5", "x", "01" * 41, 7], "words": ["tcp", "ipv4,ipv4", True],
                   "table": ["0,1,2", "0,16", "64", "x", ",".join(["0"] * 1024)],
                   }.get(kind, [])
        if kind == "integer":
            values += [row["maximum"] + 1, -1, 1.5, "x", "0x10", 10 ** 18, True]
        return values

    def path_of(self, name):
        return "/v1/daemon" if name == "daemon" else f"/v1/objects/{name}"

    def state(self, name):
        return self.get(self.path_of(name))["config"]

    def set_both_ways(self, name, key, value):
        """(done, errors) of the API; the command, asked the same after, must agree."""
        status, document = self.ask("PATCH", self.path_of(name), {key: value})
        after = self.state(name)
        if status == 200:
            self.assertEqual(document["config"], after)
            self.assertEqual(flat(after)[key], value)
        if not isinstance(value, (list, dict)) and value not in ("", None):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            code, out, lines = self.pario("set", name, f"{key}={text}")
            self.assertEqual(code, 0 if status == 200 else 1, (key, value, lines))
            self.assertEqual(lines, [f"pario: {line}" for line in document.get("errors", [])])
            self.assertEqual(out, f"{name} is changed\n" if code == 0 else "")
            self.assertEqual(self.state(name), after)
        return status, document.get("errors", [])

    def check_key(self, name, row):
        key = row["key"]
        before = self.state(name)
        for value in self.good_values(row, flat(before)[key]):
            with self.subTest(name=name, key=key, good=value):
                status, errors = self.set_both_ways(name, key, value)
                if not row["runtime"]:
                    self.assertEqual(status, 400)
                    self.assertIn(f".{key}: cannot be changed while it runs", errors[0])
                elif key == "rq-affinity":
                    # The machine may have no block device that can be asked.
                    self.assertIn(status, (200, 400))
                else:
                    self.assertEqual((status, errors), (200, []))
                if status != 200:
                    self.assertEqual(self.state(name), before)
        now = self.state(name)
        for value in self.bad_values(row):
            with self.subTest(name=name, key=key, bad=value):
                status, errors = self.set_both_ways(name, key, value)
                self.assertEqual(status, 400, errors)
                self.assertIn(key.split(".")[0], errors[0])
                self.assertEqual(self.state(name), now)
        if row["runtime"] and key != "rq-affinity":
            with self.subTest(name=name, key=key, given_back=True):
                self.assertEqual(self.ask("PATCH", self.path_of(name), {key: None})[0], 200)
                self.assertEqual(self.state(name), before)
                self.run_pario("set", name, f"{key}=")
                self.assertEqual(self.state(name), before)

    def check_all(self, name, table, least=6):
        rows = self.get("/v1/schema")[table]
        self.assertGreaterEqual(sum(row["runtime"] for row in rows), least)
        for row in rows:
            modes = row.get("steering-modes")
            if modes:
                self.run_pario("set", name, f"steering.mode={modes[0]}")
            self.check_key(name, row)
            if modes:
                self.run_pario("set", name, "steering.mode=")

    def test_every_key_of_a_disk(self):
        self.check_all("vda", "disks")

    def test_every_key_of_a_disk_that_is_served(self):
        process = self.bench("vdb", "--runtime", 600)
        wait_until(lambda: self.get("/v1/disks/vdb")["counters"]["ring"]["completed"] > 1000,
                   "the disk is served")
        self.check_all("vdb", "disks")
        self.assertIsNone(process.poll(), "the front end has ended")
        seen = self.get("/v1/disks/vdb")["counters"]["ring"]["completed"]
        wait_until(lambda: self.get("/v1/disks/vdb")["counters"]["ring"]["completed"] > seen,
                   "the disk is still served")

    def test_every_key_of_a_port(self):
        self.check_all("vm1", "ports")

    def test_every_key_of_switches_and_uplinks(self):
        self.check_all("lan", "switches", 0)
        self.check_all("lo0", "uplinks", 2)

    def test_every_key_of_the_daemon(self):
        self.check_all("daemon", "daemon")

    def test_disks_follow_the_daemon(self):
        self.run_pario("set", "vda", "poll-max-us=7")
        self.run_pario("set", "daemon", "poll-max-us=9", "poll=never")
        self.assertEqual(flat(self.state("vda"))["poll-max-us"], 7)
        self.assertEqual(flat(self.state("vdb"))["poll-max-us"], 9)
        self.assertEqual(flat(self.state("vda"))["poll"], "never")

    def test_all_or_nothing(self):
        before = self.state("vda")
        status, _, lines = self.pario("set", "vda", "poll=never", "poll-max-us=x", "queues=1",
                                      "nonsense=1")
        self.assertEqual((status, len(lines)), (1, 3), lines)
        self.assertIn("unknown key", " ".join(lines))
        self.assertEqual(self.state("vda"), before)

    def test_what_is_shown_can_be_given(self):
        for name, table in (("vda", "disks"), ("daemon", "daemon")):
            runtime = [row["key"] for row in self.get("/v1/schema")[table] if row["runtime"]]
            before = self.state(name)
            changes = {key: value for key, value in flat(before).items() if key in runtime}
            status, document = self.ask("PATCH", self.path_of(name), changes)
            self.assertEqual(status, 200, document)
            self.assertEqual(self.state(name), before)

    def test_nested(self):
        self.ask("PATCH", "/v1/disks/vda", {"coalesce": {"mode": "static", "packets": 3}})
        self.assertEqual(self.state("vda")["coalesce"]["packets"], 3)
        self.assertEqual(self.state("vda")["coalesce"]["mode"], "static")


class Ports(Case):
    """Interrupts and steering of ports, as a person sets and sees them."""

    net = ("--port", "vm1,switch=lan,socket=vm1.sock,queue-pairs=2",
           "--port", "vm2,switch=lan,socket=vm2.sock,steering.mode=rss")

    def setUp(self):
        super().setUp()
        self.names = {**self.names, "ports": "vm1"}

    def port(self, name="vm1"):
        return self.get(f"/v1/ports/{name}")

    def test_a_tables_keys_belong_to_modes(self):
        config = self.port()["config"]
        self.assertEqual(config["steering"],
                         {"mode": "learn", "types": None, "key": None, "table": None,
                          "inner": False, "interval-ms": None})
        self.assertEqual(config["coalesce"], {"mode": "adaptive", "packets": 256, "usecs": 1500})
        self.assertNotIn("steering.types", self.run_pario("show", "vm1", "--all"))
        self.assertEqual(self.port("vm2")["config"]["steering"],
                         {"mode": "rss", "types": "all", "key": None, "table": None,
                          "inner": False, "interval-ms": None})
        self.assertIn("steering.types", self.run_pario("show", "vm2", "--all"))

    def test_set(self):
        self.run_pario("set", "vm1", "steering.mode=rebalance", "steering.table=1,0,1,1",
                       "steering.key=6D5A56", "steering.types=udpv4,tcpv4",
                       "steering.interval-ms=50", "steering.inner=on", "coalesce.mode=static",
                       "coalesce.usecs=77")
        port = self.port()
        self.assertEqual(port["config"]["steering"],
                         {"mode": "rebalance", "types": "tcpv4,udpv4", "key": "6d:5a:56",
                          "table": "1,0,1,1", "inner": True, "interval-ms": 50})
        self.assertEqual(port["config"]["coalesce"],
                         {"mode": "static", "packets": 256, "usecs": 77})
        self.assertEqual((port["steering"]["mode"], port["steering"]["by"]), ("rebalance", "host"))
        self.assertEqual(json.loads(self.run_pario("--json", "show", "vm1"))["steering"],
                         port["steering"])
        self.assertIn("steering rebalance, by the host", self.run_pario("show", "vm1"))
        self.run_pario("set", "vm1", *(f"{key}=" for key in port["given"]
                                       if key.split(".")[0] in ("steering", "coalesce")))
        self.assertEqual(self.port()["config"]["steering"]["mode"], "learn")
        self.assertEqual(self.port()["steering"]["mode"], "learn")
        # Disks follow the daemon, ports do not.
        self.run_pario("set", "daemon", "coalesce.usecs=33")
        self.assertEqual(self.get("/v1/disks/vda")["config"]["coalesce"]["usecs"], 33)
        self.assertEqual(self.port()["config"]["coalesce"]["usecs"], 1500)

    def test_what_cannot_be_changes_nothing(self):
        self.run_pario("set", "vm1", "steering.mode=rss", "steering.table=0,1")
        before = self.port()
        for changes, words in (
                (["steering.table=0,2"],
                 "port vm1.steering.table: queue pair 2 at entry 1 is not there: queue-pairs is 2 "
                 "(allowed: 0 to 1)"),
                (["steering.table=0,1,0"], "has 3 entries, which is no power of two"),
                (["steering.table=" + ",".join(["0"] * 1024)], "has 1024 entries, the maximum is"),
                (["steering.key=" + "ab" * 41], "is a key of 41 bytes, the maximum is 40"),
                (["steering.key=abc"], "a single hexadecimal digit, not two"),
                (["steering.types=ipv4,sctp"], "has \"sctp\", which is none of the choices"),
                (["steering.interval-ms=100"],
                 "port vm1.steering.interval-ms: means nothing with steering.mode rss (allowed "
                 "with: rebalance)"),
                (["steering.mode=learn"], "steering.table: means nothing with steering.mode learn"),
                (["coalesce.usecs=10001", "coalesce.mode=off"],
                 "port vm1.coalesce.usecs: 10001 is above the maximum of 10000"),
                (["coalesce.packets=1025", "steering.inner=true"],
                 "port vm1.coalesce.packets: 1025 is above the maximum of 1024")):
            with self.subTest(changes=changes):
                status, out, lines = self.pario("set", "vm1", "poll=never", *changes)
                self.assertEqual((status, out, len(lines)), (1, "", 1), lines)
                self.assertIn(words, lines[0])
                after = self.port()
                self.assertEqual((after["config"], after["given"], after["steering"]),
                                 (before["config"], before["given"], before["steering"]))
        self.refused(400, "queue pair 3 at entry 0", "POST", "/v1/ports",
                     {"name": "vm3", "switch": "lan", "socket": "vm3.sock", "queue-pairs": 2,
                      "steering": {"mode": "rss", "table": "3"}})
        self.assertEqual(len(self.get("/v1/ports")["ports"]), 2)

    def test_seen_while_frames_flow(self):
        # pylint: disable-next=consider-using-with
        process = subprocess.Popen(
            [PROGRAMS["bench"], "net", "vm1.sock", "vm2.sock", "--queue-pairs", "2", "--rate",
             "20000", "--notify", "irq", "--runtime", "600"], cwd=self.dir,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def received(port="vm2"):
            return [queue for queue in self.port(port)["queues"]
                    if queue["idx"] % 2 == 0 and queue["interrupts"]["sent"] > 10]

        wait_until(received, "interrupts are sent")
        queue = received()[0]
        interrupts = queue["interrupts"]
        self.assertGreaterEqual(interrupts["carried"], interrupts["sent"] // 2)
        self.assertAlmostEqual(interrupts["per_interrupt"],
                               interrupts["carried"] / interrupts["sent"])
        self.assertEqual([queue["coalesce"][key] for key in ("mode", "packets", "usecs", "by")],
                         ["adaptive", 256, 1500, "host"])
        self.assertEqual(set(queue["coalesce"]["now"]), {"packets", "usecs", "why"})
        self.assertGreater(queue["coalesce"]["held"]["count"], 0)
        steering = self.port("vm2")["steering"]
        self.assertEqual((steering["mode"], steering["by"]), ("rss", "host"))
        self.assertEqual(set(steering["table"].split(",")), {"0", "1"})
        self.assertEqual(len(steering["load"]), len(steering["table"].split(",")))
        self.assertEqual([one["pair"] for one in steering["queues"]], [0, 1])
        self.assertEqual(sum(one["buckets"] for one in steering["queues"]), len(steering["load"]))
        shown = self.run_pario("show", "vm2")
        for words in ("steering rss, by the host", "hashed: ipv4 tcpv4", "INTERRUPTS", "SHARE"):
            self.assertIn(words, shown)
        # What is set is what the queues do from then on, and frames go on.
        self.run_pario("set", "vm2", "coalesce.mode=static", "coalesce.packets=8",
                       "coalesce.usecs=200", "steering.table=1")
        for queue in received():
            self.assertEqual(queue["coalesce"]["mode"], "static")
            self.assertEqual((queue["coalesce"]["now"]["packets"],
                              queue["coalesce"]["now"]["usecs"]), (8, 200))
        wait_until(lambda: self.port("vm2")["steering"]["table"] == "1", "the table is another")

        def carried():
            queues = self.port("vm2")["queues"]
            return [queues[i]["interrupts"]["carried"] for i in (0, 2)]

        def of_pair_0():
            """What comes on it while a hundred frames come on the other."""
            before = carried()
            wait_until(lambda: carried()[1] > before[1] + 100, "frames come on pair 1")
            return carried()[0] - before[0]

        wait_until(lambda: of_pair_0() == 0, "frames go on, on the pair of the table")
        wait_until(lambda: self.port("vm2")["steering"]["queues"][0]["load"] > 100,
                   "its load is seen")
        self.assertEqual(self.port("vm2")["steering"]["queues"][0]["pair"], 1)
        # By load: an even table again, of which both pairs carry something.
        self.run_pario("set", "vm2", "steering.table=", "steering.mode=rebalance",
                       "steering.interval-ms=20")
        wait_until(lambda: of_pair_0() > 0, "both pairs carry frames")
        wait_until(lambda: all(one["load"] for one in self.port("vm2")["steering"]["queues"]),
                   "the load of both is seen")
        # Flows of the other side come back on the pair that they are sent from.
        self.assertEqual(self.port("vm1")["steering"]["mode"], "learn")
        wait_until(lambda: self.port("vm1")["steering"]["flows_learnt"] > 0, "flows are learnt")
        self.assertGreater(self.port("vm1")["steering"]["flows"], 0)
        self.assertIsNone(process.poll(), "the front end has ended")


class ComingAndGoing(Case):
    def test_a_network_that_comes_and_goes(self):
        def add(kind, spec):
            self.assertEqual(self.run_pario("add", kind, spec), f"{spec.split(',')[0]} is added\n")

        for _ in range(3):
            add("port", "p,switch=lan,socket=p.sock,queue-pairs=2")
            add("uplink", "u,switch=lan,type=loop")
            add("switch", "s,mac-aging=5")
            self.assertTrue((self.dir / "p.sock").exists())
            self.assertEqual(self.get("/v1/switches/lan")["ports"], ["p"])
            self.refused(409, "switch lan: port p is on it: remove that first", "DELETE",
                         "/v1/switches/lan")
            self.refused(404, "no port is named \"u\"", "DELETE", "/v1/ports/u")
            self.refused(400, "port x.switch: \"u\" is no switch but the name of an uplink",
                         "POST", "/v1/ports", {"name": "x", "switch": "u", "socket": "x.sock"})
            self.refused(400, "port p.name: \"p\" is already the name of another port", "POST",
                         "/v1/ports", {"name": "p", "switch": "new", "socket": "x.sock"})
            self.assertEqual(len(self.get("/v1/switches")["switches"]), 2)
            for name in ("p", "u", "lan", "s"):
                self.assertEqual(self.run_pario("remove", name), f"{name} is removed\n")
            self.assertFalse((self.dir / "p.sock").exists())
            self.assertEqual([len(one) for one in self.get("/v1/objects").values()], [1, 0, 0, 0])

    def completed(self, name):
        return self.get(f"/v1/disks/{name}")["counters"]["ring"]["completed"]

    def test_added_served_and_removed(self):
        self.assertEqual(self.run_pario("add", "disk",
                                        "new,backend=ram,size=16M,socket=new.sock"),
                         "new is added\n")
        self.assertEqual([disk["name"] for disk in self.get("/v1/disks")["disks"]],
                         ["vda", "new"])
        process = self.bench("new", "--runtime", 600)
        wait_until(lambda: self.completed("new") > 1000, "the new disk is served")
        disk = self.get("/v1/disks/new")
        self.assertEqual(disk["state"], "connected")
        self.assertEqual(disk["front_end_pid"], process.pid)
        self.assertEqual([queue["state"] for queue in disk["queues"]], ["running"] * 2)
        for queue in disk["queues"]:
            self.assertIn(queue["cpu"], CPUS)
            self.assertEqual(CPUS[queue["worker"]], queue["cpu"])
            self.assertGreater(queue["latency"]["count"], 0)
            self.assertEqual(sum(bucket[1] for bucket in queue["latency"]["buckets"]) > 0, True)
        self.assertEqual(sum(worker["queues"] for worker in self.get("/v1/workers")["workers"]), 2)
        self.assertIn("running", self.run_pario("show", "new"))
        seen = self.completed("new")
        wait_until(lambda: self.completed("new") > seen, "its counters move")
        # While it is busy.
        self.assertEqual(self.run_pario("remove", "new"), "new is removed\n")
        self.assertFalse((self.dir / "new.sock").exists())
        self.assertEqual([disk["name"] for disk in self.get("/v1/disks")["disks"]], ["vda"])
        self.refused(404, "\"new\"", "GET", "/v1/disks/new")
        process.wait(DEADLINE_SECONDS)
        # The name and the socket are free again.
        status, document = self.ask("POST", "/v1/disks", {
            "name": "new", "backend": "null", "size": 1 << 20, "socket": "new.sock",
            "features": {"packed": False}})
        self.assertEqual(status, 201, document)
        self.assertFalse(document["config"]["features"]["packed"])

    def test_names_that_look_like_others(self):
        for name in ("..", "-x", "5"):
            self.run_pario("add", "disk", "--", f"{name},backend=ram,size=1M,socket={name}.sock")
            self.assertIn(f"{name}: disk, waiting", self.run_pario("show", "--", name))
            self.run_pario("remove", "--", name)
        status, document = self.ask("POST", "/v1/disks", {"name": 5, "backend": "null",
                                                          "size": "1M", "socket": "5.sock"})
        self.assertEqual((status, document.get("name")), (201, "5"), document)

    def test_what_cannot_be_added(self):
        for spec, words in (
                ("vda,backend=null,size=1M,socket=b.sock", "\"vda\" is already the name"),
                ("b,backend=null,size=1M,socket=vda.sock", "is already the socket"),
                ("b,backend=null,size=1M", "no front end can reach it"),
                ("b,path=none.raw,socket=b.sock", "none.raw does not exist"),
                ("b,backend=null,size=x,socket=b.sock", "size: \"x\" is not a size"),
                ("b,nonsense=1", "unknown key"),
                ("b b,backend=null,size=1M,socket=b.sock", "a letter that is not allowed")):
            with self.subTest(spec=spec):
                status, out, lines = self.pario("add", "disk", spec)
                self.assertEqual((status, out), (1, ""), lines)
                self.assertIn(words, " ".join(lines))
                self.assertEqual(len(self.get("/v1/disks")["disks"]), 1)
                self.assertFalse((self.dir / "b.sock").exists())

    def test_a_comma_in_a_value(self):
        self.image("a,b.raw")
        self.run_pario("add", "disk", "b,path=a,,b.raw,socket=b,,1.sock")
        config = self.get("/v1/disks/b")["config"]
        self.assertEqual((config["path"], config["socket"]), ("a,b.raw", "b,1.sock"))
        self.run_pario("remove", "b")

    def test_resize(self):
        self.image("b.raw")
        self.run_pario("add", "disk", "b,path=b.raw,socket=b.sock")
        self.assertEqual(self.run_pario("resize", "b", "2M"), "b is resized\n")
        self.assertEqual(self.get("/v1/disks/b")["capacity_bytes"], 2 << 20)
        self.assertEqual((self.dir / "b.raw").stat().st_size, 2 << 20)
        for size in ("1M", "x", "0", ""):
            status, _, lines = self.pario("resize", "b", size)
            self.assertEqual((status, len(lines)), (1, 1), lines)
            self.assertEqual(self.get("/v1/disks/b")["capacity_bytes"], 2 << 20)
        self.refused(400, "only a disk of backend file", "POST", "/v1/disks/vda/resize",
                     {"size": "2G"})

    def test_all_may_go(self):
        counters = self.get("/v1/counters")
        self.run_pario("remove", "vda")
        self.assertEqual(self.get("/v1/disks")["disks"], [])
        self.assertEqual(self.run_pario("list").split()[0], "NAME")
        self.assertEqual(self.get("/v1/counters"), counters)


class Hostile(Case):
    def still_serves(self):
        self.assertEqual(len(self.get("/v1/disks")["disks"]), 1)

    def send(self, data):
        """Sends, reads what comes, and leaves."""
        connection = self.connect(self.api)
        connection.settimeout(0.2)
        try:
            connection.sendall(data)
            connection.recv(65536)
        except OSError:
            pass
        connection.close()

    def test_garbage(self):
        source = random.Random(3)
        for size in (1, 2, 10, 100, 1000, 100000):
            self.send(source.randbytes(size))
            self.send(b"GET " + source.randbytes(size) + b" HTTP/1.1\r\n\r\n")
            self.send(b"PATCH /v1/disks/vda HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
                      % size + source.randbytes(size))
        self.send(b"GET /v1 HTTP/1.1\r\nX: " + b"h" * 1000000 + b"\r\n\r\n")
        self.send(b"GET /v1 HTTP/1.1\r\n" + b"X: y\r\n" * 100000 + b"\r\n")
        self.still_serves()

    def test_many_connections(self):
        connections = []
        for i in range(200):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.addCleanup(connection.close)
            connection.setblocking(False)
            try:
                connection.connect(str(self.api))
                connection.send(b"GET /v1/stats HTTP/1.1\r\nHost: x\r\n" + b"\r\n" * (i % 2))
            except BlockingIOError:
                pass
            connections.append(connection)
        for connection in connections:
            connection.close()
        # Waits for its turn behind those that are gone; pario does not.
        self.still_serves()
        self.run_pario("list")

    def test_leaving_while_it_waits(self):
        for i in range(50):
            path = b"/v1/disks/vda" if i % 2 else b"/v1/daemon"
            connection = self.connect(self.api)
            connection.sendall(b"PATCH " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n"
                               b"\r\n{\"poll\":\"never\"}")
            connection.close()
        self.still_serves()

    def test_the_end_with_clients(self):
        """tearDown ends the daemon with all of these there."""
        self.bench("vda", "--runtime", 600)
        for request in (b"", b"GET /v1", b"GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"DELETE /v1/disks/vda HTTP/1.1\r\nHost: x\r\n\r\n"):
            self.connect(self.api).sendall(request)

    def test_second_daemon(self):
        self.refuse("daemon.api: somebody listens on", "--api", self.api, "--workers", CPUS[0],
                    "--disk", "x,backend=null,size=1M,socket=x.sock")
        self.daemon.send(signal.SIGHUP)
        self.still_serves()


def main():
    if len(sys.argv) < 4:
        sys.exit(f"usage: {sys.argv[0]} PARIOD PARIO PARIO-BENCH [TEST]...")
    pariod_rig.Case.program = os.path.abspath(sys.argv.pop(1))
    PROGRAMS["pario"] = os.path.abspath(sys.argv.pop(1))
    PROGRAMS["bench"] = os.path.abspath(sys.argv.pop(1))
    unittest.main()


if __name__ == "__main__":
    main()
