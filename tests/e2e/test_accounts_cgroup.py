# SPDX-License-Identifier: Apache-2.0
"""Accounts against a cgroup's own: the sum over its processes is what the kernel counted for the group."""

import json
import os
import pathlib
import re

import pytest
from test_accounts import PYTHON, record_while, totals

ROOT = pathlib.Path("/sys/fs/cgroup")
BYTES = 4 << 20

# Joins the groups, then starts processes that are born in them, one of which writes and reads a disk, past the page cache.
LAUNCHER = """
import json, mmap, os, random, sys, threading, time
short, data, *groups = sys.argv[1:]
before = None
for g in groups:
    with open(g + "/cgroup.procs", "w") as f:
        before = time.process_time_ns()
        f.write("0")
pids = [os.getpid()]
generator = random.Random(7)
for i in range(60):
    pids.append(os.posix_spawn(short, [short, str(generator.randrange(1000, 50000)), str(generator.randrange(0, 4000000))], {}))
    os.waitpid(pids[-1], 0)
pid = os.fork()
if pid == 0:
    f = os.open(data, os.O_RDWR | os.O_DIRECT)
    memory = mmap.mmap(-1, 1 << 20)
    def write():
        for at in range(0, %d, 1 << 20):
            os.pwrite(f, memory, at)
    writer = threading.Thread(target=write)  # its bytes outlive it
    writer.start()
    writer.join()
    time.sleep(1.2)  # a tick ends
    for at in range(0, %d, 1 << 20):
        os.preadv(f, [memory], at)
    os._exit(0)
os.waitpid(pid, 0)
print(json.dumps([before, pids + [pid]]))
""" % (BYTES, BYTES)


def hierarchy(controller):
    """(folder, is it v2) of a controller."""
    for line in open("/proc/mounts"):
        _, path, kind, options, *_ = line.split()
        if kind == "cgroup" and controller in options.split(","):
            return pathlib.Path(path), False
        if kind == "cgroup2" and {"cpuacct": "cpu", "blkio": "io"}.get(controller, controller) in (
                pathlib.Path(path) / "cgroup.subtree_control").read_text().split():
            return pathlib.Path(path), True
    return None, False


def number(path, pattern):
    return sum(int(n) for n in re.findall(pattern, path.read_text(), re.M))


def limit_to_count(controller, folder, v2):
    """Version 1 counts bytes where there is a limit: one of a TiB/s, on the disk of /var/tmp."""
    if controller != "blkio" or v2:
        return
    device = os.stat("/var/tmp").st_dev
    for which in ("read", "write"):
        try:
            (folder / f"blkio.throttle.{which}_bps_device").write_text(f"{os.major(device)}:{os.minor(device)} {1 << 40}")
        except OSError as e:
            print(f"no bytes by blkio of {device:#x}: {e}")


@pytest.fixture
def groups():
    """controller -> (folder of a group of our own, is it v2), of those that there are."""
    made = {}
    for controller in ("cpuacct", "memory", "blkio"):
        base, v2 = hierarchy(controller)
        if base:
            folder = base / f"kymo-accounts-{os.getpid()}"
            folder.mkdir(exist_ok=True)
            made[controller] = (folder, v2)
            limit_to_count(controller, folder, v2)
    yield made
    for folder in {f for f, _ in made.values()}:
        folder.rmdir()


def counted(groups):
    """What the groups' files say."""
    found = {}
    if "cpuacct" in groups:
        folder, v2 = groups["cpuacct"]
        found["cpu_ns"] = number(folder / "cpu.stat", r"^usage_usec (\d+)") * 1000 if v2 else number(folder / "cpuacct.usage", r"(\d+)")
    if "memory" in groups:
        folder, _ = groups["memory"]
        found["faults"] = number(folder / "memory.stat", r"^pgfault (\d+)")
    if "blkio" in groups:
        folder, v2 = groups["blkio"]
        file = folder / ("io.stat" if v2 else "blkio.throttle.io_service_bytes")
        if file.exists():
            found["read_bytes"] = number(file, r"\brbytes=(\d+)" if v2 else r" Read (\d+)")
            found["write_bytes"] = number(file, r"\bwbytes=(\d+)" if v2 else r" Write (\d+)")
    return found


def test_accounts_of_a_cgroup(kymo, compiled, groups):
    if not groups:
        pytest.skip("no cgroup controller for CPU, memory or I/O is mounted")
    data = pathlib.Path(f"/var/tmp/kymo-accounts-{os.getpid()}")  # a real disk: /tmp may be memory
    data.write_bytes(os.urandom(BYTES))
    os.sync()
    script = kymo.cwd / "launcher.py"
    script.write_text(LAUNCHER)
    folders = sorted({str(f) for f, _ in groups.values()}, key=lambda f: "cpuacct" not in groups or f != str(groups["cpuacct"][0]), reverse=True)

    def work():
        import subprocess
        out = subprocess.run([PYTHON, "-S", script, compiled("short.c"), data, *folders], stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(out.stdout)

    try:
        path, (before, pids) = record_while(kymo, "g.kymo", work)
        group = counted(groups)
    finally:
        data.unlink()
    found = totals(path)
    ours = {k: sum(found[pid][k] for pid in pids) for k in ("cpu_ns", "minor_faults", "major_faults", "read_bytes", "write_bytes")}
    if "cpu_ns" in group:
        # the launcher had used something before it joined, and joining takes a moment
        assert abs(ours["cpu_ns"] - before - group["cpu_ns"]) <= 2_000_000, (ours, before, group)
    if "faults" in group:
        faults = ours["minor_faults"] + ours["major_faults"]
        # before it joined some, of a start of Python; those that execve makes while it copies arguments are the group's alone
        assert abs(faults - group["faults"]) <= 0.05 * faults + 1000, (ours, group)
    for k in ("read_bytes", "write_bytes"):
        if group.get(k):  # also not counted twice, with the parent that waited for its child
            assert group[k] >= BYTES and ours[k] == pytest.approx(group[k], rel=0.02), (ours, group)
