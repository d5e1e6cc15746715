# SPDX-License-Identifier: Apache-2.0
"""A tick's CPU time, faults and pressure lie between independent readings of /proc around its ends."""

import bisect
import mmap
import os
import threading
import time

from profile import rows, ticks

USER_HZ = os.sysconf("SC_CLK_TCK")


def read_cpu():
    fields = open("/proc/stat").readline().split()[1:]
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return {f"cpu_{n}_ns": int(v) * (10**9 // USER_HZ) for n, v in zip(names, fields)}


def read_faults():
    values = dict(line.split() for line in open("/proc/vmstat"))
    return {"faults": int(values["pgfault"]), "major_faults": int(values["pgmajfault"])}


def read_pressure():
    out = {}
    for resource, short in (("cpu", "cpu"), ("memory", "mem"), ("io", "io")):
        for line in open(f"/proc/pressure/{resource}"):
            kind, *rest = line.split()
            name = f"psi_{short}_{kind}_ns"
            if name != "psi_cpu_full_ns":
                out[name] = int(rest[-1].split("=")[1]) * 1000
    return out


class Sampler(threading.Thread):
    """Reads every 5 ms; each reading has the instants just before and after it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.readings = []
        self.end = threading.Event()

    def run(self):
        while not self.end.is_set():
            before = time.monotonic_ns()
            values = {**read_cpu(), **read_faults(), **read_pressure()}
            self.readings.append((before, time.monotonic_ns(), values))
            self.end.wait(0.005)

    def last_before(self, t):
        i = bisect.bisect_right([r[1] for r in self.readings], t) - 1
        return self.readings[i][2] if i >= 0 else None

    def first_after(self, t):
        i = bisect.bisect_left([r[0] for r in self.readings], t)
        return self.readings[i][2] if i < len(self.readings) else None


def load(seconds):
    """Faults and CPU: touches fresh memory, with pauses. A child of the test, ends by itself."""
    pid = os.fork()
    if pid:
        return pid
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with mmap.mmap(-1, 8 << 20) as m:
            m.write(b"x" * len(m))
        time.sleep(0.01)
    os._exit(0)


def spans(path):
    return {r["tick"]: r["value"] for r in rows(path, "SELECT tick, value FROM quality WHERE counter = 'health.span_ns'")}


def test_ticks_lie_between_independent_readings(kymo):
    sampler = Sampler()
    sampler.start()
    pids = [load(9), load(9), load(9)]
    kymo.run("record", "-q", "-a", "-d", "8", "-o", "h.kymo")
    time.sleep(0.1)
    sampler.end.set()
    sampler.join()
    for pid in pids:
        os.waitpid(pid, 0)

    path = kymo.cwd / "h.kymo"
    span = spans(path)
    checked = 0
    previous_span = max(span.values())
    for t in ticks(path):
        low_start, high_start = sampler.last_before(t["start_ns"]), sampler.first_after(t["start_ns"] + previous_span)
        low_end, high_end = sampler.last_before(t["end_ns"]), sampler.first_after(t["end_ns"] + span[t["id"]])
        previous_span = span[t["id"]]
        assert None not in (low_start, high_start, low_end, high_end)
        for name in low_start:
            # iowait and idle may step back by a jiffy between readings on other CPUs (proc(5))
            slack = 2 * 10**9 // USER_HZ if name in ("cpu_idle_ns", "cpu_iowait_ns") else 0
            least = low_end[name] - high_start[name] - slack
            most = high_end[name] - low_start[name] + slack
            if t[name] is None:
                assert name in ("cpu_idle_ns", "cpu_iowait_ns"), f"{name} is missing in tick {t['id']}"
                continue
            assert least <= t[name] <= most, f"tick {t['id']}: {name} is {t[name]}, readings say {least} to {most}"
            checked += 1
    assert checked >= 8 * 12
    assert sum(t["faults"] for t in ticks(path)) > 1000
