# SPDX-License-Identifier: Apache-2.0
"""Finds out whether KVM can run a stock kernel here. That /dev/kvm opens is no proof of it."""

import os
import tempfile
from pathlib import Path

from rig import cache
from rig.errors import RigError
from rig.machine import Qemu

PROBE_SECONDS = 8


def _probe():
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as error:
        return f"tcg (no KVM: {error.strerror})"
    with tempfile.TemporaryDirectory(prefix="pario-kvm.") as work:
        with Qemu(Path(work), [], {"scenario": "probe"}, accel="kvm") as guest:
            try:
                transcript, _status = guest.run(PROBE_SECONDS)
            except RigError:
                return f"tcg (KVM opens, but boots no kernel within {PROBE_SECONDS} s)"
    if transcript.ended:
        return "kvm"
    return "tcg (KVM opens, but QEMU cannot use it)"


def choose():
    """(accelerator for QEMU, how it was chosen). Probed once for each boot of this machine."""
    forced = os.environ.get("PARIO_ACCEL")
    if forced:
        if forced not in ("kvm", "tcg"):
            raise RigError(f"PARIO_ACCEL is {forced!r}: kvm or tcg is allowed")
        return forced, f"{forced} (PARIO_ACCEL)"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    known = cache.directory() / f"accel-{boot}"
    if not known.exists():
        for old in cache.directory().glob("accel-*"):
            old.unlink(missing_ok=True)
        known.write_text(_probe(), encoding="ascii")
    verdict = known.read_text(encoding="ascii")
    return verdict.split()[0], verdict
