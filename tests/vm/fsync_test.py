#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every fsync of the guest reaches the file system below the image, whatever the cache mode.

The host's kernel counts them, so no word of the back end is taken for it. Not a test of what
fsync does on the host.
"""

from contextlib import ExitStack

from rig import accel, backend, image, machine, session, trace

DISK_BYTES = 16 << 20
FSYNCS = 20
DEADLINE_SECONDS = 200
# As the guest found the disk, then switched by the guest; "again" is write-back again.
MODES = ("announced", "write-back", "write-through", "again")


def judge(counts, report, lacks):
    faults = []
    for disk in ("vda", "vdb"):
        announced = report.values.get(f"{disk}.cache_type")
        if "wce" not in lacks and announced != "write back":
            faults.append(f"{disk}: the guest sees {announced!r}: a flush is needed below, so "
                          "'write back' should be announced")
        for mode in MODES:
            if mode == "announced" and "wce" in lacks:
                continue
            seen = counts.get(f"{disk}-{mode}", 0)
            if seen < FSYNCS:
                faults.append(f"{disk}, mode {mode}: the guest made {FSYNCS} fsyncs, "
                              f"the host's ext4 saw {seen}")
    return faults


def test(options, work):
    counts, answers = {}, {}
    with ExitStack() as stack:
        place = stack.enter_context(trace.ext4_directory(work))
        tracing = stack.enter_context(trace.tracing())
        # The guest's two disks are a disk opened with O_DIRECT and one through the page cache.
        disks = [backend.Disk(name, place / f"{name}.raw", work / f"{name}.sock", cache=cache)
                 for name, cache in (("vda", "none"), ("vdb", "writeback"))]
        for disk in disks:
            # Written whole: an fsync of the image is then for data alone.
            image.make_random(disk.path, DISK_BYTES, seed=3)
            counter = stack.enter_context(trace.SyncCounter(tracing, disk.path))
            for mode in MODES:
                name = f"{disk.name}-{mode}"
                answers[f"start-{name}"] = counter.clear
                answers[f"stop-{name}"] = lambda name=name, counter=counter: counts.update(
                    {name: counter.count()})
        server = stack.enter_context(
            backend.make(options.backend, options.pariod, disks, work))
        kind, why = accel.choose()
        print(f"{why}; {server.name}")
        server.start()
        with machine.Qemu(work, disks, {"scenario": "fsync", "fsyncs": FSYNCS},
                          accel=kind) as guest:
            report, status = guest.run(DEADLINE_SECONDS, answers, also=server.child.must_live)
        print(f"fsyncs in each lot {FSYNCS}; seen by ext4: "
              + ", ".join(f"{name} {count}" for name, count in counts.items()))
        steps = ["modules", "appear"]
        for disk in disks:
            steps += [f"{disk.name}-announced"]
            for mode in MODES[1:]:
                steps += [f"{disk.name}-set-{mode}", f"{disk.name}-{mode}"]
        faults = report.judge_steps(steps)
        if status != 0:
            faults.append(f"{guest.name} ended with status {status}")
        faults += judge(counts, report, server.lacks)
        faults += server.stop()
    return faults


def main():
    trace.own_mounts()
    options = session.arguments(__doc__.splitlines()[0]).parse_args()
    session.run("fsync", options.logs, lambda work: test(options, work))


if __name__ == "__main__":
    main()
