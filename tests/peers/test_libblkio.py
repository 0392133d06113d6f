#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian testing's libblkio does I/O on a disk, through a small program of ours.

Not the program: that is libblkio_rw.c. The library is new and wants a new libc, so both are taken
from the tree in the cache, by its own dynamic linker.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "vm"))

# pylint: disable=wrong-import-position
from rig import backend, cache, image, process, session
from rig.errors import RigError

DISK_BYTES = 32 << 20
RUN_SECONDS = 120


def compile_program(root, target):
    libraries = root / "usr/lib/x86_64-linux-gnu"
    done = process.run([process.need("gcc", "gcc"), "-std=gnu17", "-O2", "-Wall", "-Wextra",
                        "-Werror", "-D_GNU_SOURCE", f"-I{root / 'usr/include'}",
                        HERE / "libblkio_rw.c", "-o", target, f"-L{libraries}", "-lblkio",
                        # libblkio's own needs are met by the libc that it runs with.
                        "-Wl,--allow-shlib-undefined"])
    if done.returncode:
        raise RigError(f"libblkio_rw.c does not compile:\n{done.stdout.strip()}")
    return [root / "lib64/ld-linux-x86-64.so.2", "--library-path", libraries, target]


def test(options, work):
    command = compile_program(cache.testing_root(), work / "libblkio_rw")
    disk = backend.Disk("vda", work / "vda.raw", work / "vda.sock", queues=4, discard=True)
    image.make_sparse(disk.path, DISK_BYTES)
    with backend.make(options.backend, options.pariod, [disk], work) as server:
        server.start()
        done = process.run([*command, disk.socket, disk.path], seconds=RUN_SECONDS)
        print(f"{server.name}: {done.stdout.strip()}")
        faults = [] if done.returncode == 0 else [f"libblkio_rw: status {done.returncode}"]
        faults += server.stop()
    return faults


def main():
    options = session.arguments(__doc__.splitlines()[0]).parse_args()
    session.run("libblkio", options.logs, lambda work: test(options, work))


if __name__ == "__main__":
    main()
