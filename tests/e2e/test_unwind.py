# SPDX-License-Identifier: Apache-2.0
"""Whole native stacks of code without frame pointers, in their true order."""

import re
import subprocess
import time

import pytest
from profile import folded

FLAGS = ("-fomit-frame-pointer",)
HZ = 499
# Until the rules of a program that has just been started are there, its stacks are short.
LATE_SECONDS = 0.4
CHAIN = ["first", "second", "third", "leaf"]
# What stands between the program's start and the first function of ours, and between a signal and its handler.
WAYS = {
    "chain": ["main", *CHAIN],
    "deep": ["main", *["down"] * 201, "leaf"],
    "signal": ["main", "interrupted", "handler", *CHAIN],
    "thread": ["in_thread", *CHAIN],
}
OURS = {name for way in WAYS.values() for name in way}


def ours(stack):
    return [n for n in (re.sub(r" \(.*", "", f) for f in stack) if n in OURS]


def recorded(kymo, *command):
    kymo.run("record", "-q", "-F", HZ, "-o", "u.kymo", "--", *command)
    return kymo.cwd / "u.kymo"


@pytest.mark.parametrize("way", WAYS)
def test_stacks_are_exact(kymo, compiled, way):
    path = recorded(kymo, compiled("chain.c", *FLAGS), way, 3)
    exact = late = other = 0
    for stack, ns in folded(kymo, path):
        names = ours(stack)
        if names == WAYS[way]:
            exact += ns
        elif names == ["leaf"]:
            late += ns
        elif "leaf" in names:
            other += ns
    assert other == 0
    assert late <= LATE_SECONDS * 1e9, late / 1e9
    assert exact >= 0.25e9  # whatever CPU a busy machine leaves it


BUSY = {
    "perl": ["perl", "-e", "sub f { my $x = 0; $x += $_ * 2 for 1 .. 1000; $x } f() while 1"],
    "python": ["/usr/bin/python3.11", "-c", "while True: sorted(range(200), key=lambda a: sum(range(a)))"],
}


@pytest.mark.parametrize("name", BUSY)
def test_programs_that_run_are_whole(kymo, name):
    """From the first sample on: their files are prepared before."""
    with subprocess.Popen(BUSY[name]) as p:
        try:
            time.sleep(0.5)
            kymo.run("record", "-q", "-F", HZ, "-d", 2, "-o", "u.kymo", "-p", p.pid)
        finally:
            p.kill()
    report = kymo.run("report", "u.kymo").stdout
    whole = re.search(r"([0-9.]+)% of user stacks are whole", report)
    assert whole, report
    assert float(whole[1]) >= 99.0, report


def code_of(library, name):
    """Where its function begins: GNU ld gives code the same place in the file as in memory."""
    for line in subprocess.run(["nm", "-D", library], text=True, capture_output=True, check=True).stdout.splitlines():
        if line.endswith(f" T {name}"):
            return int(line.split()[0], 16)
    raise AssertionError(name)


def test_code_replaced_at_its_address_is_seen(kymo, compiled):
    """What is known of a mapping and of a place in the code holds no longer than the mapping."""
    turns = []
    for name, room in (("in_a", 40), ("in_b", 1000)):
        library = compiled("remap_code.c", *FLAGS, "-fPIC", "-shared", f"-DNAME={name}", f"-DROOM={room}")
        turns += [library, code_of(library, name)]
    path = recorded(kymo, compiled("remap.c", *FLAGS), 3, *turns)
    seen = {"run_a": 0, "run_b": 0}
    late, other = 0, {}
    for stack, ns in folded(kymo, path):
        names = [re.sub(r" \(.*", "", f) for f in stack]
        if "leaf" not in names:
            continue
        at = names.index("leaf")
        if names[at - 3 : at] in (["main", "run_a", "in_a"], ["main", "run_b", "in_b"]):
            seen[names[at - 2]] += ns
        elif "main" not in names:
            late += ns
        else:
            other[" ".join(names)] = ns
    assert not other
    assert late <= LATE_SECONDS * 1e9, late / 1e9
    assert min(seen.values()) >= 0.1e9, seen
