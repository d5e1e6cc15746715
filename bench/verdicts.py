# SPDX-License-Identifier: Apache-2.0
"""The oracle's verdict on kymo and every peer: programs of a known call graph, all profilers in the same run."""
import os
import pathlib
import shutil
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
            (PYTHON, "signals"), *((loads.FRAME_POINTERS, shape) for shape in (None, "wide", "recursive", "threaded"))]
SHAPES_SEED = 3
MIB = {"memory": 256, "io": 128}
# What grew and who wrote, by bytes: (language, shape, what).
CHARGED = [(language, "threaded", what) for language in ("c", "c++", "rust", "go", PYTHON) for what in ("memory", "io")]


class KymoCharged(profilers.Kymo):
    """By the sources that say who caused it."""
    sources = "cpu,fault,io"
    source = None

    def stacks(self, *options):
        if self.source is None or options:
            return super().stacks(*options)
        return self.charged(self.source, self.pids[0])


class PerfFaults(profilers.Perf):
    """Each of seven, as kymo does; perf has no event whose weight is a bio's bytes."""
    name = "perf page-faults"

    def command(self):
        return [shutil.which("perf"), "record", "-q", "-e", "page-faults", "-c", "7", "--call-graph", "dwarf", "-p", self.pids[0], "-o", self.out]


def charging(kinds, what):
    """Of those that are there, who can say what memory or disk traffic was whose."""
    mine = type("KymoCharged", (KymoCharged,), {"source": {"memory": "fault", "io": "io"}[what]})
    return [mine] + ([PerfFaults] if what == "memory" and profilers.Perf in kinds else [])

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
    language, shape, *what = program
    return ", ".join([os.path.basename(language), shape or "features", *what])


def command(folder, program, seconds, seed):
    language, shape, *what = program
    if not shape:
        return [*loads.graph(folder, language), seconds, seed]
    what = what[0] if what else "cpu"
    amount = (seconds if what == "cpu" else MIB[what]) / shapes.SHAPES[shape].threads
    return [*shapes.command(folder, language, shape, SHAPES_SEED), what, amount, seed, f"/var/tmp/kymo-bench-{os.getpid()}"]  # a real disk


def verdict(program, kinds, folder, seconds, seed):
    """[(profiler's name, judge.Verdict or why there is none)] of one program; loads.Missing where it cannot be had."""
    running = loads.Waiting(command(folder, program, seconds, seed))
    begun = []
    kinds = charging(kinds, program[2]) if len(program) > 2 else kinds
    python = program[0].startswith("/") or program[0][0].isdigit()
    try:
        begun, failed = together([k for k in kinds if python or not k.python_only], running.pid, folder)
        paths = judge.read_folded(running.until_done())
        for r in begun:
            try:
                r.stop()
            except (OSError, RuntimeError) as e:
                failed[r.name] = str(e)
    finally:
        for r in begun:
            r.end()
        running.end()
        pathlib.Path(f"/var/tmp/kymo-bench-{os.getpid()}").unlink(missing_ok=True)
    said = list(failed.items())
    for r in begun:
        if r.name not in failed:
            try:
                said.append((r.name, judge.Verdict(paths, *r.stacks())))
            except (OSError, RuntimeError, ValueError, KeyError, subprocess.SubprocessError) as e:
                said.append((r.name, f"{type(e).__name__}: {e}"[:200]))
    return said
