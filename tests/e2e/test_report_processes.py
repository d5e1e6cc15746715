# SPDX-License-Identifier: Apache-2.0
"""`kymo report --processes` against what wait4 says of the same processes."""

import json

from test_accounts import record_while, spawn


def accounts(kymo, path, *options):
    """pid -> its lines."""
    found = {}
    for r in json.loads(kymo.run("report", "--processes", "--json", "--limit", "0", *options, path).stdout)["processes"]:
        found.setdefault(r["pid"], []).append(r)
    return found


def test_processes_against_wait4(kymo, compiled):
    """CPU time to the moment that a task still runs after its parent was told of its end, faults to the last one."""
    short = str(compiled("short.c"))
    name = short.rpartition("/")[2]

    def work():
        return [spawn(short, us, size) for us, size in ((2_000, 0), (20_000, 400_000), (150_000, 4_000_000), (600_000, 0))]

    path, usages = record_while(kymo, "p.kymo", work)
    found = accounts(kymo, path)
    for pid, usage in usages:
        lines = found[pid]
        exact_ns = (usage.ru_utime + usage.ru_stime) * 1e9
        assert -1000 <= sum(r["cpu_ns"] for r in lines) - exact_ns <= 1_000_000, (lines, usage)
        assert sum(r["minor_faults"] for r in lines) == usage.ru_minflt, (lines, usage)
        assert sum(r["major_faults"] for r in lines) == usage.ru_majflt, (lines, usage)
        assert any(r["comm"] == name and r["ended"] for r in lines), lines
        # what the samples make of it: within four of its own errors (of one sample at least)
        sampled, n = sum(r["sampled_cpu_ns"] for r in lines), sum(r["samples"] for r in lines)
        period = 1e9 / 99
        assert abs(sampled - exact_ns) <= 4 * max(n, 1) ** 0.5 * period, (lines, usage)
    pid = usages[-1][0]
    assert list(accounts(kymo, path, "--pid", pid)) == [pid]
    table = kymo.run("report", "--processes", "--pid", pid, path).stdout
    assert any(line.split()[-2:] == [str(pid), name] for line in table.splitlines()), table
