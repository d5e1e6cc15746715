# SPDX-License-Identifier: Apache-2.0
"""kymo sql and the sqlite export: docs/formats/sqlite.md's questions have report's answers, and nothing can be changed."""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest
from conftest import KYMO, ROOT

SELECTIONS = ((), ("--pid", "500"), ("--comm", "reader"), ("--since", "3s"), ("--until", "8s"), ("--since", "2s", "--until", "7s"),
              ("--pid", "600", "--since", "4s"), ("--comm", "grower", "--pid", "500", "--since", "1s", "--until", "9s"))
VALUES = ("cpu", "fault", "io", "seen:rss", "seen:cpu", "seen:switches")


def kymo(*args, check=True, **options):
    return subprocess.run([KYMO, *map(str, args)], check=check, capture_output=True, text=True, **options)


def sql(path, statement, *options):
    return json.loads(kymo("sql", "--json", *options, path, statement).stdout)["rows"]


def report(path, *options):
    return json.loads(kymo("report", "--json", *options, path).stdout)


def exported(path, folder, *options):
    out = folder / "out.sqlite"
    kymo("export", "-o", out, *options, path)
    return sqlite3.connect(out)


def documented():
    text = (ROOT / "docs" / "formats" / "sqlite.md").read_text()
    return re.findall(r"^### (.*?)\n\n```sql\n(.*?)```", text, re.M | re.S)


QUESTIONS = dict(documented())


@pytest.fixture(scope="session")
def plain(sick, tmp_path_factory):
    return exported(sick, tmp_path_factory.mktemp("plain"))


@pytest.fixture
def answer(request, sick, plain):
    """The rows of a question by its first words: the same from both."""

    def ask(words):
        (text,) = [q for title, q in QUESTIONS.items() if title.startswith(words)]
        rows = sql(sick, text)
        assert rows == [list(r) for r in plain.execute(text)]
        assert rows
        return rows

    return ask


def test_there_are_ten_questions():
    assert len(QUESTIONS) >= 10


def test_functions(answer, sick):
    own = [f for f in report(sick, "--limit", "0")["functions"] if f["self"]["samples"]]
    rows = answer("Which functions used the CPU?")
    assert {(r[0], r[1]): (r[2], r[3]) for r in rows} == {
        (f["function"], f["kind"]): (f["self"]["weight"] / 1e9, f["self"]["samples"]) for f in own}
    assert {r[0] for r in rows} >= {"serve", "allocate", "read;all", "[no stack]"}


def test_totals(answer, sick):
    functions = report(sick, "--limit", "0")["functions"]
    assert dict(answer("On whose behalf")) == {f["function"]: f["total"]["weight"] / 1e9 for f in functions}


def test_stacks_under_pressure(answer, sick):
    text = kymo("export", "--format", "folded", "--since", "7s", sick).stdout  # the three with the most
    own = {}
    for line in text.splitlines():
        stack, _, weight = line.rpartition(" ")
        names = ";".join(re.sub(r" \([^()]*:\d+\)$", "", f) for f in stack.split(";")[1:])
        own[names] = own.get(names, 0) + int(weight)
    assert {r[1]: r[0] for r in answer("Which stacks ran")} == {k: v / 1e9 for k, v in own.items()}


def test_growth(answer, sick):
    first = answer("Which process grew most")[0]
    (p,) = [p for p in report(sick, "--processes", "--limit", "0")["processes"] if p["pid"] == 500]
    faults = report(sick, "--value", "fault", "--comm", "grower")["functions"][0]
    assert first == [500, "grower", 2000 * 4096, p["rss_anon_bytes"], faults["function"]]
    assert faults["function"] == "allocate"


def test_disk(answer, sick):
    rows = answer("Who read from the disk")
    functions = report(sick, "--value", "io")["functions"]
    assert {r[1]: r[2] + r[3] for r in rows} == {f["function"]: f["self"]["weight"] for f in functions if f["self"]["weight"]}
    assert {r[1]: bool(r[3]) for r in rows} == {"read;all": False, "[server]": True}


