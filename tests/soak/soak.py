#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""A host that churns, recorded for as long as one likes: soak.py BUILD SECONDS. Exit code 1 when something grew that must not.

Processes come and go by the dozen a second, of programs and Python code that nobody has seen before; threads, cgroups and files, too.
Once a second the recorder's memory, descriptors and maps are looked at. Later is held against earlier, behind a time to warm up.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
import measure  # noqa: E402

PYTHON = "/usr/bin/python3"
PROGRAMS = ROOT / "tests/fixtures/programs"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
KEEP = 3
LONGEST_TICK_S = 5
LOST = ("bpf.ring_full", "bpf.nested", "sideband.lost", "ring.malformed", "ring.queue_dropped", "writer.ticks_without_samples")
# What a host that gives us no CPU may make us lose.
STARVED = ("bpf.ring_full", "sideband.lost")
# (share, slack) that later may have more than earlier. A short time is all warming up, and others'
# programs come to be known meanwhile: only what leaks with every process and file shows there.
LONG = {"memory": (0.1, 3 << 20), "descriptors": (0, 12), "maps": (0, 2), "map bytes": (0.1, 2 << 20), "folder": (0.3, 4 << 20)}
SHORT = {"memory": (0, 64 << 20), "descriptors": (0, 150), "maps": (0, 40), "map bytes": (0, 64 << 20), "folder": (0, 16 << 20)}
LONG_SECONDS = 120
LOOKS, PATIENCE_SECONDS = 6, 60

# Starts processes until it is ended: the loads of a churning host, each of which ends by itself.
CHURN = r"""
import os, random, shutil, subprocess, sys, time
short, maps, folder, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
python, chance, end = sys.executable, random.Random(3), time.monotonic() + seconds
THREADS = "import threading, time\nfor i in range(20):\n t = threading.Thread(target=lambda: sum(range(20000)), name=f'worker {i}')\n t.start(); t.join()\n"
CODE = "def new_%d(n):\n x = 0\n for i in range(n): x += i\n return x\nimport gc\nnew_%d(200000); gc.collect()\n"
def of(i):
    if i % 4 == 0:
        return [python, "-S", "-c", CODE % (i, i)]
    if i % 20 == 1:
        return [python, "-S", "-c", THREADS]
    return [short, str(chance.randrange(2000, 30000)), str(chance.randrange(0, 1 << 20))]
i, running = 0, []
while time.monotonic() < end:
    argv, fresh = of(i), None
    if i % 10 == 3:
        fresh = argv[0] = f"{folder}/new{i}"
        shutil.copy(short, fresh)
        with open(fresh, "ab") as f:
            f.write(b"%d" % i)
    if i % 50 == 7:
        libraries = f"{folder}/libraries{i}"
        os.mkdir(libraries)
        for n in range(5):
            shutil.copy(short, f"{libraries}/l{n}")
            with open(f"{libraries}/l{n}", "ab") as f:
                f.write(b"%d %d" % (i, n))
        subprocess.run([maps, libraries], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        shutil.rmtree(libraries)
    subprocess.run(argv)
    if fresh:
        os.unlink(fresh)
    if i % 30 == 9:
        group = f"/sys/fs/cgroup/kymo-soak-{os.getpid()}-{i}"
        try:
            os.mkdir(group)
            p = subprocess.Popen([short, "20000"])
            with open(f"{group}/cgroup.procs", "w") as f:
                f.write(str(p.pid))
            p.wait()
            os.rmdir(group)
        except OSError:
            pass
    i += 1
    time.sleep(0.02)
print(i)
"""


class Watched:
    """What the recorder holds at one moment."""

    def __init__(self, pid, folder):
        pids = measure.children(pid)
        self.time = time.monotonic()
        self.memory = measure.memory_bytes(pids)
        self.descriptors = sum(len(os.listdir(f"/proc/{p}/fd")) for p in pids)
        self.maps, self.map_bytes = bpf_maps(pid)
        self.folder_bytes = sum(f.stat().st_blocks * 512 for f in folder.iterdir())


def bpf_maps(pid):
    """(how many, bytes of the kernel's memory) that the process holds."""
    sizes = {}
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
            fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
            if "map_id" in fields:
                sizes[int(fields["map_id"])] = int(fields.get("memlock", 0))
    return len(sizes), sum(sizes.values())


