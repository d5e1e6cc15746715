# SPDX-License-Identifier: Apache-2.0
"""Python -> C -> Python in true call order, on every CPython that this machine has, however it came to run."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing

import pytest
from conftest import PROGRAMS
from interpreters import UNKNOWN, VERSIONS, extension, in_root, includes, pyenv, roots, system
from profile import quality
from test_accounts import wait_for_recording

SCRIPT = PROGRAMS / "interleave.py"
CPU_SECONDS = 0.3  # of each process
ENOUGH = 0.15  # of that: the rest of what a busy host gives is gone before it has read the files
HZ = 997
STATE_PYTHON = 8
TOGETHER = 4  # so many take their CPU time at once
# C functions of the test's own, between two Python frames: by the caller's name
BETWEEN = {"way": ["c_calls_back"], "__getitem__": ["ext_outer", "ext_inner"], "turn": ["ext_outer", "ext_inner"]}
OURS = {name for names in BETWEEN.values() for name in names}
EMBEDDED = ("3.8", "3.12")
THREADS = ("3.7", "3.11", "3.13")
FORKS = ("3.6", "3.9", "3.12")
DEBIANS = ("3.9", "3.11", "3.13", "3.14")
NOT_SEEN = "[python code not seen]"
EVAL_LOOP = "_PyEval_EvalFrameDefault"


SUBINTERPRETER = PROGRAMS / "subinterpreter.py"
TURNS = PROGRAMS / "turns.py"
TURNING = [["<module>", "main", "turn", *called] for called in ([], ["quick_from_c"], ["steps_from_c"], ["deeper_from_c"], ["deeper_from_c", "deepest"])]


def script(way, library):
    return [SCRIPT, way, CPU_SECONDS, library]


def embedding(python, compiled):
    """embed.c with that interpreter's library, which is where the interpreter's own is."""
    lib = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'), sysconfig.get_config_var('LDLIBRARY'))"],
                         text=True, stdout=subprocess.PIPE, check=True).stdout.split()
    if ".so" not in lib[1]:
        return None
    name = lib[1][len("lib"):lib[1].index(".so")]
    # its functions for the arguments are old, and said to be so
    return compiled("embed.c", "-Wno-deprecated-declarations", "-fomit-frame-pointer", f"-I{includes(python)}", f"-L{lib[0]}", f"-Wl,-rpath,{lib[0]}",
                    f"-Wl,--no-as-needed,-l{name}")


def in_namespaces(python, library, folder):
    """A copy that no other mount namespace has, in a pid namespace where its number is another."""
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
            f"mount -t tmpfs none {folder} && cp {python} {folder}/python && mount -t proc proc /proc && exec {folder}/python {' '.join(map(str, script('main', library)))}"]


def commands(compiled, folder):
    """name -> (command, environment)"""
    all_ = {}
    for version in VERSIONS:
        python = pyenv(version)
        if not python:
            continue
        library = extension(python, compiled)
        for way, versions in (("main", VERSIONS), ("thread", THREADS), ("fork", FORKS)):
            if version in versions:
                all_[f"{version} {way}"] = [python, *script(way, library)]
        all_[f"{version} turns"] = [python, TURNS, CPU_SECONDS, library]
        all_[f"{version} sub"] = [python, SUBINTERPRETER, CPU_SECONDS, library]
        program = embedding(python, compiled) if version in EMBEDDED else None
        if program:
            all_[f"{version} embedded"] = ["env", f"PYTHONHOME={os.path.dirname(os.path.dirname(python))}", program, *script("main", library)]
    for version, python in system().items():
        library = extension(python, compiled)
        all_["system main"] = [python, *script("main", library)]
        all_["system turns"] = [python, TURNS, CPU_SECONDS, library]
        all_["system fork"] = [python, *script("fork", library)]
        all_["system namespaces"] = in_namespaces(python, library, folder)
        break
    for version, root in roots().items():
        if version in (*DEBIANS, UNKNOWN):
            library = extension(None, compiled)
            all_[f"debian {version}"] = in_root(root, version, script("main", library))
        if version in DEBIANS:
            shutil.copy(SCRIPT, root / "tmp" / SCRIPT.name)  # which turns.py imports
            all_[f"debian {version} sub"] = in_root(root, version, [SUBINTERPRETER, CPU_SECONDS, library])
            all_[f"debian {version} turns"] = in_root(root, version, [TURNS, CPU_SECONDS, library])
    return all_


NAMES = [f"{v} main" for v in VERSIONS] + [f"{v} thread" for v in THREADS] + [f"{v} fork" for v in FORKS] + [f"{v} embedded" for v in EMBEDDED] + \
    ["system main", "system fork", "system namespaces"] + [f"debian {v}" for v in DEBIANS]


class Recorded:
    """What each of them said, and the recording of all of them as plain tables."""

    def __init__(self, kymo, compiled):
        path = kymo.cwd / "interleave.kymo"
        home = kymo.cwd / "namespace"
        home.mkdir()
        self.started = {name: subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                        for name, command in commands(compiled, home).items()}
        recorder = kymo.start("record", "-q", "-a", "-s", "cpu", "-F", HZ, "-o", path)
        try:
            wait_for_recording(recorder, path)
            self.truth = self.run()
        finally:
            for p in self.started.values():
                p.kill()
            recorder.send_signal(signal.SIGINT)
            self.said = recorder.communicate(timeout=60)[1]
            assert recorder.returncode == 0, self.said
        self.path = kymo.cwd / "interleave.sqlite"
        kymo.run("export", "-o", self.path, path)
        self.load()
        self.quality = quality(path)

    def run(self):
        running, truth = [], {}
        for name, p in self.started.items():
            p.stdin.write("\n")
            p.stdin.flush()
            running.append((name, p))
            if len(running) == TOGETHER:
                self.end(running.pop(0), truth)
        while running:
            self.end(running.pop(0), truth)
        return truth

    @staticmethod
    def end(one, truth):
        name, p = one
        out = p.communicate(timeout=120)[0]
        assert p.returncode == 0, (name, p.returncode)
        truth[name] = [tuple(f) for f in json.loads(out)]

    def stacks(self, name, state=STATE_PYTHON):
        """
        [(frames root first, each (is it Python, name, line); how it ended; CPU time)] of the program and its children, and the CPU time
        that they took in all: from the first whole stack on, before which a busy host has not come to read their files.
        """
        pid = self.started[name].pid
        sql = f"""WITH RECURSIVE family(pid) AS (SELECT {pid} UNION SELECT p.pid FROM process AS p JOIN family ON p.parent_pid = family.pid),
                  mine AS MATERIALIZED (SELECT s.time_ns AS at, s.stack AS stack, s.stack_end AS ended, s.weight AS weight, s.state & {STATE_PYTHON} = {state} AS counts
                  FROM sample AS s JOIN thread AS t ON t.id = s.thread JOIN process AS p ON p.id = t.process WHERE p.pid IN family AND s.source = 'cpu'),
                  kept AS MATERIALIZED (SELECT * FROM mine WHERE at >= (SELECT min(at) FROM mine WHERE counts AND ended = 'whole'))
                  SELECT stack, ended, sum(weight), (SELECT sum(weight) FROM kept) FROM kept WHERE counts GROUP BY 1, 2"""
        with closing(sqlite3.connect(self.path)) as db:
            rows = db.execute(sql).fetchall()
        total = rows[0][3] if rows else 0
        assert total >= ENOUGH * CPU_SECONDS * 1e9, (name, total)
        return [(self.frames(stack), ended, ns) for stack, ended, ns, _ in rows], total

    def load(self):
        """The trees as they are: the views would walk every stack for each question."""
        with closing(sqlite3.connect(self.path)) as db:
            self.stack = {i: (parent, frame) for i, parent, frame in db.execute("SELECT id, parent, frame FROM stack")}
            self.frame = {i: (kind == "python", name or "", line) for i, kind, name, line in db.execute(
                "SELECT f.id, f.kind, n.name, f.line FROM frame AS f LEFT JOIN function AS n ON n.id = f.function")}

    def frames(self, stack):
        out = []
        while stack is not None:
            stack, frame = self.stack[stack]
            out.insert(0, self.frame[frame])
        return out


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, compiled):
    from conftest import Kymo

    return Recorded(Kymo(tmp_path_factory.mktemp("interleave")), compiled)


def last(name):
    return name.rpartition(".")[2]


def check_python(frames, truth):
    """The frames that the program knows, each caller at its line: names up to where the stack is at the moment. How many."""
    python = [(name, line) for is_python, name, line in frames if is_python]
    n = min(len(python), len(truth))
    names = [name for name, _ in truth]
    assert [name for name, _ in python[:n]] == names[:n], (python, truth)
    assert python[:n - 1] == truth[:n - 1], (python, truth)
    assert [name for name, _ in python[n:]] in ([], ["see"]), python
    return n


def in_order(frames):
    """Whether ours in C, and some of the interpreter's where it called a function from C, stand where they must."""
    caller, between = None, []
    for is_python, name, _ in frames:
        if not is_python:
            between.append(name)
            continue
        from_c = name.endswith("_from_c")
        ours = [n for n in between if n in OURS]
        if ours != (BETWEEN.get(last(caller), []) if caller and from_c else []) or (from_c and not between):
            return False
        caller, between = name, []
    return True


