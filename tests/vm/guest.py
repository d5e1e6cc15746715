# SPDX-License-Identifier: Apache-2.0
"""Runs in the guest, on a kernel that is not the host's. Prints "ok NAME", "not ok NAME: why", "skip NAME: why", "# said".

The machine is emulated and slow: what happened is asserted and that it lies in ranges, never how long it took.
"""
import contextlib
import json
import mmap
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import time

KYMO = "/tests/kymo"
CGROUP = pathlib.Path("/sys/fs/cgroup")
DISK = "/dev/ram0"
PROFILE = "/tmp/r.kymo"
RELEASE = os.uname().release
BLOCK = 1 << 20
WRITTEN, READ, HELD, LIMIT = 8 * BLOCK, 4 * BLOCK, 24 * BLOCK, 24 * BLOCK
OOM_KILL, EXEC_STORM = 3, 4
OTHER_CPU = pathlib.Path("/sys/devices/system/cpu/cpu1/online")
KPROBES = pathlib.Path("/sys/kernel/debug/kprobes/enabled")
FENTRY = pathlib.Path("/proc/sys/kernel/ftrace_enabled")
LSM = pathlib.Path("/sys/kernel/security/lsm")

PYTHON_LOAD = """
import time
def python_works(end):
    n = 0
    while time.monotonic() < end:
        for i in range(20000):
            n += i * i
    return n
python_works(time.monotonic() + 120)
"""

HOG = """
def hog_grows():
    kept = []
    while True:
        kept.append(b"x" * (1 << 20))
hog_grows()
"""


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Failed(why)


