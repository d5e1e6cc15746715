# SPDX-License-Identifier: Apache-2.0
"""The oracle's verdict on kymo and every peer: programs of a known call graph, all profilers in the same run."""
import subprocess

from measure import builds
import judge
import loads
import profilers

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


def verdict(name, kinds, folder, seconds, seed):
    """[(profiler's name, judge.Verdict or why there is none)] of one program; loads.Missing where it cannot be had."""
    program = loads.Waiting([*loads.graph(folder, name), seconds, seed])
    begun = []
    python = name.startswith("/") or name[0].isdigit()
    try:
        begun, failed = together([k for k in kinds if python or not k.python_only], program.pid, folder)
        paths = judge.read_folded(program.until_done())
        for r in begun:
            try:
                r.stop()
            except (OSError, RuntimeError, subprocess.TimeoutExpired) as e:
                failed[r.name] = str(e)
    finally:
        for r in begun:
            r.end()
        program.end()
    said = list(failed.items())
    for r in begun:
        if r.name not in failed:
            try:
                said.append((r.name, judge.Verdict(paths, *r.stacks())))
            except (OSError, RuntimeError, ValueError, KeyError, subprocess.SubprocessError) as e:
                said.append((r.name, f"{type(e).__name__}: {e}"[:200]))
    return said
