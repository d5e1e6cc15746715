# SPDX-License-Identifier: Apache-2.0
"""Right stacks, right shares: a program that knows by its own clock where its time went."""

import json
import math
import re
import subprocess

import pytest
from conftest import PROGRAMS
from profile import folded, quality, rows

PYTHON = "/usr/bin/python3.11"
HZ = 499
FUNCTIONS = ("alpha", "beta", "gamma", "delta")


@pytest.fixture(scope="module")
def shares(tmp_path_factory):
    from conftest import Kymo

    kymo = Kymo(tmp_path_factory.mktemp("shares"))
    r = kymo.run("record", "-q", "-F", HZ, "-o", "s.kymo", "--", PYTHON, PROGRAMS / "shares.py", 10)
    return kymo, kymo.cwd / "s.kymo", json.loads(r.stdout)


def python_part(stack):
    """Names of the frames from the program's main on: its Python part, without file and line."""
    names = [re.sub(r" \(.*", "", f) for f in stack]
    return names[names.index("main"):] if "main" in names else None


def test_shares_within_four_sigmas(shares):
    kymo, path, truth = shares
    weight = dict.fromkeys(FUNCTIONS, 0)
    for stack, ns in folded(kymo, path):
        names = python_part(stack) or []
        for f in FUNCTIONS:
            if f in names:
                weight[f] += ns
    period = 1e9 / HZ
    total = sum(weight.values())
    n = round(total / period)
    spent = sum(truth["spent"].values())
    assert spent > 1e9
    # all of the CPU time that they got, however little that was on a busy machine
    assert abs(total - spent) <= 4 * math.sqrt(n) * period + 0.02 * spent, (total, spent)
    for f in FUNCTIONS:
        p = truth["spent"][f] / spent
        k = weight[f] / period
        sigma = math.sqrt(n * p * (1 - p))
        assert abs(k - n * p) <= 4 * sigma, f"{f}: {k:.0f} samples, {n * p:.0f} expected, sigma {sigma:.1f}"


def test_exact_ordered_stacks(shares):
    kymo, path, _ = shares
    possible = {("main", f"call_{f}", f) for f in FUNCTIONS} | {("main", f"call_{f}") for f in FUNCTIONS} | {("main",)}
    ours = {name for stack in possible for name in stack}  # not the kernel's call_timer_fn
    impossible = []
    for stack, ns in folded(kymo, path):
        names = python_part(stack)
        if names is None:
            continue
        mine = tuple(x for x in names if x in ours)
        python_first = tuple(names[: len(mine)])
        if mine not in possible or python_first != mine:
            impossible.append((stack, ns))
    assert not impossible


def test_files_and_lines(shares):
    kymo, path, truth = shares
    found = rows(path, """SELECT f.name AS name, f.file AS file, f.first_line AS first, frame.line AS line
                            FROM frame JOIN function f ON f.id = frame.function WHERE f.kind = 3""")
    seen = set()
    for r in found:
        if r["name"] in FUNCTIONS:
            first, last = truth["lines"][r["name"]]
            assert r["file"] == truth["file"]
            assert r["first"] == first
            assert first <= r["line"] <= last, r
            seen.add(r["name"])
    assert seen == set(FUNCTIONS)


def test_nothing_lost_and_torn_ones_counted(shares):
    kymo, path, _ = shares
    q = quality(path)
    assert q.get("bpf.ring_full", 0) == 0
    assert q.get("frames.no_code", 0) == 0
    assert q.get("bpf.python_torn", 0) <= 0.01 * q["bpf.samples"]


def test_report_shows_them(shares):
    kymo, path, _ = shares
    report = kymo.run("report", path).stdout
    for f in FUNCTIONS:
        assert re.search(rf"python\s+{f}\b.*shares\.py:\d+", report), report
    assert all(len(line) <= 80 for line in report.splitlines())


def test_native_chain_by_frame_pointers(kymo, compiled):
    """main -> outer -> middle -> inner, in every stack of a program in which every function keeps a frame."""
    # -O0: gcc gives no frame to a leaf that needs no stack, whatever -fno-omit-frame-pointer says
    program = compiled("busy.c", "-O0")
    kymo.run("record", "-q", "-F", "499", "-o", "n.kymo", "--", program, "2")
    good = bad = total = 0
    for stack, ns in folded(kymo, kymo.cwd / "n.kymo"):
        total += ns
        if "inner" in stack:
            at = stack.index("main")
            if stack[at:at + 4] == ["main", "outer", "middle", "inner"]:
                good += ns
            else:
                bad += ns
    assert bad == 0
    assert good > 0.95 * total and total > 100 * 1e9 / 499
