# SPDX-License-Identifier: Apache-2.0
"""A guest as a shell: a command goes in, its output and status come back.

The guest's side is guest/shell.sh. Not a terminal: a command is one line and reads nothing.
"""

import os
import re
import selectors
import time

from rig.errors import RigError
from rig.transcript import TROUBLE

BOOT_SECONDS = 120
COMMAND_SECONDS = 60
MARK = re.compile(r"@pario (ready|status|fail|end)\b ?(.*)$")


class Shell:
    """Wraps a machine whose scenario is "shell". Use it in a `with`: it ends the machine."""

    def __init__(self, machine, name):
        self.machine = machine
        self.name = name
        self.pending = b""
        self.order = None

    def boot(self):
        """Starts the machine and returns at once; ready() waits."""
        self.machine.start()
        os.set_blocking(self.machine.child.popen.stdout.fileno(), False)

    def ready(self):
        for word, _rest in self._lines(BOOT_SECONDS, "to boot"):
            if word == "ready":
                return

    def begin(self, command):
        """Has the guest start on a command; result() waits for it."""
        if self.order is not None:
            raise RigError(f"{self.name} is still busy with: {self.order}")
        self.order = command
        try:
            self.machine.child.popen.stdin.write(command.encode() + b"\n")
            self.machine.child.popen.stdin.flush()
        except OSError as error:
            raise RigError(f"{self.name} has died before: {command}") from error

    def result(self, seconds=COMMAND_SECONDS):
        """(status, output) of the command that was begun."""
        command = self.order
        out = []
        for word, rest in self._lines(seconds, f"for: {command}"):
            if word == "status":
                self.order = None
                return int(rest), "\n".join(out)
            if word is None:
                out.append(rest)
        raise RigError(f"{self.name}: no answer to: {command}")

    def settle(self, seconds=COMMAND_SECONDS):
        """After a failure: waits for what is still under way."""
        if self.order is not None:
            self.result(seconds)

    def try_sh(self, command, seconds=COMMAND_SECONDS):
        """(status, output) of a command."""
        self.begin(command)
        return self.result(seconds)

    def sh(self, command, seconds=COMMAND_SECONDS):
        """Output of a command that must succeed."""
        status, out = self.try_sh(command, seconds)
        if status:
            raise RigError(f"{self.name}: status {status} of: {command}\n{out}")
        return out

    def end(self):
        """Powers it off; returns what is wrong with that, and what its kernel complained about."""
        faults = [f"{self.name}: its kernel says: {line}"
                  for line in self.sh("dmesg").splitlines() if TROUBLE.search(line)]
        self.machine.child.popen.stdin.write(b"pario-end\n")
        self.machine.child.popen.stdin.flush()
        for _word, _rest in self._lines(COMMAND_SECONDS, "to end", may_end=True):
            pass
        status = self.machine.child.wait(10)
        if status != 0:
            faults.append(f"{self.name} ended with status {status}")
        return faults

    def _lines(self, seconds, what, may_end=False):
        """(word, rest) of each line that is for us; word is None for a command's output."""
        end = time.monotonic() + seconds
        stream = self.machine.child.popen.stdout
        with open(self.machine.log, "ab") as log, selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while True:
                while b"\n" in self.pending:
                    raw, self.pending = self.pending.split(b"\n", 1)
                    line = raw.decode(errors="replace").rstrip("\r")
                    found = MARK.search(line)
                    if found and found.group(1) == "fail":
                        raise RigError(f"{self.name}: step failed: {found.group(2)}")
                    if found:
                        yield found.groups()
                    elif line.startswith("@out "):
                        yield None, line[5:]
                if time.monotonic() > end:
                    raise RigError(f"{self.name}: not within {seconds} s, {what}")
                if not selector.select(1):
                    continue
                data = stream.read(1 << 16)
                if not data:
                    if may_end:
                        return
                    raise RigError(f"{self.name} has died, {what}")
                log.write(data)
                log.flush()
                self.pending += data

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.machine.__exit__(*exc)
