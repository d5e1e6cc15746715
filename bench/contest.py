# SPDX-License-Identifier: Apache-2.0
"""kymo and its peers on the same work: paired runs in random order, what each took and what it saw."""
import os
import pathlib
import subprocess
import threading
import time

from measure import CLOCK_TICKS, PERF_EVENT_PROGRAM, children, cpu_ns, map_bytes, memory_bytes, run_cost, shuffled
import works

import judge
import loads
import profilers

WARM_SECONDS = 1.0  # files are read, interpreters looked for
LOOK_SECONDS = 0.25
HZ, HIGH_HZ = 99, 999


class Kymo(profilers.Kymo):
    """With all that it records unless told otherwise, in ticks of a second."""
    tick_ms = 1000

    def command(self):
        return [self.binary, "record", "-q", "-F", self.hz, "-o", self.out]


CONTENDERS = (Kymo, profilers.Perf, profilers.PerfDwarfShort, profilers.Bcc, profilers.Bpftrace, profilers.PySpy,
              profilers.PySpyNonblocking, profilers.PySpyNative, profilers.Austin)


class Memory(threading.Thread):
    """The most that processes kept, seen at intervals."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.maps, self.over = pid, 0, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(LOOK_SECONDS):
            self.most = max(self.most, memory_bytes(children(self.pid)))
            self.maps = max(self.maps, map_bytes(self.pid))

    def stop(self):
        self.over.set()
        self.join()


def busy_seconds():
    """Of all CPUs, since the start."""
    user, nice, system, _, _, irq, softirq = map(int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8])
    return (user + nice + system + irq + softirq) / CLOCK_TICKS


def children_cpu():
    now = os.times()
    return now.children_user + now.children_system


def alone(work_kind, folder, scale):
    """The work without a profiler: {"wall", "cpu"} in seconds."""
    work = work_kind(folder, scale)
    try:
        time.sleep(WARM_SECONDS)
        work.begin()
        wall = work.wait()
        return {"wall": wall, "cpu": work.finish()}
    finally:
        work.end()


def measured(kind, work_kind, folder, hz, scale, binary):
    """One run of the work under the profiler: what it took, by name."""
    work = work_kind(folder, scale)
    recorder, begun = None, children_cpu()
    try:
        recorder = kind([work.pid] if kind.python_only else None, folder, hz, binary)
        memory = Memory(recorder.process.pid)
        recorder.begun()
        time.sleep(WARM_SECONDS)
        recorder.look(children(work.pid))
        took = during(recorder, work)
        ended = time.monotonic()
        recorder.stop()
        memory.stop()
        recorder.draw()
        took |= {"result": time.monotonic() - ended, "whole cpu": children_cpu() - begun, "memory": memory.most, "maps": memory.maps}
        took["cpu"] = work.finish()
    finally:
        if recorder:
            recorder.end()
        work.end()
    took |= seen(recorder, work)
    # Whoever samples the host did so before the work, too: what the time that CPUs were busy is worth.
    took["at work"] = took["samples"] if kind.python_only else took["busy"] * hz
    return took


def during(recorder, work):
    pids = children(recorder.process.pid)
    cpu, (ns, runs) = cpu_ns(pids), run_cost(recorder.process.pid, PERF_EVENT_PROGRAM)
    work.begin()
    busy = busy_seconds()
    took = {"wall": work.wait()}
    took["busy"] = busy_seconds() - busy
    ns_2, runs_2 = run_cost(recorder.process.pid, PERF_EVENT_PROGRAM)
    took["own cpu"] = (cpu_ns(children(recorder.process.pid)) - cpu) / 1e9
    if runs_2 > runs:
        took["kernel ns"] = (ns_2 - ns) / (runs_2 - runs)
    return took


def seen(recorder, work):
    """How much, how whole, how true."""
    labelled = recorder.labelled()
    whole, stacks, _ = recorder.whole(work.comms)
    found = {"samples": sum(n for _, _, n in labelled), "bytes": recorder.recorded_bytes(), "stacks": stacks,
             "whole": whole / stacks if stacks else None}
    if work.python:
        mine = [(frames, n) for comm, frames, n in labelled if comm is None or comm in work.comms]
        verdict = judge.Verdict(work.truth(), mine)
        found |= {"seen": verdict.seen_anything, "judged": verdict.samples, "distance": verdict.distance, "bound": verdict.bound,
                  "impossible": verdict.impossible_samples, "cut": verdict.cut_share}
    return found


def fits(kind, work_kind):
    return work_kind.python or not kind.python_only


class Contest:
    """runs: {work's name: {contender's name or "" for none, at so many Hz: [what each run took]}}"""

    def __init__(self, contenders, kinds, folder, scale, binary, say=print):
        self.contenders, self.folder, self.scale, self.binary, self.say = contenders, folder, scale, binary, say
        self.kinds, self.missing, self.failures, self.rounds, self.runs = [], {}, {}, 0, {}
        for kind in kinds:
            try:
                kind.prepare(folder)
                self.kinds.append(kind)
            except (loads.Missing, OSError) as e:
                self.missing[kind.name] = str(e)
                say(f"{kind.name}: {e}")

    def cells(self):
        """Each work twice without a profiler: one is near in time; at the high rate once in all."""
        high = self.rounds == 0
        for work in self.kinds:
            yield None, work, HZ
            yield None, work, HZ
            for contender in self.contenders:
                if fits(contender, work):
                    yield contender, work, HZ
                    if high and work is works.Python:
                        yield contender, work, HIGH_HZ

    def round(self, until):
        """Every cell once, in random order; whether all were done in time."""
        for contender, work, hz in shuffled(self.cells()):
            if time.monotonic() > until:
                return False
            self.cell(contender, work, hz)
        self.rounds += 1
        return True

    def cell(self, contender, work, hz):
        name = contender.name if contender else ""
        try:
            took = measured(contender, work, self.folder, hz, self.scale, self.binary) if contender else alone(work, self.folder, self.scale)
        except (OSError, RuntimeError, ValueError, KeyError, subprocess.SubprocessError) as e:
            self.failures.setdefault(f"{name or 'alone'}, {work.name}, {hz} Hz", []).append(str(e)[:200])
            self.say(f"{name or 'alone'}, {work.name}, {hz} Hz: left out: {e}")
            return
        took["at"] = time.monotonic()
        self.runs.setdefault(work.name, {}).setdefault(f"{name}@{hz}", []).append(took)
        self.say(f"{work.name:22} {name or '-':20} {hz:4} Hz " + " ".join(f"{k} {v:.4g}" for k, v in took.items() if isinstance(v, (int, float))))

    def clear(self):
        for kind in self.kinds:
            kind.clear()
