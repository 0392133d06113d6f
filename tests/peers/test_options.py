#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What pariod must refuse: options, keys, types, ranges, paths and permissions.

Each is refused with exit status 2 and one line that helps, and nothing is left behind. The keys
come from --help, so that a new key is tested the day it exists.
usage: test_options.py PARIOD [TEST]...
"""

import json
import os
import re
import signal
import socket
import subprocess

import pariod_rig

NULL = "backend=null,size=1M"


class Options(pariod_rig.Case):
    def test_unknown_option(self):
        self.refuse(["--chekc", "did you mean --check?"], "--chekc")
        self.refuse(["--daemonize", "pariod --help"], "--daemonize")
        self.refuse(["-d", "pariod --help"], "-d")

    def test_value_missing(self):
        for option in ("--disk", "--config", "--workers", "--fd", "--blk-file", "--socket-path"):
            self.refuse([option, "needs a value"], option)

    def test_value_not_wanted(self):
        self.refuse("--check takes no value", "--check=yes")

    def test_not_an_option(self):
        self.refuse(["\"vda.raw\" is not an option", "--disk"], "vda.raw")

    def test_given_twice(self):
        self.refuse("--workers is given twice", "--workers", "0", "--workers", "1")
        self.refuse("--config is given twice", "--config", "a", "--config", "b")

    def test_nothing_to_serve(self):
        self.refuse("no disk and no port is configured")
        self.refuse("no disk and no port is configured", "--poll", "always")

    def test_read_only_of_nothing(self):
        self.refuse(["--read-only", "--blk-file"], "--read-only")

    def test_help_and_version(self):
        status, out, lines = self.run_once("--help")
        self.assertEqual((status, lines), (0, []))
        self.assertIn("--disk NAME,KEY=VALUE,...", out)
        status, out, lines = self.run_once("--version")
        self.assertEqual((status, lines), (0, []))
        self.assertRegex(out, r"^pariod \d+\.\d+\.\d+\n$")

    def test_capabilities(self):
        """QEMU's convention: printed whatever else is on the command line."""
        status, out, lines = self.run_once("--nonsense", "--print-capabilities", "--disk")
        self.assertEqual((status, lines), (0, []))
        self.assertEqual(json.loads(out),
                         {"type": "block", "features": ["read-only", "blk-file"]})


