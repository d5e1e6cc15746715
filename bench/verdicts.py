# SPDX-License-Identifier: Apache-2.0
"""The oracle's verdict on kymo and every peer: programs of a known call graph, all profilers in the same run."""
import os
import subprocess

from measure import builds
import judge
import loads
import profilers
import shapes

PYTHON = "/usr/bin/python3.11"
# What languages do to stacks, then graphs made from a seed: (language, shape or None).
PROGRAMS = [*((language, None) for language in ("c", "c++", "rust", "go", PYTHON)), *(("c", shape) for shape in shapes.SHAPES),
            ("c++", "deep"), ("rust", "wide"), ("go", "threaded"), (PYTHON, "deep"), (PYTHON, "recursive"), (PYTHON, "threaded"),
            (PYTHON, "signals")]
SHAPES_SEED = 3

CONTENDERS = (profilers.Kymo, profilers.Perf, profilers.PerfDwarf, profilers.Bcc, profilers.Bpftrace, profilers.PySpy,
              profilers.PySpyNative, profilers.Austin)


def together(kinds, pid, folder):
    """Those that begin; what keeps others from it."""
    begun, failed = [], {}
    for kind in kinds:
        recorder = kind([pid], folder, kind.beside_hz, builds() / "kymo")
        try:
            recorder.begun()
            begun.append(recorder)
        except (RuntimeError, TimeoutError) as e:
            recorder.end()
            failed[kind.name] = str(e)
    return begun, failed


def title(program):
    language, shape = program
    return f"{os.path.basename(language)}, {shape or 'features'}"


def command(folder, program, seconds, seed):
    language, shape = program
    if not shape:
        return [*loads.graph(folder, language), seconds, seed]
    return [*shapes.command(folder, language, shape, SHAPES_SEED), "cpu", seconds / shapes.SHAPES[shape].threads, seed]


def verdict(program, kinds, folder, seconds, seed):
    """[(profiler's name, judge.Verdict or why there is none)] of one program; loads.Missing where it cannot be had."""
    running = loads.Waiting(command(folder, program, seconds, seed))
    begun = []
    python = program[0].startswith("/") or program[0][0].isdigit()
    try:
        begun, failed = together([k for k in kinds if python or not k.python_only], running.pid, folder)
        paths = judge.read_folded(running.until_done())
        for r in begun:
            try:
                r.stop()
            except (OSError, RuntimeError, subprocess.TimeoutExpired) as e:
                failed[r.name] = str(e)
    finally:
        for r in begun:
            r.end()
        running.end()
    said = list(failed.items())
    for r in begun:
        if r.name not in failed:
            try:
                said.append((r.name, judge.Verdict(paths, *r.stacks())))
            except (OSError, RuntimeError, ValueError, KeyError, subprocess.SubprocessError) as e:
                said.append((r.name, f"{type(e).__name__}: {e}"[:200]))
    return said
