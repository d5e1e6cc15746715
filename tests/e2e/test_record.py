# SPDX-License-Identifier: Apache-2.0
"""What `kymo record` promises about processes, users, files, signals and terminals."""

import os
import pty
import re
import select
import signal
import stat
import subprocess
import time

import pytest
from conftest import KYMO, NOBODY
from profile import rows, ticks


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


def test_pid_follows_children(kymo, compiled):
    busy = subprocess.Popen([compiled("busy.c"), "4", "2"])
    try:
        time.sleep(0.2)
        kymo.run("record", "-q", "-p", busy.pid, "-d", "1", "-o", "p.kymo")
    finally:
        busy.wait()
    sampled = {r["pid"] for r in rows(kymo.cwd / "p.kymo", "SELECT p.pid AS pid FROM thread t JOIN process p ON p.id = t.process")}
    assert busy.pid in sampled and len(sampled) == 3


def test_rate_and_ticks(kymo, compiled):
    busy = subprocess.Popen([compiled("busy.c"), "6"])
    try:
        kymo.run("record", "-q", "-p", busy.pid, "-F", "199", "--tick", "500", "-d", "3", "-o", "t.kymo")
    finally:
        busy.terminate()
        busy.wait()
    t = ticks(kymo.cwd / "t.kymo")
    assert len(t) == 6
    for a, b in zip(t, t[1:]):
        assert a["end_ns"] == b["start_ns"]
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


def test_nothing_when_piped(kymo):
    r = kymo.run("record", "-a", "-d", "1", "-q")
    assert r.stdout == "" and r.stderr == ""
    r = kymo.run("record", "-a", "-d", "1")
    assert r.stdout == "" and r.stderr.count("\n") == 1 and "\r" not in r.stderr


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
    assert len(re.findall(r"\r\x1b\[Krecording", out)) >= 3
    assert out.count("\n") == 1, out


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
