# SPDX-License-Identifier: Apache-2.0
"""
Memory that lies, at 4,999 Hz: interpreters whose frames are overwritten at random, a C program that maps libpython and makes up
threads and frames, code objects without end. kymo keeps its ticks, its bounds, and the stacks of all others.
"""

import glob
import json
import os
import pathlib
import random
import re
import subprocess

import pytest
from conftest import PROGRAMS, Kymo
from profile import folded, quality, rows, ticks
from test_shares import FUNCTIONS
from test_unwind import CHAIN, ours

PYTHON = PROGRAMS.parent / "python"
HZ = 4999
TICK_MS = 200
DAMAGED = 12
MEMORY_BYTES = 128 << 20
# make check-long: one of those whose frames are overwritten takes a minute of CPU time.
LONG = bool(os.environ.get("KYMO_LONG"))
SECONDS = (60 if LONG else 0.4, 0.4)
# The native program runs as long as the others do.
SCRIPT = """
{nice}{chain} chain {long} & chain=$!
{honest} {programs}/shares.py {more} 1 >honest.json & others=$!
{pythons}
/usr/bin/python3 {python}/flood.py {some} & others="$others $!"
{liar} {some} {library} {damaged} & others="$others $!"
wait $others
kill $chain
"""


def pythons():
    own = os.path.realpath("/usr/bin/python3")
    root = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    return [own, *map(str, sorted(root.glob("versions/3.*/bin/python3")))]


def scribblers(scribble):
    command = '{} {}/scribble.py {} {} & others="$others $!"'
    return "\n".join(command.format(p, PYTHON, scribble, SECONDS[i > 0]) for i, p in enumerate(pythons()))


def library():
    """Of CPython 3.11, whose structures liar.c makes up."""
    for pattern in ("/usr/lib/*/libpython3.11.so.1.0", os.path.expanduser("~/.pyenv/versions/3.11*/lib/libpython3.11.so.1.0")):
        for path in glob.glob(pattern):
            return path
    pytest.skip("needs libpython3.11 as a shared library")


def damage(path, folder):
    """Copies that differ in a few bytes: of the headers, of the sections' names and places, anywhere."""
    data = pathlib.Path(path).read_bytes()
    generator = random.Random(5)
    for i in range(DAMAGED):
        copy = bytearray(data)
        where = ((0, 1024), (len(data) - 4096, len(data)), (0, len(data)))[i % 3]
        for _ in range(1 + i * i):
            copy[generator.randrange(*where)] = generator.randrange(256)
        out = folder / f"damaged-{i}.so"
        out.write_bytes(copy)
        yield out


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, compiled):
    kymo = Kymo(tmp_path_factory.mktemp("hostile"))
    lib = library()
    liar, honest = kymo.cwd / "python3.11", kymo.cwd / "honest"
    liar.write_bytes(compiled("liar.c", "-ldl").read_bytes())
    liar.chmod(0o755)
    honest.symlink_to("/usr/bin/python3")
    script = SCRIPT.format(honest=honest, chain=compiled("chain.c", "-fomit-frame-pointer"), liar=liar, library=lib,
                           pythons=scribblers(compiled("scribble.c", "-shared", "-fPIC")), some=4 if LONG else 0.6, long=1800 if LONG else 200,
                           nice="nice -n 19 " if LONG else "", more=4 if LONG else 1,
                           damaged=" ".join(map(str, damage(lib, kymo.cwd))), programs=PROGRAMS, python=PYTHON)
    kymo.run("record", "-q", "-F", HZ, "-t", TICK_MS, "-o", "h.kymo", "--", "sh", "-c", script, timeout=1800 if LONG else 300)
    assert json.loads((kymo.cwd / "honest.json").read_text())["threads"]
    return kymo, kymo.cwd / "h.kymo"