class Keys(pariod_rig.Case):
    """Every key of --help with values that its type or range has not."""

    WRONG = {
        "BOOL": ["perhaps", ""],
        "NUMBER": ["x", "-1", "99999999999", "1.5", ""],
        "SIZE": ["10Q", "0", "1000", "9999999T", ""],
        "MODE": ["0999", "07777", ""],
        "WORD": ["zzz", ""],
        "NAME": ["a b", ""],
        "TEXT": ["x" * 21, ""],
        "PATH": ["x" * 5000, ""],
        "CPUS": ["3-", "x", "0,0", ""],
        "USER": ["no-such-user-here", ""],
        "GROUP": ["no-such-group-here", ""],
        "MAC": ["02:00:00:00:00", "01:00:5e:00:00:01", "00:00:00:00:00:00", ""],
        "VLANS": ["4095", "9-8", "x", ""],
    }
    # Option, list, what --help calls one, least number of keys.
    KINDS = (("disk", "disks", "a disk", 20), ("switch", "switches", "a switch", 4),
             ("port", "ports", "a port", 40), ("uplink", "uplinks", "an uplink", 10))

    def table(self, pattern, start="", least=3):
        """What matches between the line that begins with start and the next blank one."""
        _, out, _ = self.run_once("--help")
        block = out[out.index(start):].split("\n\n")[0] if start else out
        found = re.findall(pattern, block, re.MULTILINE)
        self.assertGreaterEqual(len(found), least)
        return [pair for pair in found if pair[1] in self.WRONG]

    def keys_of(self, one, least):
        return self.table(r"^  ([a-z0-9.-]+)=([A-Z]+)$", f"\nKeys of {one},", least)

    def test_every_key(self):
        for option, listed, one, least in self.KINDS:
            for key, kind in self.keys_of(one, least):
                for value in self.WRONG[kind]:
                    with self.subTest(option=option, key=key, value=value[:30]):
                        spec = f"vda,{key}={value.replace(',', ',,')}"
                        if key == "name":
                            # the name stands first and has no key there
                            spec = f"{value},x=y"
                        words = [f"{listed}[0].{key}: "]
                        if spec.startswith(","):
                            words = ["does not begin with a name"]
                        self.refuse_one(words, f"--{option}", spec)

    def refuse_one(self, words, *arguments):
        """As refuse(), where more than one line may be said."""
        status, out, lines = self.run_once(*arguments)
        self.assertEqual((status, out), (2, ""), lines)
        for word in words:
            self.assertIn(word, lines[0])

    def test_every_key_in_yaml(self):
        """The same words as on the command line, behind file and line."""
        for option, listed, one, least in self.KINDS:
            for key, kind in self.keys_of(one, least):
                value = self.WRONG[kind][0]
                if key == "name":
                    continue
                group, _, leaf = key.rpartition(".")
                line = f"    {leaf}: '{value}'" if group else f"  {key}: '{value}'"
                text = f"{listed}:\n- name: vda\n" + (f"  {group}:\n" if group else "")
                text += line + "\n"
                config = self.dir / "pario.yaml"
                config.write_text(text, encoding="utf-8")
                with self.subTest(option=option, key=key):
                    place = f"pario.yaml:{text.count(chr(10))}: {listed}[0].{key}: "
                    in_file = self.refuse(place, "--config", "pario.yaml")
                    on_line = self.refuse(f"--{option} vda: ", f"--{option}", f"vda,{key}={value}")
                    self.assertEqual(in_file.split(": ", 2)[2], on_line.split(": ", 2)[2])

    def test_every_daemon_key(self):
        for key, kind in self.table(r"^  --([a-z-]+) ([A-Z]+)$"):
            if key in ("fd", "socket-path", "blk-file"):
                continue
            for value in self.WRONG[kind]:
                with self.subTest(key=key, value=value):
                    self.refuse(f"daemon.{key}: ", f"--{key}", value, "--disk",
                                f"vda,{NULL},socket=s")

    def test_range_words(self):
        self.refuse("disks[1].queues: 0 is below the minimum of 1 (allowed: 1 to 256)",
                    "--disk", f"vda,{NULL},socket=a", "--disk", f"vdb,{NULL},socket=b,queues=0")

    def test_unknown_key_of_a_port(self):
        self.refuse(["ports[0].queues: unknown key"], "--port", "vm1,switch=s,socket=s,queues=2")
        self.refuse(["ports[0].csum: unknown key", "did you mean offloads.csum?"],
                    "--port", "vm1,switch=s,socket=s,csum=off")

    def test_check_of_a_network(self):
        status, out, lines = self.run_once(
            "--check", "--port", "vm1,switch=lan,socket=a", "--port", "vm2,switch=lan,socket=b",
            "--uplink", "tap0,switch=lan", "--switch", "other")
        self.assertEqual((status, lines), (0, []))
        self.assertIn("0 disks, 2 ports and 1 uplinks on 2 switches, ", out)

    def test_unknown_key(self):
        self.refuse(["disks[0].queeues: unknown key", "did you mean queues?"],
                    "--disk", f"vda,{NULL},socket=s,queeues=1")
        for key in ("limits.iops", "limits.burst", "state-dir", "steering.mode"):
            self.refuse([f"disks[0].{key}: unknown key"],
                        "--disk", f"vda,{NULL},socket=s,{key}=1")

    def test_workers_beyond_the_machine(self):
        self.refuse(["daemon.workers: CPU 1000 is not one", "allowed: "],
                    "--workers", "1000", "--disk", f"vda,{NULL},socket=s")

    def test_workers_beyond_the_daemon(self):
        cpu = min(os.sched_getaffinity(0))
        self.refuse(["disks[0].workers: CPU 1000 is not among", f"allowed: {cpu})"],
                    "--workers", cpu, "--disk", f"vda,{NULL},socket=s,workers=1000")

    def test_yaml(self):
        config = self.dir / "pario.yaml"
        self.refuse("none.yaml: cannot be read: No such file", "--config", "none.yaml")
        self.refuse("is a directory", "--config", self.dir)
        config.write_text("disks:\n- name: [\n", encoding="utf-8")
        self.refuse("pario.yaml:3: not valid YAML", "--config", "pario.yaml")
        config.write_text("disks: []\n", encoding="utf-8")
        self.refuse("no disk and no port is configured", "--config", "pario.yaml")

    def test_one_line_for_each_mistake(self):
        status, _, lines = self.run_once("--disk", "vda,queues=0,seg-max=0,poll=x")
        self.assertEqual((status, len(lines)), (2, 3), lines)


