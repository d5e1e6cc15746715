# SPDX-License-Identifier: Apache-2.0
"""record -o x.svg: what export makes of the recording, and nothing else."""

import os
import re

import pytest

BURN = """
import time
def hot():
    end = time.process_time() + 0.5
    while time.process_time() < end:
        sum(range(1000))
hot()
"""


@pytest.mark.parametrize("name, begin", [("x.svg", b"<?xml"), ("x.folded", b""), ("x.pb.gz", b"\x1f\x8b")])
def test_by_ending(kymo, name, begin):
    r = kymo.run("record", "-q", "-F", "499", "-o", name, "--", "/usr/bin/python3", "-c", BURN + "raise SystemExit(3)",
                 check=False)
    assert r.returncode == 3, r.stderr
    assert [p.name for p in kymo.cwd.iterdir()] == [name]
    data = (kymo.cwd / name).read_bytes()
    assert data.startswith(begin) and len(data) > 100
    assert name == "x.pb.gz" or b"hot" in data


def test_no_folder_of_that_ending(kymo):
    r = kymo.run("record", "--rotate", "1h", "-o", "x.svg", "-d", "1", check=False)
    assert r.returncode == 1 and r.stderr.count("\n") == 1 and "x.svg" in r.stderr


DISK = """
import os, sys
with open(sys.argv[1], "wb", buffering=0) as f:
    for _ in range(8):
        f.write(os.urandom(1 << 18))
        os.fsync(f.fileno())
"""


def test_without_the_clock(kymo):
    """A recording of io alone: that is what is exported and shown, unless another is asked for."""
    data = f"/var/tmp/kymo-export-{os.getpid()}"
    try:
        for name in ("x.folded", "x.kymo"):
            kymo.run("record", "-q", "-s", "io", "-o", name, "--", "/usr/bin/python3", "-c", DISK, data)
    finally:
        os.unlink(data)
    folded = (kymo.cwd / "x.folded").read_text()
    assert sum(int(line.rpartition(" ")[2]) for line in folded.splitlines()) >= 8 << 18
    assert kymo.run("report", "x.kymo").stdout == kymo.run("report", "--value", "io", "x.kymo").stdout
    r = kymo.run("export", "--value", "cpu", "-o", "y.svg", "x.kymo", check=False)
    assert r.returncode == 1 and r.stderr.count("\n") == 1 and "source cpu was not recorded" in r.stderr
    assert not (kymo.cwd / "y.svg").exists()


def test_closing_line(kymo):
    """The time that was recorded, not that which the names took; and no file that is gone."""
    r = kymo.run("record", "-o", "x.kymo", "--", "/usr/bin/python3", "-c", BURN)
    told = re.search(r"x\.kymo: (\S+ \S+), (\d+) ticks?, ", r.stderr)
    shown = re.search(r"UTC, (\S+ \S+) in (\d+) ticks?$", kymo.run("report", "x.kymo").stdout, re.M)
    assert told and shown and told.groups() == shown.groups(), (r.stderr, shown)
    r = kymo.run("record", "-o", "x.svg", "--", "/usr/bin/python3", "-c", BURN)
    assert ".kymo" not in r.stderr and "x.svg is written" in r.stderr, r.stderr
