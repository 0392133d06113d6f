# SPDX-License-Identifier: Apache-2.0
"""Runs pariod for tests: to its end when it must refuse, or in the background when it must serve.

Not a test, and nothing of the vhost-user protocol but one question to see that somebody answers.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

DEADLINE_SECONDS = 60
NOBODY = 65534


def wait_until(condition, what):
    """Polls; fails when the condition has not come true within the deadline."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {DEADLINE_SECONDS} s: {what}")
        time.sleep(0.01)
    return value


class Daemon:
    """pariod in the background, ready to serve."""

    def __init__(self, command, log, ready=True, **popen):
        self.log = log
        with open(log, "wb") as stream:
            # pylint: disable-next=consider-using-with
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream,
                                          stderr=stream, **popen)
        if ready:
            self.wait_for("ready: ")

    def text(self):
        return Path(self.log).read_text(encoding="utf-8", errors="replace")

    def wait_for(self, words):
        def seen():
            if words in self.text():
                return True
            if self.popen.poll() is not None:
                raise AssertionError(f"pariod ended with status {self.popen.returncode} before "
                                     f"it said \"{words}\":\n{self.text()}")
            return False
        wait_until(seen, f"pariod says \"{words}\":\n{self.text()}")

    def send(self, number):
        self.popen.send_signal(number)

    def end(self, number=signal.SIGTERM):
        """Its exit status after a signal."""
        self.popen.send_signal(number)
        return self.popen.wait(DEADLINE_SECONDS)

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()


def ask_features(connection):
    """GET_FEATURES, the first message of every front end: 0 if nobody answers as a disk does."""
    connection.settimeout(DEADLINE_SECONDS)
    connection.sendall(struct.pack("=III", 1, 1, 0))
    reply = b""
    while len(reply) < 20:
        part = connection.recv(20 - len(reply))
        if not part:
            return 0
        reply += part
    request, _flags, size, features = struct.unpack("=IIIQ", reply)
    return features if request == 1 and size == 8 else 0


class Case(unittest.TestCase):
    """A test with a directory of its own, and pariod at hand."""

    program = ""

    def setUp(self):
        # Not /tmp, which may be a tmpfs: O_DIRECT is the default and wants a real file system.
        self.dir = Path(tempfile.mkdtemp(prefix="pario-options-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        os.chmod(self.dir, 0o755)
        self.logs = 0

    def image(self, name="disk.raw", size=1 << 20):
        path = self.dir / name
        with open(path, "wb") as stream:
            stream.truncate(size)
        return path

    def run_once(self, *arguments, prefix=(), **options):
        """Status, standard output, lines of standard error of a pariod that must end by itself."""
        done = subprocess.run([*prefix, self.program, *map(str, arguments)], cwd=self.dir,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DEADLINE_SECONDS, check=False,
                              **options)
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        return done.returncode, done.stdout.decode(), lines

    def refuse(self, words, *arguments, **options):
        """pariod must end with status 2, say one line that has all the words, and leave nothing."""
        before = sorted(os.listdir(self.dir))
        status, out, lines = self.run_once(*arguments, **options)
        self.assertEqual((status, len(lines), out), (2, 1, ""), f"{arguments}: {lines} {out}")
        self.assertTrue(lines[0].startswith("pariod: "), lines[0])
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, lines[0])
        self.assertEqual(sorted(os.listdir(self.dir)), before, "something was left behind")
        return lines[0]

    def start(self, *arguments, prefix=(), ready=True, **options):
        """A serving pariod that is gone when the test ends."""
        self.logs += 1
        daemon = Daemon([*prefix, self.program, *map(str, arguments)],
                        self.dir / f"log{self.logs}", ready, cwd=self.dir,
                        **options)
        self.addCleanup(daemon.kill)
        return daemon

    def connect(self, path):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(connection.close)
        connection.connect(str(path))
        return connection

    def unprivileged(self):
        """What to put before a command so that it runs as nobody; nothing if we are not root."""
        if os.geteuid() != 0:
            return ()
        copy = self.dir / "pariod"
        shutil.copy(self.program, copy)
        os.chmod(copy, 0o755)
        self.program = str(copy)
        return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def main():
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} PARIOD [TEST]...")
    Case.program = os.path.abspath(sys.argv.pop(1))
    unittest.main()
