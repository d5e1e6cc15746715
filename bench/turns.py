# SPDX-License-Identifier: Apache-2.0
"""What a profiler costs its target: a load on every CPU counts its work while the recorder is switched on and off in
random turns. By the clock, and by the target's own CPU time, which others on the host hardly touch."""
import math
import os
import pathlib
import random
import signal
import statistics
import struct
import subprocess
import tempfile
import time

from measure import CPUS, ROOT, builds, children, cpu_ns, ended, interval, wait_until

PYTHON = "/usr/bin/python3"
WARM_SECONDS = 1.0
NORMAL = 1.96


class Counted:
    """A load that counts what it does."""

    def __init__(self, folder, seconds, command):
        self.path = pathlib.Path(folder) / "counts"
        self.path.write_bytes(bytes(8 * len(CPUS)))
        self.process = subprocess.Popen([c.format(build=builds(), file=self.path, seconds=int(seconds)) for c in command], cwd=ROOT)
        wait_until(lambda: all(self.counts()))
        self.pids = children(self.process.pid)

    def counts(self):
        return struct.unpack(f"{len(CPUS)}q", self.path.read_bytes())

    def reading(self):
        return sum(self.counts()), time.monotonic(), cpu_ns(self.pids) / 1e9

    def end(self):
        for pid in self.pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        ended(self.process)


LOADS = {
    "Python, 30 calls deep, on each CPU": [PYTHON, "bench/programs/counted.py", "{file}", "{seconds}"],
}


def turn(load, kind, folder, hz, binary, seconds):
    """(work per second by the clock, work per second of the target's CPU time), with the profiler or without."""
    recorder = kind(None, folder, hz, binary) if kind else None
    try:
        if recorder:
            recorder.begun()
        time.sleep(WARM_SECONDS)
        n, at, cpu = load.reading()
        time.sleep(seconds)
        n_2, at_2, cpu_2 = load.reading()
    finally:
        if recorder:
            recorder.stop()
    return (n_2 - n) / (at_2 - at), (n_2 - n) / (cpu_2 - cpu)


def turns(kind, folder, hz, binary, pairs, seconds, until=math.inf, say=print):
    """[{"clock": slowdown, "cpu": slowdown}], a pair each: on and off next to each other, which first by chance."""
    found = []
    longest = pairs * 2 * (seconds + WARM_SECONDS + 10) + 60
    for name, command in LOADS.items():
        load = Counted(folder, longest, command)
        try:
            while len(found) < pairs and time.monotonic() < until:
                order = random.sample([None, kind], 2)
                took = {k: turn(load, k, folder, hz, binary, seconds) for k in order}
                found.append({"clock": took[None][0] / took[kind][0] - 1, "cpu": took[None][1] / took[kind][1] - 1})
        finally:
            load.end()
        say(f"{kind.name} at {hz} Hz, {name}: {len(found)} pairs, " + ", ".join(f"{by} {describe(found, by)}" for by in ("clock", "cpu")))
    return found


def half_width(values):
    """Of the 95 % interval of the mean."""
    return t_factor(len(values)) * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else math.inf


def t_factor(n):
    """Student's, by a series in 1/(n - 1) that is right to 1 % from five values on."""
    f = max(1, n - 1)
    return NORMAL + 2.37 / f + 2.82 / f**2 + 2.56 / f**3


def describe(found, by):
    values = [100 * f[by] for f in found]
    middle, low, high = interval(values)
    return f"mean {statistics.mean(values):+.2f} +- {half_width(values):.2f} %, median {middle:+.2f} ({low:+.2f} to {high:+.2f}) %"
