# SPDX-License-Identifier: Apache-2.0
"""Bytes are charged to the function that brought them in, not to the one that ran when somebody looked."""

import os
import re
import subprocess

import pytest
from profile import folded, rows

SECONDS = 4
FILE_BYTES = 32 << 20

# Reads a file that the page cache does not have, and computes: each for about half of the time.
READ_AND_COMPUTE = """
import os, sys, time

def only_reads(path):
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    n = 0
    while data := os.read(fd, 1 << 18):
        n += len(data)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    return n

def only_computes(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(i * i for i in range(1000))

def main():
    total, end = 0, time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        start = time.monotonic()
        total += only_reads(sys.argv[1])
        only_computes(time.monotonic() - start)
    print(total)

main()
"""


def charged(stacks, *names):
    """(bytes with one of the functions on their stack, all bytes)"""
    def is_in(stack):
        return any(re.match(rf"(\S*\.)?{n}\b", frame) for n in names for frame in stack)
    return sum(b for s, b in stacks if is_in(s)), sum(b for _, b in stacks)


@pytest.fixture
def disk_file():
    """On a real disk: /tmp may be memory."""
    path = f"/var/tmp/kymo-causes-{os.getpid()}"
    with open(path, "wb") as f:
        f.write(os.urandom(FILE_BYTES))
        os.fsync(f.fileno())
    yield path
    os.unlink(path)


def test_disk_reads_belong_to_who_reads(kymo, disk_file):
    script = kymo.cwd / "alternate.py"
    script.write_text(READ_AND_COMPUTE)
    # known before, and run without a wrapper: its first samples are faults of ld.so, before libpython is mapped
    python = subprocess.run(["python3", "-c", "import sys; print(sys.executable)"], capture_output=True, text=True).stdout.strip()
    running = subprocess.Popen([python, "-c", "import time; time.sleep(30)"])
    try:
        read = int(kymo.run("record", "-q", "-o", "r.kymo", "--", python, script, disk_file, SECONDS).stdout)
    finally:
        running.kill()
        running.wait()
    assert read >= 4 * FILE_BYTES
    mine, total = charged(folded(kymo, "r.kymo", "--value", "io"), "only_reads")
    assert mine >= 0.95 * total, (mine, total)
    # what was dropped from the cache had to be read again; the reading ahead may read a little twice
    assert 0.95 * read <= mine <= 1.1 * read, (mine, read)
    computing, _ = charged(folded(kymo, "r.kymo", "--value", "io"), "only_computes")
    assert computing <= 0.01 * total
    report = kymo.run("report", "--value", "io", "r.kymo").stdout
    assert re.search(r"^[\d,]+ samples = .* of disk traffic; ", report, re.M) and re.search(r"^\S+ [KMG]iB read, ", report, re.M), report
    # the first line of the functions is the answer
    assert re.search(r"^ *self +total.*\n.* python +only_reads\b", report, re.M), report
    # while the clock sees both
    cpu = folded(kymo, "r.kymo")
    computing, total = charged(cpu, "only_computes")
    assert computing >= 0.2 * total


def test_growth_belongs_to_who_grows(kymo, compiled):
    program = compiled("causes.c", "-fno-omit-frame-pointer")
    grown = int(kymo.run("record", "-q", "-o", "g.kymo", "--", program, SECONDS).stdout)
    stacks = folded(kymo, "g.kymo", "--value", "fault", "--comm", program.name[:15])
    mine, total = charged(stacks, "grow_memory")
    assert mine >= 0.95 * total, (mine, total)
    report = kymo.run("report", "--value", "fault", "--comm", program.name[:15], "g.kymo").stdout
    assert re.search(r"^ *self +total.*\n.* native +grow_memory\b", report, re.M), report
    n = int(re.search(r"^([\d,]+) samples of one fault in \d+ = .* of memory faulted in", report, re.M)[1].replace(",", ""))
    # samples of larger weights, where a storm was thinned, make it up to twice as much
    assert abs(mine - grown) <= 4 * 2 * grown / n**0.5, (mine, grown, n)
    # where CPUs are few for many, who sleeps between its pages comes first
    spinning, total = charged(folded(kymo, "g.kymo"), "spin_around")
    assert spinning >= 0.5 * total


def test_values_do_not_mix(kymo, disk_file):
    """Each value's export adds up to its own samples alone; the clock's count is not made larger by the others."""
    script = kymo.cwd / "alternate.py"
    script.write_text(READ_AND_COMPUTE)
    for sources in ("cpu", "cpu,fault,io", "io"):
        path = f"{sources}.kymo"
        kymo.run("record", "-q", "-s", sources, "-o", path, "--", "python3", script, disk_file, 1)
        assert rows(kymo.cwd / path, "SELECT value FROM meta WHERE key = 'sources'") == [{"value": sources}]
        for value in ("cpu", "fault", "io"):
            recorded = value in sources.split(",")
            r = kymo.run("export", "--format", "folded", "--value", value, path, check=recorded)
            assert bool(r.stdout) == recorded, (sources, value)
            assert ("was not recorded" in r.stderr) != recorded, r.stderr
    report = kymo.run("report", "cpu,fault,io.kymo").stdout
    assert report == kymo.run("report", "--value", "cpu", "cpu,fault,io.kymo").stdout
    n, unit = re.search(r"^([\d,]+) samples at 99 Hz = ([\d.]+ m?s) \+- \S+ \S+ of CPU time", report, re.M).groups()
    seconds = float(unit.split()[0]) / (1000 if unit.endswith("ms") else 1)
    assert int(n.replace(",", "")) == pytest.approx(99 * seconds, rel=0.02)
    kymo.run("ticks", "cpu,fault,io.kymo")


@pytest.mark.no_root
@pytest.mark.parametrize("args", [("record", "--sources", "cpu,disk"), ("record", "--sources", ","),
                                  ("report", "--value", "wall"), ("export", "-f", "folded", "--value", "")])
def test_unknown_sources_are_refused(kymo, args):
    r = kymo.run(*args, check=False)
    assert r.returncode == 1 and r.stdout == "" and r.stderr.count("\n") == 1, r.stderr
