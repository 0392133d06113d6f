# SPDX-License-Identifier: Apache-2.0
"""Builds the guests' initramfs: busybox, real tools with their libraries, modules, a test tree.

Not the scripts that the guest runs: those are appended for each boot (overlay()).
The archive is a cpio in the "newc" form, uncompressed: an emulated CPU unpacks slowly.
"""

import hashlib
import io
import lzma
import os
import random
import re
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rig import cache, process
from rig.errors import RigError

# Program, Debian package. They go into the guest's /tools and are called by that path there: the
# shell of busybox prefers its own applets to what PATH says.
DISK_TOOLS = [("mkfs.ext4", "e2fsprogs"), ("resize2fs", "e2fsprogs"),
              ("blkdiscard", "util-linux"), ("fstrim", "util-linux"), ("blockdev", "util-linux"),
              ("fio", "fio")]
NET_TOOLS = [("iperf3", "iperf3"), ("ethtool", "ethtool"), ("ip", "iproute2")]
GUEST_SCRIPTS = Path(__file__).resolve().parent.parent / "guest"

KEEP_SECONDS = 7 * 86400    # an archive that no test has used for so long goes
TREE_SEED = 20
TREE_SIZES = [0, 1, 511, 512, 513, 4095, 4096, 4097, 65536, 100001, 1048576, 2500000]


@dataclass(frozen=True)
class Contents:
    """What an archive has for its guest's purpose, beside busybox."""

    tools: tuple
    modules: tuple
    must: str                       # the module without which the guest is of no use
    tree: bool                      # the test tree


DISK = Contents(tuple(DISK_TOOLS), ("virtio_pci", "virtio_blk", "ext4", "crc32c"), "virtio_blk",
                tree=True)
NET = Contents(tuple(NET_TOOLS), ("virtio_pci", "virtio_net", "8021q"), "virtio_net", tree=False)


