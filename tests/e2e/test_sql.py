# SPDX-License-Identifier: Apache-2.0
"""kymo sql and the sqlite export over real recordings: while they run, after a kill, under every selection."""

import hashlib
import json
import signal
import sqlite3
import sys
import time

# Work that makes samples of three sources: time, memory that is new, blocks that are written.
LOAD = """
import os, sys, time
end = time.process_time() + float(sys.argv[1])
parent = os.getppid()  # a recorder that was killed ends us, too
turn = 0
f = os.open("written", os.O_CREAT | os.O_WRONLY, 0o600)
def spin():
    return sum(range(20000))
def grow():
    return bytearray(4 << 20)
while time.process_time() < end and os.getppid() == parent:
    spin(); grow()
    turn += 1
    if turn % 50 == 1:
        os.pwrite(f, b"x" * (1 << 20), 0); os.fsync(f)
"""


def query(kymo, path, statement, *options):
    return json.loads(kymo.run("sql", "--json", *options, path, statement).stdout)["rows"]


def total(kymo, path, value, *options):
    r = kymo.run("report", "--json", "--value", value, *options, path, check=False)
    return json.loads(r.stdout)["total"] if r.returncode == 0 else {"samples": 0, "weight": 0}


def test_sums_of_a_real_recording(kymo):
    kymo.run("record", "--tick", "200", "-o", "p.kymo", "--", sys.executable, "-c", LOAD, "0.8")
    (pid,) = {r[0] for r in query(kymo, "p.kymo", "SELECT pid FROM sample_named WHERE comm LIKE 'python%' AND source = 'cpu'")}
    for selection in ((), ("--pid", pid), ("--since", "400ms"), ("--pid", pid, "--since", "200ms", "--until", "1s")):
        kymo.run("export", "-o", "p.sqlite", *selection, "p.kymo")
        with sqlite3.connect(kymo.cwd / "p.sqlite") as db:
            for value in ("cpu", "fault", "io", "seen:rss", "seen:cpu"):
                column, source = ("weight", value) if ":" not in value else (value.replace(":", "_"), "cpu")
                statement = f"SELECT coalesce(sum(max(s.{column}, 0)), 0), count(*) FROM sample AS s JOIN thread AS t ON t.id = s.thread " \
                            f"JOIN process AS p ON p.id = t.process JOIN stack AS k ON k.id = s.stack JOIN frame AS f ON f.id = k.frame " \
                            f"WHERE s.source = '{source}'"
                own = total(kymo, "p.kymo", value, *selection)
                assert query(kymo, "p.kymo", statement, *selection) == [[own["weight"], own["samples"]]], (value, selection)
                assert db.execute(statement).fetchall() == [(own["weight"], own["samples"])]
    # names, too: what report shows
    functions = json.loads(kymo.run("report", "--json", "--limit", "0", "p.kymo").stdout)["functions"]
    own = {}
    for f in functions:
        own[f["function"]] = own.get(f["function"], 0) + f["self"]["weight"]
    got = dict(query(kymo, "p.kymo", "SELECT function, sum(weight) FROM sample_named WHERE source = 'cpu' GROUP BY 1"))
    assert got == {k: v for k, v in own.items() if v}


def test_while_it_is_recorded_and_after_a_kill(kymo):
    recorder = kymo.start("record", "--tick", "200", "-o", "p.kymo", "--", sys.executable, "-c", LOAD, "60")
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            r = kymo.run("sql", "--csv", "p.kymo", "SELECT count(*) AS n, count(DISTINCT tick) AS ticks FROM sample", check=False)
            if r.returncode == 0 and int(r.stdout.split()[1].split(",")[1]) >= 3:
                break
            time.sleep(0.1)
        assert r.returncode == 0, r.stderr
    finally:
        recorder.send_signal(signal.SIGKILL)
        recorder.wait()
    files = {f: hashlib.sha256(f.read_bytes()).digest() for f in kymo.cwd.glob("p.kymo*")}
    assert len(files) > 1
    (row,) = query(kymo, "p.kymo", "SELECT sum(weight), count(*) FROM sample WHERE source = 'cpu'")
    own = total(kymo, "p.kymo", "cpu")
    assert row == [own["weight"], own["samples"]] and row[1] > 0
    kymo.run("export", "-o", "p.sqlite", "p.kymo")
    with sqlite3.connect(kymo.cwd / "p.sqlite") as db:
        assert list(db.execute("SELECT sum(weight), count(*) FROM sample WHERE source = 'cpu'").fetchone()) == row
    assert {f: hashlib.sha256(f.read_bytes()).digest() for f in files} == files
