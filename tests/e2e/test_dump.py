# SPDX-License-Identifier: Apache-2.0
"""kymo dump: every thread where it stands, by name, in true order, while nothing is stopped."""

import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

import pytest
from conftest import KYMO, NOBODY, ROOT
from interpreters import VERSIONS, pyenv, roots, system
from test_refusals import refused

PYTHON = ROOT / "tests" / "fixtures" / "python"
UNKNOWN = "3.15"


def pythons():
    """name -> the words that run it"""
    found = {f"pyenv-{v}": [p] for v in VERSIONS if (p := pyenv(v))}
    found.update({f"system-{v}": [p] for v, p in system().items()})
    found.update({f"debian-{v}": ["chroot", str(r), f"/usr/bin/python{v}"] for v, r in roots().items() if v != UNKNOWN})
    return found


class Started:
    """A process, ended with the test."""

    def __init__(self, words, until=None, **options):
        self.process = subprocess.Popen([str(w) for w in words], stdout=subprocess.PIPE, text=True, **options)
        self.pid, self.lines = self.process.pid, []
        while until and (line := self.process.stdout.readline()) and line != until + "\n":
            self.lines.append(line.rstrip("\n"))
        assert not until or line, f"{words} ended before it was {until}: {self.lines}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def dump(kymo, *pids, options=()):
    """pid -> its threads"""
    text = kymo.run("dump", "--json", *options, "-p", ",".join(map(str, pids))).stdout
    return {p["pid"]: p["threads"] for p in json.loads(text)["processes"]}


def python_frames(thread):
    return [(f["function"], f["line"], f["file"]) for f in thread["frames"] if f["kind"] == "python"]


def known(lines):
    """What known.py says: tid -> (state, [(ends its eval loop, function, line, file)])"""
    threads, frames = {}, None
    for line in lines:
        if line.startswith("thread "):
            _, _, tid, _, state = line.split(" ")
            frames = []
            threads[int(tid)] = (state, frames)
        elif line.startswith("frame "):
            m = re.match(r"frame ([01]) (\d+) (.*)\t(.*)$", line)
            frames.append((m[1] == "1", m[3], int(m[2]), m[4]))
    return threads


def breaks(thread):
    """For each Python frame: whether native frames stand between it and its caller."""
    kinds = [f["kind"] for f in thread["frames"] if f["kind"] in ("native", "python")]
    return [kinds[i + 1: i + 2] == ["native"] for i, kind in enumerate(kinds) if kind == "python"]


def is_right(threads, expected):
    """Of a process of known.py: all its threads, Python frames in order between the native ones, who has the lock."""
    got = {t["tid"]: t for t in threads}
    # in a pid namespace of its own it would know other ids: here they are the host's
    assert got.keys() == expected.keys()
    for tid, (state, frames) in expected.items():
        thread = got[tid]
        assert thread["stack"] in ("stood", "sampled") and thread["end"] == "whole", thread
        assert python_frames(thread) == [f[1:] for f in frames]
        assert breaks(thread) == [f[0] for f in frames]
        assert thread["collects"] == ("collecting" in state)
        assert (thread["gil"] == "holding") == ("holding" in state), thread


@pytest.mark.parametrize("words", pythons().values(), ids=pythons().keys())
def test_stacks_that_a_program_knows(kymo, words):
    script = PYTHON / "known.py"
    if words[0] == "chroot":
        (pathlib.Path(words[1]) / "tmp" / "known.py").write_bytes(script.read_bytes())
        script = "/tmp/known.py"
    with Started([*words, script, "plain"], until="ready") as plain, Started([*words, script, "gc"], until="ready") as gc:
        found = dump(kymo, plain.pid, gc.pid)
        for load in plain, gc:
            expected = known(load.lines)
            assert len(expected) == 3
            is_right(found[load.pid], expected)


def test_text_as_faulthandler_has_it(kymo):
    with Started([sys.executable, PYTHON / "known.py", "gc"], until="ready") as load:
        text = kymo.run("dump", "-p", load.pid).stdout
    assert text.count("Current thread 0x") == 1 and text.count("(most recent call first):") == 3
    assert "holds the GIL, collects garbage" in text and ", waits for the GIL" in text
    for state, frames in known(load.lines).values():
        # as its own lines, native ones between them
        at = text.index(f'  File "{frames[0][3]}", line {frames[0][2]} in {frames[0][1]}\n')
        for _, function, line, file in frames[1:]:
            at = text.index(f'  File "{file}", line {line} in {function}\n', at + 1)
    idents = {f"{int(line.split()[3]):#018x}" for line in load.lines if line.startswith("thread ")}
    assert idents == set(re.findall(r"hread (0x\w+) \[", text))


