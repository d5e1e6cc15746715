# SPDX-License-Identifier: Apache-2.0
"""Events in ticks: storms of execs and exits, victims of the OOM killer."""

import json
import os
import pathlib
import signal
import sys
import time

import pytest
from profile import rows

OOM_KILL, EXEC_STORM, EXIT_STORM = 3, 4, 5
STORM = 400
RATE_MIN = 50  # a second
HOG_BYTES = 48 << 20

# Many at a time: a busy host gives each a share.
BURST = f"""
import os
for i in range({STORM} // 20):
    pids = [os.posix_spawn("/bin/true", ["true"], {{}}) for _ in range(20)]
    for pid in pids:
        os.waitpid(pid, 0)
"""

# Told from the name of the function on its stack.
HOG = """
import time
def grows_until_killed():
    kept = []
    while True:
        kept.append(b"x" * (1 << 20))
        time.sleep(0.001)
grows_until_killed()
"""


def events(path, kind):
    out = rows(path, "SELECT * FROM event WHERE kind = ? ORDER BY id", kind)
    return [{**e, "fields": json.loads(e["fields"])} for e in out]


def of_true(event):
    return sum(p["count"] for p in event["fields"]["programs"] if p["comm"] == "true")


def test_storm_of_execs_is_told_with_its_program_and_parent(kymo):
    # All in the first tick, which has no usual before it: how much the host itself begins does not matter.
    kymo.run("record", "-q", "-t", 60000, "-o", "s.kymo", "--", sys.executable, "-S", "-c", BURST)
    path = kymo.cwd / "s.kymo"
    tick, = rows(path, "SELECT * FROM tick")
    seconds = (tick["end_ns"] - tick["start_ns"]) / 1e9
    if STORM / seconds <= RATE_MIN:
        pytest.skip(f"this host took {seconds:.0f} s for {STORM} programs, which is no storm")
    for kind in (EXEC_STORM, EXIT_STORM):
        e, = events(path, kind)
        assert STORM <= of_true(e) <= e["fields"]["count"], e
        exes = {p["exe"] for p in e["fields"]["programs"] if p["comm"] == "true"}
        assert {os.path.realpath(x) for x in exes if x} <= {os.path.realpath("/bin/true")}
        assert any(p["comm"].startswith("python") and p["count"] >= STORM for p in e["fields"]["parents"]), e
        assert (e["time_ns"], e["time_ns"] + e["duration_ns"]) == (tick["start_ns"], tick["end_ns"])


def test_a_few_execs_are_no_storm(kymo):
    kymo.run("record", "-q", "-o", "c.kymo", "--", "/bin/sh", "-c", "for i in 1 2 3 4 5; do /bin/true; sleep 0.1; done")
    # The host is not ours alone: another's storm is one, to half of the least rate.
    for e in events(kymo.cwd / "c.kymo", EXEC_STORM) + events(kymo.cwd / "c.kymo", EXIT_STORM):
        assert e["fields"]["count"] > 25 * e["duration_ns"] / 1e9, e


class MemoryCgroup:
    """A cgroup with a limit, of the version that has the memory controller."""

    def __init__(self):
        name = f"kymo-oom-{os.getpid()}"
        v1, v2 = pathlib.Path("/sys/fs/cgroup/memory"), pathlib.Path("/sys/fs/cgroup")
        if (v1 / "memory.usage_in_bytes").exists():
            self.path, limit = v1 / name, "memory.limit_in_bytes"
        elif (v2 / "cgroup.controllers").exists() and "memory" in (v2 / "cgroup.controllers").read_text().split():
            (v2 / "cgroup.subtree_control").write_text("+memory")
            self.path, limit = v2 / name, "memory.max"
        else:
            pytest.skip("no memory controller of cgroups")
        self.path.mkdir()
        (self.path / limit).write_text(str(HOG_BYTES))

    def kills(self):
        for name in ("memory.oom_control", "memory.events"):
            if (self.path / name).exists():
                return int(dict(l.split() for l in (self.path / name).read_text().splitlines())["oom_kill"])

    def remove(self):
        for _ in range(100):
            try:
                return self.path.rmdir()
            except OSError:  # its last process is still being taken down
                time.sleep(0.02)


@pytest.fixture
def memory_cgroup():
    cgroup = MemoryCgroup()
    yield cgroup
    cgroup.remove()


def stack_of(path, leaf):
    """Function names, leaf first."""
    names = []
    while leaf:
        r = rows(path, "SELECT s.parent, f.name FROM stack s JOIN frame r ON r.id = s.frame "
                       "LEFT JOIN function f ON f.id = r.function WHERE s.id = ?", leaf)[0]
        names.append(r["name"])
        leaf = r["parent"]
    return names


def test_oom_kill_names_its_victim_and_the_stack_that_asked(kymo, memory_cgroup):
    enter = f'echo $$ > {memory_cgroup.path}/cgroup.procs; echo $$ > pid; exec "$@"'
    r = kymo.run("record", "-q", "-o", "o.kymo", "--", "/bin/sh", "-c", enter, "sh", sys.executable, "-S", "-c", HOG,
                 check=False)
    assert r.returncode == 128 + signal.SIGKILL, r.stderr
    assert memory_cgroup.kills() == 1
    path, pid = kymo.cwd / "o.kymo", int((kymo.cwd / "pid").read_text())
    found = [e for e in events(path, OOM_KILL) if e["fields"]["pid"] == pid]
    assert len(found) == 1, events(path, OOM_KILL)
    e, f = found[0], found[0]["fields"]
    assert f["comm"].startswith("python")
    assert os.path.realpath(f["exe"]) == os.path.realpath(sys.executable)
    assert f["scope"] == "cgroup" and f["cgroup"].endswith("/" + memory_cgroup.path.name)
    # The limit holds also what the kernel keeps for it: page tables, stacks.
    assert HOG_BYTES * 3 // 4 <= f["rss_anon_bytes"] <= HOG_BYTES
    assert f["swap_bytes"] == 0 and f["oom_score_adj"] == int(pathlib.Path("/proc/self/oom_score_adj").read_text())
    assert f["virtual_bytes"] > f["rss_anon_bytes"] + f["rss_file_bytes"]
    assert f["allocator"]["pid"] == pid
    names = stack_of(path, e["stack"])
    assert "out_of_memory" in names and any("grows_until_killed" in (n or "") for n in names), names
    thread = rows(path, "SELECT p.pid FROM thread t JOIN process p ON p.id = t.process WHERE t.id = ?", e["thread"])
    assert thread == [{"pid": pid}]
    tick = rows(path, "SELECT * FROM tick WHERE id = ?", e["tick"])[0]
    assert tick["start_ns"] <= e["time_ns"] <= tick["end_ns"]
    assert sum(t["oom_kills"] for t in rows(path, "SELECT oom_kills FROM tick")) >= 1