class Together(pariod_rig.Case):
    """Keys that are right alone and wrong beside each other."""

    def test_two_of_one_name(self):
        self.refuse("disks[1].name: \"vda\" is already the name of disks[0]",
                    "--disk", f"vda,{NULL},socket=a", "--disk", f"vda,{NULL},socket=b")

    def test_two_on_one_socket(self):
        self.refuse("disks[1].socket: \"a\" is already the socket of disks[0]",
                    "--disk", f"vda,{NULL},socket=a", "--disk", f"vdb,{NULL},socket=a")

    def test_two_on_one_path_by_another_name(self):
        """What only the kernel can tell: both paths name one socket."""
        self.refuse("disks[1].socket: somebody listens on ./a already",
                    "--disk", f"vda,{NULL},socket=a", "--disk", f"vdb,{NULL},socket=./a")

    def test_ways_to_the_front_end(self):
        self.refuse("disks[0]: no front end can reach it", "--disk", f"vda,{NULL}")
        self.refuse("socket and connect are both given",
                    "--disk", f"vda,{NULL},socket=a,connect=b")
        self.refuse("socket and fd are both given", "--socket-path", "a", "--fd", "3",
                    "--blk-file", self.image())

    def test_backend_and_its_keys(self):
        self.refuse("disks[0].size: missing", "--disk", "vda,backend=ram,socket=a")
        self.refuse("disks[0].path: missing", "--disk", "vda,socket=a")
        self.refuse("disks[0].path: missing", "--socket-path", "a")
        self.refuse("disks[0].path: does not belong to backend ram",
                    "--disk", "vda,backend=ram,size=1M,path=x,socket=a")
        self.refuse("disks[0].socket-mode: means nothing without socket",
                    "--disk", f"vda,{NULL},connect=a,socket-mode=0600")


class Paths(pariod_rig.Case):
    def disk(self, path, more=""):
        return ["--disk", f"vda,path={path},socket=s{more}"]

    def test_no_image(self):
        self.refuse("disks[0].path: none.raw does not exist", *self.disk("none.raw"))
        self.refuse("disks[0].path: none.raw does not exist", "--blk-file", "none.raw",
                    "--socket-path", "s")

    def test_image_that_is_none(self):
        self.refuse("is a directory", *self.disk(self.dir))
        self.refuse("special file", *self.disk("/dev/null"))
        os.mkfifo(self.dir / "fifo")
        self.refuse("special file", *self.disk("fifo"))

    def test_empty_image(self):
        self.refuse("disks[0].path: ", *self.disk(self.image(size=0)))

    def test_odd_size(self):
        self.refuse(["disks[0].path: ", "1000"], *self.disk(self.image(size=1000)))

    def test_size_beyond_the_file(self):
        self.refuse("disks[0].size: ", *self.disk(self.image(), ",size=2M"))

    def test_no_directory_for_the_socket(self):
        self.refuse("disks[0].socket: the directory none cannot be reached",
                    "--disk", f"vda,{NULL},socket=none/s")

    def test_socket_path_is_a_file(self):
        path = self.image("precious", 4096)
        self.refuse(["disks[0].socket: ", "is not a socket"],
                    "--disk", f"vda,{NULL},socket={path}")
        self.assertEqual(path.stat().st_size, 4096)

    def test_nothing_starts_when_the_last_is_wrong(self):
        self.refuse("disks[2].path: ", "--disk", f"a,{NULL},socket=a", "--disk",
                    f"b,{NULL},socket=b", "--disk", f"c,path={self.image(size=0)},socket=c")

    def test_image_without_permission(self):
        image = self.image()
        os.chmod(image, 0)
        self.refuse(["disks[0].path: ", "may not be written by user"],
                    "--disk", f"vda,path={image},fd=9", prefix=self.unprivileged())

    def test_read_only_image(self):
        image = self.image()
        os.chmod(image, 0o444)
        prefix = self.unprivileged()
        self.refuse("set read-only", "--disk", f"vda,path={image},fd=9", prefix=prefix)
        status, out, _ = self.run_once("--check", "--disk",
                                       f"vda,path={image},read-only=on,fd=9", prefix=prefix)
        self.assertEqual(status, 0, out)

    def test_directory_without_permission(self):
        closed = self.dir / "closed"
        closed.mkdir(mode=0o555)
        self.refuse(["disks[0].socket: ", "may not make a socket in the directory closed"],
                    "--disk", f"vda,{NULL},socket=closed/s", prefix=self.unprivileged())

    def test_descriptors_that_are_no_socket(self):
        self.refuse("disks[0].fd: fd 77", "--disk", f"vda,{NULL},fd=77")
        reader, writer = os.pipe()
        try:
            self.refuse(f"disks[0].fd: fd {reader} is not a socket", "--disk",
                        f"vda,{NULL},fd={reader}", pass_fds=[reader])
        finally:
            os.close(reader)
            os.close(writer)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
            self.refuse("is not a UNIX stream socket", "--disk",
                        f"vda,{NULL},fd={datagram.fileno()}", pass_fds=[datagram.fileno()])