@pytest.mark.parametrize("name", NAMES)
def test_true_order(recorded, name):
    if name not in recorded.truth:
        pytest.skip(f"{name}: no such interpreter here" + (" (make pythons fetches it)" if name.startswith("debian") else ""))
    truth = recorded.truth[name]
    whole, cut = 0, {}
    stacks, total = recorded.stacks(name)
    for frames, ended, ns in stacks:
        if not any(is_python and last(f) == "take" for is_python, f, _ in frames):
            continue
        if (False, NOT_SEEN) in [f[:2] for f in frames]:
            ended = NOT_SEEN  # too many new ones for one sample
        if ended != "whole":
            cut[ended] = cut.get(ended, 0) + ns
            continue
        n = check_python(frames, truth)
        assert in_order(frames), frames
        whole += ns * (n == len(truth))
    assert whole >= 0.85 * total, (whole, total, cut)
    assert sum(cut.values()) <= 0.01 * whole + 5e9 / HZ, (whole, cut)


@pytest.mark.parametrize("name", [f"{v} turns" for v in VERSIONS] + ["system turns"] + [f"debian {v} turns" for v in DEBIANS])
def test_order_where_frames_are_linked_in_and_out(recorded, name):
    """One sample of twenty falls where the newest eval loop has no frame yet, or no longer: no other's is taken for it."""
    if name not in recorded.truth:
        pytest.skip(f"{name}: no such interpreter here")
    whole = 0
    stacks, total = recorded.stacks(name)
    for frames, ended, ns in stacks:
        python = [last(f) for is_python, f, _ in frames if is_python]
        if ended != "whole" or "turn" not in python or (False, NOT_SEEN) in [f[:2] for f in frames]:
            continue
        assert python in TURNING and in_order(frames), frames
        whole += ns
    assert whole >= 0.75 * total, (whole, total)


