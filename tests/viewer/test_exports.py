# SPDX-License-Identifier: Apache-2.0
"""Every format says the same: totals equal the folded export's to the digit, under every selection."""

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import time

import pytest
from conftest import KYMO

SELECTIONS = ((), ("--pid", "4242"), ("--comm", "postgres"), ("--since", "3s", "--until", "7s"))


@pytest.fixture(scope="session")
def profiles(make_profile, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    subprocess.run([make_profile, folder / "small.kymo"], check=True)
    subprocess.run([make_profile, folder / "hostile.kymo", "hostile"], check=True)
    return folder


def resolved(path, options):
    """The command that the profile has: the hostile one calls it otherwise."""
    if options[:1] != ("--comm",):
        return options
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        found = db.execute("SELECT comm FROM process ORDER BY comm <> ?, id", options[1:]).fetchone()
        return ("--comm", found[0])


def export(path, form, *options):
    options = resolved(path, options)
    return subprocess.run([KYMO, "export", "--format", form, *options, path], check=True, capture_output=True).stdout


def folded_total(path, *options):
    lines = export(path, "folded", *options).decode().splitlines()
    return sum(int(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture(params=SELECTIONS, ids=lambda s: " ".join(s) or "all")
def selection(request):
    return request.param


@pytest.fixture(params=["small", "hostile"])
def profile(request, profiles):
    return profiles / f"{request.param}.kymo"


def test_report_agrees(profiles, selection):
    out = subprocess.run([KYMO, "report", *selection, profiles / "small.kymo"], check=True, capture_output=True, text=True).stdout
    samples = int(out.split(" samples")[0].split()[-1].replace(",", ""))
    assert samples * 10_000_000 == folded_total(profiles / "small.kymo", *selection)


def test_speedscope(profile, selection):
    data = json.loads(export(profile, "speedscope", *selection))
    (p,) = data["profiles"]
    assert p["type"] == "sampled" and p["unit"] == "nanoseconds"
    assert len(p["samples"]) == len(p["weights"])
    assert sum(p["weights"]) == p["endValue"] == folded_total(profile, *selection)
    frames = len(data["shared"]["frames"])
    assert all(0 <= f < frames for stack in p["samples"] for f in stack)
    assert all(f["name"] for f in data["shared"]["frames"])


def test_d3(profile, selection):
    tree = json.loads(export(profile, "d3", *selection))
    assert tree["value"] == folded_total(profile, *selection)

    def check(node):
        below = node.get("children", [])
        assert sum(c["value"] for c in below) <= node["value"]
        for c in below:
            check(c)

    check(tree)


# ---- pprof: read as the wire says, and by pprof itself where Go is at hand ----

def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """{field: [values]} of a message of varints and bytes."""
    out, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        else:
            assert tag & 7 == 0
        out.setdefault(tag >> 3, []).append(value)
    return out


def packed(data):
    out, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        out.append(value)
    return out


@pytest.fixture
def pprof(profile, selection):
    return fields(gzip.decompress(export(profile, "pprof", *selection)))


def test_pprof_adds_up(pprof, profile, selection):
    strings = [s.decode() for s in pprof[6]]
    assert strings[0] == ""
    types = [tuple(strings[fields(t).get(k, [0])[0]] for k in (1, 2)) for t in pprof[1]]
    assert types == [("samples", "count"), ("cpu", "nanoseconds")]
    values = [packed(fields(s)[2][0]) for s in pprof.get(2, [])]
    assert all(len(v) == len(types) for v in values)
    assert sum(v[1] for v in values) == folded_total(profile, *selection)
    assert strings[pprof[14][0]] == "cpu"


def test_pprof_refers_to_what_is_there(pprof):
    mappings = {fields(m)[1][0] for m in pprof.get(3, [])}
    functions = {fields(f)[1][0]: fields(f) for f in pprof.get(5, [])}
    locations = {fields(x)[1][0]: fields(x) for x in pprof.get(4, [])}
    assert 0 not in mappings | set(functions) | set(locations)
    for x in locations.values():
        assert x.get(2, [None])[0] in mappings | {None}
        assert fields(x[4][0])[1][0] in functions
    strings = len(pprof[6])
    for f in functions.values():
        assert all(0 < n < strings for n in f[2]) and f.get(4, [0])[0] < strings
    for s in map(fields, pprof.get(2, [])):
        assert set(packed(s[1][0])) <= set(locations)
        keys = [fields(label)[1][0] for label in s[3]]
        assert len(keys) == len(set(keys))  # one value per key


def go_pprof(path, *options):
    r = subprocess.run(["go", "tool", "pprof", "-unit=s", *options, path], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return r.stdout


def test_pprof_itself_reads_it(profiles, tmp_path):
    if not shutil.which("go") or subprocess.run(["go", "tool", "-n", "pprof"], capture_output=True).returncode != 0:
        pytest.skip("needs Go's pprof")
    path = tmp_path / "small.pb.gz"
    subprocess.run([KYMO, "export", "-o", path, profiles / "small.kymo"], check=True)
    top = go_pprof(path, "-top")
    assert "Total samples = 10s" in top
    assert "38.00%" in next(x for x in top.splitlines() if "ExecHashJoin" in x)
    tags = go_pprof(path, "-tags")
    assert "process" in tags and "postgres" in tags and "psi_mem_some" in tags
    # One tick of ten had 31 % memory pressure.
    assert "1s, 10.00% of 10s total" in go_pprof(path, "-top", "-tagfocus=psi_mem_some=20:40")
    assert "main" in go_pprof(path, "-traces", "-tagfocus=process=web")


@pytest.mark.parametrize("form", ["folded", "svg", "pprof", "speedscope"])
def test_killed_export_leaves_nothing(profiles, tmp_path, form):
    """Neither a part of the file asked for nor one of another name."""
    out = tmp_path / "out"
    for i in range(12):
        with subprocess.Popen([KYMO, "export", "--format", form, "-o", out, profiles / "small.kymo"]) as p:
            time.sleep(i / 1000)
            p.kill()
        assert os.listdir(tmp_path) in ([], ["out"])
        if out.exists():
            assert out.stat().st_size > 0
            out.unlink()
