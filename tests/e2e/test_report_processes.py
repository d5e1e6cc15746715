# SPDX-License-Identifier: Apache-2.0
"""`kymo report --processes` against what wait4 says of the same processes."""

import pytest
from test_accounts import record_while, spawn

UNITS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1}


def accounts(kymo, path, *options):
    """pid -> the figures of its lines: cpu_ns and faults as printed (three digits), the command."""
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    out = kymo.run("report", "--processes", "--limit", "0", *options, path, env=environment).stdout.splitlines()
    title = next(i for i, line in enumerate(out) if line.split()[:2] == ["cpu", "sampled"])
    found = {}
    for line in out[title + 1:]:
        words = line.split()
        cpu_ns = float(words[0]) * UNITS[words[1]]
        rest = line[8 + 9 + 9:].split()  # cpu, sampled, +-
        rss, faults, major, read, written, switches, forced, pid = rest[:8]
        found.setdefault(int(pid), []).append({"cpu_ns": cpu_ns, "faults": faults, "written": written,
                                               "command": " ".join(rest[8:])})
    return found


def test_processes_against_wait4(kymo, compiled):
    """Time to the three digits that are printed, faults to the last one while they fit."""
    short = str(compiled("short.c"))

    def work():
        return [spawn(short, us, size) for us, size in ((2_000, 0), (20_000, 400_000), (150_000, 4_000_000), (600_000, 0))]

    path, usages = record_while(kymo, "p.kymo", work)
    found = accounts(kymo, path)
    for pid, usage in usages:
        lines = found[pid]
        exact_ns = (usage.ru_utime + usage.ru_stime) * 1e9
        # what was printed is rounded; a task still runs a moment after its parent was told of its end
        assert sum(r["cpu_ns"] for r in lines) == pytest.approx(exact_ns, rel=0.006, abs=250_000), (lines, usage)
        assert any(short.rpartition("/")[2] in r["command"] for r in lines), lines
        assert sum(int(r["faults"]) for r in lines) == usage.ru_minflt + usage.ru_majflt, (lines, usage)
    pid = usages[-1][0]
    assert list(accounts(kymo, path, "--pid", pid)) == [pid]
