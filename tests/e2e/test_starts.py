# SPDX-License-Identifier: Apache-2.0
"""Every process has its command, executable and arguments, however short it lives: the kernel tells them, not /proc."""

import json
import os
import re

from profile import rows

PYTHON = "/usr/bin/python3.11"

# Starts processes of 1 to 5 ms in every way there is; prints [pid, [[executable, command line], ...]]: what it ran, in order.
LAUNCHER = """
import json, os, random, sys, time
short, script, folder = sys.argv[1:4]
me = ["/usr/bin/python3.11", " ".join(["/usr/bin/python3.11", *sys.argv])]
random.seed(1)
started = []

def wait(pid, *ran):
    os.waitpid(pid, 0)
    started.append([pid, ran])

def spin():
    end = time.process_time() + random.uniform(0.001, 0.005)
    while time.process_time() < end:
        pass

for i in range(40):
    us = str(random.randrange(1000, 5000))
    wait(os.posix_spawn(short, ["short", us, "0", f"spawn-{i}"], {}), [short, f"short {us} 0 spawn-{i}"])
    pid = os.fork()
    if pid == 0:
        spin()
        os._exit(0)
    wait(pid, me)
    pid = os.fork()
    if pid == 0:
        spin()
        os.execv(short, [short, us, f"fork-{i}"])
    wait(pid, me, [short, f"{short} {us} fork-{i}"])
    wait(os.posix_spawn("/bin/sh", ["sh", "-c", f"exec {short} {us} exec-{i}"], {}),
         ["/usr/bin/dash", f"sh -c exec {short} {us} exec-{i}"], [short, f"{short} {us} exec-{i}"])
    wait(os.posix_spawn(script, [script, f"script-{i}"], {}), ["/usr/bin/dash", f"/bin/sh {script} script-{i}"])
    copy = f"{folder}/new program {i}"
    os.link(short, copy)  # seen by that name once, and gone when anybody looks
    wait(os.posix_spawn(copy, ["a\\nb", us, "\\udcff;\\x1b[31m"], {}), [copy, f"a\\nb {us} \\ufffd;\\x1b[31m"])
    os.unlink(copy)
    wait(os.posix_spawn(short, ["short", us, "0", "x" * 2000], {}), [short, f"short {us} 0 " + "x" * (1024 - 9 - len(us))])
print(json.dumps(started))
"""


def launch(kymo, compiled, *options):
    script = kymo.cwd / "script"
    script.write_text("#!/bin/sh\n:\n")
    script.chmod(0o755)
    launcher = kymo.cwd / "launcher.py"
    launcher.write_text(LAUNCHER)
    folder = kymo.cwd / "folder"
    folder.mkdir()
    short = folder / "short"
    short.write_bytes(compiled("short.c").read_bytes())
    short.chmod(0o755)
    path = kymo.cwd / "starts.kymo"
    out = kymo.run("record", "-q", *options, "-o", path, "--", PYTHON, launcher, short, script, folder).stdout
    return path, json.loads(out)


def test_every_start_is_told(kymo, compiled):
    path, started = launch(kymo, compiled)
    assert len(started) == 280
    found = {}
    for r in rows(path, "SELECT pid, comm, exe, cmdline FROM process ORDER BY id"):
        found.setdefault(r["pid"], []).append(r)
    missing = [pid for pid, _ in started if pid not in found]
    assert not missing, f"{len(missing)} of {len(started)} are not there"
    for pid, ran in started:
        exe, cmdline = ran[-1]
        last = found[pid][-1]
        assert (last["exe"], last["cmdline"]) == (exe, cmdline), (ran, found[pid])
        comm = "script" if cmdline.startswith("/bin/sh ") else os.path.basename(exe)
        assert last["comm"] == comm[:15], (ran, found[pid])


def test_nothing_is_told_of_what_came_later(kymo, compiled):
    """A pid that runs one program after the other has the arguments of each, none without, none of the next."""
    path, started = launch(kymo, compiled, "-F", "4999")
    me = started[1][1][0]
    seen = 0
    found = {}
    for r in rows(path, "SELECT pid, comm, exe, cmdline FROM process ORDER BY id"):
        found.setdefault(r["pid"], []).append((r["exe"], r["cmdline"]))
    for pid, ran in started:
        possible = [tuple(me), *map(tuple, ran)]
        assert set(found[pid]) <= set(possible), (ran, found[pid])
        seen += len(found[pid]) > 1
    assert seen >= 40


def test_no_command_lines_when_not_wanted(kymo, compiled):
    path, started = launch(kymo, compiled, "--no-cmdline")
    found = {r["pid"]: r for r in rows(path, "SELECT pid, comm, exe, cmdline FROM process ORDER BY id")}
    for pid, ran in started:
        assert found[pid]["exe"] == ran[-1][0], (ran, found[pid])
    assert not [r for r in found.values() if r["cmdline"]]
    bytes_of_it = path.read_bytes()
    for secret in (rb"spawn-\d", rb"fork-\d", rb"exec-\d", rb"script-\d", rb"launcher\.py /", b"xxxxxxxxx"):
        assert not re.search(secret, bytes_of_it), secret
    assert rows(path, "SELECT value FROM meta WHERE key = 'selection'") == [{"value": f"command {PYTHON}"}]
