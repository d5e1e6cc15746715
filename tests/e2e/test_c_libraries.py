# SPDX-License-Identifier: Apache-2.0
"""Interpreters that are linked with other C libraries, or statically: where a thread keeps its state is another place."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from interpreters import FETCHED, includes, pyenv

sys.path.insert(0, str(ROOT / "tests" / "pythons"))
import judged  # noqa: E402

GRAPH = ROOT / "tests" / "fixtures" / "python" / "graph.py"
CPU_SECONDS = 0.5
HZ = 1999
STATIC = "3.11"


def record(kymo, command, **options):
    return kymo.run("record", "-s", "cpu", "-F", HZ, "-o", "c.kymo", "--", *command, **options)


def check_graph(kymo, whole):
    graph = judged.Graph(GRAPH, judged.python_stacks(kymo.path, kymo.cwd / "c.kymo"))
    assert not graph.count["impossible"] and not graph.count["bogus"], graph.examples[:5]
    assert graph.count["graph"] >= 0.5 * CPU_SECONDS * HZ and graph.count["whole"] >= whole * 0.3 * CPU_SECONDS * HZ, graph.count


def static_program(python, out):
    """embed.c with the interpreter in it: all one file, which names no C library."""
    archive = next(iter(pathlib.Path(python).parents[1].glob(f"lib/python{STATIC}/config-*/libpython{STATIC}.a")), None)
    if not archive:
        pytest.skip(f"no libpython{STATIC}.a")
    r = subprocess.run(["gcc", "-O2", "-w", "-static", f"-I{includes(python)}", ROOT / "tests" / "fixtures" / "programs" / "embed.c", "-o", out,
                        archive, "-lm", "-ldl", "-lutil", "-lpthread"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert r.returncode == 0, r.stdout


def test_static(kymo):
    python = pyenv(STATIC)
    if not python:
        pytest.skip(f"no CPython {STATIC} of the version manager's")
    program = kymo.cwd / "embedded"
    static_program(python, program)
    r = record(kymo, [program, GRAPH, CPU_SECONDS, "cpu"], env={**os.environ, "PYTHONHOME": str(pathlib.Path(python).parents[1])})
    assert "CPython" not in r.stderr, r.stderr
    check_graph(kymo, whole=True)


def built(name):
    folder = FETCHED / f"built-{name}"
    if not folder.exists():
        pytest.skip("no such interpreter here (make built-pythons builds it)")
    return [folder / "python", "-S", "-B", GRAPH, CPU_SECONDS, "cpu"], {**os.environ, "PYTHONPATH": str(folder / "lib"), "PYTHONHOME": str(folder)}


def test_musl(kymo):
    command, env = built("musl")
    r = record(kymo, command, env=env)
    assert "CPython" not in r.stderr, r.stderr
    # musl is built without rules for unwinding: below main nothing is known
    check_graph(kymo, whole=False)


def test_without_the_gil_it_stays_native_and_is_told_once(kymo):
    command, env = built("free")
    r = record(kymo, command, env=env)
    assert len(re.findall(r"CPython 3\.\d+: built without the GIL \(free-threaded\), its frames stay native", r.stderr)) == 1, r.stderr
    assert not judged.python_stacks(kymo.path, kymo.cwd / "c.kymo")
    assert "_PyEval_EvalFrameDefault" in kymo.run("report", "--limit", 0, "c.kymo").stdout
