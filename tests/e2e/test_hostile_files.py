# SPDX-License-Identifier: Apache-2.0
"""A program on a file system that answers nobody but the program itself: its file cannot be looked into, and nothing waits for it."""

import os
import shutil
import subprocess

import pytest
from conftest import PROGRAMS
from profile import folded, ticks
from test_symbols import assert_ticks_kept

SERVER = PROGRAMS.parent / "python" / "fuse.py"
# A tick that waited for the hung file would last as long; one that is late on a busy host does not.
SECONDS = 6
LONGEST_TICK_S = 4


@pytest.mark.parametrize("hang", ["all", "read"])
def test_a_file_system_that_hangs(kymo, compiled, hang):
    if not os.path.exists("/dev/fuse"):
        pytest.skip("needs /dev/fuse")
    program = compiled("busy.c", "-O0")
    folder, good = kymo.cwd / "mnt", kymo.cwd / "good"
    folder.mkdir()
    shutil.copy(program, good)
    serve = ["unshare", "--mount", "/usr/bin/python3", SERVER, folder, program, hang]
    r = subprocess.run([*map(str, serve), "0"], capture_output=True, text=True, timeout=300)
    if r.returncode:
        pytest.skip(f"FUSE cannot be used here: {r.stderr.strip()}")
    command = " ".join(map(str, serve))
    kymo.run("record", "-q", "-F", 499, "-t", 100, "-o", "f.kymo", "--", "sh", "-c", f"{command} {SECONDS} & {good} {SECONDS} & wait",
             timeout=300)
    path = kymo.cwd / "f.kymo"
    assert_ticks_kept(path, LONGEST_TICK_S)
    t = ticks(path)
    assert len(t) >= 10 and all(a["end_ns"] == b["start_ns"] for a, b in zip(t, t[1:]))
    stacks = folded(kymo, path)
    hung = [(s, ns) for s, ns in stacks if s[0] == "program"]
    assert sum(ns for _, ns in hung) > 0
    # its own code has no name, and that is told
    assert not any("inner" in s for s, _ in hung), hung
    assert f"{folder}/program" in kymo.run("report", "--quality", "--json", path).stdout
    whole = sum(ns for s, ns in stacks if s[0] == "good" and "main" in s and s[s.index("main"):][:4] == ["main", "outer", "middle", "inner"])
    assert whole > 0.5 * sum(ns for s, ns in stacks if s[0] == "good") > 0, stacks
