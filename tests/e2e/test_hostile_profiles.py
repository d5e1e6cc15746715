# SPDX-License-Identifier: Apache-2.0
"""Profiles made by an enemy, through every reading command: one line, or an answer; never a crash, a hang or a change."""

import json
import os
import resource
import shutil
import sqlite3
import struct
import subprocess

import pytest
from conftest import KYMO, Kymo

# Each shows another part of a recording.
TABLES = ("tick", "sample_named", "stack", "function", "process", "process_tick", "event", "quality", "meta")
REPORTS = [("report", *options) for options in (
    (), ("--tree",), ("--tree", "--all-frames"), ("--processes",), ("--quality",), ("--gc",), ("--imports",),
    ("--value", "io"), ("--value", "seen:rss", "--since", "-1s"))]
JSON = [(*command, "--json") for command in (REPORTS[0], *REPORTS[2:6], ("ticks",), ("info",))]
FORMATS = ("folded", "svg", "pprof", "speedscope", "d3", "sqlite")
EXPORTS = [("export", "--format", f, "-o", f"out.{f}") for f in FORMATS]
SQL = [("sql", "bad.kymo", f"SELECT * FROM {t} LIMIT 100000") for t in TABLES] + [("sql", "bad.kymo")]
COMMANDS = [*REPORTS, ("ticks",), ("info",), *JSON, *EXPORTS, *SQL]
# A gigabyte of text, or a row that is read for ever, would show in one of these.
MEMORY_BYTES = 256 << 20
CPU_SECONDS = 20
FILE_BYTES = 64 << 20

