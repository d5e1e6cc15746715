# SPDX-License-Identifier: Apache-2.0
"""Names that a user of the host has chosen, recorded: escape sequences, semicolons, newlines, markup, in every output."""

import json
import os
import re
import sqlite3
import subprocess
import xml.etree.ElementTree as ET

import pytest
from conftest import Kymo
from test_cgroup import hierarchies

EVIL = "a;<script>\x1b[31m\n\r\"'&,=\u202e\x9b"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# Of a Python function, its file, the thread, the process; 15 bytes of a comm are kept.
PROGRAM = """
import ctypes, os, socket, sys, threading, time
evil, group = sys.argv[1:3]
if group:
    open(group + "/cgroup.procs", "w").write(str(os.getpid()))
open("/proc/self/comm", "w").write(evil)
native = ctypes.CDLL(sys.argv[3]).spin
try:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((sys.argv[4], 0))
except OSError:
    wire = None
def f():
    end = time.process_time() + 0.4
    while time.process_time() < end:
        native(1000000)
        if wire:
            wire.send(bytes(60))
    return 0
new = {"co_name": evil, "co_filename": "/" + evil}
if sys.version_info >= (3, 11):
    new["co_qualname"] = evil
f.__code__ = f.__code__.replace(**new)
def thread():
    open(f"/proc/self/task/{threading.get_native_id()}/comm", "w").write(evil[::-1])
    f()
f()
t = threading.Thread(target=thread); t.start(); t.join()
"""
LIBRARY = """
void evil(long n) { for (volatile long i = 0; i < n; i++) ; }
void spin(long n) { evil(n); }
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    k = Kymo(tmp_path_factory.mktemp("names"))
    folder = k.cwd / EVIL
    folder.mkdir()
    library = folder / f"lib{EVIL}.so"
    (k.cwd / "l.c").write_text(LIBRARY)
    subprocess.run(["gcc", "-O0", "-shared", "-fPIC", "-o", "plain.so", "l.c"], cwd=k.cwd, check=True)
    subprocess.run(["objcopy", f"--redefine-sym=evil={EVIL.replace('=', '')}", "plain.so", library], cwd=k.cwd, check=True)
    program = folder / f"{EVIL}.py"
    program.write_text(PROGRAM)
    group = next((h / (f"kymo-{os.getpid()}" + EVIL.replace("\n", "")) for h in hierarchies().values()), "")
    interface = "k;<b>\x1b[1m\"',="
    try:
        if group:
            group.mkdir()
    except OSError:
        group = ""
    made = subprocess.run(["ip", "link", "add", interface, "type", "dummy"], capture_output=True).returncode == 0
    subprocess.run(["ip", "link", "set", interface, "up"], capture_output=True)
    try:
        r = k.run("record", "-F", "499", "-t", "200", "-o", "n.kymo", "--", "/usr/bin/python3", program, EVIL, group, library, interface)
    finally:
        subprocess.run(["ip", "link", "del", interface], capture_output=True)
        if group:
            group.rmdir()
    assert not UNSAFE.search(r.stderr), r.stderr
    k.named = [f"kymo-{os.getpid()}a;<script>"] * bool(group) + ["k;<b>"] * made
    return k


def test_the_names_were_there(recorded):
    """Whatever the tables have, it is what was chosen."""
    with sqlite3.connect(recorded.cwd / "n.kymo") as db:
        functions = {n for n, in db.execute("SELECT name FROM function")}
        assert EVIL in functions and EVIL.replace("=", "") in functions
        assert "/" + EVIL in {n for n, in db.execute("SELECT file FROM function")}
        assert any(EVIL in n for n, in db.execute("SELECT path FROM binary"))
        assert any(EVIL in n for n, in db.execute("SELECT cmdline FROM process"))
        comms = {n for n, in db.execute("SELECT comm FROM process UNION SELECT comm FROM thread")}
        assert EVIL.encode()[:15].decode() in comms and any("\u202e" in c for c in comms), comms
        labels = {n for n, in db.execute("SELECT labels FROM metric")}
        # two of them stand between a label and the next one
        assert all(part.count("=") == 1 for n in labels for part in n.split(",") if part), labels
        for name in recorded.named:
            assert any(name in n for n in labels), (name, labels)


@pytest.mark.parametrize("args", [("report", "--limit", "0"), ("report", "--tree", "--all-frames"), ("report", "--processes"),
                                  ("report", "--quality"), ("ticks",), ("info",), ("export", "--format", "folded"),
                                  ("export", "--format", "svg"), ("export", "--format", "speedscope"), ("report", "--json"),
                                  ("report", "--processes", "--json"), ("ticks", "--json"), ("sql", "SELECT * FROM process"),
                                  ("sql", "--json", "SELECT * FROM metric"), ("sql", "SELECT * FROM sample_named")], ids=" ".join)
def test_nothing_that_a_terminal_would_obey(recorded, args):
    words = (*args[:-1], "n.kymo", args[-1]) if args[0] == "sql" else (*args, "n.kymo")
    text = recorded.run(*words).stdout
    assert not UNSAFE.search(text)
    if "--json" in args or "speedscope" in args:
        json.loads(text)
    elif "svg" in args:
        assert len([e for e in ET.fromstring(text).iter() if e.tag.endswith("script")]) == 1
    elif "folded" in args:
        assert all(re.fullmatch(r"\S.* \d+", line) for line in text.splitlines())
    elif args[0] == "report":
        assert all(len(line) <= 80 for line in text.splitlines())


def test_csv_on_a_terminal_and_for_a_program(recorded):
    query = ("sql", "--csv", "n.kymo", "SELECT DISTINCT name FROM function WHERE kind = 'python'")
    assert "\x1b[31m" in recorded.run(*query).stdout
    master, terminal = os.openpty()
    r = subprocess.run([recorded.path, *query], cwd=recorded.cwd, stdout=terminal, stderr=subprocess.PIPE)
    os.close(terminal)
    text = b""
    try:
        while more := os.read(master, 65536):
            text += more
    except OSError:  # at its end
        os.close(master)
    text = text.decode()
    assert r.returncode == 0 and "\\x1b[31m" in text and not UNSAFE.search(re.sub("\r+\n", "\n", text)), text
