# SPDX-License-Identifier: Apache-2.0
"""Names that somebody chose: escape sequences, semicolons, newlines, markup, bytes that are no UTF-8; in every format."""

import csv
import gzip
import io
import json
import os
import re
import sqlite3
import subprocess
import xml.etree.ElementTree as ET

import pytest
from conftest import KYMO
from test_exports import fields

# C0 but the newline, DEL, C1, and what turns the direction of writing
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def kymo(*args):
    return subprocess.run([KYMO, *map(str, args)], check=True, capture_output=True, env={**os.environ, "COLUMNS": "200"}).stdout


@pytest.fixture(scope="session")
def hostile(make_profile, tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "hostile.kymo"
    subprocess.run([make_profile, path, "hostile"], check=True)
    return path


@pytest.fixture(scope="session")
def names(hostile):
    with sqlite3.connect(f"file:{hostile}?mode=ro", uri=True) as db:
        found = [r[0] for r in db.execute("SELECT name FROM function")]
    assert any("<script>" in n for n in found) and any("\x1b" in n and ";" in n and "\n" in n for n in found) and any("\u202e" in n for n in found)
    return found


@pytest.mark.parametrize("args", [("report", "--limit", "0"), ("report", "--tree"), ("report", "--processes"), ("ticks",), ("info",),
                                  ("export", "--format", "folded")], ids=" ".join)
def test_text_is_safe_on_a_terminal(hostile, args):
    text = kymo(*args, hostile).decode()
    assert not UNSAFE.search(text)


def test_sql_is_safe_on_a_terminal(hostile):
    for statement in ("SELECT name, file FROM function", "SELECT * FROM function", "SELECT * FROM process", "SELECT text FROM stack_text",
                      "SELECT 1 AS \"\x1b[31m;\n\""):
        assert not UNSAFE.search(kymo("sql", hostile, statement).decode())


def test_folded_lines_stay_lines(hostile, names):
    lines = kymo("export", "--format", "folded", hostile).decode().splitlines()
    assert all(re.fullmatch(r"[^;].* \d+", line) for line in lines)
    total = json.loads(kymo("report", "--json", hostile))["total"]["weight"]
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == total


def test_svg_is_xml_and_runs_nothing(hostile):
    text = kymo("export", "--format", "svg", hostile).decode()
    root = ET.fromstring(text)
    assert len([e for e in root.iter() if e.tag.endswith("script")]) == 1  # its own
    for e in root.iter():
        assert not [a for a in e.attrib if a.lower().startswith("on")]


@pytest.mark.parametrize("args", [("export", "--format", "speedscope"), ("export", "--format", "d3"), ("report", "--json", "--limit", "0"),
                                  ("sql", "--json")], ids=" ".join)
def test_json_has_the_names_as_they_are(hostile, names, args):
    statement = ("SELECT name, file FROM function",) if args[0] == "sql" else ()
    data = kymo(*args, hostile, *statement).decode()  # or it is no UTF-8
    found = set()

    def walk(v):
        if isinstance(v, str):
            found.add(v)
        for child in v.values() if isinstance(v, dict) else v if isinstance(v, list) else ():
            walk(child)

    walk(json.loads(data))
    for name in names:
        assert name in found or any(f.startswith(name + " (") for f in found), name


def test_csv_has_the_names_as_they_are(hostile, names):
    rows = list(csv.reader(io.StringIO(kymo("sql", "--csv", hostile, "SELECT name FROM function").decode(), newline="")))
    assert [r[0] for r in rows[1:]] == names


def test_sqlite_has_the_names_as_they_are(hostile, names, tmp_path):
    kymo("export", "-o", tmp_path / "x.db", hostile)
    with sqlite3.connect(tmp_path / "x.db") as db:
        found = {r[0] for r in db.execute("SELECT name FROM function")}
        assert found <= set(names) and len(found) >= 15
        assert {r[0] for r in db.execute("SELECT name FROM frame")} >= found
        # a name is no separator
        assert db.execute("SELECT max(length(text) - length(replace(text, ';', '')) - (SELECT max(level) FROM stack_frame AS f WHERE "
                          "f.stack = t.stack)) FROM stack_text AS t").fetchone() == (0,)


def test_pprof_is_utf8(hostile, tmp_path):
    kymo("export", "-o", tmp_path / "x.pb.gz", hostile)
    texts = [t.decode() for t in fields(gzip.decompress((tmp_path / "x.pb.gz").read_bytes()))[6]]
    assert texts[0] == "" and any("<script>" in t for t in texts)
