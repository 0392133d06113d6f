# SPDX-License-Identifier: Apache-2.0
"""Boots the guests, QEMU and User-Mode Linux, and talks with what runs in them.

Not a judge. A guest's console is its standard input and output here: lines come from it, and a
question of the guest ("@pario ask NAME") is answered with a line once the host has acted on it.
"""

import os
import selectors
import time

from rig import cache, initramfs, process
from rig.errors import RigError
from rig.transcript import Transcript


class Machine:
    """A guest. `disks` are backend.Disk, `nics` netback.Nic, in the order in which it finds them.

    Two guests need two work directories. programs: static ones, for its /tools.
    """

    name = ""
    memory_mib = 768

    def __init__(self, work, disks, keys, cpus=1, nics=(), programs=()):
        self.work = work
        self.disks = disks
        self.nics = nics
        self.programs = programs
        self.keys = keys
        self.cpus = cpus
        self.contents = initramfs.NET if nics else initramfs.DISK
        self.log = work / "console.log"
        self.child = None
        self.transcript = Transcript()

    def kernel(self):
        raise NotImplementedError

    def command(self, initrd):
        raise NotImplementedError

    def kernel_keys(self):
        return [f"pario.{key}={value}" for key, value in self.keys.items()]

    def start(self):
        """Boots the guest; somebody has to read what it says."""
        initrd = self.work / "initrd.cpio"
        initramfs.overlay(self.kernel(), self.contents, initrd, self.programs)
        self.child = process.Child(self.name, self.command(initrd), pipe=True, cwd=self.work)

    def run(self, deadline_seconds, answers=None, on_line=None, also=None):
        """Boots the guest and stays with it to its end; returns the transcript and its status.

        answers: {NAME: function called when the guest asks NAME}. also() is called now and then
        and may raise when waiting has become pointless. Raises RigError at the deadline.
        """
        self.start()
        try:
            self._converse(time.monotonic() + deadline_seconds, answers or {}, on_line, also)
            return self.transcript, self.child.wait(10)
        finally:
            self.child.kill()

    def _converse(self, end, answers, on_line, also):
        out = self.child.popen.stdout
        os.set_blocking(out.fileno(), False)
        pending = b""
        with open(self.log, "wb") as log, selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while True:
                if time.monotonic() > end:
                    steps = self.transcript.steps
                    raise RigError(f"{self.name}: deadline passed after step "
                                   f"{steps[-1][0] if steps else '(none)'}")
                if also:
                    also()
                if not selector.select(1):
                    continue
                data = out.read(1 << 16)
                if not data:
                    return
                log.write(data)
                log.flush()
                *lines, pending = (pending + data).split(b"\n")
                for raw in lines:
                    self._one_line(raw, answers, on_line)

    def _one_line(self, raw, answers, on_line):
        line = raw.decode(errors="replace").rstrip("\r")
        if on_line:
            on_line(line)
        asked = self.transcript.feed(line)
        if asked is None:
            return
        if asked not in answers:
            raise RigError(f"{self.name}: the guest asks for {asked!r}, which nobody answers")
        answers[asked]()
        try:
            self.child.popen.stdin.write(f"go {asked}\n".encode())
            self.child.popen.stdin.flush()
        except OSError:
            pass                    # It has died; the end of its output says so.

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.child:
            self.child.kill()


