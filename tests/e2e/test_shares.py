# SPDX-License-Identifier: Apache-2.0
"""Right stacks, right shares: a program that knows by its own clock where its time went."""

import json
import math
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from conftest import PROGRAMS
from profile import folded, quality, rows
from test_accounts import wait_for_recording

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


# ---- every CPython, C and C++, and threads: one recording of all of them side by side ----

VERSIONS = ["3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"]
CPU_SECONDS = 0.8  # of each process; of each thread a third
ALL_HZ = 997


def interpreter(version):
    """pyenv's, or the system's; None: there is none."""
    root = pathlib.Path(os.environ.get("PYENV_ROOT", "/root/.pyenv")) / "versions"
    found = sorted(root.glob(f"{version}.*/bin/python{version}")) + [p for p in [pathlib.Path(f"/usr/bin/python{version}")] if p.exists()]
    return str(found[0].resolve()) if found else None


def programs(compiled):
    """name -> command that takes CPU time in one thread, and in three."""
    all_ = {}
    for v in VERSIONS:
        if interpreter(v):
            all_[f"python{v}"] = [interpreter(v), PROGRAMS / "shares.py", CPU_SECONDS, 1]
            all_[f"python{v} threads"] = [interpreter(v), PROGRAMS / "shares.py", CPU_SECONDS / 3, 3]
    for name, compiler, option in (("c", "gcc", "-xc"), ("c++", "g++", "-xc++")):
        program = compiled("shares.c", option, "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", compiler=compiler)
        all_[f"{name} threads"] = [program, CPU_SECONDS / 3]
    return all_


def await_known(path, commands):
    """Until each interpreter's functions have been seen: before, a starved host has not come to look at its file."""
    pythons = sorted({c[0] for name, c in commands.items() if name.startswith("python")})
    code = "def known_%d():\n while True: sum(range(1000))\nknown_%d()"
    spinning = [subprocess.Popen([p, "-S", "-c", code % (i, i)]) for i, p in enumerate(pythons)]
    try:
        names, deadline = {f"known_{i}" for i in range(len(pythons))}, time.monotonic() + 120
        while not names <= {r["name"] for r in rows(path, "SELECT name FROM function WHERE kind = 3")}:
            assert time.monotonic() < deadline, "an interpreter's functions are not seen"
            time.sleep(0.1)
    finally:
        for p in spinning:
            p.kill()
            p.wait()


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory, compiled):
    """(kymo, path, name -> (pid, CPU time by thread and function))"""
    from conftest import Kymo

    kymo = Kymo(tmp_path_factory.mktemp("all"))
    path = kymo.cwd / "all.kymo"
    commands = programs(compiled)
    recorder = kymo.start("record", "-q", "-a", "-s", "cpu", "-F", ALL_HZ, "-o", path)
    started = {}
    try:
        wait_for_recording(recorder, path)
        await_known(path, commands)
        # each in its turn beside a few others, not all at once: a start is not what is judged here
        for name, command in commands.items():
            started[name] = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True)
            running = [p for p in started.values() if p.poll() is None]
            if len(running) >= 4:
                running[0].wait(120)
        truth = {name: (p.pid, json.loads(p.communicate(timeout=120)[0])["threads"]) for name, p in started.items()}
    finally:
        for p in started.values():
            p.kill()
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(60) == 0, recorder.stderr.read()
    return kymo, path, truth


def plain(frame):
    """alpha of "alpha (shares.py:20)", "alpha(long)" and "gamma_"."""
    return re.sub(r"[ (].*", "", frame).rstrip("_")


NAMES = [f"python{v}{kind}" for v in VERSIONS for kind in ("", " threads")] + ["c threads", "c++ threads"]


@pytest.mark.parametrize("name", NAMES)
def test_shares_of_all(side_by_side, name):
    """Four functions in each thread: exact ordered stacks, each share within four sigmas, nothing that cannot be."""
    kymo, path, truth = side_by_side
    if name not in truth:
        pytest.skip(f"no {name.split()[0]}: neither pyenv nor the system has it")
    pid, threads = truth[name]
    period = int(rows(path, "SELECT value FROM meta WHERE key = 'period_ns.cpu'")[0]["value"])
    weight = {(t, f): 0 for t in range(len(threads)) for f in FUNCTIONS}
    callers = [f"call_{f}" for f in FUNCTIONS]
    ours = {*FUNCTIONS, *callers, "thread_0", "thread_1", "thread_2", "work"}
    for stack, ns in folded(kymo, path, "--pid", pid):
        # the kernel has a function work_..., none by one of these names
        names = [n for n in map(plain, stack) if n in ours]
        if not any(n in FUNCTIONS or n in callers for n in names):
            continue
        thread, *rest = names
        assert thread in ("thread_0", "thread_1", "thread_2"), stack
        if rest[0] == "work":
            rest = rest[1:]
        assert rest in [[c] for c in callers] + [[f"call_{f}", f] for f in FUNCTIONS], stack
        weight[int(thread[-1]), rest[0].replace("call_", "")] += ns
    for t, spent in enumerate(threads):
        total = sum(spent.values())
        n = sum(weight[t, f] for f in FUNCTIONS) / period
        assert abs(n - total / period) <= 4 * math.sqrt(n) + 0.02 * n, (t, n, total / period)
        for f in FUNCTIONS:
            p = spent[f] / total
            sigma = math.sqrt(n * p * (1 - p))
            assert abs(weight[t, f] / period - n * p) <= 4 * sigma, f"thread {t}, {f}: {weight[t, f] / period:.0f} samples, {n * p:.0f} expected, sigma {sigma:.1f}"