def kymo(*args, check=True):
    r = subprocess.run([KYMO, *args], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    need(not check or r.returncode == 0, f"kymo {' '.join(args)}: exit {r.returncode}: {r.stderr.strip()[-300:]}")
    return r


def rows(sql, *args):
    with contextlib.closing(sqlite3.connect(f"file:{PROFILE}?mode=ro", uri=True)) as db:
        return db.execute(sql, args).fetchall()


# ---- what happens while it records ----

def child(work):
    """work() in a process of its own, in a cgroup before it begins."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def enter(cgroup):
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))


def moves_and_holds(cgroup, ready):
    """Direct writes and reads of whole blocks, and memory that stays."""
    enter(cgroup)
    if os.path.exists(DISK):
        buffer = mmap.mmap(-1, BLOCK)
        buffer.write(b"k" * BLOCK)
        fd = os.open(DISK, os.O_RDWR | os.O_DIRECT)
        for i in range(WRITTEN // BLOCK):
            os.pwrite(fd, buffer, i * BLOCK)
        for i in range(READ // BLOCK):
            os.preadv(fd, [buffer], i * BLOCK)
        os.close(fd)
    held = mmap.mmap(-1, HELD)
    held.write(b"x" * HELD)
    os.write(ready, b".")
    signal.pause()


def is_hog(cgroup):
    enter(cgroup)
    os.execv("/usr/bin/python3", ["python3", "-S", "-c", HOG])


def io_stat(cgroup):
    """(read, written) bytes over all devices"""
    text = (cgroup / "io.stat").read_text()
    return tuple(sum(int(n) for n in re.findall(rf"{word}=(\d+)", text)) for word in ("rbytes", "wbytes"))


def runs_late(cpu):
    """A program that begins on a CPU which is there no longer than a moment."""
    os.sched_setaffinity(0, {cpu})
    os.execv("/tests/busy", ["busy", "0.8"])


def await_profile(recorder):
    end = time.monotonic() + 90
    while time.monotonic() < end and recorder.poll() is None:
        if os.path.exists(PROFILE):
            try:
                # its first tick is there: all that comes is the recording's
                if rows("SELECT count(*) FROM tick")[0][0] > 0:
                    return
            except sqlite3.Error:
                pass
        time.sleep(0.1)
    raise Failed(f"kymo record did not begin: {recorder.stderr.read()[-300:] if recorder.stderr and recorder.poll() is not None else ''}")


class Recording:
    """All that the tests look at, in one recording: starting kymo is most of the time here."""

    def __init__(self):
        (CGROUP / "cgroup.subtree_control").write_text("+memory +io +cpu")
        self.cgroup, self.small = CGROUP / "moves", CGROUP / "small"
        for c in (self.cgroup, self.small):
            c.mkdir()
        (self.small / "memory.max").write_text(str(LIMIT))
        (self.small / "memory.oom.group").write_text("0")
        loads = []
        recorder = subprocess.Popen([KYMO, "record", "-q", "-a", "-o", PROFILE], stderr=subprocess.PIPE, text=True)
        try:
            await_profile(recorder)
            # From here on: the verifier needs all of the machine.
            loads.append(subprocess.Popen(["/tests/busy", "120"]))
            loads.append(subprocess.Popen(["/usr/bin/python3", "-S", "-c", PYTHON_LOAD]))
            self.happen()
            time.sleep(2)
        finally:
            for p in loads:
                p.kill()
                p.wait()
            recorder.send_signal(signal.SIGINT)
            _, self.said = recorder.communicate(timeout=60)
        need(recorder.returncode == 0, f"kymo record: exit {recorder.returncode}: {self.said[-300:]}")

    def happen(self):
        reader, writer = os.pipe()
        self.holder = child(lambda: moves_and_holds(self.cgroup, writer))
        os.read(reader, 1)
        short = os.posix_spawn("/tests/busy", ["busy", "0.3"], {})
        _, _, self.short_usage = os.wait4(short, 0)
        self.short = short
        self.hog = child(lambda: is_hog(self.small))
        self.hog_status = os.waitpid(self.hog, 0)[1]
        time.sleep(1.2)  # a tick in which nothing changes
        self.memory_current = int((self.cgroup / "memory.current").read_text())
        self.io = io_stat(self.cgroup)
        self.small_events = dict(l.split() for l in (self.small / "memory.events").read_text().splitlines())

    def end(self):
        os.kill(self.holder, signal.SIGKILL)
        os.waitpid(self.holder, 0)


# ---- the tests ----

def cgroup_labels(metric, label):
    return [v for v, in rows("SELECT l.value FROM health_label l JOIN metric m ON m.id = l.metric "
                             "WHERE m.name = ? AND m.labels = ? ORDER BY l.tick", metric, label)]


def test_stacks(r):
    # The end of it: the files of loads that have just begun are still being looked at, slowly here.
    out = json.loads(kymo("report", "--json", "--limit", "0", "--since", "-3s", PROFILE).stdout)
    shares = {f["function"]: f["total"]["weight"] / out["total"]["weight"] for f in out["functions"]}
    print("# on the stack:", ", ".join(f"{n} {shares.get(n, 0):.0%}" for n in ("inner", "middle", "python_works")))
    for name in ("inner", "python_works"):
        need(shares.get(name, 0) > 0.2, f"{name} has {shares.get(name, 0):.1%} of the samples")
    whole = {e["end"]: e["samples"] for e in json.loads(kymo("report", "--quality", "--json", "--since", "-3s", PROFILE).stdout)["stack_ends"]}
    share = whole.get("whole", 0) / (sum(whole.values()) - whole.get("no user stack", 0))
    print(f"# whole stacks: {share:.1%} of {sum(whole.values())}")
    wrong = rows("SELECT counter, sum(value) FROM quality WHERE counter NOT LIKE 'end.%' AND counter NOT LIKE 'kymo.%' GROUP BY 1")
    need(share > 0.9, f"whole stacks: {share:.1%}: {whole}; {dict(wrong)}")


def test_info(r):
    info = json.loads(kymo("info", "--json", PROFILE).stdout)
    need(info["recording"]["kernel"] == RELEASE and info["recording"]["ended"], f"{info['recording']}")
    need(info["samples"] > 100 and info["sources"] == "cpu,fault,io", f"{info['samples']} samples of {info['sources']}")
    lost = dict(rows("SELECT counter, sum(value) FROM quality WHERE counter IN ('bpf.ring_full', 'bpf.nested', "
                     "'sideband.lost', 'ring.malformed', 'ring.queue_dropped') GROUP BY 1"))
    need(not lost, f"lost: {lost}")


def test_accounts(r):
    usage = round((r.short_usage.ru_utime + r.short_usage.ru_stime) * 1e9)
    found = rows("SELECT sum(t.cpu_ns), sum(t.minor_faults) FROM process_tick t JOIN process p ON p.id = t.process "
                 "WHERE p.pid = ?", r.short)[0]
    need(found[0], "the short process has no account")
    need(abs(found[0] - usage) < 2_000_000 and found[0] >= usage - 2000, f"{found[0]} ns, wait4 says {usage}")
    need(found[1] >= r.short_usage.ru_minflt, f"{found[1]} faults, wait4 says {r.short_usage.ru_minflt}")


def test_sources(r):
    need(rows("SELECT value FROM meta WHERE key = 'sources'") == [("cpu,fault,io",)], "sources")
    faults = kymo("report", "--value", "fault", "--json", PROFILE).stdout
    total = json.loads(faults)["total"]["weight"]
    need(HELD / 2 < total, f"{total} bytes of faults, {HELD} were brought in")
    if not os.path.exists(DISK):
        raise Skipped("no disk in memory: the kernel's packages have no module brd")
    total = json.loads(kymo("report", "--value", "io", "--json", PROFILE).stdout)["total"]["weight"]
    need(0.9 * (WRITTEN + READ) < total < 1.5 * (WRITTEN + READ), f"{total} bytes, {WRITTEN + READ} were moved")


def test_cgroup_memory(r):
    current = cgroup_labels("linux.cgroup.memory.current", "cgroup=/moves")
    need(r.memory_current in current, f"memory.current was {r.memory_current}, ticks have {current}")
    kills = sum(cgroup_labels("linux.cgroup.memory.events", "cgroup=/small,event=oom_kill"))
    need(kills == int(r.small_events["oom_kill"]) == 1, f"oom_kill {kills}, the file says {r.small_events}")
    at_limit = sum(cgroup_labels("linux.cgroup.memory.events", "cgroup=/small,event=max"))
    need(at_limit == int(r.small_events["max"]) > 0, f"max {at_limit}, the file says {r.small_events}")


def test_cgroup_io(r):
    if not os.path.exists(DISK):
        raise Skipped("no disk in memory: the kernel's packages have no module brd")
    found = tuple(sum(cgroup_labels("linux.cgroup.io", f"cgroup=/moves,direction={d}")) for d in ("read", "write"))
    need(r.io == found == (READ, WRITTEN), f"ticks have {found}, io.stat says {r.io}, moved {(READ, WRITTEN)}")


def test_pressure(r):
    need(any(cgroup_labels("linux.cgroup.pressure.total", "cgroup=/small,resource=memory,stall=some")) or
         not (r.small / "memory.pressure").exists(), "no pressure of the cgroup at its limit")
    need(rows("SELECT sum(psi_cpu_some_ns) FROM tick")[0][0] > 0, "no CPU pressure with two busy processes")


def test_oom_kill(r):
    need(os.WIFSIGNALED(r.hog_status) and os.WTERMSIG(r.hog_status) == 9, f"the hog ended with {r.hog_status}")
    found = [(stack, json.loads(f)) for stack, f in rows("SELECT stack, fields FROM event WHERE kind = ?", OOM_KILL)]
    need(len(found) == 1, f"{len(found)} events")
    stack, f = found[0]
    need(f["pid"] == r.hog and f["comm"] == "python3" and f["scope"] == "cgroup" and f["cgroup"] == "/small", f"{f}")
    need(LIMIT / 2 < f["rss_anon_bytes"] <= LIMIT, f"{f}")
    names = []
    while stack:
        stack, name = rows("SELECT s.parent, f.name FROM stack s JOIN frame r ON r.id = s.frame "
                           "LEFT JOIN function f ON f.id = r.function WHERE s.id = ?", stack)[0]
        names.append(name or "?")
    need("hog_grows" in names, f"stack: {names}")



TESTS = [test_stacks, test_info, test_accounts, test_sources, test_cgroup_memory, test_cgroup_io, test_pressure, test_oom_kill]


def report(name, work):
    try:
        work()
        print(f"ok {name}")
    except Skipped as e:
        print(f"skip {name}: {e}")
    except Exception as e:
        text = " ".join(str(e).split())
        print(f"not ok {name}: {type(e).__name__ if not isinstance(e, Failed) else ''} {text[:900]}")


def cpu_comes():
    """A CPU that comes online while it records is sampled, and what its processes do is told."""
    OTHER_CPU.write_text("0")
    recorder = subprocess.Popen([KYMO, "record", "-q", "-a", "-s", "cpu", "-o", PROFILE])
    try:
        await_profile(recorder)
        OTHER_CPU.write_text("1")
        time.sleep(0.5)  # the CPUs are looked at ten times a second
        late = child(lambda: runs_late(1))
        _, _, usage = os.wait4(late, 0)
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait(60)
    need(OTHER_CPU.read_text().strip() == "1", "it is not online")
    out = kymo("sql", "--csv", PROFILE, "SELECT sum(weight), count(*), sum(stack_end = 'whole') FROM sample_named "
               f"WHERE source = 'cpu' AND pid = {late}").stdout.splitlines()[1]
    seen, samples, whole = (int(float(n or 0)) for n in out.split(","))
    used = usage.ru_utime + usage.ru_stime
    print(f"# on the CPU that came: {seen / 1e9:.2f} of {used:.2f} s of CPU seen in {samples} samples, {whole} whole")
    # This guest's clock is the host's: emulated, it misses many of its timer's interrupts.
    need(0.1 * used < seen / 1e9 < 1.5 * used and samples > 5, f"{seen} ns of {used} s")
    # The rest comes before the rules of its files: this guest has a file's ready when the first half is over, or later.
    need(whole > 0, f"{whole} of {samples} whole")


def refused():
    r = kymo("record", "-q", "-o", PROFILE, "--", "/bin/true", check=False)
    need(r.returncode != 0 and f"Linux {RELEASE} is too old: kymo needs Linux 6.1 or later" in r.stderr,
         f"exit {r.returncode}: {r.stderr}")
    need(not os.path.exists(PROFILE), "a profile was left")
    print(f"# {r.stderr.strip()}")


def refused_locked():
    r = kymo("record", "-q", "-o", PROFILE, "--", "/bin/true", check=False)
    need(r.returncode != 0 and "locked down to confidentiality" in r.stderr, f"exit {r.returncode}: {r.stderr}")
    need(not os.path.exists(PROFILE), "a profile was left")
    print(f"# {r.stderr.strip()}")


def facilities():
    """Of those that kymo does without."""
    return {"kprobes": KPROBES.exists() and KPROBES.read_text().strip() == "1",
            "fentry": FENTRY.exists() and FENTRY.read_text().strip() == "1",
            "BPF LSM": LSM.exists() and "bpf" in LSM.read_text().split(",")}


def bare():
    """As on a host that has none of them: kprobes and ftrace switched off, lockdown, no BPF among the security modules."""
    for switch in (KPROBES, FENTRY):
        if switch.exists():
            switch.write_text("0")
    need(not any(facilities().values()), f"{facilities()}")
    lockdown = pathlib.Path("/sys/kernel/security/lockdown")
    lockdown.write_text("integrity")  # last: it forbids the switches
    need("[integrity]" in lockdown.read_text(), lockdown.read_text())


def present():
    missing = [name for name, there in facilities().items() if not there]
    if missing:
        raise Skipped(f"this kernel has no {', no '.join(missing)}")


def programs():
    r = subprocess.run(["/tests/tests/vm/programs", "/tests/bpf/kymo.bpf.o"], text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
    for line in r.stdout.splitlines():
        print("#", line)
    for line in r.stderr.splitlines() if r.returncode else ():
        print("# ", line)
    need(r.returncode == 0, f"exit {r.returncode}")


def fields():
    r = subprocess.run(["/tests/tests/bpf/test_fields"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    need(r.returncode == 0, " | ".join(l for l in r.stdout.splitlines() if "OK" not in l and "RUN" not in l))


def main():
    print(f"# kernel {RELEASE}")
    if tuple(int(n) for n in RELEASE.split(".")[:2]) < (6, 1):
        report("refused", refused)
        return
    if "kymo.locked" in sys.argv[1]:
        report("refused", refused_locked)
        return
    if "kymo.cpus" in sys.argv[1]:
        report("a CPU comes online", cpu_comes)
        return
    if "kymo.bare" in sys.argv[1]:
        report("without kprobes, fentry, LSM", bare)
    else:
        report("with kprobes, fentry, LSM", present)
    # Of two, the older one is the stricter one.
    if "kymo.short" not in sys.argv[1] or RELEASE.startswith("6.1."):
        report("programs", programs)
    report("fields", fields)
    try:
        recording = Recording()
    except Exception as e:
        report("recording", lambda: (_ for _ in ()).throw(e))
        return
    report("recording", lambda: None)
    for test in TESTS:
        report(test.__name__.removeprefix("test_"), lambda: test(recording))
    recording.end()


main()
