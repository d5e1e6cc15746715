# SPDX-License-Identifier: Apache-2.0
"""Whole stacks of hard programs, and right ones of known call graphs: the short form of bench/whole."""

import sys
import time

import pytest
from conftest import KYMO, ROOT

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import judge  # noqa: E402
import loads  # noqa: E402
import profilers  # noqa: E402

HZ = 999
WHOLE = ["C++, LTO", "Go", "static-pie", "1,000 frames", "signals", "signals, own stack", "vfork", "ucontext", "boost context",
         "dlopen", "perl", "Node.js"]
SAMPLES = 100  # of each; what a busy host does not give in time is judged from 20 on
SECONDS = 20
LANGUAGES = {"c": 0.6, "c++": 0.6, "rust": 0.6, "go": 0.6, "/usr/bin/python3.11": 0.6}


def missing_or(make):
    try:
        return make()
    except loads.Missing as e:
        return e


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def recorded(folder):
    """All at once: load -> how its stacks ended."""
    begun = {name: missing_or(lambda name=name: loads.start(name, folder, 60)) for name in WHOLE}
    running = {name: load for name, load in begun.items() if not isinstance(load, loads.Missing)}
    try:
        recorder = profilers.Kymo([load.pids()[0] for load in running.values()], folder, HZ, KYMO)
        recorder.begun()
        end = time.monotonic() + SECONDS
        time.sleep(1)
        while time.monotonic() < end and min(sum(e.values()) for e in recorder.ends().values()) < SAMPLES:
            time.sleep(0.5)
        recorder.stop()
    finally:
        for load in running.values():
            load.end()
    ends = recorder.ends()
    return {name: load if isinstance(load, loads.Missing) else ends[load.pids()[0]] for name, load in begun.items()}


@pytest.mark.parametrize("name", WHOLE)
def test_whole(recorded, name):
    """99 of 100; bench/whole holds 99.5 % of 2,000."""
    if isinstance(recorded[name], loads.Missing):
        pytest.skip(str(recorded[name]))
    total = sum(recorded[name].values())
    assert total >= 20, recorded[name]
    assert total - recorded[name].get("whole", 0) <= max(3, 0.01 * total), recorded[name]


@pytest.fixture(scope="module")
def judged(folder):
    """language -> verdict"""
    begun = {x: missing_or(lambda x=x, s=s: loads.Waiting([*loads.graph(folder, x), s, 5])) for x, s in LANGUAGES.items()}
    running = {x: p for x, p in begun.items() if not isinstance(p, loads.Missing)}
    try:
        recorder = profilers.Kymo([p.pid for p in running.values()], folder, HZ, KYMO)
        recorder.begun()
        for p in running.values():
            p.process.stdin.write("go\n")
            p.process.stdin.flush()
        truth = {x: p.process.communicate(timeout=120)[0] for x, p in running.items()}
        recorder.stop()
    finally:
        for p in running.values():
            p.end()
    return {x: p if isinstance(p, loads.Missing) else
            judge.Verdict(judge.read_folded(truth[x].splitlines()), *recorder.stacks("--pid", p.pid)) for x, p in begun.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_right(judged, language):
    """No stack that the program cannot have; shares as near to the truth as chance allows."""
    verdict = judged[language]
    if isinstance(verdict, loads.Missing):
        pytest.skip(str(verdict))
    assert not verdict.impossible, verdict.impossible[:3]
    assert verdict.samples >= 100 and verdict.distance <= verdict.bound, verdict
    assert verdict.cut_share <= 0.01, verdict


def test_judge_sees_what_is_wrong():
    """Impossible, cut and shifted stacks: the judge itself can fail."""
    truth = [(["main", "a", "leaf"], 50), (["main", "b", "leaf"], 50)]
    right = [(["x", "main", "a (f.c:3)", "lib", "ns::leaf(int)"], 500), (["main", "b", "leaf", "kernel"], 480), (["main"], 3)]
    assert judge.Verdict(truth, right).holds
    assert judge.Verdict(truth, right + [(["main", "leaf"], 1)]).impossible_samples == 1
    assert judge.Verdict(truth, right + [(["main", "b", "a"], 1)]).impossible_samples == 1
    assert judge.Verdict(truth, [(["leaf"], 10), *right]).cut_share > 0
    assert not judge.Verdict(truth, [(["main", "a", "leaf"], 800), (["main", "b", "leaf"], 200)]).holds
