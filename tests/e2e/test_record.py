# SPDX-License-Identifier: Apache-2.0
"""What `kymo record` promises about processes, users, files, signals and terminals."""

import contextlib
import json
import os
import pathlib
import pty
import re
import select
import signal
import sqlite3
import stat
import subprocess
import time

import pytest
from conftest import KYMO, NOBODY
from profile import has_tick, rows, skip_if_starved, ticks


def processes(path):
    return rows(path, "SELECT pid, comm, exe FROM process")


def test_command_exit_code_is_ours(kymo, compiled):
    r = kymo.run("record", "-q", "--", compiled("busy.c"), "0.2", "0", "7", check=False)
    assert r.returncode == 7
    r = kymo.run("record", "-q", "--", "sh", "-c", "kill -TERM $$", check=False)
    assert r.returncode == 128 + signal.SIGTERM


def test_command_and_its_children_only(kymo, compiled):
    other = subprocess.Popen([compiled("busy.c", "-DOTHER"), "6"])
    try:
        kymo.run("record", "-q", "-F", "499", "-o", "c.kymo", "--", compiled("busy.c"), "1", "2")
    finally:
        other.terminate()
        other.wait()
    sampled = rows(kymo.cwd / "c.kymo", "SELECT DISTINCT p.pid AS pid, p.comm AS comm FROM thread t JOIN process p ON p.id = t.process")
    assert len(sampled) >= 3
    assert other.pid not in [r["pid"] for r in sampled]
    assert {r["comm"] for r in sampled} <= {os.path.basename(compiled("busy.c"))[:15], "kymo"}


def sampled_pids(path):
    try:
        return {r["pid"] for r in rows(path, "SELECT p.pid AS pid FROM thread t JOIN process p ON p.id = t.process")}
    except sqlite3.OperationalError:  # not there yet
        return set()