def test_an_unknown_version_stays_native_and_says_so_once(recorded):
    name = f"debian {UNKNOWN}"
    if name not in recorded.truth:
        pytest.skip(f"no CPython {UNKNOWN} here (make pythons fetches it)")
    assert recorded.said.count(f"CPython {UNKNOWN}: layout not known, its frames stay native") == 1, recorded.said
    stacks, total = recorded.stacks(name, 0)
    natives = [(frames, ns) for frames, ended, ns in stacks if ended == "whole"]
    assert not any(is_python for frames, _ in natives for is_python, _, _ in frames)
    spun = sum(ns for frames, ns in natives if [n for _, n, _ in frames if n in OURS] == ["c_calls_back", "ext_outer", "ext_inner"])
    assert spun >= 0.85 * total, (spun, total)


@pytest.mark.parametrize("name", [f"{v} sub" for v in VERSIONS] + [f"debian {v} sub" for v in DEBIANS])
def test_subinterpreters_are_right_and_doubtful(recorded, name):
    """The frames of the interpreter that runs; its caller's eval loops, which belong to another, are native frames, and counted."""
    if name not in recorded.truth:
        pytest.skip(f"{name}: no such interpreter here")
    seen = 0
    stacks, total = recorded.stacks(name)
    for frames, ended, ns in stacks:
        python = [f for is_python, f, _ in frames if is_python]
        if "in_sub" in python and ended == "whole":
            assert python[:3] == ["<module>", "sub_main", "in_sub"], frames
            between = [f for is_python, f, _ in frames[:[f[0] for f in frames].index(True)] if not is_python]
            assert "ext_in_subinterpreter" in between, frames
            # a stripped one's parts have no names
            assert EVAL_LOOP in between or name.startswith("debian"), frames
            seen += ns
        # the caller waits in C meanwhile
        assert python[-1:] != ["outer"] or ns <= 0.1e9, frames
    assert seen >= 0.7 * total, (seen, total)
    assert recorded.quality["bpf.python_doubtful"] >= ENOUGH * CPU_SECONDS * HZ
