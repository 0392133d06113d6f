#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--help, the schema and the man pages say the same: keys, bounds, defaults, options, commands.

Not a check of prose: what a key means may be said at length in the page.
usage: test_manual.py PARIOD PARIO PARIO-BENCH DIRECTORY-OF-SCD-FILES
"""

import json
import re
import subprocess
import sys
from pathlib import Path

# The lists of objects: their names in the schema, what --help and the page call one.
LISTS = {"disks": "a disk", "switches": "a switch", "ports": "a port", "uplinks": "an uplink"}
KEY = re.compile(r"^  ([a-z][a-z0-9.-]*)=[A-Z]+$")
OPTION = re.compile(r"^  --([a-z][a-z.-]*)(?: .*)?$")
PAGE_KEY = re.compile(r"^\*([a-z][a-z0-9.-]*)\*=_[A-Z]+_$")
PAGE_OPTION = re.compile(r"^\*--([a-z][a-z.-]*)\*(?: .*)?$")
PAGE_COMMAND = re.compile(r"^\*(?!pario\*)([a-z]+)\*(?: .*)?$")
HELP_COMMAND = re.compile(r"^  ([a-z]+) .*$")

faults = []


def fault(text):
    faults.append(text)


def output(*command):
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         timeout=60, check=False)
    if run.returncode != 0 or run.stderr:
        fault(f"{' '.join(map(str, command))}: status {run.returncode}, {run.stderr.strip()}")
    return run.stdout


def entries(lines, start):
    """Lines that match start, each with the indented text that follows, as one line."""
    found = {}
    text = None
    for line in lines:
        match = start.match(line)
        if match:
            if match[1] in found:
                fault(f"{match[1]} is described twice")
            text = found[match[1]] = []
        elif line.strip() == "" or line[0] not in " \t":
            text = None
        elif text is not None:
            text.append(line.strip())
    return {name: " ".join(words) for name, words in found.items()}


def section(lines, title):
    """The lines behind the one that is, or begins with, the title, up to the next title."""
    found = None
    for line in lines:
        if line == title or line.startswith(f"{title},"):
            found = []
        elif found is not None and (line.startswith("# ") or line.startswith("Keys of ") or
                                    line.startswith("Example:")):
            break
        elif found is not None:
            found.append(line)
    if not found:
        fault(f"there is no section \"{title}\"")
    return found or []


def page(directory, name):
    """A page without the escapes that scdoc needs."""
    text = (directory / name).read_text(encoding="utf-8")
    return re.sub(r"\\(.)", r"\1", text).splitlines()


def same_names(what, left_name, left, right_name, right):
    for name in sorted(set(left) - set(right)):
        fault(f"{what} {name} stands in {left_name} but not in {right_name}")
    for name in sorted(set(right) - set(left)):
        fault(f"{what} {name} stands in {right_name} but not in {left_name}")


def same_facts(where, rows, texts):
    for row in rows:
        name = row["key"]
        default = row.get("default", row.get("default-in-words"))
        facts = f"Allowed: {row['allowed']}. Default: {default}."
        if row["runtime"]:
            facts += " Can be set at run time."
        if name in texts and not texts[name].endswith(facts):
            fault(f"{where}: {name} does not end with \"{facts}\"")


def check_pariod(pariod, schema, directory):
    help_lines = output(pariod, "--help").splitlines()
    help_options = entries(help_lines, OPTION)
    page_lines = page(directory, "pariod.8.scd")
    page_options = entries(page_lines, PAGE_OPTION)
    daemon_keys = [row["key"] for row in schema["daemon"]]

    if set(schema) != {"daemon", *LISTS}:
        fault("the schema has other lists than this test")
    for name, one in LISTS.items():
        keys = [row["key"] for row in schema[name]]
        help_keys = entries(section(help_lines, f"Keys of {one}"), KEY)
        page_keys = entries(section(page_lines, f"# KEYS OF {one.upper()}"), PAGE_KEY)
        same_names(f"key of {one}", "the schema", keys, "pariod --help", help_keys)
        same_names(f"key of {one}", "the schema", keys, "pariod.8", page_keys)
        same_facts(f"pariod --help, {one}", schema[name], help_keys)
        same_facts(f"pariod.8, {one}", schema[name], page_keys)
    if len(schema["disks"]) < 20 or len(schema["ports"]) < 40 or len(daemon_keys) < 4:
        fault("the schema is too short to be whole")
    if not any(row["runtime"] for row in schema["disks"]):
        fault("no key of a disk can be set at run time")
    same_names("option", "pariod --help", help_options, "pariod.8", page_options)
    for name in sorted(set(daemon_keys) - set(help_options)):
        fault(f"daemon key {name} is no option of pariod --help")
    same_facts("pariod --help", schema["daemon"], help_options)
    same_facts("pariod.8", schema["daemon"], page_options)


def check_pario(pario, schema, directory):
    help_lines = output(pario, "--help").splitlines()
    page_lines = page(directory, "pario.1.scd")
    text = output(pario, "schema")

    same_names("option", "pario --help", entries(help_lines, OPTION), "pario.1",
               set(entries(page_lines, PAGE_OPTION)))
    same_names("command", "pario --help", entries(help_lines, HELP_COMMAND), "pario.1",
               entries(page_lines, PAGE_COMMAND))
    runtime = sum(row["runtime"] for table in schema.values() for row in table)
    if text.count(" Can be set at run time.\n") != runtime:
        fault(f"pario schema does not say of {runtime} keys that they can be set at run time")
    for prefix, table in (("daemon.", "daemon"), *((f"{name}[].", name) for name in LISTS)):
        for row in schema[table]:
            if f"\n{prefix}{row['key']} ({row['type']})\n" not in f"\n{text}":
                fault(f"pario schema does not list {prefix}{row['key']}")


def options_at_start(lines, start):
    """Options that lines beginning with start are about; there may be two: "--x, --no-x"."""
    return {name for line in lines if line.startswith(start)
            for name in re.findall(r"--([a-z][a-z-]*)", re.split(r"  |_", line.lstrip())[0])}


def check_bench(bench, directory):
    in_help = set()
    for command in (["blk"], ["net"], ["figures"], ["figures", "net"]):
        found = options_at_start(output(bench, *command, "--help").splitlines(), "  --")
        if not found:
            fault(f"pario-bench {' '.join(command)} --help shows no options")
        in_help |= found
    in_page = options_at_start(page(directory, "pario-bench.1.scd"), "*--")
    if len(in_help) < 20:
        fault("pario-bench --help is too short to be whole")
    same_names("option", "pario-bench --help", in_help, "pario-bench.1", in_page)


def main():
    pariod, pario, bench, directory = *sys.argv[1:4], Path(sys.argv[4])
    schema = json.loads(output(pario, "schema", "--json"))
    check_pariod(pariod, schema, directory)
    check_pario(pario, schema, directory)
    check_bench(bench, directory)
    for text in faults:
        print(text, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
