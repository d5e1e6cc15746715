# SPDX-License-Identifier: Apache-2.0
"""Python's lock: who held it, who waited for it and who ran without it, against what the program itself measures; whose code waited for whose."""

import contextlib
import json
import sqlite3
import subprocess
import time

import pytest
from conftest import ROOT, Kymo
from interpreters import pyenv, system
from profile import rows

LOAD = ROOT / "tests" / "fixtures" / "python" / "gil.py"
POINTS = 3


def interpreters():
    found = {**{v: p for v in ("3.6", "3.13") if (p := pyenv(v))}, **system()}
    return sorted(found.items(), key=lambda i: [int(n) for n in i[0].split(".")])


def await_known(path):
    """Until a function of the load has been seen: before, a starved host has not come to look at the interpreter's file."""
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(sqlite3.Error):
            if any(r["name"] == "await_go" for r in rows(path, "SELECT name FROM function WHERE kind = 3")):
                return
        assert time.monotonic() < deadline, "the load is not seen"
        time.sleep(0.05)


def record_load(kymo, python, path):
    """What the load says of itself, recorded while it ran."""
    go = kymo.cwd / f"{path.stem}.go"
    with subprocess.Popen([python, "-S", LOAD, "2", "200", go], stdout=subprocess.PIPE, text=True) as load:
        try:
            with kymo.start("record", "-q", "-F", "999", "-t", "200", "-s", "gil", "-o", path, "-p", load.pid) as recorder:
                await_known(path)
                go.touch()
                out, _ = load.communicate(timeout=60)
                assert recorder.wait(timeout=60) == 0, recorder.stderr.read()
        finally:
            load.kill()
    return json.loads(out)["threads"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """By version: (what the program measured, report --gil --json, profile); recorded once."""
    kymo = Kymo(tmp_path_factory.mktemp("gil"))
    kept = {}

    def record(version, python):
        if version not in kept:
            path = kymo.cwd / f"{version}.kymo"
            own = record_load(kymo, python, path)
            kept[version] = (own, json.loads(kymo.run("report", "--gil", "--limit", 0, "--json", path).stdout), path)
        return (kymo, *kept[version])

    return record


@pytest.mark.parametrize("version, python", interpreters(), ids=[v for v, _ in interpreters()])
def test_shares_are_what_the_program_measured(recorded, version, python):
    _, own, report, _ = recorded(version, python)
    (process,) = [p for p in report["processes"] if any(t["name"] == "keeper" for t in p["threads"])]
    threads = {t["name"]: t for t in process["threads"]}
    assert len(own) == 4
    keys = {"holding": "holding_cpu_ns", "off": "holding_off_cpu_ns", "waiting": "waiting_ns", "without": "without_cpu_ns"}
    wrong = []
    for name, times in own.items():
        for key, ours in keys.items():
            want, got = 100 * times[key] / times["wall"], threads[name][ours] / 1e7 / times["wall"]
            if abs(want - got) > POINTS:
                wrong.append(f"{name} {key}: {got:.1f} %, measured {want:.1f} %")
    assert not wrong
    # it did happen
    assert own["keeper"]["off"] > 0.05 * own["keeper"]["wall"]
    assert max(t["waiting"] / t["wall"] for t in own.values()) > 0.05
    assert own["digester"]["without"] > 0.02 * own["digester"]["wall"]


@pytest.mark.parametrize("version, python", interpreters(), ids=[v for v, _ in interpreters()])
def test_waiters_are_told_for_whom(recorded, version, python):
    _, _, report, _ = recorded(version, python)
    by = {}
    for pair in report["pairs"]:
        by.setdefault(pair["held_by"], []).append(pair)
    # who sleeps with the lock makes the others wait, by the function in which it does
    keeper = by["[GIL held by keeper]"]
    slept = sum(p["waiting_ns"] for p in keeper if p["holder"] and p["holder"]["function"] == "keep")
    assert slept > 0.8 * sum(p["waiting_ns"] for p in keeper)
    spinner = by["[GIL held by spinner]"]
    spun = sum(p["waiting_ns"] for p in spinner if p["holder"] and p["holder"]["function"] == "spin")
    assert spun > 0.8 * sum(p["waiting_ns"] for p in spinner)
    # pairs are all waits, and at this rate most meet somebody
    total = report["total"]["waiting_ns"]
    assert sum(p["waiting_ns"] for p in report["pairs"]) == total
    assert sum(p["waiting_ns"] for p in by.get(None, [])) < 0.5 * total


def test_report_is_a_page(recorded):
    version, python = interpreters()[-1]
    kymo, _, report, profile = recorded(version, python)
    text = kymo.run("report", "--gil", profile, env={"PATH": "/usr/bin"}).stdout
    assert max(map(len, text.splitlines())) <= 80
    for word in ("holding", "waiting", "without", "keeper", "for keep (gil.py:"):
        assert word in text
    pid = max(report["processes"], key=lambda p: len(p["threads"]))["pid"]
    assert "keeper" in kymo.run("report", "--gil", "--pid", pid, "--sort", "holding", "--limit", 5, profile).stdout
    assert "none in this selection" in kymo.run("report", "--gil", "--comm", "nobody", profile, check=False).stderr
    tree = kymo.run("export", "--format", "folded", "--value", "gil", "-o", "-", profile).stdout
    assert any("[GIL held by keeper]" in line and "keep" in line for line in tree.splitlines())


def test_without_its_source_it_says_so(kymo):
    kymo.run("record", "-q", "-o", "p.kymo", "--", "true")
    r = kymo.run("report", "--gil", "p.kymo", check=False)
    assert r.returncode == 1 and "source gil was not recorded" in r.stderr
