# SPDX-License-Identifier: Apache-2.0
"""Threads are shown by the names that they gave themselves."""

import gzip
import json
import sys

import pytest
from interpreters import pyenv, system

LOAD = """
import threading, time
def work(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(i * i for i in range(500))
def twice():
    started = time.monotonic()
    work(0.1)
    later.name = "after"
    # it is looked at again after 1, 2, 4 s
    end = started + 2 * (time.monotonic() - started) + 1.5
    while time.monotonic() < end:
        time.sleep(0.1)
    work(0.1)
NAMES = ["w\\u00f6rker", "\\u7a93\\U0001f40d", "tab\\tnul\\0esc\\x1b[31m", "x" * 500]
threads = [threading.Thread(target=work, args=(0.1,), name=n) for n in NAMES]
later = threading.Thread(target=twice, name="before")
threads.append(later)
for t in threads: t.start()
work(0.1)
for t in threads: t.join()
"""
EXPECTED = {"w\u00f6rker", "\u7a93\U0001f40d", "tab\tnul\ufffdesc\x1b[31m", "x" * 256, "after"}


def interpreters():
    found = {**{v: p for v in ("3.8", "3.12") if (p := pyenv(v))}, **system()}
    return sorted(found.items()) or [("3", sys.executable)]


@pytest.mark.parametrize("python", [p for _, p in interpreters()], ids=[v for v, _ in interpreters()])
def test_names_of_threads(kymo, python):
    kymo.run("record", "-F", "199", "-o", "p.kymo", "--", python, "-S", "-c", LOAD)
    rows = json.loads(kymo.run("sql", "--json", "p.kymo", "SELECT name, comm FROM thread").stdout)["rows"]
    threads = [dict(zip(("name", "comm"), r)) for r in rows]
    names = {t["name"] for t in threads if t["name"]}
    assert names == EXPECTED
    # the main thread has none of its own
    assert any(not t["name"] and t["comm"].startswith("python") for t in threads)
    kymo.run("export", "-o", "p.pb.gz", "p.kymo")
    profile = gzip.decompress((kymo.cwd / "p.pb.gz").read_bytes())
    for name in EXPECTED:
        assert name.encode() in profile
