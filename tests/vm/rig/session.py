# SPDX-License-Identifier: Apache-2.0
"""What every test program of the rig shares: a work directory, a verdict, logs when it is bad."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from rig import cache
from rig.errors import CannotRun, RigError

SKIPPED = 77


def arguments(description, backends=("pariod", "qsd")):
    """The options that all test programs take; a program adds its own.

    backends: pariod, and what a test may be run against to compare or to try the rig.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--pariod", help="path of the pariod to test")
    parser.add_argument("--backend", choices=backends,
                        default=os.environ.get("PARIO_VM_BACKEND", "pariod"),
                        help=f"{backends[1]}: another back end instead, to compare with")
    parser.add_argument("--traffic", type=Path,
                        help="path of the program traffic for guests, of the same build")
    parser.add_argument("--logs", type=Path, default=Path("vm-logs"),
                        help="directory for the logs of a test that fails")
    return parser


def _can_direct(directory):
    try:
        with tempfile.NamedTemporaryFile(dir=directory) as probe:
            os.close(os.open(probe.name, os.O_RDWR | os.O_DIRECT))
            return True
    except OSError:
        return False


def work_directory():
    """A new directory for sockets (so its path is short) and images (so O_DIRECT works there)."""
    chosen = os.environ.get("PARIO_VM_DIR")
    for parent in [chosen] if chosen else [tempfile.gettempdir(), "/var/tmp", cache.directory()]:
        if _can_direct(parent):
            return Path(tempfile.mkdtemp(prefix="pario-vm.", dir=parent))
    raise RigError("no directory with O_DIRECT for the images: name one with PARIO_VM_DIR")


def _logs(work):
    """Of the test and of its guests; {name: path}."""
    return {str(log.relative_to(work)).replace("/", "-"): log for log in
            sorted(work.rglob("*.log"))}


def _save_logs(work, target):
    target.mkdir(parents=True, exist_ok=True)
    for name, log in _logs(work).items():
        shutil.copy(log, target / name)


def _report(faults, work, logs):
    for fault in faults:
        print(f"FAULT {fault}")
    for name, log in _logs(work).items():
        print(f"The last of {name}:")
        for line in log.read_text(errors="replace").splitlines()[-25:]:
            print(f"  {line}")
    _save_logs(work, logs)
    print(f"Logs are in {logs.resolve()}")


def run(name, logs, body):
    """Runs body(work), which returns a list of faults, and ends the program with the verdict."""
    def stop(number, _frame):
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    sys.stdout.reconfigure(line_buffering=True)
    started = time.monotonic()
    try:
        work = work_directory()
    except RigError as error:
        print(f"FAIL {name}: {error}")
        sys.exit(1)
    try:
        try:
            faults = body(work)
        except CannotRun as reason:
            print(f"SKIP {name}: {reason}")
            sys.exit(SKIPPED)
        except (RigError, OSError) as error:
            faults = [str(error)]
        if faults:
            _report(faults, work, logs / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{'FAIL' if faults else 'PASS'} {name}: {time.monotonic() - started:.1f} s")
    sys.exit(1 if faults else 0)
