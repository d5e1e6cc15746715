# SPDX-License-Identifier: Apache-2.0
"""What the benches share: costs as the kernel accounts them, paired runs in random order, medians."""
import os
import pathlib
import random
import statistics
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
CPUS = sorted(os.sched_getaffinity(0))
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
# Of a profile: what grows by the tick, samples apart.
TABLES_PER_TICK = ("tick", "health_label", "process_tick", "quality", "event")
PERF_EVENT_PROGRAM = 7  # BPF_PROG_TYPE_PERF_EVENT


def builds():
    return pathlib.Path(os.environ.get("BUILD", ROOT / "build"))


def children(pid):
    """The process and all below it."""
    found = [pid]
    for p in found:
        try:
            for thread in os.listdir(f"/proc/{p}/task"):
                found += map(int, pathlib.Path(f"/proc/{p}/task/{thread}/children").read_text().split())
        except OSError:
            pass
    return found


def cpu_seconds(pid):
    """Of the process and of those it has waited for."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / CLOCK_TICKS


def cpu_ns(pids):
    """Of these processes' threads that live, exactly (schedstat)."""
    total = 0
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                total += int(pathlib.Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
        except OSError:
            pass
    return total


def memory_bytes(pids):
    """What these processes keep in memory now: pages that they share count once."""
    total = 0
    for pid in pids:
        try:
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


def descriptors(pid):
    """What the kernel says of each of the process's."""
    try:
        names = os.listdir(f"/proc/{pid}/fdinfo")
    except OSError:
        return
    for fd in names:
        try:
            text = pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
        except OSError:
            continue
        yield dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def map_bytes(pid):
    """What the BPF maps that the process holds take in the kernel."""
    return sum({fields["map_id"]: int(fields["memlock"]) for fields in descriptors(pid) if "map_id" in fields}.values())


def programs(pid, kind=None):
    """BPF programs that the process holds: {id: (ns, runs)} while the kernel measures them."""
    found = {}
    for fields in descriptors(pid):
        if "run_cnt" in fields and kind in (None, int(fields["prog_type"])):
            found[int(fields["prog_id"])] = (int(fields["run_time_ns"]), int(fields["run_cnt"]))
    return found


def run_cost(pid, kind=None):
    """(ns, runs) of all its programs so far."""
    costs = programs(pid, kind).values()
    return sum(c[0] for c in costs), sum(c[1] for c in costs)


def interval(values):
    """Median and its 95 % interval by order statistics, or the range where there are too few."""
    values = sorted(values)
    n = len(values)
    k = max(0, int(n / 2 - 0.98 * n ** 0.5))
    return statistics.median(values), values[k], values[n - 1 - k]


def foremost():
    """Before all else that runs here, which would make the caches cold."""
    os.nice(-15)
    try:
        pathlib.Path("/proc/self/autogroup").write_text("-15")
    except OSError:
        pass


def shuffled(things):
    things = list(things)
    random.shuffle(things)
    return things


def ended(process):
    if process.poll() is None:
        process.kill()
    process.wait()


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(condition)
        time.sleep(0.02)
