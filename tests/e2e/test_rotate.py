# SPDX-License-Identifier: Apache-2.0
"""record --rotate: a folder of whole profiles, read as one."""

import json
import os
import re
import shutil
import signal
import sqlite3
import time

import profile
import pytest
from conftest import Kymo

NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z\.kymo$")
# Beside it a process that does nothing: it must be told of in every file all the same.
LOAD = """
import subprocess, sys, time
idle = subprocess.Popen(["sleep", "60"])
def hot(n):
    s = 0
    for i in range(n):
        s += i * i
    return s
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    hot(20000)
idle.kill()
idle.wait()
"""


def segments(folder):
    return sorted(p for p in folder.iterdir() if NAME.match(p.name))


def one(path, sql):
    return list(profile.rows(path, sql)[0].values())[0]


def folded(kymo, path, *args):
    """{stack: samples}"""
    out = {}
    for stack, count in profile.folded(kymo, path, *args):
        out[";".join(stack)] = out.get(";".join(stack), 0) + count
    return out


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    k = Kymo(tmp_path_factory.mktemp("rotated"))
    before = os.times()
    k.run("record", "-q", "--rotate", "2s", "-t", "500", "-F", "199", "-o", "d", "--", "/usr/bin/python3", "-c", LOAD, "7")
    after = os.times()
    k.child_cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return k


def test_each_file_is_whole(recorded):
    folder = recorded.cwd / "d"
    files = segments(folder)
    assert sorted(p.name for p in folder.iterdir()) == [p.name for p in files], "nothing else is left there"
    assert len(files) >= 3
    assert folder.stat().st_mode & 0o777 == 0o700
    for p in files:
        assert p.stat().st_mode & 0o777 == 0o600
        assert one(p, "PRAGMA integrity_check") == "ok"
        assert one(p, "PRAGMA journal_mode") == "delete"
        assert one(p, "SELECT count(*) FROM meta WHERE key = 'ended'") == 1
        for table, column, of in (("thread", "process", "process"), ("frame", "function", "function"),
                                  ("frame", "binary", "binary"), ("function", "binary", "binary"),
                                  ("stack", "frame", "frame"), ("stack", "parent", "stack"),
                                  ("process_tick", "process", "process"), ("health_label", "metric", "metric")):
            assert one(p, f"SELECT count(*) FROM {table} WHERE {column} != 0 AND {column} NOT IN "
                          f"(SELECT id FROM {of})") == 0, (p.name, table, column)
        # who did nothing has an account, too
        assert one(p, "SELECT count(*) FROM process JOIN process_tick ON process_tick.process = process.id "
                      "WHERE comm = 'sleep'") >= 1, p.name
        assert one(p, "SELECT count(*) FROM health_label") > 0
        assert one(p, "SELECT count(*) FROM binary WHERE kind = 1 AND length(build_id) = 0") == 0


def test_nothing_is_lost_between_files(recorded):
    files = segments(recorded.cwd / "d")
    ticks = [(t["start_ns"], t["end_ns"]) for p in files for t in profile.ticks(p)]
    assert all(a[1] == b[0] for a, b in zip(ticks, ticks[1:])), "ticks follow each other without a gap"
    taken = sum(one(p, "SELECT coalesce(sum(value), 0) FROM quality WHERE counter = 'bpf.samples'") for p in files)
    kept = sum(one(p, "SELECT sum(samples) FROM sample_block") for p in files)
    assert kept == taken > 0
    # the command's CPU time over all files, by the kernel's account of the very same
    cpu_ns = sum(one(p, "SELECT sum(cpu_ns) FROM process_tick") for p in files)
    assert abs(cpu_ns / 1e9 - recorded.child_cpu) < 2.0
    assert cpu_ns / 1e9 <= recorded.child_cpu + 0.02


def test_read_as_one(recorded):
    folder = recorded.cwd / "d"
    files = segments(folder)
    parts = [folded(recorded, p) for p in files]
    assert all(any("hot" in stack for stack in part) for part in parts), "each has its names"
    whole = folded(recorded, folder)
    for stack in set(whole) | {s for part in parts for s in part}:
        assert whole.get(stack, 0) == sum(part.get(stack, 0) for part in parts), stack
    # over the border of two files
    early = folded(recorded, folder, "--until", "3s")
    late = folded(recorded, folder, "--since", "3s")
    assert early and late
    assert sum(early.values()) + sum(late.values()) == sum(whole.values())
    info = json.loads(recorded.run("info", "--json", folder).stdout)
    assert info["recording"]["ended"] is True
    n = sum(len(profile.ticks(p)) for p in files)
    ticks = recorded.run("ticks", folder).stdout
    assert len(json.loads(recorded.run("ticks", "--json", folder).stdout)["ticks"]) == n
    assert ticks
    processes = json.loads(recorded.run("report", "--processes", "--json", folder).stdout)["processes"]
    assert [p["comm"] for p in processes].count("sleep") <= 2, "one in all files (and before its exec)"
    assert sum(p["cpu_ns"] for p in processes) == sum(one(p, "SELECT sum(cpu_ns) FROM process_tick") for p in files)
    for args in (("report",), ("report", "--processes"), ("report", "--quality"), ("report", "--value", "fault"),
                 ("export", "--format", "svg"), ("export", "--format", "speedscope")):
        r = recorded.run(*args, folder)
        assert r.stdout and r.stderr == "", args