def test_a_python_that_is_not_known_stays_native(kymo):
    if UNKNOWN not in roots():
        pytest.skip(f"needs CPython {UNKNOWN} (make pythons)")
    with Started(["chroot", roots()[UNKNOWN], f"/usr/bin/python{UNKNOWN}", "-c", "import time; print('ready', flush=True); time.sleep(100)"],
                 until="ready") as load:
        r = kymo.run("dump", "-p", load.pid)
        assert r.stderr.count("\n") == 1 and f"CPython {UNKNOWN}" in r.stderr
        assert "Binary file" in r.stdout and "  File " not in r.stdout


def test_another_pid_and_mount_namespace(kymo, tmp_path):
    """Its ids are the host's, its files are found where it sees them."""
    python = pyenv("3.12") or sys.executable
    script = f"mount -t tmpfs none {tmp_path} && cp {PYTHON / 'known.py'} {tmp_path}/inside.py && exec {python} {tmp_path}/inside.py plain"
    with Started(["unshare", "--pid", "--mount", "--fork", "--kill-child", "sh", "-c", script], until="ready") as shell:
        pid, = children(shell.pid)
        inside = {}
        for tid in os.listdir(f"/proc/{pid}/task"):
            status = open(f"/proc/{pid}/task/{tid}/status").read()
            inside[int(re.search(r"^NSpid:.*\s(\d+)$", status, re.M)[1])] = int(tid)
        is_right(dump(kymo, pid)[pid], {inside[tid]: what for tid, what in known(shell.lines).items()})


def test_a_32_bit_program(kymo, tmp_path):
    """int 0x80 in an endless pause: its own stack is not walked, and it says so."""
    code = bytes.fromhex("b81d000000cd80ebf7")
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 3, 1, 0x8048000 + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, 0, 0x8048000, 0x8048000, 84 + len(code), 84 + len(code), 5, 4096)
    (tmp_path / "small").write_bytes(header + segment + code)
    (tmp_path / "small").chmod(0o755)
    try:
        started = Started([tmp_path / "small"])
    except OSError:
        pytest.skip("this kernel runs no 32-bit programs")
    with started as load:
        time.sleep(0.2)
        text = kymo.run("dump", "-p", load.pid).stdout
        assert "a 32-bit program" in text and text.count("Binary file") == 1 and "Kernel, at" in text


# ---- other programs ----

def native_names(thread):
    return [f["function"] for f in thread["frames"] if f["kind"] == "native"]


def test_threads_of_c(kymo, compiled):
    with Started([compiled("threads.c", "-fomit-frame-pointer")], until="ready", stdin=subprocess.PIPE) as load:
        threads = {t["comm"]: t for t in dump(kymo, load.pid)[load.pid]}
        assert len(threads) == 5
        for name in ("lock", "pipe", "sleep", "spin"):
            t = threads.pop(name)
            names = native_names(t)
            at = names.index(f"{name}_leaf")
            assert names[at:at + 3] == [f"{name}_{part}" for part in ("leaf", "middle", "thread")]
            assert t["end"] == "whole" and t["gil"] is None and t["name"] is None
            assert t["state"] in (("running", "runnable") if name == "spin" else ("sleeping",)), t
            assert name == "spin" or t["frames"][0]["kind"] == "kernel"
        main, = threads.values()
        assert main["end"] == "whole" and "main" in native_names(main) and main["tid"] == load.pid
        lined = {t["comm"]: t for t in dump(kymo, load.pid, options=["--lines"])[load.pid]}
        leaf = next(f for f in lined["sleep"]["frames"] if f["function"] == "sleep_leaf")
        assert leaf["file"].endswith("threads.c") and leaf["line"]


def test_threads_of_go(kymo, tmp_path):
    """Whatever a thread runs, its stack ends truly: a goroutine's first function, or the thread's own."""
    if not shutil.which("go"):
        pytest.skip("needs go")
    (tmp_path / "x.go").write_text('package main\nimport ("fmt"; "time")\nvar n int\n//go:noinline\nfunc turn() { for { n++ } }\n'
                                   'func main() { go turn(); time.Sleep(50 * time.Millisecond); fmt.Println("ready"); turn() }\n')
    subprocess.run(["go", "build", "-o", tmp_path / "x", tmp_path / "x.go"], check=True, timeout=300, env={"HOME": str(tmp_path), **os.environ})
    with Started([tmp_path / "x"], until="ready") as load:
        threads = dump(kymo, load.pid)[load.pid]
        assert len(threads) > 2 and all(t["end"] == "whole" for t in threads), threads
        ran = [native_names(t) for t in threads if t["state"] in ("running", "runnable")]
        assert any("main.turn" in names and names[-1].startswith("runtime.goexit") for names in ran), ran