class Qemu(Machine):
    """QEMU with vhost-user-blk-pci; the ring format is the front end's choice here."""

    name = "qemu"

    def __init__(self, work, disks, keys, cpus=1, accel="tcg", packed=False, nics=(),
                 programs=()):
        super().__init__(work, disks, keys, cpus, nics, programs)
        self.accel = accel
        self.packed = packed

    def kernel(self):
        return cache.cloud_kernel()

    def command(self, initrd):
        size = f"{self.memory_mib}M"
        append = ["console=ttyS0", "loglevel=4", "panic=-1", "nokaslr", "mitigations=off",
                  "random.trust_cpu=on", *self.kernel_keys()]
        argv = [process.need("qemu-system-x86_64", "qemu-system-x86"), "-accel", self.accel,
                "-cpu", "max", "-M", "q35,memory-backend=mem", "-m", size,
                "-smp", str(self.cpus), "-nodefaults", "-no-user-config", "-display", "none",
                "-no-reboot", "-chardev", "stdio,id=console,signal=off",
                "-serial", "chardev:console",
                "-object", f"memory-backend-memfd,id=mem,size={size},share=on",
                "-kernel", self.kernel().image, "-initrd", initrd, "-append", " ".join(append)]
        for disk in self.disks:
            argv += ["-chardev", f"socket,id=chr-{disk.name},path={disk.socket}",
                     "-device", f"vhost-user-blk-pci,chardev=chr-{disk.name},"
                     f"num-queues={disk.queues},packed={'on' if self.packed else 'off'}"]
        if self.nics:
            # As libvirt does it: pariod then knows the threads of virtual CPUs.
            argv += ["-name", "debug-threads=on"]
        for nic in self.nics:
            argv += ["-chardev", f"socket,id=chr-{nic.name},path={nic.socket}",
                     "-netdev", f"vhost-user,id=net-{nic.name},chardev=chr-{nic.name},"
                     f"queues={nic.queue_pairs}",
                     "-device", ",".join(
                         [f"virtio-net-pci,netdev=net-{nic.name},mac={nic.mac},romfile=",
                          f"mq={'on' if nic.queue_pairs > 1 else 'off'}",
                          f"vectors={self._vectors(nic)}",
                          f"packed={'on' if nic.packed else 'off'}", *nic.device])]
        return argv

    def _vectors(self, nic):
        """MSI-X vectors: for each queue, the control queue and configuration changes.

        QEMU 7.2 dies of a NULL pointer (vector_irqfd) when a vhost-user netdev meets MSI-X without
        KVM: none there, and the queues share a line.
        """
        return 2 * nic.queue_pairs + 2 if self.accel == "kvm" else 0


class Uml(Machine):
    """User-Mode Linux: the guest's own driver speaks vhost-user, with nothing in between.

    It takes every feature that it is offered, so the ring format is the back end's choice.
    It has one CPU.

    It is built for Debian testing's libc. The kernel finds a program's dynamic linker by the path
    in the program, so a copy is made that names ours: it then runs here as any program does, with
    no chroot, no mount and no privilege.
    """

    name = "uml"
    memory_mib = 512
    LINKER = b"/lib64/ld-linux-x86-64.so.2\0"
    OWN_LINKER = b"./ld.so\0"       # in the work directory, where it is started

    def kernel(self):
        return cache.uml_kernel()

    def _install(self):
        program = self.kernel().image.read_bytes()
        if program.count(self.LINKER) != 1:
            raise RigError(f"{self.kernel().image} does not name its dynamic linker once")
        copy = self.work / "linux.uml"
        copy.write_bytes(program.replace(self.LINKER,
                                         self.OWN_LINKER.ljust(len(self.LINKER), b"\0")))
        copy.chmod(0o700)
        (self.work / "ld.so").symlink_to(cache.testing_root() / "lib64/ld-linux-x86-64.so.2")

    def command(self, initrd):
        self._install()
        libraries = cache.testing_root() / "usr/lib/x86_64-linux-gnu"
        argv = ["env", f"LD_LIBRARY_PATH={libraries}", "./linux.uml", f"mem={self.memory_mib}M",
                f"initrd={initrd.name}", f"uml_dir={self.work}", "umid=uml", "con=null",
                "con0=fd:0,fd:1", "loglevel=4", "panic=-1", *self.kernel_keys()]
        for disk in self.disks:
            argv.append(f"virtio_uml.device={disk.socket.name}:2")
        for nic in self.nics:
            argv.append(f"virtio_uml.device={os.path.relpath(nic.socket, self.work)}:1")
        return argv
