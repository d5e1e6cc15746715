# SPDX-License-Identifier: Apache-2.0
"""
200 threads of which 4 run: kymo dump shows each by its name, and holds up none. KYMO_LONG: a hundred dumps, with py-spy beside
them where it is installed (make check-dump).
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from functools import partial

from conftest import KYMO
from test_dump import PYTHON, Started, dump, python_frames

LONG = bool(os.environ.get("KYMO_LONG"))
DUMPS = 100 if LONG else 6
ROUNDS = 1 if LONG else 3
GAP_MAX = 1.5 if LONG else 3  # of six dumps two or three gaps make the figure
NAMES = {"MainThread", "answerer", *(f"runner-{i}" for i in range(4)), *(f"sleeper-{i}" for i in range(194))}
IDLE_LEAST = 0.25 if LONG else 0.5  # of one CPU, while the load runs alone: else the host has none left for a dump, whoever makes it


def is_right(threads):
    assert len(threads) == len(NAMES) and {t["name"] for t in threads} == NAMES
    for t in threads:
        functions = [f[0] for f in python_frames(t)]
        if t["name"].startswith("sleeper-"):
            n = int(t["name"].split("-")[1]) % 7
            assert [f for f in functions if f in ("deep", "sleeper")] == ["deep"] * (n + 1) + ["sleeper"]
            assert t["end"] == "whole" and t["state"] == "sleeping" and t["stack"] == "stood"
        elif t["name"].startswith("runner-"):
            assert "runner" in functions, t
    assert sum(t["gil"] == "holding" for t in threads) <= 1


class Watch:
    """States of the process's threads, looked at all the time, and who traces it."""

    def __init__(self, pid):
        self.folder, self.looks, self.stopped, self.end = pathlib.Path(f"/proc/{pid}/task"), 0, {}, False
        self.who = ""
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end = True
        self.thread.join()

    def watch(self):
        tids = os.listdir(self.folder)
        while not self.end:
            for tid in tids[:10]:
                state = (self.folder / tid / "stat").read_text().rpartition(")")[2].split()[0]
                self.looks += 1
                if state in "tT":
                    self.stopped[self.who] = self.stopped.get(self.who, 0) + 1
            if "TracerPid:\t0\n" not in (self.folder / tids[0] / "status").read_text():
                self.stopped[self.who] = self.stopped.get(self.who, 0) + 1
            time.sleep(0.02)


def p99_ms(gaps):
    return sorted(gaps)[int(len(gaps) * 0.99)] / 1e6 if gaps else 0


def idle_seconds():
    return sum(map(int, pathlib.Path("/proc/stat").read_text().split(maxsplit=6)[4:6])) / os.sysconf("SC_CLK_TCK")


def mark(load):
    load.process.stdin.write("mark\n")
    load.process.stdin.flush()
    return json.loads(load.process.stdout.readline())


def gaps_of(load, run):
    """What the load's clock says of the time that it takes."""
    mark(load)
    run()
    return mark(load)


def measure(load, watch, tools):
    """name -> the gaps of its spells, one spell of each in turn; the share of a CPU that was idle in those of nobody"""
    gaps, seconds = {name: [] for name in tools}, {name: [] for name in tools}
    idle = alone = 0
    for _ in range(DUMPS):
        for name, command in tools.items():
            watch.who, start, before = name, time.monotonic(), idle_seconds()
            pause = seconds["kymo"][-1] if seconds["kymo"] else 0.4
            run = partial(subprocess.run, command, stdout=subprocess.DEVNULL, check=True) if command else partial(time.sleep, pause)
            gaps[name] += gaps_of(load, run)
            seconds[name].append(time.monotonic() - start)
            if not command:
                idle, alone = idle + idle_seconds() - before, alone + seconds[name][-1]
    return gaps, seconds, idle / alone


def tools_of(pid):
    tools = {"nobody": None, "kymo": [KYMO, "dump", "-p", str(pid)]}
    pyspy = shutil.which("py-spy")
    if LONG and pyspy:
        tools["py-spy"] = [pyspy, "dump", "-p", str(pid)]
        tools["py-spy --nonblocking"] = [pyspy, "dump", "--nonblocking", "-p", str(pid)]
    return tools


def test_nobody_is_held_up(kymo):
    with Started([sys.executable, PYTHON / "many.py", 3600], until="ready", stdin=subprocess.PIPE) as load, Watch(load.pid) as watch:
        is_right(dump(kymo, load.pid)[load.pid])
        for _ in range(ROUNDS):
            gaps, seconds, idle = measure(load, watch, tools_of(load.pid))
            for name, of in gaps.items():
                print(f"{name:22} p99 gap {p99_ms(of):6.1f} ms, longest {max(of) / 1e6:6.1f} ms, {len(of)} gaps, "
                      f"{sorted(seconds[name])[DUMPS // 2]:.2f} s each, seen stopped {watch.stopped.get(name, 0)} times")
            ratio = p99_ms(gaps["kymo"]) / p99_ms(gaps["nobody"])
            print(f"kymo to nobody: {ratio:.2f}; {idle:.2f} CPUs were idle; {watch.looks} looks")
            if ratio <= GAP_MAX or idle < IDLE_LEAST:
                break
        is_right(dump(kymo, load.pid)[load.pid])
        assert not {"kymo", "nobody", ""} & watch.stopped.keys() and watch.looks > 100
        if idle < IDLE_LEAST:
            print("not judged: no CPU was left for a dump")
        else:
            assert ratio <= GAP_MAX
