# SPDX-License-Identifier: Apache-2.0
"""Collections and imports of Python, as its probes tell them: each one, its time, its objects, its stack."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest
from profile import folded, has_tick, quality, rows

PYTHON = "/usr/bin/python3.11"
WAIT_SECONDS = 60

needs_probes = pytest.mark.skipif(not os.path.exists(PYTHON), reason=f"needs {PYTHON}: a build with probes")

# Writes what gc.callbacks told: (generation, objects found). Ends at once, without the collections of an ordinary end.
COLLECT = """
import gc, json, os, sys, time
log = []
def told(phase, info):
    if phase == "stop":
        log.append((info["generation"], info["collected"] + info["uncollectable"]))
gc.callbacks.append(told)
class Node:
    pass
def make_cycles(n):
    for i in range(n):
        a = Node()
        a.self = a
def by_hand():
    make_cycles(500)
    gc.collect()
def main(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        make_cycles(2000)
        by_hand()
main(float(sys.argv[1]))
with open(sys.argv[2], "w") as f:
    json.dump(log, f)
os._exit(0)
"""


def events(path, kind, pid=None):
    """With their fields, in order of their end."""
    sql = "SELECT e.*, p.pid FROM event e JOIN thread t ON t.id = e.thread JOIN process p ON p.id = t.process WHERE e.kind = ? ORDER BY e.id"
    return [e | json.loads(e["fields"]) for e in rows(path, sql, kind) if pid in (None, e["pid"])]


def collections(found):
    return [[e["generation"], e["collected"]] for e in found]


def wait_for(condition, recorder):
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert recorder.poll() is None, recorder.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)


def start_recording(kymo, path, *args):
    recorder = kymo.start("record", "-q", "-t", "100", "-o", path, *args)
    wait_for(lambda: has_tick(kymo.cwd / path), recorder)
    return recorder


def stop(recorder):
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(60) == 0, recorder.stderr.read()


@needs_probes
def test_collections_are_those_that_python_tells(kymo):
    script = kymo.cwd / "collect.py"
    script.write_text(COLLECT)
    kymo.run("record", "-q", "-F", "499", "-s", "cpu,gc", "-o", "g.kymo", "--", PYTHON, script, 1, kymo.cwd / "log", timeout=300)
    log = json.loads((kymo.cwd / "log").read_text())
    found = events(kymo.cwd / "g.kymo", 1)
    assert len(log) > 500
    # those before the callback was set come first
    assert collections(found)[-len(log):] == log
    found = found[-len(log):]
    assert all(a["time_ns"] + a["duration_ns"] <= b["time_ns"] for a, b in zip(found, found[1:]))
    assert all(e["duration_ns"] > 0 and e["rss_after_bytes"] > 1 << 20 and e["rss_before_bytes"] > 1 << 20 for e in found)
    # the stack is the one that allocated, or asked
    stacks = folded(kymo, "g.kymo", "--value", "gc")
    mine = sum(ns for s, ns in stacks if any(f.startswith(("make_cycles ", "by_hand ")) for f in s))
    assert mine == sum(e["duration_ns"] for e in found)
    assert sum(ns for _, ns in stacks) == sum(e["duration_ns"] for e in events(kymo.cwd / "g.kymo", 1))
    report = json.loads(kymo.run("report", "--json", "--gc", "g.kymo").stdout)
    all_found = events(kymo.cwd / "g.kymo", 1)
    process, = report["processes"]
    assert process["count"] == len(all_found) and process["total_ns"] == sum(ns for _, ns in stacks)
    assert process["by_generation"] == [sum(e["generation"] == g for e in all_found) for g in range(3)]
    assert process["objects"] == sum(e["collected"] for e in all_found)
    assert process["longest_ns"] == max(e["duration_ns"] for e in all_found)
    assert [f["function"] for f in process["places"][0]["callers"]] == ["by_hand", "main", "<module>"]
    text = kymo.run("report", "--gc", "g.kymo").stdout
    assert max(map(len, text.splitlines())) <= 80 and re.search(r"^ .* in by_hand \(collect.py:\d+\) < main < <module>$", text, re.M), text
    assert not quality(kymo.cwd / "g.kymo").get("bpf.probe_no_start")


@needs_probes
def test_a_folder_of_segments_has_them_all(kymo):
    """A process that goes on in the next segment is one, and no collection is lost between two."""
    script = kymo.cwd / "collect.py"
    script.write_text(COLLECT)
    kymo.run("record", "-q", "-s", "gc", "--rotate", "1s", "-o", "day", "--", PYTHON, script, 1.5, kymo.cwd / "log", timeout=300)
    segments = sorted((kymo.cwd / "day").glob("*.kymo"))
    assert len(segments) >= 2
    found = [e for s in segments for e in events(s, 1)]
    log = json.loads((kymo.cwd / "log").read_text())
    assert collections(found)[-len(log):] == log
    process, = json.loads(kymo.run("report", "--json", "--gc", "day").stdout)["processes"]
    assert process["count"] == len(found) and process["places"][0]["callers"][0]["function"] == "by_hand"


@needs_probes
def test_two_that_start_after_the_recorder(kymo):
    script = kymo.cwd / "collect.py"
    script.write_text(COLLECT)
    # somebody maps the interpreter: its probes are attached before the two start
    waiting = subprocess.Popen([PYTHON, "-c", "import time; time.sleep(60)"])
    try:
        recorder = start_recording(kymo, "t.kymo", "-a", "-s", "gc")
        both = [subprocess.Popen([PYTHON, script, "0.3", kymo.cwd / f"log{i}"]) for i in range(2)]
        assert [p.wait(60) for p in both] == [0, 0]
        stop(recorder)
    finally:
        waiting.kill()
        waiting.wait()
    for i, p in enumerate(both):
        log = json.loads((kymo.cwd / f"log{i}").read_text())
        assert log and collections(events(kymo.cwd / "t.kymo", 1, p.pid))[-len(log):] == log


@needs_probes
def test_an_interpreter_that_appears_and_goes(kymo):
    """Attached when it is mapped, in whatever mount; let go when it is not, so that it can be unmounted."""
    mount = kymo.cwd / "mount"
    mount.mkdir()
    script = kymo.cwd / "collect.py"
    script.write_text(COLLECT)
    subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=True)
    recorder = None
    try:
        recorder = start_recording(kymo, "n.kymo", "-a", "-s", "gc")
        shutil.copy(PYTHON, mount / "python3.11")
        # in a mount namespace of its own, where it has another path
        program = subprocess.Popen(["unshare", "-m", "sh", "-c", f"mkdir -p {kymo.cwd}/b && mount --move {mount} {kymo.cwd}/b && "
                                    f"exec {kymo.cwd}/b/python3.11 {script} 2 {kymo.cwd}/log"],
                                   env={**os.environ, "PYTHONHOME": "/usr"})
        assert program.wait(60) == 0
        log = json.loads((kymo.cwd / "log").read_text())
        wait_for(lambda: subprocess.run(["umount", mount], capture_output=True).returncode == 0, recorder)
        stop(recorder)
    finally:
        subprocess.run(["umount", "-l", mount], capture_output=True)
        if recorder and recorder.poll() is None:
            recorder.kill()
    found = collections(events(kymo.cwd / "n.kymo", 1, program.pid))
    # reading the file and attaching takes its time; so does a start, before the callback is set
    n = min(len(found), len(log))
    assert n > 100 and log[-n:] == found[-n:]


@needs_probes
def test_ends_within_a_collection(kymo):
    """A process that exits, or becomes another program, in a finalizer: left out, counted, and nothing else is wrong."""
    end = "class End:\n def __del__(self): {}\nimport gc, os\ngc.collect()\ne = End(); e.self = e; del e\ngc.collect()\n"
    script = kymo.cwd / "ends.py"
    script.write_text(f"import os, sys\n"
                      f"for what in ('os._exit(3)', 'os.execv(sys.executable, [sys.executable, sys.argv[1]])'):\n"
                      f"  pid = os.fork()\n"
                      f"  if not pid: exec({end!r}.format(what), globals())\n"
                      f"  os.waitpid(pid, 0)\n")
    other = kymo.cwd / "other.py"
    other.write_text("import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nimport os; os._exit(0)\n")
    kymo.run("record", "-q", "-F", "999", "-s", "cpu,gc", "-o", "e.kymo", "--", PYTHON, script, other)
    counted = quality(kymo.cwd / "e.kymo")
    assert counted["bpf.probe_unfinished"] == 2 and not counted.get("bpf.probe_no_start"), counted
    # the program that took its place does not collect
    report = kymo.run("report", "--quality", "e.kymo").stdout
    assert "were going on when their thread ended" in " ".join(report.split()), report


@needs_probes
def test_imports_are_those_of_importtime(kymo):
    modules = "asyncio, json, decimal, unittest, email.mime.text, xml.dom.minidom, http.server, sqlite3"
    r = kymo.run("record", "-q", "-s", "import", "-o", "i.kymo", "--", PYTHON, "-X", "importtime", "-c", f"import {modules}")
    told = re.findall(r"^import time:\s+\d+ \|\s+(\d+) \| ( *)(\S+)$", r.stderr, re.M)
    found = {e["name"]: e for e in events(kymo.cwd / "i.kymo", 2)}
    assert len(told) > 200
    assert not {name for _, _, name in told} - set(found)
    assert not quality(kymo.cwd / "i.kymo").get("bpf.probe_no_start")
    long = [(int(us) * 1000, found[name]["duration_ns"], name) for us, _, name in told if int(us) > 1000]
    # on a loaded host a thread may lose its CPU between Python's clock and the probe
    wrong = [x for x in long if abs(x[0] - x[1]) > max(0.05 * x[0], 100000)]
    assert long and len(wrong) <= 0.05 * len(long), wrong
    nested = [name for _, indent, name in told if len(indent) // 2 != found[name]["depth"]]
    # importtime knows nothing of what importlib imports by itself
    assert len(nested) <= 0.1 * len(told), nested
    # weights are each import's own time: together what passed
    total = sum(ns for _, ns in folded(kymo, "i.kymo", "--value", "import"))
    assert total == pytest.approx(sum(e["duration_ns"] for e in found.values() if e["depth"] == 0), rel=0.001)
    shown = json.loads(kymo.run("report", "--imports", "--json", "--limit", "0", "--sort", "end", "i.kymo").stdout)
    assert [i["module"] for i in shown["imports"]] == [e["name"] for e in events(kymo.cwd / "i.kymo", 2)]
    assert shown["total_ns"] == sum(e["duration_ns"] for e in found.values() if e["depth"] == 0)
    # memory, too, adds up: of each what it took without those within
    assert shown["total_bytes"] == sum(e["rss_after_bytes"] - e["rss_before_bytes"] for e in found.values() if e["depth"] == 0)
    text = kymo.run("report", "--imports", "i.kymo").stdout
    assert max(map(len, text.splitlines())) <= 80 and not any(t.endswith(" ") for t in text.splitlines()), text
    outermost = [e for e in found.values() if e["depth"] == 0 and e["found"]]
    assert any(e["rss_after_bytes"] > e["rss_before_bytes"] for e in outermost)


def test_interpreters_without_probes_are_named(kymo):
    root = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = sorted(root.glob("versions/3.1*/bin/python3.1[0-9]"))
    if not found:
        pytest.skip("needs an interpreter without probes (pyenv's)")
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    r = kymo.run("record", "-s", "cpu,gc", "-o", "w.kymo", "--", found[0], "-c", burn)
    assert re.search(r"^kymo: \S*python3\S* \(PID \d+\) has no gc probes: its collections are only in the CPU samples, at gc_collect_main \(collect before 3.10\)$",
                     r.stderr, re.M), r.stderr
    assert not events(kymo.cwd / "w.kymo", 1)


def probes_of(path):
    """(address of the instruction, address of the semaphore) of each probe that is used."""
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"Name: (?:gc|import)__\S+\s+Location: (0x\w+), Base: \S+ Semaphore: (0x\w+)", notes)
    return [(int(at, 16), int(semaphore, 16)) for at, semaphore in found]


def probe_bytes(pid, probes):
    """What a process has there: [(instruction's first byte, semaphore)]."""
    with open(f"/proc/{pid}/mem", "rb") as f:
        return [(os.pread(f.fileno(), 1, at), os.pread(f.fileno(), 2, semaphore)) for at, semaphore in probes]


@needs_probes
def test_nothing_is_left_in_a_process(kymo):
    """The breakpoints are the kernel's: gone when the recorder is, however it ends."""
    probes = probes_of(PYTHON)
    assert len(probes) == 4
    program = subprocess.Popen([PYTHON, "-c", "import gc, sys\nprint(flush=True)\nfor line in sys.stdin: gc.collect(); print(flush=True)"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        program.stdout.readline()
        before = probe_bytes(program.pid, probes)
        if before[0][0] == b"\0":
            pytest.skip("the interpreter is not where its file says: built to be moved")
        for how in (signal.SIGINT, signal.SIGKILL):
            recorder = start_recording(kymo, f"{how}.kymo", "-p", program.pid, "-s", "gc,import")
            wait_for(lambda: all(a[0] != b[0] and a[1] != b[1] for a, b in zip(probe_bytes(program.pid, probes), before)), recorder)
            recorder.send_signal(how)
            recorder.wait(60)
            recorder.stderr.close()
            end = time.monotonic() + WAIT_SECONDS
            while probe_bytes(program.pid, probes) != before:
                assert time.monotonic() < end
                time.sleep(0.02)
            program.stdin.write("\n")
            program.stdin.flush()
            assert program.stdout.readline() == "\n"
    finally:
        program.kill()
        program.wait()


@needs_probes
def test_what_was_not_recorded_is_told(kymo):
    kymo.run("record", "-q", "-s", "cpu", "-o", "o.kymo", "--", PYTHON, "-c", "import json")
    for view, source in (("--gc", "gc"), ("--imports", "import")):
        r = kymo.run("report", view, "o.kymo", check=False)
        assert r.returncode == 1 and r.stdout == "" and f"source {source} was not recorded" in r.stderr
        r = kymo.run("report", view, "--value", "io", "o.kymo", check=False)
        assert r.returncode == 1 and r.stderr.count("\n") == 1
