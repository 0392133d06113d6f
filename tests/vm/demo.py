#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The short and friendly form of the guest tests: a person watches a Linux use a pario disk.

Not a replacement for guest_test.py, which checks far more.
"""

import shlex

from rig import accel, backend, image, machine, session

DISK_BYTES = 1 << 30
QUEUES = 4
DEADLINE_SECONDS = 150
STEPS = ["modules", "appear", "mkfs", "mount", "copy", "forget", "compare", "fio", "fstrim",
         "umount", "remount", "compare-again", "df", "umount-again"]


def show_console(line):
    if "@pario" not in line:
        print(f"  guest | {line}".rstrip())


def show_log(name, text):
    for line in text.splitlines():
        print(f"  {name} | {line}")


def test(options, work):
    disk = backend.Disk("vda", work / "vda.raw", work / "vda.sock", queues=QUEUES, packed=True,
                        discard=True, serial="pario-demo")
    print("\nA Linux guest will format, mount, write, read back and verify a disk that pario "
          "serves.\n")
    image.make_sparse(disk.path, DISK_BYTES)
    print(f"1. The disk: {disk.path}, {DISK_BYTES >> 20} MiB of nothing.")
    with backend.make(options.backend, options.pariod, [disk], work) as server:
        print(f"2. {server.name} serves it on a socket:\n"
              f"     {shlex.join(map(str, [server.program, *server.arguments()]))}")
        server.start()
        print("3. Can this machine run guests on KVM?", end=" ", flush=True)
        kind, why = accel.choose()
        print(f"QEMU will use {why}.")
        guest = machine.Qemu(work, [disk], {"scenario": "demo"}, cpus=QUEUES, accel=kind,
                             packed=True)
        print(f"4. QEMU boots {guest.kernel().name} with {QUEUES} CPUs and that disk:")
        with guest:
            report, status = guest.run(DEADLINE_SECONDS, on_line=show_console,
                                       also=server.child.must_live)
        faults = report.judge_steps(STEPS)
        if status != 0:
            faults.append(f"QEMU ended with status {status}")
        print(f"5. The guest has switched itself off. {server.name} is told to stop; its log:")
        faults += server.stop()
        show_log(server.name, server.log_text())
    print("6. The host looks at what the guest left in the image:")
    found = image.check_ext4(disk.path) or image.check_tree(disk.path)
    if not found:
        print("     e2fsck -fn: clean; every file that the guest copied is there, unchanged")
    faults += found
    if not faults:
        print("\nSuccess: a real Linux guest did real I/O on a pario disk, and all of it is "
              "right.\n")
    return faults


def main():
    options = session.arguments(__doc__.splitlines()[0]).parse_args()
    session.run("demo", options.logs, lambda work: test(options, work))


if __name__ == "__main__":
    main()