class Profiles:
    """The segments while they come: the oldest are deleted by the recorder before the end."""

    def __init__(self, folder):
        self.folder = folder
        self.ticks = {}  # start_ns -> (end_ns, bytes of its samples)
        self.lost = {}

    def read(self):
        for path in sorted(self.folder.glob("*.kymo")):
            with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                self.read_one(path, db)

    def read_one(self, path, db):
        for start, end in db.execute("SELECT start_ns, end_ns FROM tick"):
            self.ticks[start] = end
        marks = ", ".join("?" * len(LOST))
        self.lost[path.name] = dict(db.execute(f"SELECT counter, sum(value) FROM quality WHERE counter IN ({marks}) GROUP BY 1", LOST))

    def gaps(self):
        """Pairs of ticks that do not meet, and those that are too long."""
        order = sorted(self.ticks.items())
        return ([(a, b) for a, b in zip(order, order[1:]) if a[1] != b[0]],
                [t for t in order if t[1] - t[0] > LONGEST_TICK_S * 1e9])


def flat(name, values, limits):
    """A problem when the last third has more than the first by what its limits allow."""
    third, (share, slack) = max(1, len(values) // 3), limits[name]
    early, late = statistics.median(values[:third]), statistics.median(values[-third:])
    print(f"{name:24} early {early:12,.0f}  late {late:12,.0f}  most {max(values):12,.0f}")
    return [f"{name} grew from {early:,.0f} to {late:,.0f}"] if late > early * (1 + share) + slack else []


def judge(seen, profiles, long):
    limits = LONG if long else SHORT
    problems = flat("memory", [w.memory for w in seen], limits)
    problems += flat("descriptors", [w.descriptors for w in seen], limits)
    problems += flat("maps", [w.maps for w in seen], limits)
    problems += flat("map bytes", [w.map_bytes for w in seen], limits)
    problems += flat("folder", [w.folder_bytes for w in seen], limits)
    apart, slow = profiles.gaps()
    print(f"{len(profiles.ticks)} ticks, {len(apart)} gaps, {len(slow)} of more than {LONGEST_TICK_S} s")
    problems += [f"a gap between {a} and {b}" for a, b in apart[:3]]
    if long:
        problems += [f"a tick of {(b - a) / 1e9:.1f} s" for a, b in slow[:3]]
    lost = {k: sum(l.get(k, 0) for l in profiles.lost.values()) for k in LOST}
    print("lost: " + (", ".join(f"{k} {v}" for k, v in lost.items() if v) or "nothing"))
    if any(n for k, n in lost.items() if long or k not in STARVED):
        problems.append(f"lost: {lost}")
    return problems


def build_loads(folder):
    for name in ("short", "maps"):
        subprocess.run(["gcc", "-O2", "-o", folder / name, PROGRAMS / f"{name}.c", "-lpthread"], check=True)


def watch(recorder, churn, out, profiles, warm, seconds):
    """What was seen behind the warming up, once a second; on a host without CPU for us for as long as it takes to see enough."""
    seen, start = [], time.monotonic()
    warm_end, end, last = start + warm, start + seconds, start + seconds + PATIENCE_SECONDS
    while time.monotonic() < (end if len(seen) >= LOOKS else last) and recorder.poll() is None and churn.poll() is None:
        time.sleep(1)
        profiles.read()
        if time.monotonic() > warm_end:
            with contextlib.suppress(FileNotFoundError):
                seen.append(Watched(recorder.pid, out))
    return seen


def soak(kymo, seconds, folder):
    """Problems: texts."""
    rotate = max(4, seconds // 15)
    long = seconds >= LONG_SECONDS
    warm = seconds * 0.4 if long else 2 * rotate
    out = folder / "out"
    build_loads(folder)
    (folder / "new").mkdir()
    profiles = Profiles(out)
    recorder = subprocess.Popen([kymo, "record", "-q", "-a", "-s", "cpu,fault,io,gc,import", "--rotate", f"{rotate}s", "--keep", str(KEEP), "-o", out])
    churn = subprocess.Popen([PYTHON, "-c", CHURN, folder / "short", folder / "maps", folder / "new", str(seconds + PATIENCE_SECONDS + 30)], stdout=subprocess.PIPE, text=True)
    try:
        seen = watch(recorder, churn, out, profiles, warm, seconds)
        alive = recorder.poll() is None
    finally:
        churn.terminate()
        churn.communicate()
        if recorder.poll() is None:
            recorder.send_signal(signal.SIGINT)
        code = recorder.wait(120)
    profiles.read()
    problems = [] if alive and code == 0 else [f"the recorder ended with {code}"]
    if len(seen) < LOOKS:
        return [*problems, f"only {len(seen)} looks at it"]
    return problems + judge(seen, profiles, long)


def main():
    build, seconds = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="kymo-soak-") as folder:
        problems = soak(build / "kymo", seconds, pathlib.Path(folder))
    for p in problems:
        print(f"FAILED {p}")
    print(f"soak: {seconds} s, {'failed' if problems else 'passed'}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
