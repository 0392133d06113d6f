# SPDX-License-Identifier: Apache-2.0
"""Finds the guest kernels and the Debian testing tree that scripts/setup.sh put in the cache.

Not a downloader: what is missing is an error that names the command which gets it.
"""

import os
from pathlib import Path

from rig.errors import RigError


def directory():
    """The cache directory, chosen as in scripts/setup.sh."""
    if os.environ.get("PARIO_CACHE"):
        return Path(os.environ["PARIO_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "pario"


class Kernel:
    """A guest kernel: its image, and the directory with its modules."""

    def __init__(self, name, image, modules):
        self.name = name
        self.image = image
        self.modules = modules


def cloud_kernel():
    """Debian's cloud kernel, for QEMU."""
    root = directory() / "kernel"
    images = sorted(root.glob("boot/vmlinuz-*"))
    if not images:
        raise RigError(f"no guest kernel in {root}: run scripts/setup.sh vm")
    release = images[-1].name.removeprefix("vmlinuz-")
    modules = [d for d in (root / "lib/modules" / release, root / "usr/lib/modules" / release)
               if d.is_dir()]
    if not modules:
        raise RigError(f"no modules of {release} in {root}: remove it and run scripts/setup.sh vm")
    return Kernel(f"Linux {release}", images[-1], modules[0])


def testing_root():
    """The unpacked packages of Debian testing: User-Mode Linux, libblkio and their libc."""
    root = directory() / "testing"
    if not (root / "usr/bin/linux.uml").exists():
        raise RigError(f"no User-Mode Linux in {root}: run scripts/setup.sh uml")
    return root


def uml_kernel():
    """User-Mode Linux of Debian testing; its image is a program inside testing_root()."""
    root = testing_root()
    modules = sorted((root / "usr/lib/uml/modules").iterdir())
    if not modules:
        raise RigError(f"no modules in {root}: remove it and run scripts/setup.sh uml")
    return Kernel(f"User-Mode Linux {modules[-1].name}", root / "usr/bin/linux.uml", modules[-1])