LOAD = """
import gc, time, json.tool
def grow(n):
    return [bytearray(1 << 20) for _ in range(n)]
end = time.process_time() + 1.2
while time.process_time() < end:
    grow(8); gc.collect()
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    k = Kymo(tmp_path_factory.mktemp("good"))
    k.run("record", "-q", "-F", "299", "-t", "200", "-s", "cpu,fault,io,gc,import", "-o", "good.kymo", "--",
          "/usr/bin/python3", "-c", LOAD)
    return k.cwd / "good.kymo"


def limits():
    if "asan" not in KYMO:  # its shadow is of terabytes
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))


def read(kymo, command, path="bad.kymo"):
    """The result of one command, which must have behaved."""
    words = command if command[0] == "sql" else (*command, path)
    r = subprocess.run([KYMO, *words], cwd=kymo.cwd, capture_output=True, timeout=300, preexec_fn=limits)
    said = r.stderr.decode()
    assert r.returncode in (0, 1), (words, r.returncode, said)
    assert "memory" not in said, (words, said)
    lines = said.splitlines()
    # what is left out is told, too; of a folder in a line per file
    assert len(lines) <= (1 + r.returncode if (kymo.cwd / path).is_file() else 9), (words, said)
    assert all(line.startswith("kymo: ") and "bad.kymo" in line for line in lines) and len(lines) >= r.returncode, (words, said)
    for c in r.stdout.decode(errors="replace") if "-o" not in command and "--json" not in command else "":
        assert c == "\n" or ord(c) >= 0x20, (words, r.stdout)
    if "--json" in command and r.returncode == 0:
        json.loads(r.stdout)
    if r.returncode and "-o" in command:
        assert not os.path.exists(kymo.cwd / command[-1]), "a part of an output stays behind"
    return r


def change(path, sql):
    """With everything allowed, as its maker could."""
    db = sqlite3.connect(path)
    try:
        db.execute("PRAGMA writable_schema=ON")
        db.executescript(sql)
        db.commit()
    finally:
        db.close()


def change_unchecked(path, table, sql):
    """A table that is not STRICT for as long as it takes to put that into it."""
    db = sqlite3.connect(path)
    ((was,),) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,))
    loose = was.replace("STRICT, ", "").replace(" STRICT", "").replace(" NOT NULL", "")
    db.close()
    for text, then in ((loose, sql), (was, "")):
        db = sqlite3.connect(path)
        db.execute("PRAGMA writable_schema=ON")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (text, table))
        db.commit()
        db.close()
        change(path, then)


def digest(folder):
    return {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.iterdir() if not p.name.startswith("out.")}


ENDLESS = "WITH RECURSIVE x(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM x) SELECT id"
FOREIGN = {
    "endless view as stack": f"DROP TABLE stack; CREATE VIEW stack AS {ENDLESS}, 0 AS parent, 1 AS frame, 0 AS hash FROM x",
    "endless view as quality": f"DROP TABLE quality; CREATE VIEW quality AS {ENDLESS} AS tick, 'x' AS counter, 1 AS value FROM x",
    "endless view as meta": f"DROP TABLE meta; CREATE VIEW meta AS {ENDLESS} AS key, '' AS value FROM x",
    "view behind a table's words": "UPDATE sqlite_schema SET type = 'view' WHERE name = 'tick'",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON stack BEGIN DELETE FROM tick; END",
    "computed column": "ALTER TABLE tick ADD COLUMN more INTEGER AS (length(randomblob(1000000000)))",
    "foreign table": "CREATE TABLE more(a); INSERT INTO more VALUES (1)",
    "virtual table": "CREATE VIRTUAL TABLE f USING fts5(a)",
    "index with an expression": "CREATE INDEX i ON stack(hex(zeroblob(frame)))",
    "two tables of a name": "INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = 'stack'",
}


@pytest.mark.parametrize("how", FOREIGN)
def test_foreign_schema(kymo, good, how):
    """Refused by all, whatever they would have read."""
    bad = shutil.copy(good, kymo.cwd / "bad.kymo")
    change(bad, FOREIGN[how])
    before = digest(kymo.cwd)
    # what is in the schema stops each alike, at the opening
    for command in (("report",), ("report", "--quality", "--json"), ("ticks",), ("info",), EXPORTS[0], EXPORTS[-1], SQL[0], SQL[-1]):
        assert read(kymo, command).returncode == 1, command
    assert digest(kymo.cwd) == before


STACKS = [("report",), ("report", "--tree", "--all-frames"), ("report", "--json"), *EXPORTS,
          ("sql", "bad.kymo", "SELECT * FROM sample_named"), ("sql", "bad.kymo", "SELECT * FROM stack")]


def many_meta():
    return f"WITH RECURSIVE x(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM x LIMIT 100000) INSERT INTO meta SELECT 'k' || i, '' FROM x"


VALUES = {
    "stack in a circle": ("UPDATE stack SET parent = id WHERE id = 9", STACKS),
    "stacks around each other": ("UPDATE stack SET parent = 20 WHERE id = 9", STACKS),
    "stack of no frame": ("UPDATE stack SET frame = 99999999 WHERE id = 9", STACKS),
    "all stacks one chain": ("UPDATE stack SET parent = id - 1", []),
    "block of noise": ("UPDATE sample_block SET block = randomblob(1000)", STACKS),
    "a block of 100 MB": ("UPDATE sample_block SET block = zeroblob(100000000) WHERE tick = 2", []),
    "a name of 100 MB": ("UPDATE function SET name = CAST(zeroblob(100000000) AS TEXT) WHERE id = 3", STACKS),
    "a million settings": (many_meta(), COMMANDS),
    "absurd numbers": ("UPDATE tick SET start_ns = -1, wall_ns = -9223372036854775808, cpu_user_ns = 9223372036854775807,"
                       " mem_total_bytes = -1, psi_cpu_some_ns = 9223372036854775807;"
                       "UPDATE process_tick SET cpu_ns = 9223372036854775807, rss_anon_pages = 9223372036854775807, read_bytes = -1;"
                       "UPDATE event SET duration_ns = -1, time_ns = -1; UPDATE quality SET value = -9223372036854775808;"
                       "UPDATE frame SET line = 4294967295, offset = -1; UPDATE process SET start_ns = -1, uid = 4294967295", []),
    "absurd settings": ("UPDATE meta SET value = '-1'; DELETE FROM meta WHERE key = 'host'", []),
    "settings that are no numbers": ("UPDATE meta SET value = char(27) || '[2J' || char(10) || 'x' || char(65535)", []),
    "event fields": ("UPDATE event SET fields = printf('%.*c', 60000, '[')", []),
    "event fields of another kind": ("UPDATE event SET kind = kind % 5 + 1", []),
    "rows of ticks that are not": ("UPDATE process_tick SET tick = tick + 1000000; UPDATE event SET tick = 4000000;"
                                   "UPDATE health_label SET metric = metric + 1000000", []),
    "the same names for all": ("UPDATE function SET name = ''; UPDATE process SET comm = '', exe = '', cmdline = ''", []),
}


@pytest.mark.parametrize("how", VALUES)
def test_hostile_values(kymo, good, how):
    bad = shutil.copy(good, kymo.cwd / "bad.kymo")
    sql, refusing = VALUES[how]
    change(bad, sql)
    before = digest(kymo.cwd)
    for command in COMMANDS:
        r = read(kymo, command)
        assert r.returncode == 1 or command not in refusing, (command, r.stdout[:300])
    assert digest(kymo.cwd) == before


@pytest.mark.parametrize("table, sql", [
    ("stack", "UPDATE stack SET parent = 'one' WHERE id = 9"),
    ("function", "UPDATE function SET name = zeroblob(100) WHERE id = 3"),
    ("process", "UPDATE process SET comm = NULL"),
    ("tick", "UPDATE tick SET cpu_user_ns = 'much', start_ns = 0.5"),
    ("sample_block", "UPDATE sample_block SET block = 'text'"),
    ("event", "UPDATE event SET fields = zeroblob(1000), time_ns = 'now'"),
    ("quality", "UPDATE quality SET value = x'00'"),
    ("process_tick", "UPDATE process_tick SET cpu_ns = 1e300"),
    ("meta", "UPDATE meta SET value = x'00ff00' WHERE key = 'host'"),
])
def test_wrong_types(kymo, good, table, sql):
    """Each refuses, or does without; those that show the table itself refuse."""
    bad = shutil.copy(good, kymo.cwd / "bad.kymo")
    change_unchecked(bad, table, sql)
    refused = [c for c in COMMANDS if read(kymo, c).returncode == 1]
    assert refused, "nobody noticed"
    assert SQL[TABLES.index(table)] in refused if table in TABLES else True


# ---- gigabytes ----

def varint(n):
    out = [n & 0x7f]
    while n > 0x7f:
        n >>= 7
        out.append(n & 0x7f | 0x80)
    return bytes(reversed(out))


def gigabyte_name(path, size=1_000_000_000):
    """
    The function table becomes one page with one row, whose name goes on in a page that is its own successor: a
    gigabyte to him who believes it, in 4 KB (SQLite's file format, 1.6 and 2.1).
    """
    db = sqlite3.connect(path)
    ((root,),) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'function'")
    db.close()
    data = bytearray(path.read_bytes())
    pages, page = len(data) // 4096, 4096
    # id (the rowid: NULL), kind, binary, name, file, first_line, hash
    types = b"\0" + b"\1\1" + varint(size * 2 + 13) + b"\15" + b"\1\1"
    record = bytes([len(types) + 1]) + types + b"\2\1"
    whole = len(record) + size + 2
    least, most = (page - 12) * 32 // 255 - 23, page - 35
    local = least + (whole - least) % (page - 4)
    local = least if local > most else local
    cell = varint(whole) + varint(1) + record.ljust(local, b"A") + struct.pack(">I", pages + 1)
    leaf = bytearray(page)
    at = page - len(cell)
    leaf[0:8] = struct.pack(">BHHHB", 13, 0, 1, at, 0)
    leaf[8:10] = struct.pack(">H", at)
    leaf[at:] = cell
    data[(root - 1) * page:root * page] = leaf
    data += struct.pack(">I", pages + 1) + b"A" * (page - 4)
    # SQLite believes no row that is longer than the file: a hole
    data[28:32] = struct.pack(">I", pages + size // page + 2)
    path.write_bytes(data)
    os.truncate(path, (pages + size // page + 2) * page)


def test_a_name_of_a_gigabyte(kymo, good):
    bad = kymo.cwd / "bad.kymo"
    shutil.copy(good, bad)
    gigabyte_name(bad)
    # SQLite itself believes it
    db = sqlite3.connect(bad)
    assert db.execute("SELECT typeof(name), typeof(hash) FROM function").fetchall() == [("text", "integer")]
    db.close()
    for command in COMMANDS:
        r = read(kymo, command)
        assert r.returncode == 1 or command not in STACKS, (command, r.stdout[:300])


# ---- a folder of segments ----

def test_a_folder_with_foreign_files(kymo, good):
    """What has not the name of a segment is not looked at; of what has it, the good ones are shown and the others told."""
    folder = kymo.cwd / "bad.kymo"
    folder.mkdir()
    names = [f"20260131T1430{i:02}.000Z.kymo" for i in range(12)]
    shutil.copy(good, folder / names[0])
    (folder / "notes.txt").write_text("not ours")
    shutil.copy(good, folder / "good.kymo")
    os.mkfifo(folder / "fifo.kymo")
    os.mkfifo(folder / names[1])
    (folder / names[2]).mkdir()
    (folder / names[3]).symlink_to("/dev/zero")
    (folder / names[4]).symlink_to(names[4])
    (folder / names[5]).write_bytes(os.urandom(100_000))
    change(shutil.copy(good, folder / names[6]), FOREIGN["endless view as stack"])
    shutil.copy(good, folder / names[7])
    gigabyte_name(folder / names[7])
    (folder / names[8]).write_bytes(b"")
    change(shutil.copy(good, folder / names[9]), "UPDATE stack SET parent = id WHERE id = 9")
    (folder / names[10]).write_bytes(good.read_bytes()[:50000])
    (folder / "20260131T143099.000Z.kymo\033[2J").write_text("x")
    alone = json.loads(kymo.run("report", "--json", good).stdout)["total"]
    for command in COMMANDS:
        r = read(kymo, command)
        assert r.returncode == 0 or "io" in command, (command, r.stderr)
        assert b"\033" not in r.stderr
    assert json.loads(read(kymo, ("report", "--json")).stdout)["total"] == alone
    told = read(kymo, ("info",)).stderr.decode()
    assert [n for n in names if n in told] == names[5:11], told


def test_a_folder_of_nothing_but_foreign_files(kymo):
    folder = kymo.cwd / "bad.kymo"
    folder.mkdir()
    for i in range(3):
        os.mkfifo(folder / f"20260131T1430{i:02}.000Z.kymo")
    for command in COMMANDS:
        assert read(kymo, command).returncode == 1, command
