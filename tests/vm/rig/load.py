# SPDX-License-Identifier: Apache-2.0
"""The program traffic (guest/traffic.c) at both ends of an uplink: a known load, and its report.

Not a judge.
"""

import json

from rig import process
from rig.errors import RigError

PORT = 6001
PROGRAM = "/tools/traffic"
SINK_SECONDS = 20


def _report(text, what):
    lines = text.strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise RigError(f"{what} says: {text.strip()[-300:]}") from error


def _words(program):
    """A path, or a list that has one at its end."""
    return program if isinstance(program, list) else [program]


def _begin(card, words, report):
    """Starts a server in the guest, and waits until it has its port."""
    card.run(f"rm -f {report}; {PROGRAM} {words} >{report}.new && mv {report}.new {report} & "
             f"for i in $(seq 200); do grep -q :{PORT:04X} /proc/net/udp && exit; sleep 0.05; "
             f"done; exit 1")


def _end(card, report, seconds):
    out = card.run(f"for i in $(seq {seconds * 10}); do [ -f {report} ] && exec cat {report}; "
                   f"sleep 0.1; done; exit 1", seconds + 30)
    return _report(out, f"traffic in {card.name}")


class Sink:
    """A guest that counts the UDP of its host: send(), then its report. Use it in a `with`."""

    REPORT = "/tmp/sink"

    def __init__(self, card, seconds=SINK_SECONDS, taken=None):
        self.card = card
        self.seconds = seconds
        self.taken = taken          # the only hash that it takes

    def __enter__(self):
        only = "" if self.taken is None else f"-x {self.taken}"
        _begin(self.card, f"sink {PORT} -t {self.seconds} {only}", self.REPORT)
        return self

    def __exit__(self, *exc):
        self.card.run("killall -q traffic; exit 0")

    def report(self):
        """{received, bytes, sent, late}; sent is 0 if the end was not heard of."""
        return _end(self.card, self.REPORT, self.seconds + 5)


def send(host, program, card, seconds, rate, flows=1, size=1472, first_port=0):
    """From the host; returns {sent, seconds}. The last message comes 20 times more, on flow 0."""
    words = [*_words(program), "send", card.v4, PORT, "-t", seconds, "-r", rate, "-n", flows, "-b", size]
    if first_port:
        words += ["-p", first_port]
    return _report(host.namespace.run(*words, seconds=seconds + 30), "traffic send")


class Server:
    """An end that answers TCP and UDP messages. Use it in a `with`."""

    def __init__(self, end, program=PROGRAM, log=None):
        self.end, self.program, self.log, self.child = end, program, log, None

    def __enter__(self):
        if self.log is None:
            _begin(self.end, f"serve {PORT}", "/tmp/serve")
            return self
        self.child = process.Child("traffic", self.end.namespace.command(
            [*_words(self.program), "serve", PORT]), log=self.log)
        process.wait_until(
            lambda: f":{PORT:04X}" in self.end.namespace.run("cat", "/proc/net/udp"), 20,
            "traffic serves")
        return self

    def __exit__(self, *exc):
        if self.child:
            self.child.kill()
        else:
            self.end.run("killall -q traffic; exit 0")


def ping(host, program, card, seconds, rate=200):
    """As ask_from_host(), of echo requests to the guest's kernel."""
    words = [*_words(program), "ping", card.v4, PORT, "-t", seconds, "-r", rate]
    return _report(host.namespace.run(*words, seconds=seconds + 60), "traffic ping")


def ask_words(program, there, seconds, flows, udp, size, first_port):
    words = [*_words(program), "ask", there.v4, PORT, "-t", seconds, "-n", flows, "-b", size]
    if udp:
        words.append("-u")
    if first_port:
        words += ["-p", first_port]
    return [str(word) for word in words]


def ask_from_host(host, program, there, seconds, flows=1, udp=False, size=64, first_port=0):
    """Requests of the host to a server in the guest; {transactions, per_second, p50_us, ...}."""
    words = ask_words(program, there, seconds, flows, udp, size, first_port)
    return _report(host.namespace.run(*words, seconds=seconds + 30), "traffic ask")


def ask_from_guest(card, there, seconds, flows=1, udp=False, size=64, first_port=0, cpu=None):
    """The other way round; cpu: of the guest, from which all are sent."""
    words = ask_words(PROGRAM, there, seconds, flows, udp, size, first_port)
    pinned = [] if cpu is None else ["taskset", f"{1 << cpu:x}"]
    return _report(card.run(" ".join([*pinned, *words]), seconds + 60), f"traffic in {card.name}")
