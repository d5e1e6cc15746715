# SPDX-License-Identifier: Apache-2.0
"""Reads a profile as an outsider would: with sqlite3, and through kymo's own exports."""

import sqlite3
from contextlib import closing

import pytest


def rows(path, sql, *args):
    # closed at once: the recorder cannot end its file while somebody reads it
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return [dict(r) for r in db.execute(sql, args)]


def ticks(path):
    return rows(path, "SELECT * FROM tick ORDER BY id")


def quality(path):
    """Sums per counter (gauges: their last reading is not what this gives)."""
    return {r["counter"]: r["value"] for r in rows(path, "SELECT counter, sum(value) AS value FROM quality GROUP BY 1")}


def folded(kymo, path, *args):
    """[(list of frames root first, count)] from the folded export."""
    out = []
    for line in kymo.run("export", "--format", "folded", *args, path).stdout.splitlines():
        stack, _, count = line.rpartition(" ")
        out.append((stack.split(";"), int(count)))
    return out


def has_tick(path):
    """Whether the recording has begun: all that comes is in it. Of its file neither tables nor name may be there yet."""
    try:
        return bool(rows(path, "SELECT 1 FROM tick LIMIT 1"))
    except sqlite3.OperationalError:
        return False


def skip_if_starved(path):
    """For promises about wall clocks, which a host that has no CPU to give cannot keep: more than half of the time somebody waited."""
    waited, = rows(path, "SELECT sum(psi_cpu_some_ns) * 1.0 / sum(end_ns - start_ns) AS share FROM tick")
    if (waited["share"] or 0) > 0.5:
        pytest.skip(f"this host's CPU pressure is {waited['share']:.0%}")
