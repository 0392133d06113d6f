# SPDX-License-Identifier: Apache-2.0
"""Disk images of the tests: making them, and what the host finds in them afterwards."""

import hashlib
import os
import random
import tempfile
from pathlib import Path

from rig import initramfs, process


def make_sparse(path, size_bytes):
    with open(path, "wb") as image:
        image.truncate(size_bytes)


def make_random(path, size_bytes, seed):
    with open(path, "wb") as image:
        image.write(random.Random(seed).randbytes(size_bytes))


def digest(path):
    with open(path, "rb") as image:
        return hashlib.file_digest(image, "sha256").hexdigest()


def allocated_bytes(path):
    return os.stat(path).st_blocks * 512


def check_ext4(path):
    """What e2fsck says against the file system in an image; empty when it is clean."""
    done = process.run([process.need("e2fsck", "e2fsprogs"), "-fn", str(path)], seconds=120)
    if done.returncode:
        return [f"e2fsck -fn {path.name}: status {done.returncode}\n{done.stdout.strip()}"]
    return []


def check_tree(path):
    """Reads the copied tree out of an image without mounting it and compares every file."""
    faults = []
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        done = process.run([process.need("debugfs", "e2fsprogs"), "-R", f"rdump /tree {scratch}",
                            str(path)])
        for name, wanted in initramfs.tree_sums().items():
            copy = Path(scratch) / "tree" / name
            if not copy.is_file():
                faults.append(f"{path.name}: /tree/{name} is not there")
            elif digest(copy) != wanted:
                faults.append(f"{path.name}: /tree/{name} differs from what the guest copied")
    if len(faults) > 5:
        faults = faults[:5] + [f"... {len(faults)} files in all", done.stdout.strip()[-400:]]
    return faults