def test_accounts(answer, sick):
    own = report(sick, "--processes", "--limit", "0")["processes"]
    rows = answer("How far are the samples")
    assert {r[0]: (r[2], r[3]) for r in rows} == {
        p["pid"]: (p["cpu_ns"] / 1e9, p["sampled_cpu_ns"] / 1e9) for p in own if p["pid"] in {r[0] for r in rows}}


def test_timeline(answer, sick):
    ticks = json.loads(kymo("ticks", "--json", sick).stdout)["ticks"]
    for row, tick in zip(answer("How did it go"), ticks, strict=True):
        assert row[1] == tick["at_ns"] / 1e9
        assert row[2] == pytest.approx(tick["health"]["cpu_busy_percent"])
        assert row[3] == pytest.approx(tick["health"]["psi_mem_some_percent"])
        assert row[4] == tick["hottest"]["function"]


def test_sick_and_well(answer, sick):
    rows = {r[0]: r[1:] for r in answer("What ran while memory was short")}
    for column, when in ((0, ("--since", "6s")), (1, ("--until", "6s"))):
        part = report(sick, "--limit", "0", *when)
        for f in part["functions"]:
            share = 100 * f["self"]["weight"] / part["total"]["weight"]
            assert rows.get(f["function"], (0, 0))[column] == pytest.approx(share)


def test_short_processes(answer, sick):
    ended = [p for p in report(sick, "--processes", "--limit", "0")["processes"] if p["ended"]]
    rows = answer("Which commands came and went")
    for comm, processes, cpu_s in rows:
        own = [p["cpu_ns"] for p in ended if p["comm"] == comm]
        assert (processes, cpu_s) == (len(own), sum(own) / 1e9)
    assert sum(r[1] for r in rows) == len(ended) == 10


def test_ends(answer, sick):
    own = report(sick, "--quality")["stack_ends"]
    assert {r[0]: r[1] for r in answer("Are the stacks whole")} == {e["end"]: e["samples"] for e in own}


def test_seen(answer, sick):
    own = report(sick, "--value", "seen:rss", "--limit", "0")["functions"]
    assert {r[0]: r[1] for r in answer("Where was memory seen")} == {
        f["function"]: f["self"]["weight"] for f in own if f["self"]["weight"]}


# ---- sums under every selection ----


@pytest.mark.parametrize("selection", SELECTIONS, ids=lambda s: " ".join(s) or "all")
def test_sums_are_reports(sick, selection, tmp_path):
    plain = exported(sick, tmp_path, *selection)
    for value in VALUES:
        column = value.replace(":", "_") if ":" in value else "weight"
        source = "cpu" if ":" in value else value
        statement = f"SELECT coalesce(sum(max({column}, 0)), 0), count(*) FROM sample WHERE source = '{source}'"
        named = f"SELECT coalesce(sum(weight), 0), count(*) FROM sample_named WHERE source = '{source}'"
        r = kymo("report", "--json", "--value", value, *selection, sick, check=False)
        total = json.loads(r.stdout)["total"] if r.returncode == 0 else {"weight": 0, "samples": 0}
        (row,) = sql(sick, statement, *selection)
        assert row[0] == total["weight"], value
        assert row == list(plain.execute(statement).fetchone())
        assert sql(sick, named, *selection)[0] == list(plain.execute(named).fetchone())
        assert ":" in value or row[1] == total["samples"]
    # Who was not asked for is not in the file.
    if "--pid" in selection:
        assert plain.execute("SELECT DISTINCT pid FROM process").fetchall() == [(int(selection[selection.index("--pid") + 1]),)]
        assert not plain.execute("SELECT 1 FROM stack WHERE id NOT IN (SELECT stack FROM stack_frame)").fetchall()


