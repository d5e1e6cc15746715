# SPDX-License-Identifier: Apache-2.0
"""kymo killed at any instant leaves a readable profile."""

import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sqlite3
import tempfile
import time

import pytest
from conftest import KYMO, NOBODY
from profile import has_tick

SEED = 20
GENERATOR = random.Random(SEED)
INSTANTS = [GENERATOR.uniform(0, 1.6) for _ in range(20)]  # in eight ticks and what lies between


def digest(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def as_nobody(*args, cwd):
    return subprocess.run([KYMO, *args], cwd=cwd, user=NOBODY, group=NOBODY, extra_groups=[], text=True,
                          capture_output=True, timeout=60)


@pytest.mark.parametrize("seconds", INSTANTS)
def test_kill(kymo, seconds):
    path = kymo.cwd / "k.kymo"
    recorder = kymo.start("record", "-q", "-a", "--tick", "200", "-o", path)
    give_up = time.monotonic() + 60
    while not has_tick(path):
        assert recorder.poll() is None and time.monotonic() < give_up, recorder.stderr.read()
        time.sleep(0.01)
    time.sleep(seconds)
    killed = time.monotonic_ns()
    os.kill(recorder.pid, signal.SIGKILL)
    recorder.wait()

    # its owner opens it
    report = kymo.run("report", path)
    assert "did not end" in report.stdout + report.stderr

    # another user, in a read-only folder, unchanged by the reading
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kymo-kill-"))
    try:
        for p in kymo.cwd.glob("k.kymo*"):
            if p.suffix in (".kymo", ".kymo-wal"):
                shutil.copy(p, folder / p.name)
                (folder / p.name).chmod(0o644)
        folder.chmod(0o555)
        before = digest(folder)
        r = as_nobody("report", "k.kymo", cwd=folder)
        assert r.returncode == 0, r.stderr
        assert "did not end" in r.stdout + r.stderr
        assert digest(folder) == before
        info = as_nobody("info", "k.kymo", cwd=folder)
        assert info.returncode == 0, info.stderr
    finally:
        folder.chmod(0o755)
        copies = pathlib.Path(tempfile.mkdtemp(prefix="kymo-kill-"))
        for p in folder.iterdir():
            shutil.copy(p, copies / p.name)
        shutil.rmtree(folder)

    # whole, with every tick that ended more than a second before the kill
    with sqlite3.connect(copies / "k.kymo") as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        ends = [r[0] for r in db.execute("SELECT end_ns FROM tick ORDER BY id")]
    shutil.rmtree(copies)
    # a tick of 200 ms that ended just over a second before the kill may have been the last such one
    assert ends, "no tick was committed"
    assert killed - ends[-1] < 1_200_000_000, f"last tick ended {(killed - ends[-1]) / 1e9:.2f} s before the kill"
    assert all(b > a for a, b in zip(ends, ends[1:]))