class Images(pariod_rig.Case):
    """Formats that are not raw, and images that somebody else has open."""

    def make_qcow2(self):
        path = self.dir / "disk.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
        return path

    def test_other_formats(self):
        for name in ("qcow2", "vmdk", "vdi", "vhdx"):
            path = self.dir / f"disk.{name}"
            subprocess.run(["qemu-img", "create", "-q", "-f", name, path, "8M"], check=True)
            with self.subTest(format=name):
                self.refuse(["disks[0].path: ", "image", "format=raw"],
                            "--disk", f"vda,path={path},socket=s")

    def test_format_raw(self):
        path = self.make_qcow2()
        size = (path.stat().st_size + 511) // 512 * 512
        os.truncate(path, size)
        served = self.start("--disk", f"vda,path={path},socket=s,format=raw")
        self.assertEqual(served.end(), 0, served.text())

    def test_locked_by_qemu(self):
        image = self.image()
        pid_file = self.dir / "qsd.pid"
        with subprocess.Popen(["qemu-storage-daemon", "--blockdev",
                               f"driver=file,node-name=f,filename={image}", "--nbd-server",
                               f"addr.type=unix,addr.path={self.dir}/nbd", "--export",
                               "type=nbd,id=e,node-name=f,writable=on", "--pidfile",
                               pid_file]) as peer:
            try:
                pariod_rig.wait_until(pid_file.exists, "qemu-storage-daemon is up")
                self.refuse(["disks[0].path: ", "in use"], "--disk",
                            f"vda,path={image},socket=s")
            finally:
                peer.terminate()

    def test_locked_for_qemu(self):
        image = self.image()
        served = self.start("--disk", f"vda,path={image},socket=s")
        peer = subprocess.run(["qemu-img", "resize", "-f", "raw", image, "2M"],
                              stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              check=False)
        self.assertNotEqual(peer.returncode, 0)
        self.assertIn("lock", peer.stderr)
        self.assertEqual(served.end(), 0)
        subprocess.run(["qemu-img", "resize", "-q", "-f", "raw", image, "2M"], check=True)

    def test_locked_by_another_pariod(self):
        image = self.image()
        served = self.start("--disk", f"vda,path={image},socket=s")
        self.refuse(["disks[0].path: ", "in use"], "--disk", f"vdb,path={image},socket=t")
        self.assertEqual(served.end(signal.SIGINT), 0)


class Check(pariod_rig.Case):
    def test_valid(self):
        image = self.image()
        status, out, lines = self.run_once("--check", "--disk", f"vda,path={image},socket=s")
        self.assertEqual((status, lines), (0, []))
        self.assertIn("1 disks", out)
        self.assertFalse((self.dir / "s").exists())

    def test_wrong(self):
        self.refuse("does not exist", "--check", "--disk", "vda,path=none.raw,socket=s")

    def test_while_it_is_served(self):
        arguments = ["--disk", f"vda,path={self.image()},socket=s"]
        served = self.start(*arguments)
        status, _, lines = self.run_once("--check", *arguments)
        self.assertEqual((status, lines), (0, []))
        connection = self.connect(self.dir / "s")
        self.assertNotEqual(pariod_rig.ask_features(connection), 0)
        self.assertEqual(served.end(), 0)


if __name__ == "__main__":
    pariod_rig.main()
