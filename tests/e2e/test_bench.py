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
    assert kymo["impossible"] == 0 and kymo["distance"] <= kymo["bound"] and kymo["judged"] >= 100, kymo
    assert kymo["whole"] >= 0.99, kymo


@pytest.mark.no_root
def test_document_says_what_is_missing_and_behind():
    run = {"round": 0, "wall": 2.0, "cpu": 1.0, "samples": 100, "at work": 100, "own cpu": 0.1, "memory": 4 << 20, "maps": 0, "whole": 0.5,
           "result": 1.0, "bytes": 1000, "seen": False}
    alone = {"round": 0, "wall": 1.0, "cpu": 1.0}
    results = {"parts": {"works": {"command": "x", "begun": "now", "minutes": 1, "extent": "1 round", "load": 0, "load_after": 1}}, "host": "h",
               "works": ["w"], "contenders": [{"name": n, "version": "1", "command": n} for n in ("kymo", "peer")], "missing": {"bpftrace": "not installed"}, "failures": {"Austin, x": ["exit 1"]},
               "runs": {"w": {"@99": [alone], "kymo@99": [run], "peer@99": [run | {"memory": 1 << 20}]}}}
    text = document.render(results)
    assert "bpftrace (not installed)" in text and "Austin, x (exit 1)" in text
    assert "| kymo, 99 Hz | +100.0 | +0.0 | 100 | 1000 |" in text
    assert "**memory**: peer, 99 Hz: w (4.00 times)" in text and "**whole" not in text.split("behind in")[1]


@pytest.mark.no_root
def test_intervals():
    """Student's factors, and the order statistics of a median."""
    for n, t in ((5, 2.776), (10, 2.262), (30, 2.045), (1000, 1.962)):
        assert turns.t_factor(n) == pytest.approx(t, rel=0.012)
    assert measure.interval(range(100)) == (49.5, 40, 59)
    assert measure.interval([3, 1, 2]) == (2, 1, 3)