def test_the_hostile_were_there(hostile):
    """Or the rest says nothing: each kind of garbage was walked into."""
    kymo, path = hostile
    q = quality(path)
    assert q["bpf.python_torn"] > 100 and q["bpf.python_unreadable"] > 100, q
    assert q["bpf.code_limit"] > 100, q
    exes = {os.path.basename(r["exe"]) for r in rows(path, "SELECT exe FROM process JOIN thread ON thread.process = process.id")}
    assert "python3.11" in exes and len(exes) >= 4, exes
    lies = rows(path, """SELECT count(*) AS n FROM stack JOIN frame ON frame.id = stack.frame JOIN function f ON f.id = frame.function
                          WHERE f.kind = 3 AND f.name != '' AND f.file NOT LIKE '%.py' AND f.file NOT LIKE '<%'""")
    assert lies[0]["n"] > 0


def test_ticks_have_no_gap(hostile):
    t = ticks(hostile[1])
    assert len(t) >= 10
    assert all(a["end_ns"] == b["start_ns"] for a, b in zip(t, t[1:]))
    assert max(x["end_ns"] - x["start_ns"] for x in t) < 4e9


def test_no_sample_of_others_is_lost(hostile):
    """Code objects without end have their share of the ring, and no more."""
    q = quality(hostile[1])
    lost = q.get("bpf.ring_full", 0) + q.get("ring.queue_dropped", 0) + q.get("ring.malformed", 0)
    assert lost <= 0.02 * q["bpf.samples"], q


def test_memory_is_bounded(hostile):
    most = rows(hostile[1], "SELECT max(value) AS most FROM quality WHERE counter = 'kymo.rss_bytes'")[0]["most"]
    assert most < MEMORY_BYTES, f"{most >> 20} MiB"


def test_stacks_of_others_are_right(hostile):
    kymo, path = hostile
    native = python = unseen = 0
    for stack, ns in folded(kymo, path, "--comm", "honest"):
        names = [re.sub(r" \(.*", "", f) for f in stack]
        assert "garbage" not in names and not any("lie" == n or "scribble" in n for n in names), stack
        for i, name in enumerate(names):
            if name in FUNCTIONS:
                python += ns
                assert names[i - 1] == f"call_{name}", stack
        unseen += ns * ("[python code not seen]" in names)
    chain = next(iter({s[0] for s, _ in folded(kymo, path) if s[0].startswith("chain")}), None)
    for stack, ns in folded(kymo, path, "--comm", chain):
        names = ours(stack)
        # until the rules of a program that has just begun are there, the leaf alone
        assert names in (["main", *CHAIN], ["leaf"]) or "leaf" not in names, stack
        native += ns * (names == ["main", *CHAIN])
    # whatever CPU a busy machine leaves them
    assert python > 0.5e9 and native > 0.02e9 and unseen < 0.02 * python, (python, native, unseen)


def test_sums_are_the_kernels(hostile):
    """Sampled and exact CPU time of each hostile process: none escapes by what its memory says."""
    kymo, path = hostile
    shown = json.loads(kymo.run("report", "--processes", "--json", "--limit", 0, path).stdout)["processes"]
    large = [p for p in shown if p["cpu_ns"] > 0.3e9]
    assert len(large) >= 3
    for p in large:
        period = 1e9 / HZ
        sigma = (p["cpu_ns"] / period) ** 0.5 * period
        assert abs(p["sampled_cpu_ns"] - p["cpu_ns"]) <= 4 * sigma + 0.03 * p["cpu_ns"], p


@pytest.mark.parametrize("command", [("report",), ("report", "--tree", "--all-frames"), ("report", "--quality"), ("ticks",),
                                     ("report", "--json"), ("export", "--format", "folded"), ("export", "--format", "speedscope"),
                                     ("export", "--format", "svg"), ("sql", "SELECT * FROM function")], ids=" ".join)
def test_what_they_said_is_inert(hostile, command):
    kymo, path = hostile
    words = ("sql", path, command[1]) if command[0] == "sql" else (*command, path)
    out = subprocess.run([kymo.path, *map(str, words)], capture_output=True, timeout=300)
    assert out.returncode == 0, out.stderr
    text = out.stdout.decode()  # UTF-8, or it fails
    if "--json" in command or "speedscope" in command:
        json.loads(text)
    else:
        assert not [c for c in set(text) - {"\n", "\t"} if ord(c) < 0x20 or 0x7f <= ord(c) < 0xa0 or 0x202a <= ord(c) <= 0x202e]
