# SPDX-License-Identifier: Apache-2.0
"""2,000 processes a minute, half of them Python: every one with command and executable, frames with names."""

import json
import os

import pytest
from profile import folded, rows
from test_shares import interpreter

COUNT = 2000 if os.environ.get("KYMO_LONG") else 400

# Prints pid -> [executable, command line] of each; every 25th program is a file that nobody has seen before.
LAUNCHER = """
import json, os, random, shutil, sys, time
short, folder, *pythons = sys.argv[1:]
generator = random.Random(5)
code = "def work(n):\\n x = 0\\n for i in range(n): x += i\\n return x\\nwork(%d)"
started, due = {}, time.monotonic()
for i in range(COUNT):
    if i % 2:
        exe = short
        if i % 25 == 0:
            exe = f"{folder}/new{i}"
            shutil.copy(short, exe)
        argv = [exe, str(generator.randrange(5000, 50000)), str(generator.randrange(0, 400000)), f"c{i}"]
    else:
        exe = pythons[i // 2 % len(pythons)]
        argv = [exe, "-S", "-E", "-c", code % generator.randrange(1000, 300000), f"python{i}"]
    pid = os.posix_spawn(exe, argv, os.environ)
    os.waitpid(pid, 0)
    started[pid] = [exe, " ".join(argv)]
    due += 0.03
    time.sleep(max(0, due - time.monotonic()))
print(json.dumps(started))
""".replace("COUNT", str(COUNT))


@pytest.fixture(scope="module")
def storm(tmp_path_factory, compiled):
    from conftest import Kymo

    kymo = Kymo(tmp_path_factory.mktemp("storm"))
    pythons = [p for p in ("/usr/bin/python3.11", interpreter("3.8"), interpreter("3.12")) if p]
    script = kymo.cwd / "launcher.py"
    script.write_text(LAUNCHER)
    folder = kymo.cwd / "new"
    folder.mkdir()
    out = kymo.run("record", "-q", "-s", "cpu", "-F", 499, "-o", "storm.kymo", "--", "/usr/bin/python3.11", script, compiled("short.c"), folder,
                   *pythons, timeout=300).stdout
    return kymo, kymo.cwd / "storm.kymo", {int(pid): s for pid, s in json.loads(out).items()}


def test_every_process_is_told(storm):
    _, path, started = storm
    found = {r["pid"]: r for r in rows(path, "SELECT pid, comm, exe, cmdline FROM process ORDER BY id")}
    assert len(started) == COUNT and not [pid for pid in started if pid not in found]
    for pid, (exe, cmdline) in started.items():
        r = found[pid]
        assert (r["exe"], r["cmdline"], r["comm"]) == (exe, cmdline, exe.rpartition("/")[2][:15]), r


def test_stacks_are_whole(storm):
    """19 of 20 of those that have a user stack; the rest is of files that nobody had seen before, until their rules are there."""
    kymo, path, _ = storm
    report = json.loads(kymo.run("report", "--quality", "--json", "--limit", "0", path).stdout)
    ends = {e["end"]: e["samples"] for e in report["stack_ends"]}
    with_stack = sum(n for end, n in ends.items() if end not in ("no user stack", "inside execve"))
    assert with_stack > 500 and ends["whole"] >= 0.95 * with_stack, (ends, report["stops"])


def test_frames_are_named(storm):
    """19 of 20 samples, functions of stripped files by where they begin, and every Python function."""
    kymo, path, _ = storm
    report = json.loads(kymo.run("report", "--quality", "--json", "--limit", "0", path).stdout)
    samples = sum(e["samples"] for e in report["stack_ends"])
    nameless = {u["function"]: (u["reason"], u["total"]["samples"]) for u in report["unnamed"] if u["reason"] != "stripped; its commonest function"}
    assert samples > 500 and sum(n for _, n in nameless.values()) <= 0.05 * samples, (samples, nameless)
    assert not [u for u in report["unnamed"] if u["function"] == "[vdso]"], report["unnamed"]
    stacks = folded(kymo, path)
    total = sum(ns for _, ns in stacks)
    assert sum(ns for s, ns in stacks if "[python code not seen]" in s) <= 0.01 * total
    assert sum(ns for s, ns in stacks if any(f.startswith("work (") for f in s)) >= 0.02 * total
    assert sum(ns for s, ns in stacks if "main" in s) >= 0.2 * total
