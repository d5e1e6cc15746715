#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Judges any profiler's folded stacks by the truth, which a program of a known call graph prints as folded stacks too.

usage: tests/oracle/judge.py TRUTH SEEN [--period NS]

TRUTH: lines "a;b;c NS", from the outermost function that matters. SEEN: the profiler's, with other frames around and
between, which do not count; --period: what one sample weighs there (default 1: it counts samples). A stack is

    right        the ordered functions of a path of the truth, or the first of them (a call just begins or has ended)
    cut          does not begin with the truth's outermost function: callers are missing
    impossible   anything else: the program has no such stack

The distance is the total variation distance between the truth's shares and those seen, over stacks that belong to one
path alone. The bound is what samples taken at random would exceed once in a thousand times.
"""
import argparse
import math
import re
import sys


def plain(frame):
    """A function's own name: without file, arguments, template's arguments, hash, namespace or receiver."""
    name = re.sub(r"\(\*(\w+)\)", r"\1", frame)  # Go: main.(*circle).visit
    name = re.sub(r" \(.*", "", name)
    name = re.sub(r"::h[0-9a-f]{16}$", "", name)
    name = name.split("+0x")[0]
    before = None
    while before != name:
        before, name = name, re.sub(r"<[^<>]*>", "", name)
    name = name.split("(")[0]
    return re.split(r"::|\.", name)[-1]


def read_folded(lines):
    """[(frames from the outermost on, weight)]"""
    out = []
    for line in lines:
        stack, _, weight = line.rstrip("\n").rpartition(" ")
        if stack:
            out.append((stack.split(";"), float(weight)))
    return out


class Verdict:
    def __init__(self, truth, seen, period=1):
        self.paths = {tuple(frames): weight for frames, weight in truth}
        self.names = {name for path in self.paths for name in path}
        self.roots = {path[0] for path in self.paths}
        self.period = period
        self.right = self.cut = self.outside = self.shared = 0
        self.impossible = []
        self.seen = dict.fromkeys(self.paths, 0)
        for frames, weight in seen:
            self.add(frames, weight)

    def add(self, frames, weight):
        ours = tuple(n for n in map(plain, frames) if n in self.names)
        if not ours:
            self.outside += weight
            return
        if ours[0] not in self.roots:
            self.cut += weight
            return
        of = [p for p in self.paths if p[:len(ours)] == ours]
        if not of:
            self.impossible.append((frames, weight))
            return
        self.right += weight
        if len(of) == 1:
            self.seen[of[0]] += weight
        else:
            self.shared += weight

    @property
    def samples(self):
        return round(sum(self.seen.values()) / self.period)

    @property
    def impossible_samples(self):
        return round(sum(w for _, w in self.impossible) / self.period)

    @property
    def seen_anything(self):
        """Whether there was any function of the program's."""
        return bool(self.right or self.cut or self.impossible)

    @property
    def cut_share(self):
        everything = self.right + self.cut + sum(w for _, w in self.impossible)
        return self.cut / everything if everything else 0

    @property
    def distance(self):
        seen, true = sum(self.seen.values()), sum(self.paths.values())
        if not seen:
            return 1.0
        return sum(abs(self.seen[p] / seen - w / true) for p, w in self.paths.items()) / 2

    @property
    def bound(self):
        """The expected distance of as many random samples is at most the first term; one sample changes it by 1 / n."""
        n, true = max(1, self.samples), sum(self.paths.values())
        expected = sum(math.sqrt(w / true * (1 - w / true) / n) for w in self.paths.values()) / 2
        return expected + math.sqrt(math.log(1000) / (2 * n))

    @property
    def holds(self):
        return not self.impossible and self.distance <= self.bound and self.samples > 0

    def __str__(self):
        return (f"{self.samples} samples, {self.impossible_samples} impossible, {100 * self.cut_share:.1f} % cut, "
                f"distance {self.distance:.3f} of {self.bound:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("truth")
    parser.add_argument("seen")
    parser.add_argument("--period", type=float, default=1)
    args = parser.parse_args()
    with open(args.truth, encoding="utf-8") as truth, open(args.seen, encoding="utf-8", errors="replace") as seen:
        verdict = Verdict(read_folded(truth), read_folded(seen), args.period)
    print(verdict)
    for frames, _ in verdict.impossible[:5]:
        print("impossible:", ";".join(frames))
    sys.exit(0 if verdict.holds else 1)


if __name__ == "__main__":
    main()
