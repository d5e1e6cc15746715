# SPDX-License-Identifier: Apache-2.0
"""Programs made from a seed: deep, wide, recursive, threaded, bursty, interrupted by signals; their time, memory and disk traffic."""

import os
import sys

import pytest
from conftest import KYMO, ROOT

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import judge  # noqa: E402
import loads  # noqa: E402
import profilers  # noqa: E402
import shapes  # noqa: E402

HZ = 999
PYTHON = "/usr/bin/python3.11"
SECONDS = 0.4  # of CPU, of each program
MIB = {"memory": 96, "io": 32}
# A turn's faults come together, and are thinned together in a storm: so many of them say no more than one.
TOGETHER = 8
SOURCE = {"cpu": "cpu", "memory": "fault", "io": "io"}
PROGRAMS = [*(("c", shape, "cpu") for shape in shapes.SHAPES), ("c++", "deep", "cpu"), ("rust", "recursive", "cpu"), ("go", "threaded", "cpu"),
            (PYTHON, "deep", "cpu"), (PYTHON, "signals", "cpu"), (PYTHON, "threaded", "cpu"),
            *((language, "threaded", what) for language in ("c", PYTHON) for what in ("memory", "io")), ("go", "threaded", "memory"), ("rust", "wide", "io")]


class Recorder(profilers.Kymo):
    sources = "cpu,fault,io"


def started(folder, language, shape, what, file):
    seed = int.from_bytes(os.urandom(2), "big")  # any graph will do: it is printed when it fails
    try:
        if what == "io":
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600))
        command = shapes.command(folder, language, shape, seed)
        amount = (SECONDS if what == "cpu" else MIB[what]) / shapes.SHAPES[shape].threads
        program = loads.Waiting([*command, what, amount, seed, file])
        program.seed = seed
        return program
    except OSError as e:
        return loads.Missing(f"no writing past the page cache here: {e}")
    except loads.Missing as e:
        return e


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Once more where a starved host had not come to look at the files: callers are missing, or names. Then they are known."""
    for _ in range(3):
        out = recorded(tmp_path_factory.mktemp("oracle"))
        if all(isinstance(v, loads.Missing) or (v[0].cut_share <= 0.01 and v[0].seen_anything) for v in out.values()):
            break
    return out


def recorded(folder):
    """(language, shape, what) -> (verdict, truth's sum, seen's sum, seed), all recorded at once."""
    files = [f"/var/tmp/kymo-oracle-{os.getpid()}-{i}" for i in range(len(PROGRAMS))]  # on a real disk: /tmp may be memory
    begun = {p: started(folder, *p, file) for p, file in zip(PROGRAMS, files)}
    running = {p: x for p, x in begun.items() if not isinstance(x, loads.Missing)}
    try:
        recorder = Recorder([x.pid for x in running.values()], folder, HZ, KYMO)
        recorder.begun()
        for x in running.values():
            x.process.stdin.write("go\n")
            x.process.stdin.flush()
        truth = {p: judge.read_folded(x.process.communicate(timeout=120)[0].splitlines()) for p, x in running.items()}
        recorder.stop()
    finally:
        for x in running.values():
            x.end()
        for file in files:
            if os.path.exists(file):
                os.unlink(file)
    out = dict(begun)
    for p, x in running.items():
        stacks, period = recorder.charged(SOURCE[p[2]], x.pid)
        period *= TOGETHER if p[2] == "memory" else 1
        out[p] = judge.Verdict(truth[p], stacks, period), sum(w for _, w in truth[p]), sum(w for _, w in stacks), x.seed
    return out


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: "-".join([os.path.basename(p[0]), *p[1:]]))
def test_right(judged, program):
    """No stack that the program cannot have, none cut, time and bytes where they belong."""
    if isinstance(judged[program], loads.Missing):
        pytest.skip(str(judged[program]))
    verdict, true, seen, seed = judged[program]
    assert not verdict.impossible, (seed, verdict.impossible[:3])
    assert verdict.samples >= (2 if program[2] == "memory" else 30), (seed, str(verdict))
    assert verdict.distance <= verdict.bound, (seed, str(verdict))
    assert verdict.cut_share <= 0.01, (seed, str(verdict))
    if program[2] == "io":  # each is seen, or stands for those that were thinned in a storm
        assert 0.7 * true <= seen <= 1.3 * true, (seed, true, seen)
    if program[2] == "memory":
        inside = verdict.right
        assert 0.3 * true <= inside <= 2 * true, (seed, true, inside)
