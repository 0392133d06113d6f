# SPDX-License-Identifier: Apache-2.0
"""Starts programs so that none outlives the test, and ends each by its own pid.

Not a shell: arguments are lists, output goes to a file or to a pipe that the caller reads.
"""

import os
import shutil
import subprocess
import time

from rig.errors import RigError

POLL_SECONDS = 0.02


def need(program, package):
    """The path of a program, or an error that names the Debian package it is in."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise RigError(f"no {program}: install {package} (scripts/setup.sh does)")
    return path


def wait_until(condition, seconds, what, also=None):
    """Polls condition() until it is true. also() may raise when waiting has become pointless."""
    end = time.monotonic() + seconds
    while not condition():
        if also:
            also()
        if time.monotonic() > end:
            raise RigError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)


def run(argv, seconds=60, **kwargs):
    """Runs a short tool to its end; returns the completed process with its output as text."""
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=seconds, check=False,
                              text=True, errors="replace", **kwargs)
    except subprocess.TimeoutExpired as expired:
        raise RigError(f"{argv[0]}: not done within {seconds} s") from expired


class Child:
    """A long-running program. The kernel kills it if this process dies without ending it."""

    def __init__(self, name, argv, log=None, pipe=False, cwd=None, stdin=None):
        self.name = name
        self.argv = [str(a) for a in argv]
        # setpriv execs: the pid stays that of the program.
        wrapped = [need("setpriv", "util-linux"), "--pdeathsig", "KILL", *self.argv]
        out = subprocess.PIPE if pipe else open(log, "ab")
        try:
            self.popen = subprocess.Popen(
                wrapped, stdin=subprocess.PIPE if pipe else
                subprocess.DEVNULL if stdin is None else stdin, stdout=out,
                stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True)
        finally:
            if not pipe:
                out.close()

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def must_live(self):
        if not self.alive():
            raise RigError(f"{self.name} ended by itself with status {self.popen.returncode}")

    def wait(self, seconds):
        """The exit status, or None when it still runs after so many seconds."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        """Ends it now, whatever it does. Harmless on one that has ended."""
        if self.alive():
            self.popen.kill()
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream:
                try:
                    stream.close()
                except OSError:
                    pass
