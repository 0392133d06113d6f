# SPDX-License-Identifier: Apache-2.0
"""Counts the fsyncs that reach a file on ext4, with the kernel's ext4_sync_file_enter tracepoint.

Not for everybody: it takes root. What is mounted here is taken down again; own_mounts() sees to
it that nobody else sees it meanwhile, and that it goes even with a process that is killed.
"""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from rig import process
from rig.errors import CannotRun, RigError

IN_NAMESPACE = "PARIO_VM_OWN_MOUNTS"
LOOP_BYTES = 256 << 20


def own_mounts():
    """Runs this program again in a mount namespace of its own, where that can be had."""
    if os.environ.get(IN_NAMESPACE) == "1" or os.geteuid() != 0:
        return
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    if not any(line.split()[4] == "/" for line in mounts):
        return                      # in a chroot that is no mount, propagation cannot be stopped
    os.environ[IN_NAMESPACE] = "1"
    unshare = process.need("unshare", "util-linux")
    os.execv(unshare, [unshare, "--mount", "--propagation", "private", sys.executable, *sys.argv])


@contextlib.contextmanager
def _mounted(target, *arguments):
    """Mounts something on a directory of its own and takes it down again."""
    command = [process.need("mount", "mount"), *map(str, arguments), str(target)]
    target.mkdir()
    done = process.run(command)
    if done.returncode:
        raise RigError(f"{' '.join(command)}: {done.stdout.strip()}")
    try:
        yield target
    finally:
        process.run([process.need("umount", "mount"), "--lazy", str(target)])


def _filesystem(path):
    """The type of the file system that a path is on."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[2] == wanted:
            return words[words.index("-") + 1]
    return "unknown"


@contextlib.contextmanager
def ext4_directory(work):
    """A directory on ext4: work itself, or an ext4 in a file that is mounted there."""
    if _filesystem(work) == "ext4":
        yield work
        return
    image = work / "ext4.raw"
    with open(image, "wb") as out:
        out.truncate(LOOP_BYTES)
    done = process.run([process.need("mkfs.ext4", "e2fsprogs"), "-q", str(image)])
    if done.returncode:
        raise RigError(f"mkfs.ext4: {done.stdout.strip()}")
    with _mounted(work / "ext4", "-o", "loop", image) as target:
        yield target


@contextlib.contextmanager
def tracing():
    """The kernel's tracing directory; not below the work directory, which is removed whole."""
    if os.geteuid() != 0:
        raise CannotRun("tracepoints can be read by root only: run it as root")
    with tempfile.TemporaryDirectory(prefix="pario-trace.") as parent:
        with _mounted(Path(parent) / "tracing", "-t", "tracefs", "tracefs") as root:
            yield root


class SyncCounter:
    """A tracing instance of our own that counts the fsyncs of one file."""

    def __init__(self, root, path):
        self.instance = root / "instances" / f"pario-{os.getpid()}-{path.name}"
        self.instance.mkdir()
        event = self.instance / "events/ext4/ext4_sync_file_enter"
        if not event.exists():
            raise RigError("this kernel has no tracepoint ext4_sync_file_enter")
        info = os.stat(path)
        kernel_device = os.major(info.st_dev) << 20 | os.minor(info.st_dev)
        (event / "filter").write_text(f"ino == {info.st_ino} && dev == {kernel_device}",
                                      encoding="ascii")
        (event / "enable").write_text("1", encoding="ascii")

    def clear(self):
        (self.instance / "trace").write_text("", encoding="ascii")

    def count(self):
        lines = (self.instance / "trace").read_text(encoding="utf-8").splitlines()
        return sum(1 for line in lines if "ext4_sync_file_enter:" in line)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.instance.rmdir()
