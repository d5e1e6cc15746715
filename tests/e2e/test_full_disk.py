# SPDX-License-Identifier: Apache-2.0
"""A disk that is full: one clear line, every tick that was committed, a clean end of the file."""

import contextlib
import subprocess
import time

import profile
import pytest


@pytest.fixture
def disk(kymo):
    """A file system of 24 MiB."""
    folder = kymo.cwd / "disk"
    folder.mkdir()
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", folder], capture_output=True, text=True)
    if r.returncode:
        pytest.skip(f"a file system cannot be mounted here: {r.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    with open(folder / "filler", "wb", buffering=0) as f:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while f.write(b"x" * size):
                    pass


def committed(path):
    try:
        return [t["id"] for t in profile.ticks(path)]
    except Exception:
        return []


def whole(path):
    assert list(profile.rows(path, "PRAGMA integrity_check")[0].values()) == ["ok"]
    assert list(profile.rows(path, "PRAGMA journal_mode")[0].values()) == ["delete"]
    assert profile.rows(path, "SELECT value FROM meta WHERE key = 'ended'"), path.name
    ids = committed(path)
    assert ids == list(range(1, len(ids) + 1))
    return ids


def record_until_full(kymo, disk, output, enough, *args):
    recorder = kymo.start("record", "-q", "-a", "-t", "200", "-o", output, *args)
    give_up = time.monotonic() + 60
    while not enough():
        assert recorder.poll() is None and time.monotonic() < give_up, recorder.stderr.read()
        time.sleep(0.05)
    before = {p: committed(p) for p in profiles(output)}
    fill(disk)
    _, told = recorder.communicate(timeout=60)
    assert recorder.returncode == 1
    assert told.count("\n") == 1 and "disk is full" in told and str(output) in told, told
    for path, ids in before.items():
        assert whole(path)[: len(ids)] == ids, "what was committed stays"
    (disk / "filler").unlink()
    return before


def profiles(output):
    return sorted(output.glob("*.kymo")) if output.is_dir() else [output]


def test_full_disk(kymo, disk):
    path = disk / "f.kymo"
    before = record_until_full(kymo, disk, path, lambda: len(committed(path)) >= 5)
    assert before[path]
    assert sorted(p.name for p in disk.iterdir()) == ["f.kymo"], "no WAL is left beside it"
    assert kymo.run("report", path).stderr == ""


def test_full_disk_of_a_folder(kymo, disk):
    folder = disk / "d"

    def enough():
        return len(profiles(folder)) >= 2 and len(committed(profiles(folder)[-1])) >= 2

    record_until_full(kymo, disk, folder, enough, "--rotate", "2s")
    for path in profiles(folder):
        whole(path)
    assert all(p.suffix == ".kymo" for p in folder.iterdir()), list(folder.iterdir())
    assert kymo.run("report", folder).stderr == ""


def test_no_room_to_begin(kymo, disk):
    fill(disk)
    for args in (("-o", disk / "f.kymo"), ("-o", disk / "d", "--rotate", "1h")):
        r = kymo.run("record", "-a", "-d", "1", *args, check=False)
        assert r.returncode == 1 and r.stderr.count("\n") == 1 and "disk is full" in r.stderr, r.stderr
    assert [p.name for p in disk.rglob("*.kymo")] == []