def test_pid_follows_children(kymo, compiled):
    """Those that there are already, too. On a busy host each comes to its turn late: waited for, not timed."""
    busy = subprocess.Popen([compiled("busy.c"), "60", "2"], start_new_session=True)
    try:
        deadline = time.monotonic() + 50
        children = pathlib.Path(f"/proc/{busy.pid}/task/{busy.pid}/children")
        while len(children.read_text().split()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        expected = {busy.pid, *map(int, children.read_text().split())}
        recorder = kymo.start("record", "-q", "-p", busy.pid, "-o", "p.kymo")
        while not expected <= sampled_pids(kymo.cwd / "p.kymo"):
            assert recorder.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(60) == 0, recorder.stderr.read()
    finally:
        os.killpg(busy.pid, signal.SIGKILL)
        busy.wait()
    assert sampled_pids(kymo.cwd / "p.kymo") == expected


def test_rate_and_ticks(kymo, compiled):
    busy = subprocess.Popen([compiled("busy.c"), "6"])
    try:
        kymo.run("record", "-q", "-p", busy.pid, "-F", "199", "--tick", "500", "-d", "3", "-o", "t.kymo")
    finally:
        busy.terminate()
        busy.wait()
    t = ticks(kymo.cwd / "t.kymo")
    for a, b in zip(t, t[1:]):
        assert a["end_ns"] == b["start_ns"]
    skip_if_starved(kymo.cwd / "t.kymo")
    assert len(t) == 6
    assert all(0.4e9 < x["end_ns"] - x["start_ns"] < 0.7e9 for x in t)


def test_sudo_runs_the_command_as_the_caller(kymo):
    kymo.cwd.chmod(0o777)
    env = {**os.environ, "SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)}
    r = kymo.run("record", "-q", "-o", "u.kymo", "--", "sh", "-c", "id -u; id -g; id -G", env=env)
    assert r.stdout.split() == [str(NOBODY)] * 3
    st = (kymo.cwd / "u.kymo").lstat()
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (NOBODY, NOBODY, 0o600)
    r = subprocess.run([KYMO, "report", "u.kymo"], cwd=kymo.cwd, user=NOBODY, group=NOBODY, extra_groups=[],
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stderr


def test_links_are_not_followed(kymo):
    victim = kymo.cwd / "victim"
    victim.write_text("precious")
    (kymo.cwd / "l.kymo").symlink_to(victim)
    kymo.run("record", "-q", "-a", "-d", "1", "-o", "l.kymo", check=False)
    assert victim.read_text() == "precious"


def test_older_profile_is_kept(kymo):
    for i in range(2):
        kymo.run("record", "-q", "-a", "-d", "1")
    assert (kymo.cwd / "profile.kymo").exists() and (kymo.cwd / "profile.kymo.old").exists()
    kymo.run("info", "profile.kymo.old")


def test_clean_end_is_one_ordinary_file(kymo):
    recorder = kymo.start("record", "-a")
    time.sleep(2.5)
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(30) == 0, recorder.stderr.read()
    assert sorted(p.name for p in kymo.cwd.iterdir()) == ["profile.kymo"]
    report = kymo.run("report")
    assert "did not end" not in report.stdout + report.stderr


def test_a_reader_that_does_not_let_go(kymo):
    p = kymo.start("record", "--tick", 100, "-o", "r.kymo", "--", "sleep", 1.5)
    profile = kymo.cwd / "r.kymo"
    deadline = time.monotonic() + 30
    while not has_tick(profile):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with contextlib.closing(sqlite3.connect(f"file:{profile}?mode=ro", uri=True)) as db:
        db.execute("BEGIN")
        assert db.execute("SELECT count(*) FROM tick").fetchone()[0] > 0
        _, err = p.communicate(timeout=60)
        assert p.returncode == 0
        assert "r.kymo-wal: keep the two together" in err
    r = kymo.run("info", "--json", "r.kymo")
    assert json.loads(r.stdout)["recording"]["ended"]


def said(text):
    """Without what is told of an interpreter that somebody else runs here."""
    return re.sub(r"^kymo: CPython .*\r?\n", "", text, flags=re.M)


def test_nothing_when_piped(kymo):
    r = kymo.run("record", "-a", "-d", "1", "-q")
    assert r.stdout == "" and said(r.stderr) == ""
    r = kymo.run("record", "-a", "-d", "1")
    assert r.stdout == "" and said(r.stderr).count("\n") == 1 and "\r" not in r.stderr


def read_terminal(fd, seconds):
    out, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                data = os.read(fd, 4096)
            except OSError:
                break
            if not data:
                break
            out += data
    return out.decode()


def test_one_progress_line_on_a_terminal(kymo):
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(kymo.cwd)
        os.execv(KYMO, [KYMO, "record", "-a", "-d", "3"])
    out = read_terminal(fd, 20)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, out
    out = said(out)
    assert len(re.findall(r"\r\x1b\[Krecording", out)) >= 2
    assert "\n" not in out[:out.rindex("\r\x1b[Krecording")], out


def test_command_keeps_the_terminal(kymo):
    """The command reads from the terminal; Ctrl-C goes to it, and the profile ends with it."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(kymo.cwd)
        os.execv(KYMO, [KYMO, "record", "-q", "--", "sh", "-c",
                        "trap 'echo caught; exit 9' INT; test -t 0 && echo ready; while :; do sleep 0.1; done"])
    out = ""
    deadline = time.monotonic() + 30
    while "ready" not in out and time.monotonic() < deadline:
        out += read_terminal(fd, 0.3)
    os.write(fd, b"\x03")
    out += read_terminal(fd, 10)
    _, status = os.waitpid(pid, 0)
    assert "caught" in out
    assert os.waitstatus_to_exitcode(status) == 9, out
    kymo.run("info")


def test_exec_begins_another_process(kymo):
    """What ran before an exec keeps its own name."""
    code = ("import os,time\nend=time.process_time()+1\nwhile time.process_time()<end: pass\n"
            "os.execvp('sh',['sh','-c','i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'])")
    kymo.run("record", "-q", "-F", "499", "-o", "x.kymo", "--", "/usr/bin/python3", "-c", code)
    weight = {}
    for line in kymo.run("export", "--format", "folded", "x.kymo").stdout.splitlines():
        stack, _, ns = line.rpartition(" ")
        weight[stack.split(";")[0]] = weight.get(stack.split(";")[0], 0) + int(ns)
        assert not (stack.startswith(("sh;", "dash;")) and "<module>" in stack), stack
    assert weight.get("python3", 0) > 0.3e9 and weight.get("sh", 0) > 0, weight


def test_a_reused_inode_is_another_file(kymo):
    """Compile, run, remove, again: the second program often gets the first one's inode."""
    source = ("#include <time.h>\nvolatile unsigned long x;\n"
              "__attribute__((noipa)) void NAME(void){for(long i=0;i<100000000;i++)x+=i;}\nint main(){for(int i=0;i<6;i++)NAME();}\n")
    inodes = set()
    recorder = kymo.start("record", "-q", "-a", "-F", "499", "-o", "i.kymo")
    try:
        time.sleep(2.5)
        for i in range(6):
            (kymo.cwd / "p.c").write_text(source.replace("NAME", f"only_in_{i}"))
            subprocess.run(["gcc", "-O1", "-o", "p", "p.c"], cwd=kymo.cwd, check=True)
            inodes.add(os.stat(kymo.cwd / "p").st_ino)
            subprocess.run([kymo.cwd / "p"], check=True)
            time.sleep(1.2)  # names are asked for at the end of the tick
            (kymo.cwd / "p").unlink()
    finally:
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(60) == 0, recorder.stderr.read()
    if len(inodes) == 6:
        pytest.skip("no inode was used twice here")
    weight = dict.fromkeys(range(6), 0)
    for line in kymo.run("export", "--format", "folded", "i.kymo").stdout.splitlines():
        for i in range(6):
            if f"only_in_{i}" in line:
                weight[i] += int(line.rpartition(" ")[2])
    least, most = min(weight.values()), max(weight.values())
    assert least > 0.4 * most, weight


def test_thread_id_is_no_process(kymo):
    threaded = subprocess.Popen(["/usr/bin/python3", "-c", "import threading,time\nt=threading.Thread(target=time.sleep,args=(20,))\nt.start()\n"
                                 "print(t.native_id,flush=True)"], stdout=subprocess.PIPE, text=True)
    try:
        tid = int(threaded.stdout.readline())
        r = kymo.run("record", "-p", tid, "-d", "1", check=False)
        assert r.returncode == 1 and f"give -p {threaded.pid}" in r.stderr, r.stderr
    finally:
        threaded.kill()
        threaded.wait()


def test_ends_with_the_last_followed_process(kymo, compiled):
    busy = subprocess.Popen([compiled("busy.c"), "60", "1"], start_new_session=True)
    recorder = kymo.start("record", "-p", busy.pid, "-o", "e.kymo")
    try:
        deadline = time.monotonic() + 50
        while not has_tick(kymo.cwd / "e.kymo"):
            assert recorder.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.killpg(busy.pid, signal.SIGKILL)
        busy.wait()
    _, err = recorder.communicate(timeout=60)
    assert recorder.returncode == 0 and "have ended" in err, err


def test_a_process_that_has_ended_is_none(kymo):
    """Nor is one that only waits for its parent to ask; nobody would ever tell its end."""
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        r = kymo.run("record", "-p", ended.pid, check=False)
    assert r.returncode == 1 and f"process {ended.pid}: no such process" in r.stderr, r.stderr


def test_waits_for_the_command(kymo):
    """-d ends the recording, not the command: it keeps the terminal, and its exit code is ours."""
    started = time.monotonic()
    r = kymo.run("record", "-q", "-d", "1", "--", "sh", "-c", "sleep 3; exit 5", check=False)
    assert r.returncode == 5 and time.monotonic() - started >= 3


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15, 0.3])
def test_interrupted_at_once(kymo, delay):
    """Ctrl-C before the command began: it never does, and we end; after: it gets the signal itself."""
    r = subprocess.Popen([KYMO, "record", "-q", "--", "sleep", "60"], cwd=kymo.cwd, start_new_session=True,
                         stderr=subprocess.PIPE, text=True)
    time.sleep(delay)
    started = time.monotonic()
    os.killpg(r.pid, signal.SIGINT)
    r.wait(50)
    # killed by it when it had not come so far as to ask for it, which a busy host puts off
    assert r.returncode == 128 + signal.SIGINT or (r.returncode == -signal.SIGINT and not list(kymo.cwd.iterdir()))
    assert time.monotonic() - started < 30


def test_a_stop_before_it_began_keeps_the_older_profile(kymo):
    """Nothing is recorded, so nothing takes the place of what was."""
    older = kymo.cwd / "profile.kymo"
    early = 0
    for delay in (0.01, 0.03, 0.06, 0.1, 0.15):
        older.write_bytes(b"")
        r = subprocess.Popen([KYMO, "record", "-a"], cwd=kymo.cwd, stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        r.send_signal(signal.SIGINT)
        _, told = r.communicate(timeout=50)
        if r.returncode == 128 + signal.SIGINT:
            early += 1
            assert told == "kymo: stopped before it began: nothing is recorded\n" and older.stat().st_size == 0
        assert r.returncode in (0, 128 + signal.SIGINT, -signal.SIGINT), told
    assert early, "none of five came before the first tick"


def test_niceness(kymo):
    """The recorder comes first on a host without CPU, unless told otherwise; its command does not."""
    def niceness(pid):
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])

    for given in (0, 3):
        started_at = os.nice(0) + given
        ours = -5 if started_at == 0 else started_at
        argv = ["nice", "-n", str(given), KYMO, "record", "-q", "--", "sh", "-c", "nice; nice > told; exec sleep 2"]
        r = subprocess.Popen(argv, cwd=kymo.cwd, stdout=subprocess.PIPE, text=True)
        told = r.stdout.readline()
        assert niceness(r.pid) == ours and int(told) == started_at
        assert r.wait(50) == 0


