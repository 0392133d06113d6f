# SPDX-License-Identifier: Apache-2.0
"""Asks a running pariod by its HTTP API, and a front end that does as it is told.

Not a test.
"""

import http.client
import json
import socket
import subprocess

import pariod_rig


class Connection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=pariod_rig.DEADLINE_SECONDS)
        self.unix_path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.unix_path)


class Api:
    """What a daemon with --api PATH answers."""

    def __init__(self, path):
        self.connection = Connection(path)

    def close(self):
        self.connection.close()

    def ask(self, method, path, body=None):
        """Status and JSON."""
        self.connection.request(method, path, None if body is None else json.dumps(body))
        response = self.connection.getresponse()
        return response.status, json.loads(response.read() or b"null")

    def must(self, method, path, body=None):
        status, answer = self.ask(method, path, body)
        if status not in (200, 201):
            raise AssertionError(f"{method} {path} {body}: {status} {answer}")
        return answer

    def disk(self, name):
        return self.must("GET", f"/v1/disks/{name}")

    def set_disk(self, name, **keys):
        return self.must("PATCH", f"/v1/disks/{name}", keys)


class Front:
    """tests/peers/test_moves_front.c: a line for a line."""

    def __init__(self, program, path, queues, *cpus):
        # pylint: disable-next=consider-using-with
        self.popen = subprocess.Popen([program, str(path), str(queues), *map(str, cpus)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.expect("started")

    def expect(self, answer):
        line = self.popen.stdout.readline().rstrip("\n")
        if line != answer:
            raise AssertionError(f"the front end said \"{line}\" and not \"{answer}\"")

    def do(self, order, answer):
        self.popen.stdin.write(order + "\n")
        self.popen.stdin.flush()
        self.expect(answer)

    def end(self):
        """Its exit status."""
        self.popen.stdin.close()
        return self.popen.wait(pariod_rig.DEADLINE_SECONDS)

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            if not stream.closed:
                stream.close()
