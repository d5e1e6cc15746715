# SPDX-License-Identifier: Apache-2.0
"""The files that processes map: prepared at the start, kept for the next, bounded, and nobody's means against another."""

import glob
import os
import pathlib
import random
import re
import shutil
import subprocess
import threading
import time

import elf
import pytest
from profile import folded, rows

FLAGS = ("-fomit-frame-pointer",)
HZ = 499
CHAIN = ["main", "first", "second", "third", "leaf"]
CACHE = pathlib.Path("/var/cache/kymo")
MIB = 1 << 20


class Mapper:
    """A process that maps all files of a folder as code."""

    def __init__(self, program, folder, user=None):
        here = folder.parent / "maps"  # where other users reach it
        shutil.copy(program, here)
        self.p = subprocess.Popen([here, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=user)
        self.mapped = int(self.p.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.stdin.close()
        self.p.wait()


def own(path, counter):
    """The readings of a gauge, by tick."""
    return [r["value"] for r in rows(path, "SELECT value FROM quality WHERE counter = ? ORDER BY tick", counter)]


def wait_for_rules(path, enough):
    """Until the newest tick has so much memory for rules as `enough` wants; a busy host may take its time."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        readings = own(path, "kymo.unwind_bytes") if path.exists() else []
        if readings and enough(readings[-1]):
            return readings
        time.sleep(0.2)
    raise AssertionError(readings)


def chains(kymo, path):
    """(weight of exact stacks of chain.c, of those that are not)"""
    exact = other = 0
    for stack, ns in folded(kymo, path):
        names = [n for n in (re.sub(r" \(.*", "", f) for f in stack) if n in CHAIN]
        if names == CHAIN:
            exact += ns
        elif "leaf" in names:
            other += ns
    return exact, other


def small_libraries(bytes_max):
    for path in sorted(glob.glob("/usr/lib/x86_64-linux-gnu/*.so.*")):
        if not os.path.islink(path) and 20000 < os.path.getsize(path) < bytes_max:
            yield path


def make_distinct(folder, n):
    """Copies of the host's libraries, each with bytes of its own at its end."""
    folder.mkdir()
    sources = list(small_libraries(120000))
    for i in range(n):
        data = pathlib.Path(sources[i % len(sources)]).read_bytes()
        (folder / f"lib{i}.so").write_bytes(data + b"%d" % i)


def test_500_binaries(kymo, compiled):
    make_distinct(kymo.cwd / "libs", 500)
    with Mapper(compiled("maps.c"), kymo.cwd / "libs") as m:
        assert m.mapped == 500
        kymo.run("record", "-q", "-d", 3, "-o", "u.kymo")
    rss, rules = own(kymo.cwd / "u.kymo", "kymo.rss_bytes"), own(kymo.cwd / "u.kymo", "kymo.unwind_bytes")
    print(f"at most {max(rss) / MIB:.1f} MiB, rules {max(rules) / MIB:.1f} MiB")
    assert max(rss) < 96 * MIB
    # 4 bytes a row and the index: these libraries have 4 million rows at the very most
    assert max(rules) < 24 * MIB


def test_rules_of_files_that_are_gone_make_room(kymo, compiled):
    """Two processes one after the other, each with 40 MiB of rules: what the first left makes room for the second."""
    for part in range(2):
        folder = kymo.cwd / f"part{part}"
        folder.mkdir()
        for i in range(6):
            (folder / f"lib{i}").write_bytes(elf.many_rows(1750000, part))
    path = kymo.cwd / "u.kymo"
    recording = kymo.start("record", "-q", "-t", 200, "-o", path)
    try:
        before = wait_for_rules(path, lambda n: n > 0)[-1]
        with Mapper(compiled("maps.c"), kymo.cwd / "part0"):
            wait_for_rules(path, lambda n: n >= before + 40 * MIB)
        time.sleep(1)
        with Mapper(compiled("maps.c"), kymo.cwd / "part1"):
            wait_for_rules(path, lambda n: n >= before + 48 * MIB)
            time.sleep(1)
    finally:
        recording.terminate()
        recording.wait()
    rules = own(path, "kymo.unwind_bytes")
    print(f"before {before / MIB:.1f}, at most {max(rules) / MIB:.1f} MiB")
    # One process's, what may stay of the other's, and what the host's own processes came to need meanwhile
    assert max(rules) <= before + (40 + 16 + 10) * MIB


def mutants(folder, n):
    """Broken copies of a library: bytes changed at random, cut, blown up."""
    folder.mkdir()
    chance = random.Random(7)
    data = pathlib.Path(next(small_libraries(60000))).read_bytes()
    for i in range(n):
        broken = bytearray(data)
        for _ in range(chance.choice((1, 20, 400))):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        cut = len(broken) if i % 3 else chance.randrange(64, len(broken))
        (folder / f"mutant{i}").write_bytes(broken[:cut])
    for i, program in enumerate((b"\x0a" * 100000, b"\x0b" * 1000, b"\xff" * 1000, b"\x0f\xff\xff\xff\xff\x0f" * 100)):
        (folder / f"crafted{i}").write_bytes(elf.library(program, 1 << 20, 1 + i * 50))


def swap(path, stop):
    """Another file in the same inode all the time: as long, shorter, none, not one at all."""
    versions = [elf.many_rows(20000, 1), elf.many_rows(20000, 2), elf.many_rows(200, 3), b"", b"\x7fELF" * 1000]
    with open(path, "r+b", buffering=0) as f:
        while not stop.is_set():
            for version in versions:
                f.seek(0)
                f.write(version)
                f.truncate(len(version))
                time.sleep(0.001)


def test_files_made_to_hurt(kymo, compiled):
    """Who maps them hurts nobody: the recorder lives, stays small, and another process's stacks stay exact."""
    mutants(kymo.cwd / "bad", 40)
    changing = kymo.cwd / "bad" / "changing"
    changing.write_bytes(elf.many_rows(20000, 1))
    stop = threading.Event()
    writer = threading.Thread(target=swap, args=(changing, stop))
    writer.start()
    try:
        with Mapper(compiled("maps.c"), kymo.cwd / "bad", user=65534) as m:
            assert m.mapped >= 40
            r = kymo.run("record", "-q", "-F", HZ, "-o", "u.kymo", "--", compiled("chain.c", *FLAGS), "chain", 3)
    finally:
        stop.set()
        writer.join()
    assert "worker" not in r.stderr
    exact, other = chains(kymo, kymo.cwd / "u.kymo")
    assert exact >= 0.05e9  # whatever CPU a busy machine leaves it
    assert other <= 0.4e9, (exact, other)  # until its rules are there
    assert max(own(kymo.cwd / "u.kymo", "kymo.rss_bytes")) < 96 * MIB


def test_more_rules_than_there_is_room_for(kymo, compiled):
    """One user's files take what they may, no more: those of root are unwound beside them."""
    folder = kymo.cwd / "huge"
    folder.mkdir()
    huge = elf.many_rows(4000000)
    for i in range(9):
        (folder / f"lib{i}").write_bytes(huge)
        os.chown(folder / f"lib{i}", 65534, 65534)
    with Mapper(compiled("maps.c"), folder, user=65534):
        kymo.run("record", "-q", "-F", HZ, "-o", "u.kymo", "--", compiled("chain.c", *FLAGS), "chain", 4)
    exact, other = chains(kymo, kymo.cwd / "u.kymo")
    rules, rss = own(kymo.cwd / "u.kymo", "kymo.unwind_bytes"), own(kymo.cwd / "u.kymo", "kymo.rss_bytes")
    print(f"exact {exact / 1e9} s, other {other / 1e9} s, rules {max(rules) / MIB:.1f} MiB, memory {max(rss) / MIB:.1f} MiB")
    assert max(rules) <= 130 * MIB
    assert max(rss) < 96 * MIB
    assert exact >= 0.05e9


@pytest.mark.parametrize("how", ["cut", "longer"])
def test_the_cache_may_be_damaged(kymo, compiled, how):
    """Whatever happened to what an earlier recording kept: stacks are whole, and it is made anew."""
    program = kymo.cwd / "chain"
    shutil.copy(compiled("chain.c", *FLAGS), program)
    kymo.run("record", "-q", "-o", "u.kymo", "--", program, "chain", 1)
    assert CACHE.stat().st_uid == 0 and CACHE.stat().st_mode & 0o777 == 0o700
    mine = list(CACHE.glob(f"*-{program.stat().st_ino:x}-{program.stat().st_size:x}-*.rows"))
    if not mine:
        pytest.skip("a file system whose files are not kept")
    # Another kymo that records this host meanwhile keeps its own.
    whole = {p: p.read_bytes() for p in mine}
    other = max(whole.values(), key=len) + b"behind"
    for p in mine:
        damaged = {"cut": whole[p][:-9], "longer": other}[how]
        p.write_bytes(damaged)
    kymo.run("record", "-q", "-F", HZ, "-o", "u.kymo", "--", program, "chain", 2)
    exact, wrong = chains(kymo, kymo.cwd / "u.kymo")
    assert exact and wrong <= 0.4e9, (exact, wrong)
    assert any(p.exists() and p.read_bytes() == whole[p] for p in mine)


@pytest.mark.parametrize("how, why", [("bare", "frame pointer broken"), ("odd", "no rule")])
def test_why_stacks_stop(kymo, compiled, how, why):
    """The reason stands by binary, with the code that has no rule."""
    program = compiled("norules.c")
    kymo.run("record", "-q", "-F", HZ, "-o", "u.kymo", "--", program, how)
    text = " ".join(kymo.run("report", "--quality", "u.kymo", env={**os.environ, "COLUMNS": "200"}).stdout.split())
    told = re.search(rf"(\d+) stacks of \S+ stop in {program.name},? (?:mostly )?at 0x[0-9a-f]+ \({how}\): {why}", text)
    assert told, text
    assert int(told[1]) >= 50


def test_a_file_written_over_in_place(kymo, compiled):
    """It keeps its inode: what ran before has the names of before, what runs later those of later, at the same places of the file."""
    before, after = (compiled("renamed.c", f"-DNAME={name}") for name in ("of_before", "of_later"))
    program = kymo.cwd / "program"
    shutil.copy(before, program)
    kymo.run("record", "-q", "-F", HZ, "-o", "u.kymo", "--", "sh", "-c", f"{program} 1.2 && cat {after} > {program} && {program} 2.5")
    seconds = {name: sum(ns for stack, ns in folded(kymo, kymo.cwd / "u.kymo") if name in stack) / 1e9 for name in ("of_before", "of_later")}
    print(seconds)
    # It is looked at when it is mapped anew, and a second after the last time at the latest.
    assert seconds["of_before"] >= 0.9 and seconds["of_later"] >= 1, seconds
    assert len(rows(kymo.cwd / "u.kymo", "SELECT id FROM binary WHERE path = ?", str(program))) == 2


def test_first_whole_stack_within_a_second(kymo, compiled):
    """Of a process that already runs, of a program never seen before: from the recording's start, preparing included."""
    spans = []
    for i in range(3):
        program = kymo.cwd / f"chain{i}"
        program.write_bytes(compiled("chain.c", *FLAGS).read_bytes() + b"%d" % i)
        program.chmod(0o755)
        with subprocess.Popen([program, "chain", "20"]) as p:
            kymo.run("record", "-q", "-F", HZ, "-d", 1, "-p", p.pid, "-o", "u.kymo")
            p.kill()
        path = kymo.cwd / "u.kymo"
        start = int(rows(path, "SELECT value FROM meta WHERE key = 'start.mono_ns'")[0]["value"])
        out = kymo.run("sql", "--csv", path, "SELECT min(time_ns) FROM sample WHERE stack_end = 'whole' AND source = 'cpu'")
        first = out.stdout.split()[1]
        spans.append((int(first) - start) / 1e9)
    print(spans)
    assert min(spans) < 1