def test_damage_of_one_leaves_the_others(recorded, kymo):
    folder = kymo.cwd / "d"
    shutil.copytree(recorded.cwd / "d", folder)
    files = segments(folder)
    rest = [folded(kymo, p) for p in files if p != files[1]]
    files[1].write_bytes(files[1].read_bytes()[:10000])
    for args in (("report",), ("ticks",), ("info",), ("export", "--format", "folded")):
        r = kymo.run(*args, folder)
        assert r.stderr.count("\n") == 1 and files[1].name in r.stderr, r.stderr
    assert sum(folded(kymo, folder).values()) == sum(sum(part.values()) for part in rest)
    for p in files:
        p.write_bytes(b"no profile")
    r = kymo.run("report", folder, check=False)
    assert r.returncode == 1 and r.stdout == "" and "d/" in r.stderr


def test_a_folder_without_a_recording(kymo):
    (kymo.cwd / "d").mkdir()
    r = kymo.run("report", "d", check=False)
    assert r.returncode == 1 and r.stderr.count("\n") == 1 and "d: " in r.stderr


def test_keep_removes_only_ours(recorded, kymo):
    folder = kymo.cwd / "d"
    folder.mkdir(mode=0o700)
    source = segments(recorded.cwd / "d")[0]
    shutil.copy(source, kymo.cwd / "outside.kymo")
    old = [folder / f"2020010{i}T000000.000Z.kymo" for i in range(1, 4)]
    for p in old:
        shutil.copy(source, p)
    (folder / (old[0].name + "-wal")).touch()
    link = folder / "20200101T000001.000Z.kymo"
    link.symlink_to(kymo.cwd / "outside.kymo")
    foreign = folder / "20200101T000002.000Z.kymo"
    foreign.write_bytes(b"SQLite format 3\0" + bytes(4080))
    other = folder / "20200101T000003.000Z.kymo"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE a(b)")
    named = folder / "notes.kymo"
    shutil.copy(source, named)
    directory = folder / "20200101T000004.000Z.kymo"
    directory.mkdir()
    kymo.run("record", "-q", "--rotate", "1s", "--keep", "2", "-t", "200", "-o", "d", "-a", "-d", "3")
    assert not any(p.exists() for p in old)
    assert not (folder / (old[0].name + "-wal")).exists()
    for p in (link, foreign, other, named, directory, kymo.cwd / "outside.kymo"):
        assert p.exists(), p
    ours = [p for p in segments(folder) if p not in (link, foreign, other, directory)]
    assert len(ours) == 2


def test_killed_and_continued(kymo):
    folder = kymo.cwd / "d"
    recorder = kymo.start("record", "-q", "--rotate", "1s", "-t", "200", "-o", "d", "-a")
    give_up = time.monotonic() + 60
    while not folder.exists() or len(segments(folder)) < 3:
        assert recorder.poll() is None and time.monotonic() < give_up, recorder.stderr.read()
        time.sleep(0.02)
    # read while it is written; another recorder is told so
    assert "samples" in kymo.run("report", "d", check=True).stdout
    r = kymo.run("record", "-q", "--rotate", "1s", "-o", "d", "-a", "-d", "1", check=False)
    assert r.returncode == 1 and "another kymo" in r.stderr and r.stderr.count("\n") == 1
    # the last may just have been begun: until it has a tick
    while not profile_has_tick(segments(folder)[-1]):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    os.kill(recorder.pid, signal.SIGKILL)
    recorder.wait()
    killed = segments(folder)
    for p in killed[:-2]:
        assert one(p, "PRAGMA integrity_check") == "ok"
        assert one(p, "SELECT count(*) FROM meta WHERE key = 'ended'") == 1
    r = kymo.run("report", "d")
    assert "did not end" in r.stdout
    kymo.run("record", "-q", "--rotate", "10s", "-t", "200", "-o", "d", "-a", "-d", "1")
    after = segments(folder)
    assert after[: len(killed)] == killed and len(after) == len(killed) + 1
    r = kymo.run("report", "d")
    assert killed[-1].name in r.stderr and 1 <= r.stderr.count("\n") <= 2
    assert "did not end" not in r.stdout


def profile_has_tick(path):
    try:
        return one(path, "SELECT count(*) FROM tick") > 0
    except sqlite3.Error:
        return False


@pytest.mark.parametrize("arguments, word", [
    (("--rotate", "1"), "--rotate"),
    (("--rotate", "1w"), "--rotate"),
    (("--rotate", "40d"), "--rotate"),
    (("--rotate", ""), "--rotate"),
    (("--keep", "3"), "--rotate"),
    (("--rotate", "1h", "--keep", "0"), "--keep"),
])
def test_refused(kymo, arguments, word):
    r = kymo.run("record", "-a", "-d", "1", *arguments, check=False)
    assert r.returncode == 1 and r.stderr.count("\n") == 1 and word in r.stderr, r.stderr
    assert list(kymo.cwd.iterdir()) == []


def test_not_a_folder(kymo):
    (kymo.cwd / "file").write_text("x")
    (kymo.cwd / "real").mkdir()
    (kymo.cwd / "link").symlink_to("real")
    for name in ("file", "link"):
        r = kymo.run("record", "-a", "-d", "1", "--rotate", "1h", "-o", name, check=False)
        assert r.returncode == 1 and r.stderr.count("\n") == 1 and name in r.stderr, r.stderr
    assert (kymo.cwd / "file").read_text() == "x" and list((kymo.cwd / "real").iterdir()) == []