class Archive:
    """A cpio archive being written."""

    def __init__(self, out):
        self.out = out
        self.inode = 0
        self.seen = set()

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        if name in self.seen:
            return
        self.seen.add(name)
        parent = os.path.dirname(name)
        if parent:
            self.directory(parent)
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0]
        self._write(b"070701" + b"".join(b"%08x" % f for f in fields) + raw)
        self._write(data)

    def _write(self, data):
        self.out.write(data)
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def directory(self, name):
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self._entry(name, stat.S_IFREG | mode, data)

    def symlink(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def char_device(self, name, major, minor):
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def finish(self):
        self._entry("TRAILER!!!", 0)
        self.out.write(b"\0" * (-self.out.tell() % 512))


def _libraries(program):
    """The shared libraries of a program, as the host's dynamic linker resolves them."""
    done = process.run(["ldd", program])
    found = re.findall(r"(?:=> )?(/\S+) \(0x", done.stdout)
    if "not found" in done.stdout or not found:
        raise RigError(f"ldd {program}: {done.stdout.strip()}")
    return found


def _read_module(path):
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _module_closure(directory, contents):
    """Paths of the modules wanted and of what they depend on, in the order to load them.

    Dependencies are read from the modules themselves, because modules.dep is made at installation
    and these packages are only unpacked. A name that is built in, or unknown, needs no loading.
    """
    files = {}
    for path in directory.rglob("*.ko*"):
        files[path.name.split(".ko")[0].replace("-", "_")] = path
    order = []

    def visit(name):
        path = files.get(name.replace("-", "_"))
        if not path or path in order:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", _read_module(path))
        for needed in depends.group(1).decode().split(",") if depends else []:
            visit(needed)
        order.append(path)

    for name in contents.modules:
        visit(name)
    if not any(path.name.startswith(contents.must) for path in order):
        raise RigError(f"no {contents.must} module below {directory}")
    return order


def _test_tree():
    """What the guest copies and checks, the same in every run: (path, content, link target)."""
    rng = random.Random(TREE_SEED)
    for i in range(160):
        size = TREE_SIZES[i % len(TREE_SIZES)] if i < 2 * len(TREE_SIZES) else rng.randrange(20000)
        yield f"tree/d{i % 7}/e{i % 3}/file-{i}", rng.randbytes(size), None
    for i in range(10):
        yield f"tree/links/link-{i}", None, f"../d{i % 7}/e{i % 3}/file-{i}"


def tree_sums():
    """{path below tree/: sha256} of the test tree's regular files."""
    return {path.removeprefix("tree/"): hashlib.sha256(data).hexdigest()
            for path, data, _link in _test_tree() if data is not None}


def _add_tree(archive):
    for path, data, link in _test_tree():
        if link:
            archive.symlink(path, link)
        else:
            archive.file(path, data)
    sums = "".join(f"{digest}  tree/{path}\n" for path, digest in tree_sums().items())
    archive.file("tree.sha256", sums.encode())


def _build(out, busybox, tools, modules, tree):
    archive = Archive(out)
    for name in ("proc", "sys", "tmp", "mnt", "dev", "etc", "root"):
        archive.directory(name)
    archive.char_device("dev/console", 5, 1)
    archive.file("bin/busybox", Path(busybox).read_bytes(), 0o755)
    for applet in process.run([busybox, "--list"]).stdout.split():
        archive.symlink(f"bin/{applet}", "busybox")
    for program, libraries in tools.items():
        archive.file(f"tools/{os.path.basename(program)}", Path(program).read_bytes(), 0o755)
        for library in libraries:
            archive.file(library.lstrip("/"), Path(library).read_bytes(), 0o755)
    for i, path in enumerate(modules):
        archive.file(f"modules/{i:02}-{path.name.removesuffix('.xz')}", _read_module(path))
    if tree:
        _add_tree(archive)
    archive.finish()


def _forget_old(directory):
    for path in directory.glob("*.cpio"):
        if time.time() - path.stat().st_mtime > KEEP_SECONDS:
            path.unlink(missing_ok=True)


def base(kernel, contents):
    """The path of the archive for a kernel and a purpose; made on first use and when a tool has changed."""
    busybox = process.need("busybox", "busybox-static")
    if "not a dynamic" not in process.run(["ldd", busybox]).stdout:
        raise RigError(f"{busybox} is not static: install busybox-static")
    tools = {process.need(*tool): None for tool in contents.tools}
    key = hashlib.sha256(Path(__file__).read_bytes() + repr(contents).encode())
    for path in [Path(busybox), kernel.image, *map(Path, tools)]:
        info = path.stat()
        key.update(f"{path} {info.st_size} {info.st_mtime_ns}\n".encode())
    target = cache.directory() / "initramfs" / f"{key.hexdigest()[:24]}.cpio"
    if not target.exists():
        for program in tools:
            tools[program] = _libraries(program)
        target.parent.mkdir(parents=True, exist_ok=True)
        _forget_old(target.parent)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as out:
            try:
                _build(out, busybox, tools, _module_closure(kernel.modules, contents),
                       contents.tree)
                os.replace(out.name, target)
            except BaseException:
                os.unlink(out.name)
                raise
    os.utime(target)
    return target


def overlay(kernel, contents, target, programs=()):
    """Writes base(kernel, contents) to target, with the guest's scripts and programs as they are now.

    programs: paths of static ones, for the guest's /tools.
    """
    scripts = io.BytesIO()
    archive = Archive(scripts)
    for path in sorted(GUEST_SCRIPTS.glob("*.sh")):
        archive.file(f"guest/{path.name}", path.read_bytes(), 0o755)
    for path in programs:
        archive.file(f"tools/{path.name}", path.read_bytes(), 0o755)
    archive.symlink("init", "guest/init.sh")
    archive.finish()
    with open(target, "wb") as out, open(base(kernel, contents), "rb") as source:
        while chunk := source.read(1 << 20):
            out.write(chunk)
        out.write(scripts.getvalue())
