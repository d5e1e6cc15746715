# SPDX-License-Identifier: Apache-2.0
"""The stacks of Python programs that know what may stand on them, as a profile has them: counted by what is wrong with them."""
import math
import re
import sqlite3
import subprocess
from collections import Counter, namedtuple
from contextlib import closing

STATE_PYTHON = 8
NOT_SEEN = "[python code not seen]"
TORN, UNREADABLE = "Python frames were changing", "Python frames unreadable"
LIBRARY = re.compile(r"^import |functools\.wraps")  # lines of the programs that call others' code
Frame = namedtuple("Frame", "name file line first")
Stack = namedtuple("Stack", "frames ended samples")


def python_stacks(kymo, path):
    """Of a profile's samples of Python: the Python frames, root first."""
    out = path.with_suffix(".sqlite")
    subprocess.run([kymo, "export", "-o", out, path], check=True)
    with closing(sqlite3.connect(out)) as db:
        tree = {i: (parent, frame) for i, parent, frame in db.execute("SELECT id, parent, frame FROM stack")}
        # a code object that was put off is no function of Python's: it stays a frame
        frames = {i: Frame(name or "", file or "", line, first) if kind == "python" or name == NOT_SEEN else None
                  for i, kind, name, file, line, first in db.execute(
                      "SELECT f.id, f.kind, coalesce(n.name, f.name), n.file, f.line, n.first_line "
                      "FROM frame AS f LEFT JOIN function AS n ON n.id = f.function")}
        counted = db.execute(f"SELECT stack, stack_end, count(*) FROM sample WHERE source = 'cpu' AND state & {STATE_PYTHON} GROUP BY 1, 2").fetchall()
    return [Stack(chain(tree, frames, stack), ended, n) for stack, ended, n in counted]


def chain(tree, frames, stack):
    out = []
    while stack is not None:
        stack, frame = tree[stack]
        if frames[frame]:
            out.append(frames[frame])
    return out[::-1]


def last(name):
    return name.rpartition(".")[2]


class Graph:
    """graph.py: each of its lines names behind "#>" what it may call."""

    def __init__(self, script, stacks):
        self.name = "/" + script.name
        self.lines = script.read_text().splitlines()
        self.calls = [set(line.partition("#>")[2].split()) for line in self.lines]
        self.count = Counter()
        self.examples = []
        for s in stacks:
            self.add(s)

    def ours(self, frame):
        return frame.file.endswith(self.name)

    def add(self, s):
        self.count["samples"] += s.samples
        if s.ended in (TORN, UNREADABLE):
            self.count[s.ended] += s.samples
            return
        if not any(map(self.ours, s.frames)):
            return  # the interpreter's own start and end
        self.count["graph"] += s.samples
        self.count["whole"] += s.samples * (s.ended == "whole")
        self.count["unnamed"] += s.samples * any(f.name == NOT_SEEN for f in s.frames)
        wrong = self.wrong(s.frames)
        if wrong:
            self.count[wrong] += s.samples
            self.examples.append((wrong, [f"{f.name}:{f.line}" for f in s.frames]))

    def wrong(self, frames):
        if NOT_SEEN not in (frames[0].name, frames[-1].name) and (frames[0].name != "<module>" or not self.ours(frames[0])):
            return "bogus"
        for caller, callee in zip(frames, frames[1:]):
            if NOT_SEEN in (caller.name, callee.name):
                continue
            if not self.ours(callee):
                return None if LIBRARY.search(self.lines[caller.line - 1]) else "bogus"
            if last(callee.name) not in self.calls[caller.line - 1]:
                return "impossible"
        return None


class Shares:
    """shares.py in one thread: exact ordered stacks, lines within their functions, and each share of what it measured itself."""

    def __init__(self, lines_of, truth, stacks):
        self.seen = Counter()
        self.impossible = self.lines_outside = 0
        for s in stacks:
            self.add(s, set(truth), lines_of)
        self.n = sum(self.seen.values())
        total = sum(truth.values())
        self.sigmas = max(self.off(self.seen[f], spent / total) for f, spent in truth.items())

    def add(self, s, functions, lines_of):
        names = [f.name for f in s.frames]
        # from the function on that the thread runs, or the script where it runs in the main one
        while names and not (names[0] == "work" or names[0].startswith("call_")):
            names.pop(0)
        frames = s.frames[len(s.frames) - len(names):]
        if names[-1:] == ["<lambda>"]:
            names.pop()  # the clock, on 3.6
        if s.ended in (TORN, UNREADABLE) or not names or NOT_SEEN in names:
            return
        rest = names[1:] if names[0] == "work" else names
        if not rest or not rest[0].startswith("call_"):
            return  # work itself: seldom, and nobody's share
        function = rest[0][len("call_"):]
        if function not in functions or rest[1:] not in ([], [function]):
            self.impossible += s.samples
            return
        self.lines_outside += s.samples * any(not lines_of[f.name][0] <= f.line <= lines_of[f.name][1] for f in frames if f.name in lines_of)
        self.seen[function] += s.samples

    def off(self, seen, share):
        sigma = math.sqrt(self.n * share * (1 - share))
        return abs(seen - self.n * share) / sigma if sigma else math.inf


class Dropped:
    """dropped.py: at_FIRST_SPIN begins at line FIRST and spins at SPIN, called by by_FIRST_SPIN of two lines on."""

    AT = re.compile(r"(at|by)_(\d+)_(\d+)")

    def __init__(self, stacks):
        self.made = self.wrong_names = self.wrong_lines = 0
        for s in stacks:
            if s.ended not in (TORN, UNREADABLE) and len(s.frames) >= 2 and s.frames[-1].file == s.frames[-2].file == "<made>":
                self.add(s.frames[-2], s.frames[-1], s.samples)

    def add(self, caller, callee, samples):
        by, at = self.AT.fullmatch(caller.name), self.AT.fullmatch(callee.name)
        self.made += samples
        if not by or not at or (by[1], at[1]) != ("by", "at") or by.groups()[1:] != at.groups()[1:]:
            self.wrong_names += samples
            return
        first, spin = int(at[2]), int(at[3])
        if caller.first != spin + 2 or caller.line != spin + 3 or callee.first != first or callee.line not in (first, first + 1, spin, spin + 1):
            self.wrong_lines += samples
