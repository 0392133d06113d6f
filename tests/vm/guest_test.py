#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Linux guest does all that guests do with a disk, and the host judges every bit of it.

Not the steps themselves: those are guest/full.sh, run inside QEMU or User-Mode Linux.
"""

import os

from rig import accel, backend, image, machine, session

DISK_BYTES = 256 << 20
GROWN_BYTES = 320 << 20
READ_ONLY_BYTES = 4 << 20
JUNK_BYTES = 16 << 20
FIO_MIB = 64
DEADLINE_SECONDS = 300

STEPS = ["modules", "appear", "discard", "zeroes", "fio-disk", "mkfs", "mount", "copy", "compare",
         "fio-files", "junk", "remove", "fstrim", "remount", "compare-again", "fio-again",
         "cache-mode", "read-only", "grow", "umount"]

# Feature bits, by their names in the specification.
INDIRECT_DESC, EVENT_IDX, VERSION_1, RING_PACKED = 28, 29, 32, 34
BLK_RO, BLK_FLUSH, BLK_CONFIG_WCE, BLK_DISCARD, BLK_WRITE_ZEROES = 5, 9, 11, 13, 14


def has_feature(report, disk, bit):
    return report.values.get(f"{disk}.features", "")[bit:bit + 1] == "1"


def judge_features(report, options, lacks):
    faults = []
    wanted = {"INDIRECT_DESC": INDIRECT_DESC, "EVENT_IDX": EVENT_IDX, "VERSION_1": VERSION_1,
              "FLUSH": BLK_FLUSH, "CONFIG_WCE": BLK_CONFIG_WCE, "DISCARD": BLK_DISCARD,
              "WRITE_ZEROES": BLK_WRITE_ZEROES}
    for name, bit in wanted.items():
        if not has_feature(report, "vda", bit):
            faults.append(f"vda: feature {name} ({bit}) was not negotiated")
    packed = options.ring == "packed" and "packed" not in lacks
    for disk in ("vda", "vdb"):
        if has_feature(report, disk, RING_PACKED) != packed:
            faults.append(f"{disk}: the ring is not {'packed' if packed else 'split'}")
    if has_feature(report, "vda", BLK_RO) or not has_feature(report, "vdb", BLK_RO):
        faults.append("feature RO: vdb alone should have it")
    return faults


def judge_values(report, disks, options, lacks):
    main, other = disks
    wanted = {"vda.queues": options.queues, "vda.sectors": DISK_BYTES // 512, "vda.ro": 0,
              "vda.logical_block_bytes": 512, "vdb.ro": 1,
              "vdb.sectors": READ_ONLY_BYTES // 512, "vdb.sha256": image.digest(other.path)}
    if "serial" not in lacks:
        wanted |= {"vda.serial": main.serial, "vdb.serial": other.serial}
    if "wce" not in lacks:
        wanted |= {"vda.write_cache": "write back"}
    if "resize" not in lacks:
        wanted |= {"vda.sectors_after": GROWN_BYTES // 512}
    faults = [f"{name} is {report.values.get(name)!r} in the guest, {value!r} was expected"
              for name, value in wanted.items() if report.values.get(name) != str(value)]
    for name in ("vda.discard_max_bytes", "vda.zeroes_max_bytes", "trimmed"):
        if report.number(name) <= 0:
            faults.append(f"{name} is {report.values.get(name)!r} in the guest, not above 0")
    if options.guest == "qemu":
        idle = [q for q in range(options.queues) if report.number(f"irq.{q}") <= 0]
        if idle:
            faults.append(f"no interrupt ever came from queue {idle}")
    return faults


def test(options, work):
    packed = options.ring == "packed"
    main = backend.Disk("vda", work / "vda.raw", work / "vda.sock", queues=options.queues,
                        packed=packed, discard=True, serial="pario-main", poll=options.poll,
                        coalesce=options.coalesce)
    other = backend.Disk("vdb", work / "vdb.raw", work / "vdb.sock", packed=packed,
                         read_only=True, serial="pario-read-only", poll=options.poll,
                         coalesce=options.coalesce)
    image.make_sparse(main.path, DISK_BYTES)
    image.make_random(other.path, READ_ONLY_BYTES, seed=7)
    read_only_digest = image.digest(other.path)
    allocated = {}

    # Several queues on several workers; with one queue, as pariod has it by default.
    workers = options.queues if options.queues > 1 else 0
    with backend.make(options.backend, options.pariod, [main, other], work, workers) as server:
        lacks = server.lacks
        keys = {"scenario": "full", "jobs": options.queues, "fio_mib": FIO_MIB,
                "grow": int("resize" not in lacks)}
        if options.guest == "qemu":
            kind, why = accel.choose()
            guest = machine.Qemu(work, [main, other], keys, cpus=options.queues, accel=kind,
                                 packed=packed)
        else:
            why = "no emulation"
            guest = machine.Uml(work, [main, other], keys)
        print(f"{guest.kernel().name}, {why}; {server.name}")

        def grow():
            os.truncate(main.path, GROWN_BYTES)
            server.announce_resize()

        answers = {
            "allocated-before": lambda: allocated.update(before=image.allocated_bytes(main.path)),
            "allocated-after": lambda: allocated.update(after=image.allocated_bytes(main.path)),
            "grow": grow,
        }
        server.start()
        with guest:
            report, status = guest.run(DEADLINE_SECONDS, answers, also=server.child.must_live)
        print("steps: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.steps))
        faults = report.judge_steps([s for s in STEPS if s != "grow" or "resize" not in lacks])
        if status != 0:
            faults.append(f"{guest.name} ended with status {status}")
        faults += server.stop()

    if faults:
        return faults
    faults += judge_features(report, options, lacks)
    faults += judge_values(report, (main, other), options, lacks)
    freed = allocated["before"] - allocated["after"]
    if freed < JUNK_BYTES * 3 // 4:
        faults.append(f"fstrim freed {freed} bytes of the image, at least "
                      f"{JUNK_BYTES * 3 // 4} were expected")
    if image.digest(other.path) != read_only_digest:
        faults.append("the image of the read-only disk has changed")
    faults += image.check_ext4(main.path)
    faults += image.check_tree(main.path)
    return faults


def main():
    parser = session.arguments(__doc__.splitlines()[0])
    parser.add_argument("--guest", choices=("qemu", "uml"), default="qemu")
    parser.add_argument("--ring", choices=("split", "packed"), default="split")
    parser.add_argument("--poll", choices=("adaptive", "always", "never"), default="adaptive")
    parser.add_argument("--coalesce", choices=("off", "static", "adaptive"), default="off")
    parser.add_argument("--queues", type=int, default=1, help="queues, and CPUs of a QEMU guest")
    options = parser.parse_args()
    if options.guest == "uml" and options.queues != 1:
        parser.error("User-Mode Linux has one CPU, so one queue")
    name = f"{options.guest}-{options.ring}"
    if options.guest == "qemu":
        name += f"-{options.queues}q"
    if options.poll != "adaptive":
        name += f"-{options.poll}"
    session.run(name, options.logs, lambda work: test(options, work))


if __name__ == "__main__":
    main()