def test_threads_of_node(kymo):
    if not shutil.which("node"):
        pytest.skip("needs node")
    with Started(["node", "-e", "console.log('ready'); setInterval(() => {}, 100000)"], until="ready") as load:
        threads = dump(kymo, load.pid)[load.pid]
        assert len(threads) > 4
        for t in threads:
            assert t["end"] == "whole", t
        assert any("uv_run" in native_names(t) for t in threads if t["tid"] == load.pid)


# ---- one clear line ----

def test_refusals(kymo):
    refused(kymo.run("dump", check=False), "-p PID or -a")
    refused(kymo.run("dump", "-a", "-p", "1", check=False), "-p PID or -a")
    refused(kymo.run("dump", "-p", "x", check=False), "x")
    refused(kymo.run("dump", "x.kymo", check=False), "-p PID or -a")
    refused(kymo.run("dump", "-p", "4194303", check=False), "4194303", "no such process")
    refused(kymo.run("dump", "-p", "2", check=False), "kernel thread")
    refused(subprocess.run([KYMO, "dump", "-p", "1"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True), "root")


def test_a_thread_is_no_process(kymo):
    with Started([sys.executable, "-c", "import threading, time; threading.Thread(target=time.sleep, args=(99,), daemon=True).start();"
                  "print('ready', flush=True); time.sleep(99)"], until="ready") as load:
        other = next(t for t in os.listdir(f"/proc/{load.pid}/task") if int(t) != load.pid)
        refused(kymo.run("dump", "-p", other, check=False), other, str(load.pid))


def test_a_zombie(kymo):
    pid = os.posix_spawn("/bin/true", ["true"], {})
    while "Z" not in open(f"/proc/{pid}/stat").read().rpartition(")")[2][:3]:
        time.sleep(0.01)
    refused(kymo.run("dump", "-p", pid, check=False), str(pid), "no such process")
    os.waitpid(pid, 0)


# ---- memory that is not to be trusted ----

def test_memory_that_never_comes(kymo, compiled, tmp_path):
    """Its stack lies in a file whose system does not answer: it is given up, and others are not held up."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse")
    (tmp_path / "m").mkdir()
    (tmp_path / "large").write_bytes(open("/bin/sleep", "rb").read() + bytes(2 << 20))
    script = (f"{sys.executable} {PYTHON / 'fuse.py'} {tmp_path}/m {tmp_path}/large read 60 & fuse=$!\n"
              f"until [ -e {tmp_path}/m/program ]; do sleep 0.05; done\n"
              f"echo $fuse; {compiled('hang.c')} {tmp_path}/m/program")
    with Started(["unshare", "--mount", "sh", "-c", script], until="ready") as shell, \
            Started([sys.executable, PYTHON / "known.py", "plain"], until="ready") as load:
        fuse = int(shell.lines[0])
        try:
            hanging = next(int(p) for p in children(shell.pid) if int(p) != fuse)
            start = time.monotonic()
            found = dump(kymo, hanging, load.pid)
            print(f"{time.monotonic() - start:.1f} s")
            assert [t["stack"] for t in found[hanging]] == ["unread"]
            assert len(found[load.pid]) == 3 and all(t["end"] == "whole" for t in found[load.pid])
            assert "did not come to an end" in kymo.run("dump", "-p", hanging).stdout
            os.kill(hanging, signal.SIGKILL)
        finally:
            for child in children(fuse):
                os.kill(child, signal.SIGKILL)


def children(pid):
    return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]


def test_frames_that_change_at_random(kymo, compiled):
    """Its memory is overwritten while it is read: each dump comes to its end, and says what it found."""
    library = compiled("scribble.c", "-shared", "-fPIC")
    with Started([sys.executable, PYTHON / "scribble.py", library, 8], stderr=subprocess.DEVNULL) as load:
        for _ in range(2):
            r = kymo.run("dump", "--json", "-p", load.pid, check=False)
            assert r.returncode == 0 or load.process.poll() is not None, r.stderr


def test_processes_that_come_and_go(kymo):
    """None of those that end meanwhile is an error."""
    with Started(["sh", "-c", "end=$(($(date +%s) + 120)); while [ $(date +%s) -lt $end ]; do sh -c 'sleep 0.01 & wait'; done"]) as load:
        for _ in range(2):
            processes = json.loads(kymo.run("dump", "-a", "--json").stdout)["processes"]
            pids = [p["pid"] for p in processes]
            assert load.pid in pids and os.getpid() in pids and len(set(pids)) == len(pids)
            assert not any(f["kind"] == "python" for p in processes if p["comm"] == "sh" for t in p["threads"] for f in t["frames"])
        assert not load.process.poll()