def test_both_have_the_same_rows(sick, plain):
    tables = [r[0] for r in plain.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")]
    assert len(tables) > 15
    for table in tables:
        rows = sql(sick, f"SELECT * FROM {table}")
        own = [list(r) for r in plain.execute(f"SELECT * FROM {table}")]
        if table in ("stack", "frame", "frame_name", "stack_frame", "stack_text", "function", "binary", "metric"):
            # the export leaves out what nothing refers to
            assert all(r in rows for r in own), table
        else:
            assert rows == own, table
    assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_ticks_are_gone_to(sick):
    rows = sql(sick, "SELECT sum(weight) FROM sample WHERE tick = 3")
    for condition in ("tick BETWEEN 3 AND 3", "tick > 2 AND tick < 4", "tick IN (SELECT 3)", "tick >= 3 AND tick <= 3.5",
                      "tick = '3'", "tick > 2.5 AND tick < 3.5", "tick = 3.0", "+tick = 3"):
        assert sql(sick, f"SELECT sum(weight) FROM sample WHERE {condition}") == rows, condition
    for condition in ("tick = 0", "tick = -1", "tick = 99", "tick = NULL", "tick > 1e300", "tick < -1e300", "tick = 3.5", "tick > 'x'",
                      "tick = 9223372036854775807", "tick > 9223372036854775807", "tick < -9223372036854775808"):
        assert sql(sick, f"SELECT count(*) FROM sample WHERE {condition}") == [[0]], condition
    assert sql(sick, "SELECT count(*) FROM sample WHERE tick < 'x'") == sql(sick, "SELECT count(*) FROM sample")
    assert sql(sick, "SELECT id FROM tick ORDER BY id DESC LIMIT 1") == [[10]]


def test_inlined_functions_are_frames(sick, plain):
    statement = "SELECT DISTINCT depth, name FROM stack_frame WHERE stack = (SELECT stack FROM sample_named WHERE function LIKE 'inner%' LIMIT 1) " \
                "AND level = 0 ORDER BY depth"
    own = [[0, "outer"], [1, "middle (inlined)"], [2, "inner (inlined)"]]
    assert sql(sick, statement) == own == [list(r) for r in plain.execute(statement)]
    (text,) = sql(sick, "SELECT DISTINCT stack_text(stack) FROM sample_named WHERE function LIKE 'inner%'")
    assert text == ["main;outer;middle (inlined);inner (inlined)"]
    assert sql(sick, "SELECT count(*) FROM stack_text WHERE text <> stack_text(stack)") == [[0]]


@pytest.mark.parametrize("statement", (
    "SELECT sum(s.weight), count(t.text) FROM sample AS s JOIN stack_text AS t ON t.stack = s.stack",
    "SELECT sum(s.weight), count(t.text) FROM stack_text AS t JOIN sample AS s ON s.stack = t.stack WHERE t.text LIKE '%inner%'",
    "SELECT count(*) FROM sample_named AS n JOIN stack_text AS t ON t.stack = n.stack WHERE n.source = 'fault'",
    "SELECT count(*) FROM sample AS s JOIN stack_frame AS f ON f.stack = s.stack WHERE f.name = 'main'",
    "SELECT count(*) FROM process_tick AS a JOIN sample_named AS n ON n.process = a.process AND n.tick = a.tick"))
def test_joins_decode_the_blocks_once(sick, plain, statement):
    """No scan of all samples within another: all blocks would be decoded again for each of its rows."""
    plan = [row[3] for row in sql(sick, "EXPLAIN QUERY PLAN " + statement)]
    assert not any("INDEX 0" in p for p in plan[1:]), plan
    assert sql(sick, statement) == [list(r) for r in plain.execute(statement)]


@pytest.fixture(scope="session")
def folder(sick, tmp_path_factory):
    """A recording of two segments."""
    out = tmp_path_factory.mktemp("segments") / "rec"
    out.mkdir()
    for name in ("20251121T111905.000Z.kymo", "20251121T112005.000Z.kymo"):
        shutil.copy(sick, out / name)
    return out


@pytest.mark.parametrize("selection", ((), ("--since", "5s"), ("--pid", "500", "--since", "8s", "--until", "12s")), ids=lambda s: " ".join(s) or "all")
def test_a_folder_of_segments_is_one_recording(folder, sick, tmp_path, selection):
    plain = exported(folder, tmp_path, *selection)
    for value in ("cpu", "fault") if "--pid" in selection else ("cpu", "fault", "io"):
        total = report(folder, "--value", value, *selection)["total"]
        statement = f"SELECT sum(weight), count(*) FROM sample_named WHERE source = '{value}'"
        assert sql(folder, statement, *selection) == [[total["weight"], total["samples"]]] == [list(r) for r in plain.execute(statement)]
    functions = report(folder, "--limit", "0", *selection)["functions"]
    statement = "SELECT function, sum(weight) FROM sample_named WHERE source = 'cpu' GROUP BY 1"
    own = {f["function"]: f["self"]["weight"] for f in functions if f["self"]["weight"]}
    assert dict(sql(folder, statement, *selection)) == own == dict(plain.execute(statement))
    if not selection:
        assert sql(folder, "SELECT segment, min(id), max(id), count(*) FROM tick GROUP BY 1") == [[1, 1, 10, 10], [2, 11, 20, 10]]
        assert sql(folder, "SELECT count(*) FROM sample WHERE tick = 13") == sql(sick, "SELECT count(*) FROM sample WHERE tick = 3")
        # each id leads to the row of its own segment, what happened to the tick in which it did
        assert sql(folder, "SELECT count(DISTINCT stack_text(stack)), count(DISTINCT stack) FROM sample") == [[6, 11]]
        assert sql(folder, "SELECT count(*) FROM event AS e JOIN tick AS t ON t.id = e.tick AND e.time_ns BETWEEN t.start_ns AND t.end_ns") == [[20]]
        assert not sql(folder, "SELECT 1 FROM stack AS k JOIN stack AS p ON p.id = k.parent WHERE p.id >= k.id")


# ---- forms ----


def test_csv(sick):
    out = kymo("sql", "--csv", sick, "SELECT NULL AS a, '' AS b, 'x,\"y' AS \"c,d\", 1.5, x'00ff', 'line\nline', 9223372036854775807").stdout
    (head, row) = csv.reader(io.StringIO(out, newline=""))
    assert head[:3] == ["a", "b", "c,d"]
    assert row == ["", "", 'x,"y', "1.5", "00ff", "line\nline", "9223372036854775807"]
    assert ',"",' in out


def test_table_fits(sick):
    for width in (40, 80, 120):
        for statement in ("SELECT * FROM sample LIMIT 3", "SELECT * FROM sample_named LIMIT 3", "SELECT tick, stack_text(stack) FROM sample LIMIT 9",
                          "SELECT name, file FROM function", "SELECT char(27) || '[31mred' || char(10) || char(0x202e) AS \"\x1b[2J\""):
            out = kymo("sql", sick, statement, env={**os.environ, "COLUMNS": str(width)}).stdout
            assert out and all(len(line) <= width for line in out.splitlines()), statement
            assert "\x1b" not in out and "\u202e" not in out


def test_statement_from_standard_input(sick):
    out = kymo("sql", "--csv", sick, "-", input="-- how many\nSELECT count(*) FROM tick; -- that is all\n").stdout
    assert out.splitlines()[1] == "10"


def test_the_tables_are_told(sick):
    out = kymo("sql", sick).stdout
    assert all(len(line) <= 80 for line in out.splitlines())
    doc = (ROOT / "docs" / "formats" / "sqlite.md").read_text()
    for table in re.findall(r"^(\w+) ", out, re.M):
        assert f"`{table}`" in doc


# ---- nothing can be changed ----

REFUSED = {
    "ATTACH 'other.db' AS o": "ATTACH", "DETACH main": "ATTACH", "PRAGMA user_version = 9": "PRAGMA", "PRAGMA table_info(tick)": "PRAGMA",
    "CREATE TABLE t(a)": "changes", "CREATE TEMP VIEW v AS SELECT 1": "changes", "DROP VIEW stack_text": "", "DELETE FROM sample": "",
    "INSERT INTO tick(id) VALUES (1)": "", "UPDATE process SET comm = 'x'": "", "VACUUM": "", "VACUUM INTO 'copy.db'": "", "BEGIN": "transactions",
    "SELECT load_extension('x.so')": "function", "SELECT writefile('a', 'b')": "no such function", "SELECT readfile('/etc/passwd')": "no such function",
    "REINDEX": "", "ANALYZE": "", "SELECT 1; SELECT 2": "one statement", "": "empty", " ; -- nothing": "empty", "SELECT": "incomplete",
    "SELECT * FROM absent": "no such table", "CREATE VIRTUAL TABLE t USING sample": "", "SELECT zeroblob(1000000000)": "too big",
    "SELECT ?": "variable", "SAVEPOINT a": "transactions", "EXPLAIN ATTACH 'x' AS y": "ATTACH",
}


@pytest.mark.parametrize("statement", REFUSED, ids=lambda s: s or "empty")
def test_refused(sick, tmp_path, statement):
    r = kymo("sql", sick, statement, check=False, cwd=tmp_path)
    assert r.returncode == 1 and r.stdout == "", r
    assert len(r.stderr.splitlines()) == 1 and REFUSED[statement] in r.stderr
    assert list(tmp_path.iterdir()) == []


def test_too_much_memory_is_an_error(sick):
    endless = "WITH RECURSIVE c(x) AS (SELECT zeroblob(1000000) UNION ALL SELECT x FROM c) SELECT count(*) FROM (SELECT x FROM c ORDER BY x)"
    r = kymo("sql", sick, endless, check=False)
    assert r.returncode == 1 and "memory" in r.stderr and len(r.stderr.splitlines()) == 1


def test_an_interrupt_ends_an_endless_statement(sick):
    p = subprocess.Popen([KYMO, "sql", sick, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"])
    end = time.monotonic() + 60
    while time.monotonic() < end and int(open(f"/proc/{p.pid}/stat").read().rpartition(")")[2].split()[11]) < 5:
        time.sleep(0.02)  # until it has run for 50 ms
    p.send_signal(signal.SIGINT)
    assert p.wait(30) == -signal.SIGINT


def test_a_killed_recording_is_read_and_left_as_it_is(sick, tmp_path):
    killed = sick.parent / "killed.kymo"
    for f in sick.parent.glob("killed.kymo*"):
        shutil.copy(f, tmp_path)
    files = {f: hashlib.sha256(f.read_bytes()).digest() for f in tmp_path.iterdir()}
    assert len(files) > 1  # a WAL, which holds what was recorded
    statement = "SELECT source, sum(weight), count(*) FROM sample GROUP BY 1"
    assert sql(tmp_path / killed.name, statement) == sql(sick, statement)
    out = tmp_path / "out" / "x.sqlite"
    out.parent.mkdir()
    kymo("export", "-o", out, tmp_path / killed.name)
    assert sqlite3.connect(out).execute(statement).fetchall() == [tuple(r) for r in sql(sick, statement)]
    assert {f: hashlib.sha256(f.read_bytes()).digest() for f in files} == files
    assert set(tmp_path.iterdir()) == {*files, out.parent}


# ---- where it is written ----


def test_needs_a_file(sick, tmp_path):
    for args in (("--format", "sqlite"), ("--format", "sqlite", "-o", "-"), ("--format", "sqlite", "-o", "/dev/null")):
        r = kymo("export", *args, sick, check=False, cwd=tmp_path)
        assert r.returncode == 1 and len(r.stderr.splitlines()) == 1 and "file" in r.stderr


def test_an_export_replaces_a_file_when_it_is_whole(sick, tmp_path):
    out = tmp_path / "x.db"
    out.write_text("something else")
    kymo("export", "-o", out, sick)
    assert out.read_bytes().startswith(b"SQLite format 3") and list(tmp_path.iterdir()) == [out]


def test_endings(sick, tmp_path):
    for name in ("x.folded", "x.txt", "x.svg", "x.pb.gz", "x.pprof", "x.speedscope.json", "x.d3.json", "x.sqlite", "x.DB"):
        kymo("export", "-o", tmp_path / name, sick)
        assert (tmp_path / name).stat().st_size > 100
    for name in ("x.json", "x.gz", "x", "x.kymo"):
        r = kymo("export", "-o", tmp_path / name, sick, check=False)
        assert r.returncode == 1 and len(r.stderr.splitlines()) == 1 and ".speedscope.json" in r.stderr and ".sqlite" in r.stderr
        assert not (tmp_path / name).exists()


def test_standard_output_by_its_name_stays(sick):
    with open("/dev/stdout", "a"):
        pass
    before = os.lstat("/dev/stdout")
    out = kymo("export", "--format", "folded", "-o", "/dev/stdout", sick).stdout
    assert "allocate" in out
    assert os.lstat("/dev/stdout") == before
