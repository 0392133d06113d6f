#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pariod from start to end: sockets, inherited descriptors, limits, signals.

What must be refused is in test_options.py.
usage: test_lifecycle.py PARIOD [TEST]...
"""

import os
import re
import resource
import signal
import socket
import stat
import struct
from pathlib import Path

import pariod_rig

NULL = "backend=null,size=1M"


class Sockets(pariod_rig.Case):
    def serve(self, more="", **options):
        return self.start("--disk", f"vda,{NULL},socket=s{more}", **options)

    def test_ready_line(self):
        cpu = min(os.sched_getaffinity(0))
        served = self.start("--workers", cpu, "--disk", f"a,{NULL},socket=a", "--disk",
                            f"b,{NULL},socket=b")
        self.assertIn(f"ready: 2 disks, 1 workers (CPUs {cpu})\n", served.text())
        for name in ("a", "b"):
            self.assertNotEqual(pariod_rig.ask_features(self.connect(self.dir / name)), 0)
        self.assertEqual(served.end(), 0)

    def test_default_mode(self):
        served = self.serve()
        self.assertEqual(stat.S_IMODE((self.dir / "s").stat().st_mode), 0o600)
        self.assertEqual(served.end(), 0)

    def test_mode_owner_and_group(self):
        uid, gid = (os.geteuid(), os.getegid())
        if uid == 0:
            uid, gid = (12345, 23456)
        served = self.serve(f",socket-mode=0660,socket-owner={uid},socket-group={gid}")
        made = (self.dir / "s").stat()
        self.assertEqual((stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid),
                         (0o660, uid, gid))
        self.assertEqual(served.end(), 0)

    def test_owner_that_may_not_be(self):
        prefix = self.unprivileged()
        os.chmod(self.dir, 0o777)
        self.refuse(["disks[0].socket: ", "owner"], "--disk",
                    f"vda,{NULL},socket=s,socket-owner=12345", prefix=prefix)

    def test_stale_socket(self):
        served = self.serve()
        served.kill()
        self.assertTrue((self.dir / "s").is_socket())
        served = self.serve()
        self.assertNotEqual(pariod_rig.ask_features(self.connect(self.dir / "s")), 0)
        self.assertEqual(served.end(), 0)
        self.assertFalse((self.dir / "s").exists())

    def test_live_socket(self):
        served = self.serve()
        self.refuse(["disks[0].socket: ", "listens", "already"],
                    "--disk", f"vda,{NULL},socket=s")
        # The one that was there goes on.
        self.assertNotEqual(pariod_rig.ask_features(self.connect(self.dir / "s")), 0)
        self.assertEqual(served.end(), 0)

    def test_client_mode(self):
        """pariod connects, also when the front end comes later than it."""
        served = self.start("--disk", f"vda,{NULL},connect=s")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as front:
            front.bind(str(self.dir / "s"))
            front.listen(1)
            front.settimeout(pariod_rig.DEADLINE_SECONDS)
            connection, _ = front.accept()
            with connection:
                self.assertNotEqual(pariod_rig.ask_features(connection), 0)
            self.assertEqual(served.end(), 0)


class Descriptors(pariod_rig.Case):
    def test_listening(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self.dir / "s"))
            listener.listen(1)
            served = self.start("--disk", f"vda,{NULL},fd={listener.fileno()}",
                                pass_fds=[listener.fileno()])
        for _ in range(2):
            with self.connect(self.dir / "s") as connection:
                self.assertNotEqual(pariod_rig.ask_features(connection), 0)
        self.assertEqual(served.end(), 0)

    def test_connected(self):
        ours, theirs = socket.socketpair()
        with ours:
            served = self.start("--fd", theirs.fileno(), "--blk-file", self.image(),
                                "--read-only", pass_fds=[theirs.fileno()])
            theirs.close()
            features = pariod_rig.ask_features(ours)
            self.assertTrue(features & 1 << 5, f"VIRTIO_BLK_F_RO in {features:#x}")
            self.assertEqual(served.end(), 0)

    def test_closed_standard_streams(self):
        """Nothing of ours may become descriptor 0, 1 or 2."""
        served = self.start("--disk", f"vda,{NULL},socket=s",
                            prefix=("sh", "-c", "exec \"$@\" <&-", "sh"))
        self.assertEqual(os.readlink(f"/proc/{served.popen.pid}/fd/0"), "/dev/null")
        self.assertEqual(served.end(), 0)


class Limits(pariod_rig.Case):
    """RLIMIT_NOFILE: raised, said as a warning, said as an error."""

    def disks(self, cnt, queues):
        return [word for i in range(cnt)
                for word in ("--disk", f"d{i},{NULL},socket=s{i},queues={queues}")]

    def run_with(self, soft, hard):
        os.chmod(self.dir, 0o777)
        return {"prefix": self.unprivileged(),
                "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))}

    def test_raised(self):
        served = self.start(*self.disks(4, 100), **self.run_with(64, 4096))
        limits = Path(f"/proc/{served.popen.pid}/limits").read_text(encoding="ascii")
        soft, hard = re.search(r"Max open files +(\d+) +(\d+)", limits).groups()
        self.assertGreaterEqual(int(soft), 4 * 100 * 3)
        self.assertEqual(int(hard), 4096)
        self.assertNotIn("RLIMIT_NOFILE", served.text())
        self.assertEqual(served.end(), 0)

    def test_too_low_for_all_queues(self):
        served = self.start(*self.disks(1, 256), **self.run_with(64, 512))
        self.assertRegex(served.text(), r" warn +RLIMIT_NOFILE: .* the limit is 512\b")
        self.assertNotEqual(pariod_rig.ask_features(self.connect(self.dir / "s0")), 0)
        self.assertEqual(served.end(), 0)

    def test_too_low_for_the_disks(self):
        self.refuse(["RLIMIT_NOFILE: 40 disks and ports need at least", "the limit is 100"],
                    *self.disks(40, 1), **self.run_with(64, 100))


class Signals(pariod_rig.Case):
    def test_end(self):
        for number, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")):
            with self.subTest(signal=name):
                served = self.start("--disk", f"vda,{NULL},socket=s")
                self.assertTrue((self.dir / "s").is_socket())
                self.assertEqual(served.end(number), 0)
                self.assertFalse((self.dir / "s").exists())
                self.assertIn(f"{name}: draining 1 disks", served.text())
                self.assertRegex(served.text(), r"disk vda: served 0 reads \(0 bytes\), .*calls\n")

    def test_end_with_a_front_end(self):
        served = self.start("--disk", f"vda,{NULL},socket=s")
        connection = self.connect(self.dir / "s")
        self.assertNotEqual(pariod_rig.ask_features(connection), 0)
        self.assertEqual(served.end(), 0)
        self.assertEqual(connection.recv(1), b"")

    def test_end_with_half_a_message(self):
        served = self.start("--disk", f"vda,{NULL},socket=s")
        connection = self.connect(self.dir / "s")
        connection.sendall(struct.pack("=II", 1, 1))
        self.assertEqual(served.end(), 0)

    def test_resize(self):
        image = self.image(size=1 << 20)
        served = self.start("--disk", f"vda,path={image},socket=s", "--disk",
                            f"vdb,{NULL},socket=t")
        os.truncate(image, 3 << 20)
        served.send(signal.SIGHUP)
        served.wait_for(f"disk vda: resized to {3 << 20} bytes")
        self.assertEqual(served.end(), 0)
        self.assertEqual(len(re.findall("resized to", served.text())), 1)

    def test_resize_to_nonsense(self):
        image = self.image(size=1 << 20)
        served = self.start("--disk", f"vda,path={image},socket=s")
        os.truncate(image, (1 << 20) + 100)
        served.send(signal.SIGHUP)
        served.wait_for("disk vda: keeps its size: ")
        self.assertEqual(served.end(), 0)

    def test_front_end_that_leaves_early(self):
        """SIGPIPE would end us."""
        served = self.start("--disk", f"vda,{NULL},socket=s")
        for _ in range(20):
            with self.connect(self.dir / "s") as connection:
                connection.sendall(struct.pack("=III", 1, 1, 0) * 50)
        self.assertNotEqual(pariod_rig.ask_features(self.connect(self.dir / "s")), 0)
        self.assertEqual(served.end(), 0)

    def test_log_level(self):
        served = self.start("--disk", f"vda,{NULL},socket=s", "--log-level", "error",
                            ready=False)
        pariod_rig.wait_until((self.dir / "s").is_socket, "the socket is there")
        self.assertEqual(served.end(), 0)
        self.assertEqual(served.text(), "")


if __name__ == "__main__":
    pariod_rig.main()
