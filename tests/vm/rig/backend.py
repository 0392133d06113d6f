# SPDX-License-Identifier: Apache-2.0
"""Starts the vhost-user back end under test: pariod, or qemu-storage-daemon to compare with.

Not a judge: what a peer cannot do stands in its `lacks`, and the judges leave that out.
"""

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from rig import process
from rig.errors import RigError

START_SECONDS = 30
STOP_SECONDS = 30
SANITIZER = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:).*")


@dataclass
class Disk:
    """A disk as the tests think of it; each back end says it in its own words."""

    name: str
    path: Path
    socket: Path
    queues: int = 1
    packed: bool | None = None      # None: the back end's default
    read_only: bool = False
    cache: str | None = None        # None: the back end's default
    discard: bool | None = None
    serial: str = ""
    poll: str | None = None         # None: the back end's default
    coalesce: str | None = None     # mode; None: the back end's default


def _is_listening(path, pid):
    """Whether a socket at path listens, without connecting: that would count as a front end.

    Asked in the process's network namespace, which may not be ours.
    """
    table = Path(f"/proc/{pid}/net/unix")
    try:
        lines = table.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    for line in lines:
        words = line.split()
        if len(words) == 8 and words[7] == str(path) and int(words[3], 16) & 0x10000:
            return True
    return False


class Backend:
    """A running back end with its disks. Use it in a `with`: it is ended whatever happens."""

    name = ""
    lacks = frozenset()

    def __init__(self, program, disks, work):
        self.program = program
        self.disks = disks
        self.log = work / f"{self.name}.log"
        self.child = None

    def arguments(self):
        raise NotImplementedError

    def command(self):
        return [self.program, *self.arguments()]

    def announce_resize(self):
        """Tells the back end that the file of a disk has grown."""
        raise NotImplementedError

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self):
        self.child = process.Child(self.name, self.command(), log=self.log)

        def must_live():
            if not self.child.alive():
                raise RigError(f"{self.name} did not start (status "
                               f"{self.child.popen.returncode}):\n{self.log_text().strip()}")

        for disk in self.disks:
            process.wait_until(lambda disk=disk: _is_listening(disk.socket, self.child.pid),
                               START_SECONDS, f"{self.name} listens on {disk.socket}", also=must_live)

    def stop(self):
        """Ends it the way an operator does; returns what was wrong with that."""
        faults = []
        if not self.child.alive():
            faults.append(f"{self.name} ended before it was told to, status "
                          f"{self.child.popen.returncode}")
        else:
            self.child.popen.send_signal(signal.SIGTERM)
            status = self.child.wait(STOP_SECONDS)
            if status is None:
                faults.append(f"{self.name} did not end within {STOP_SECONDS} s of SIGTERM")
            elif status != 0:
                faults.append(f"{self.name} ended with status {status} on SIGTERM")
        found = SANITIZER.search(self.log_text())
        if found:
            faults.append(f"{self.name}: {found.group(0)}")
        return faults

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.child:
            self.child.kill()


class Pariod(Backend):
    name = "pariod"

    def __init__(self, program, disks, work, workers=0):
        super().__init__(program, disks, work)
        self.cpus = sorted(os.sched_getaffinity(0))[:workers]

    @staticmethod
    def _spec(disk):
        def text(value):
            return str(value).replace(",", ",,")

        def flag(value):
            return "true" if value else "false"

        keys = [f"path={text(disk.path)}", f"socket={text(disk.socket)}", f"queues={disk.queues}"]
        if disk.packed is not None:
            keys.append(f"features.packed={flag(disk.packed)}")
        if disk.read_only:
            keys.append("read-only=true")
        if disk.cache:
            keys.append(f"cache={disk.cache}")
        if disk.discard is not None:
            keys.append(f"discard={flag(disk.discard)}")
        if disk.serial:
            keys.append(f"serial={text(disk.serial)}")
        if disk.poll:
            keys.append(f"poll={disk.poll}")
        if disk.coalesce:
            keys.append(f"coalesce.mode={disk.coalesce}")
        return f"{disk.name}," + ",".join(keys)

    def arguments(self):
        argv = ["--workers", ",".join(map(str, self.cpus))] if self.cpus else []
        for disk in self.disks:
            argv += ["--disk", self._spec(disk)]
        return argv

    def announce_resize(self):
        self.child.popen.send_signal(signal.SIGHUP)


class StorageDaemon(Backend):
    name = "qemu-storage-daemon"
    # packed: libvhost-user has split rings only. serial: the same constant for all disks.
    # wce: it announces write-through and does not sync until the guest has switched the mode.
    # resize: it resizes its node and tells no front end (7.2).
    lacks = frozenset({"packed", "serial", "wce", "resize"})

    def __init__(self, disks, work):
        super().__init__(process.need("qemu-storage-daemon", "qemu-system-common"), disks, work)

    def arguments(self):
        argv = []
        for disk in self.disks:
            only = "on" if disk.read_only else "off"
            direct = "off" if disk.cache == "writeback" else "on"
            discard = "ignore" if disk.discard is False else "unmap"
            argv += ["--blockdev", f"driver=file,node-name=file-{disk.name},filename={disk.path},"
                     f"read-only={only},discard={discard},cache.direct={direct},aio=threads",
                     "--blockdev", f"driver=raw,node-name={disk.name},file=file-{disk.name},"
                     f"read-only={only},discard={discard},cache.direct={direct}",
                     "--export", f"type=vhost-user-blk,id=export-{disk.name},node-name={disk.name},"
                     f"addr.type=unix,addr.path={disk.socket},num-queues={disk.queues},"
                     f"writable={'off' if disk.read_only else 'on'}"]
        return argv


def make(kind, program, disks, work, workers=0):
    """The back end of a kind: "pariod", whose program is given, or "qsd".

    workers: how many threads pariod shall have, as far as there are CPUs; 0 for its default.
    """
    if kind == "qsd":
        return StorageDaemon(disks, work)
    if not program:
        raise RigError("which pariod? give its path with --pariod")
    return Pariod(program, disks, work, workers)
