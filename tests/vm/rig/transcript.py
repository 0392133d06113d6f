# SPDX-License-Identifier: Apache-2.0
"""What a guest reported on its console, parsed. Not the verdict on it.

A guest's line is "@pario" and a word: value NAME VALUE, ok STEP, fail STEP, ask NAME, end.
"""

import re
import time

MARK = re.compile(r"@pario (\w+) ?(.*)$")
# What the guest's kernel says when a disk has failed it, or it has failed itself.
TROUBLE = re.compile(r"I/O error|EXT4-fs error|EXT4-fs warning|JBD2:|Kernel panic|BUG:|Oops|"
                     r"blocked for more than|virtio.*(error|fail|broken)")


class Transcript:
    def __init__(self):
        self.values = {}
        self.steps = []             # (name, seconds since the step before it)
        self.failures = []
        self.asked = []
        self.trouble = []
        self.ended = False
        self.started = self.last = time.monotonic()

    def feed(self, line):
        """Takes in one line of the console; returns the name asked for when it is a question."""
        found = MARK.search(line)
        if not found:
            # After a failed step the guest is switched off with its file system mounted.
            if TROUBLE.search(line) and not self.failures and len(self.trouble) < 5:
                self.trouble.append(line)
            return None
        word, rest = found.groups()
        if word == "value":
            name, _, value = rest.partition(" ")
            self.values[name] = value.strip()
        elif word == "ok":
            now = time.monotonic()
            self.steps.append((rest, now - self.last))
            self.last = now
        elif word == "fail":
            self.failures.append(rest)
        elif word == "end":
            self.ended = True
        elif word == "ask":
            self.asked.append(rest)
            return rest
        else:
            self.failures.append(f"a line that nobody understands: {line}")
        return None

    def number(self, name):
        """A value as a number; -1, which no judge wants, when the guest did not report one."""
        try:
            return int(self.values.get(name, ""))
        except ValueError:
            return -1

    def judge_steps(self, wanted):
        """Faults in the steps: all that are wanted, in order, nothing else, nothing failed."""
        faults = [f"guest: step failed: {text}" for text in self.failures]
        faults += [f"guest: its kernel says: {line}" for line in self.trouble]
        done = [name for name, _seconds in self.steps]
        if done != wanted:
            missing = [name for name in wanted if name not in done]
            faults.append(f"guest: steps done: {' '.join(done) or 'none'}; "
                          f"missing: {' '.join(missing) or 'none, but the order differs'}")
        if not self.ended:
            faults.append("guest: never said that it was done")
        return faults
