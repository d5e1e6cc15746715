# SPDX-License-Identifier: Apache-2.0
"""Python's lock: who held it, who waited for it and who ran without it, against what the program itself measures; whose code waited for whose."""

import gil_load
import pytest
from conftest import Kymo
from interpreters import pyenv, system

POINTS = 3


def interpreters():
    found = {**{v: p for v in ("3.6", "3.13") if (p := pyenv(v))}, **system()}
    return sorted(found.items(), key=lambda i: [int(n) for n in i[0].split(".")])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """By version: (what the program measured, report --gil --json, profile); recorded once."""
    kymo = Kymo(tmp_path_factory.mktemp("gil"))
    kept = {}

    def record(version, python):
        if version not in kept:
            path = kymo.cwd / f"{version}.kymo"
            own = gil_load.record_load(kymo.path, python, path, 2)
            kept[version] = (own, gil_load.report(kymo.path, path), path)
        return (kymo, *kept[version])

    return record


@pytest.mark.parametrize("version, python", interpreters(), ids=[v for v, _ in interpreters()])
def test_shares_are_what_the_program_measured(recorded, version, python):
    _, own, report, _ = recorded(version, python)
    assert len(own) == 4
    wrong = [f"{name} {state}: {got:.1f} %, measured {want:.1f} %"
             for name, state, want, got in gil_load.shares(own, report) if abs(want - got) > POINTS]
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
