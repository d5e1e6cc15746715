# SPDX-License-Identifier: Apache-2.0
"""record --cgroup: the processes of one cgroup and of those below it, version 1 or 2."""

import os
import pathlib
import subprocess
import time

import profile
import pytest

SPIN = """
import os, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as f:
    f.write(str(os.getpid()))
print("in", flush=True)
sys.stdin.readline()
import time
end = time.process_time() + 0.5
while time.process_time() < end:
    sum(range(1000))
data = bytearray(32 << 20)
fd = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT, 0o600)
os.write(fd, data[: 4 << 20])
os.fsync(fd)
"""


def hierarchies():
    out = {}
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2":
            out["v2"] = pathlib.Path(folder)
        elif kind == "cgroup" and "memory" in options.split(","):
            out["v1 memory"] = pathlib.Path(folder)
        elif kind == "cgroup" and "blkio" in options.split(","):
            out["v1 blkio"] = pathlib.Path(folder)
    return out


@pytest.fixture(params=["v2", "v1 memory", "v1 blkio"])
def group(request):
    """(a new cgroup, one below it, one beside it)"""
    mount = hierarchies().get(request.param)
    if not mount:
        pytest.skip(f"this host has no cgroups {request.param}")
    parent = mount / f"kymo-test-{os.getpid()}"
    made = [parent, parent / "asked", parent / "asked" / "below", parent / "asked-not"]
    try:
        for p in made:
            p.mkdir()
    except OSError as e:
        pytest.skip(f"cgroups cannot be made here: {e}")
    yield made[1:]
    for p in reversed(made):
        for _ in range(100):
            try:
                p.rmdir()
                break
            except OSError:
                time.sleep(0.05)


@pytest.mark.parametrize("named", ["folder", "below its root"])
def test_only_the_cgroup(kymo, group, named):
    if named != "folder" and "/unified/" not in f"{group[0]}/":
        pytest.skip("once is enough: the hierarchy of version 2 is taken first")
    spin = [subprocess.Popen(["/usr/bin/python3", "-c", SPIN, g, kymo.cwd / f"out{i}"], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for i, g in enumerate(group)]
    for p in spin:
        assert p.stdout.readline() == "in\n"
    path = str(group[0]) if named == "folder" else "/".join(group[0].parts[-2:])
    recorder = kymo.start("record", "-q", "-F", "199", "-o", "c.kymo", "--cgroup", path)
    give_up = time.monotonic() + 60
    while not profile.has_tick(kymo.cwd / "c.kymo"):
        assert recorder.poll() is None and time.monotonic() < give_up, recorder.stderr.read()
        time.sleep(0.1)
    used = {}
    for p in spin:
        p.stdin.write("\n")
        p.stdin.flush()
    for p in spin:
        _, _, usage = os.wait4(p.pid, 0)
        p.returncode = 0
        used[p.pid] = usage.ru_utime + usage.ru_stime
    time.sleep(0.2)
    recorder.terminate()
    recorder.wait()
    c = kymo.cwd / "c.kymo"
    asked = {spin[0].pid, spin[1].pid}
    for source in ("cpu", "fault", "io"):
        frames = [f for f, _ in profile.folded(kymo, c, "--value", source)]
        assert frames or source == "io", source  # a tmpfs submits no blocks
    sampled = {r["pid"] for r in profile.rows(c, "SELECT pid FROM thread JOIN process ON process.id = thread.process")}
    assert sampled == asked
    accounts = {r["pid"]: r["cpu_ns"] / 1e9 for r in profile.rows(
        c, "SELECT pid, sum(cpu_ns) AS cpu_ns FROM process_tick JOIN process ON process.id = process GROUP BY pid")}
    assert set(accounts) == asked
    for pid in asked:
        # what it used before the recording is not in it: the start of a Python, and the wait
        assert 0.45 < accounts[pid] <= used[pid] + 0.01
    ended = profile.rows(c, "SELECT count(DISTINCT process) AS n FROM process_tick WHERE ended")
    assert ended[0]["n"] == 2


@pytest.mark.parametrize("path", ["no/such/cgroup", "/sys/fs/cgroup/no-such", "/etc", "/etc/passwd"])
def test_no_such_cgroup(kymo, path):
    r = kymo.run("record", "-d", "1", "--cgroup", path, check=False)
    assert r.returncode == 1 and r.stderr.count("\n") == 1 and path in r.stderr, r.stderr
    assert list(kymo.cwd.iterdir()) == []
