# SPDX-License-Identifier: Apache-2.0
"""record -o x.svg: what export makes of the recording, and nothing else."""

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
