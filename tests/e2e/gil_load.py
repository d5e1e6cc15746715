# SPDX-License-Identifier: Apache-2.0
"""tests/fixtures/python/gil.py, recorded from the moment at which its interpreter is known: of tests/e2e and bench/gil."""

import contextlib
import json
import pathlib
import sqlite3
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOAD = ROOT / "tests" / "fixtures" / "python" / "gil.py"
THREADS = 200
# A starved host comes to it when it comes to it.
KNOWN_SECONDS = 240
END_SECONDS = 120
KEYS = {"holding": "holding_cpu_ns", "off": "holding_off_cpu_ns", "waiting": "waiting_ns", "without": "without_cpu_ns"}


def is_known(path):
    """A function of the load has been seen: before, a starved host has not come to look at the interpreter's file."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM function WHERE kind = 3 AND name = 'await_go'").fetchone()[0] > 0
    return False


def await_known(path, recorder):
    deadline = time.monotonic() + KNOWN_SECONDS
    while not is_known(path):
        assert recorder.poll() is None, recorder.stderr.read()
        assert time.monotonic() < deadline, "the load is not seen"
        time.sleep(0.05)


def ended(process):
    if process:
        process.kill()
        process.communicate()


def record_load(kymo, python, path, seconds):
    """What the load says of itself (thread: state: seconds), recorded while it ran."""
    go, recorder = pathlib.Path(f"{path}.go"), None
    load = subprocess.Popen([python, "-S", LOAD, str(seconds), str(THREADS), go], stdout=subprocess.PIPE, text=True)
    try:
        command = [kymo, "record", "-q", "-F", "999", "-t", "200", "-s", "gil", "-o", path, "-p", load.pid]
        recorder = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
        await_known(path, recorder)
        go.touch()
        out, _ = load.communicate(timeout=END_SECONDS)
        _, said = recorder.communicate(timeout=END_SECONDS)
        assert recorder.returncode == 0, said
    finally:
        ended(load)
        ended(recorder)
    return json.loads(out)["threads"]


def report(kymo, path):
    r = subprocess.run([kymo, "report", "--gil", "--limit", "0", "--json", path], capture_output=True, text=True, check=True)
    return json.loads(r.stdout)


def shares(own, said):
    """[(thread, state, % of its time as it measured, as kymo says)]"""
    (process,) = [p for p in said["processes"] if any(t["name"] == "keeper" for t in p["threads"])]
    threads = {t["name"]: t for t in process["threads"]}
    return [(name, state, 100 * times[state] / times["wall"], threads[name][key] / 1e7 / times["wall"])
            for name, times in own.items() for state, key in KEYS.items()]
