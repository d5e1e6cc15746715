# SPDX-License-Identifier: Apache-2.0
"""The harness that holds kymo beside its peers, in its shortest form."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from conftest import KYMO, ROOT

sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import document  # noqa: E402
import measure  # noqa: E402
import profilers  # noqa: E402
import turns  # noqa: E402

BUILD = pathlib.Path(KYMO).resolve().parent


def bench(folder, *args):
    r = subprocess.run([ROOT / "bench/run", "--quick", "--parts", "works", "--results", folder / "results.json", "-o", folder / "B.md",
                        *args], env=os.environ | {"BUILD": str(BUILD)}, capture_output=True, text=True, timeout=240, check=False)
    assert r.returncode == 0, r.stderr[-3000:]
    return json.loads((folder / "results.json").read_text()), (folder / "B.md").read_text()


def test_bench(tmp_path):
    """kymo's row has every figure, perf's too where it works; no profiler's failure ends the run."""
    results, text = bench(tmp_path, "--only", "kymo,perf -g,no such profiler", "--works", "CPU-bound")
    runs = results["runs"]["Python, CPU-bound"]
    # perf opens whatever is named as a perf map, and may hang in it: left out with the reason
    perf = shutil.which("perf") and "perf -g, Python, CPU-bound, 99 Hz" not in results["failures"]
    for who in ["kymo@99", "kymo@999"] + (["perf -g@99"] if perf else []):
        run = runs[who][0]
        assert run["wall"] > 0 and run["cpu"] > 0 and run["samples"] > 0 and run["bytes"] > 0 and run["memory"] > 1 << 20, (who, run)
        assert f"| {who.replace('@', ', ')} Hz |" in text
    assert runs["@99"][0]["cpu"] > 0
    kymo = runs["kymo@999"][0]
    # how whole and how right is for test_whole and test_oracle to hold: here files may still be read when a starved host begins
    assert kymo["impossible"] == 0 and kymo["judged"] >= 20 and kymo["distance"] <= kymo["bound"], kymo
    assert kymo["whole"] > 0.5, kymo


@pytest.mark.no_root
def test_document_says_what_is_missing_and_behind():
    run = {"at": 0, "wall": 2.0, "cpu": 1.0, "samples": 100, "at work": 100, "own cpu": 0.1, "memory": 4 << 20, "maps": 0, "whole": 0.5,
           "result": 1.0, "bytes": 1000, "seen": False}
    alone, later = {"at": 1, "wall": 1.0, "cpu": 1.0}, {"at": 2, "wall": 9.0, "cpu": 9.0}
    results = {"parts": {"works": {"command": "x", "begun": "now", "minutes": 1, "extent": "1 round", "load": 0, "load_after": 1}}, "host": "h",
               "works": ["w"], "contenders": [{"name": n, "version": "1", "command": n} for n in ("kymo", "peer")], "missing": {"bpftrace": "not installed"}, "failures": {"Austin, x": ["exit 1"]},
               "runs": {"w": {"@99": [later, alone], "kymo@99": [run], "peer@99": [run | {"memory": 1 << 20}]}}}
    text = document.render(results)
    assert "bpftrace (not installed)" in text and "Austin, x (exit 1)" in text
    assert "| kymo, 99 Hz | +100.0 | +0.0 | 100 | 1000 |" in text
    behind = text.split("behind in")[1]
    assert "**memory**" in behind and "peer, 99 Hz: kymo's is 4.0 times that, in 1 work\n" in behind and "**whole" not in behind


@pytest.mark.no_root
def test_intervals():
    """Student's factors, and the order statistics of a median."""
    for n, t in ((5, 2.776), (10, 2.262), (30, 2.045), (1000, 1.962)):
        assert turns.t_factor(n) == pytest.approx(t, rel=0.012)
    assert measure.interval(range(100)) == (49.5, 40, 59)
    assert measure.interval([3, 1, 2]) == (2, 1, 3)


def read(kind, text, tmp_path, drawn=False):
    """What a profiler's text is taken to say."""
    r = kind.__new__(kind)
    r.out, r.drawn, r.log, r.maps = (str(tmp_path / name) for name in ("out", "drawn", "log", "maps"))
    r.maps = {}
    pathlib.Path(r.drawn if drawn else r.log if kind is profilers.Bcc else r.out).write_text(text)
    return r


@pytest.mark.no_root
def test_peers_are_read(tmp_path):
    """Each peer's own text, as it was printed once: threads, frames from the outermost on, counts, whole stacks."""
    perf = read(profilers.Perf, "bench python  12/13 \n\tffffffff81000000 do_syscall_64\n\t          401136 leaf\n\t          401200 _start+0x1\n\n"
                "swapper     0/0  \n\tffffffff81000001 idle\n\ncc1  14/14 \n\t     7f0000000000 [unknown]\n\n", tmp_path, drawn=True)
    assert perf.labelled() == [("bench python", ["_start+0x1", "leaf", "do_syscall_64"], 1), ("cc1", ["[unknown]"], 1)]
    assert perf.whole()[:2] == (1, 2) and perf.whole(["cc1"])[:2] == (0, 1)
    bcc = read(profilers.Bcc, "sh;_start;main;-;entry_SYSCALL_64 3\nsh;[unknown] 2\n", tmp_path)
    assert bcc.labelled() == [("sh", ["_start", "main", "-", "entry_SYSCALL_64"], 3), ("sh", ["[unknown]"], 2)]
    assert bcc.whole()[:2] == (3, 5)
    bpftrace = read(profilers.Bpftrace, '{"type": "attached_probes", "data": {"probes": 1}}\n{"type": "map", "data": {"@": {"sh,\\n\\t401136 leaf+6 (/bin/x)\\n'
                    '\\t401200 _start+33 (/bin/x)\\n,\\n\\tffffffff81000000 do_syscall_64+1\\n": 4, '
                    '"cc1,\\n\\t7f00 0x7f00 ([unknown])\\n,": 2, "cc1,\\n,": 1, "cc1,\\n,": 1}}}\n', tmp_path)
    assert bpftrace.labelled() == [("sh", ["_start", "leaf", "do_syscall_64"], 4), ("cc1", ["0x7f00"], 2), ("cc1", [], 1), ("cc1", [], 1)]
    assert bpftrace.whole()[:2] == (4, 6)
    spy = read(profilers.PySpy, "<module> (a b.py:3);work (a.py:1) 7\nleaf (a.py:1) 1\n", tmp_path)
    assert spy.labelled() == [(None, ["<module> (a b.py:3)", "work (a.py:1)"], 7), (None, ["leaf (a.py:1)"], 1)]
    assert spy.whole()[:2] == (7, 8)
    austin = read(profilers.Austin, "# austin: 3.7.0\nP7;T0:7;/x/a.py:<module>:3;/x/a.py:work:1 1010\nP7;T0:7;/x/a.py:<module>:3 0\n\n", tmp_path)
    assert austin.labelled() == [(None, ["<module>", "work"], 1)] and austin.whole()[:2] == (1, 1)


@pytest.mark.no_root
def test_parents_in_a_circle():
    """A pid that is used again may be its own ancestor: the sum of ends does not go round for ever."""
    r = profilers.Kymo.__new__(profilers.Kymo)
    r.pids = [7]
    rows = {"parent_pid": [(8, 9), (9, 8), (10, 7), (7, 1)], "stack_end": [(8, "whole", 5), (10, "whole", 3), (7, "frame pointer broken", 1)]}
    r.query = lambda sql: rows["parent_pid" if "parent_pid" in sql else "stack_end"]
    assert r.ends() == {7: {"whole": 3, "frame pointer broken": 1}}