def test_nohup(kymo):
    """A hangup that is ignored stays ignored; else it ends the recording cleanly."""
    for prefix, ends in ((("nohup",), False), ((), True)):
        r = subprocess.Popen([*prefix, KYMO, "record", "-q", "-a", "-t", "100"], cwd=kymo.cwd, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 50
        while not (has_tick(kymo.cwd / "profile.kymo") or time.monotonic() > deadline):
            time.sleep(0.1)
        r.send_signal(signal.SIGHUP)
        if not ends:
            with pytest.raises(subprocess.TimeoutExpired):
                r.wait(1)
            r.send_signal(signal.SIGINT)
        assert r.wait(50) == 0
        (kymo.cwd / "profile.kymo").unlink()


def test_terminated(kymo):
    for delay in (0.5, 1.5):
        r = subprocess.Popen([KYMO, "record", "-q", "--", "sleep", "60"], cwd=kymo.cwd, stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        r.terminate()
        assert r.wait(50) == 128 + signal.SIGTERM


def test_limit_on_file_sizes(kymo):
    """A limit that leaves no room is told at the start, not by a signal without a word."""
    r = subprocess.run(["sh", "-c", f"ulimit -f 2100; exec {KYMO} record -q -a -d 2"], cwd=kymo.cwd, capture_output=True,
                       text=True, timeout=60)
    assert r.returncode == 1 and r.stderr.count("\n") == 1 and "too large" in r.stderr, (r.returncode, r.stderr)
    assert list(kymo.cwd.iterdir()) == []


def test_refused_in_a_pid_namespace(kymo):
    r = subprocess.run(["unshare", "-p", "-f", "--mount-proc", KYMO, "record", "-d", "1"], cwd=kymo.cwd,
                       capture_output=True, text=True, timeout=30)
    assert r.returncode == 1 and "pid namespace" in r.stderr and r.stderr.count("\n") == 1
