# SPDX-License-Identifier: Apache-2.0
"""300 modules that import one another: each with its name, its time as the interpreter itself measures it, and its memory."""

import json
import random
import re
import shutil
import subprocess
import time

import pytest
from interpreters import FETCHED, with_probes
from profile import quality
from test_probes import COLLECT, collections, events, start_recording, stop, wait_for

COUNT = 300
LARGE = 512 << 10
SLACK = 256 << 10  # of a module: its code, and what the interpreter asks for in larger pieces
TRIES = 6
PROBES_NS = 100000  # a module's two probes lie between the interpreter's clocks, and cost more on a busy host
PYTHONS = with_probes()
NAMES = sorted({"system 3.11", "debian 3.9", "debian 3.13", "debian 3.14"} | set(PYTHONS))
ALPHABETS = ("module", "модуль", "模块", "módulo", "𐌼odule")

MODULE = """
import mmap, time
end = time.perf_counter() + {seconds}
{imports}
kept = {bytes} and mmap.mmap(-1, {bytes})
for i in range(0, {bytes}, 4096): kept[i] = 1
while time.perf_counter() < end: pass
"""

MAIN = """
import json, mmap, os, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/modules")
def rss():
    with open("/proc/self/smaps_rollup") as f:
        return sum(int(line.split()[1]) << 10 for line in f if line.startswith("Rss:"))
rss()
before = rss()
for name in {first}: __import__(name)
after = rss()
print(json.dumps([before, after]))
"""


def name_of(i):
    return f"{ALPHABETS[i % len(ALPHABETS)]}_{i}"


def write_modules(folder):
    """Module i imports 3 i + 1, 3 i + 2 and 3 i + 3. name -> bytes that it keeps"""
    generator = random.Random(7)
    (folder / "modules").mkdir(parents=True)
    kept = {}
    for i in range(COUNT):
        name = name_of(i)
        kept[name] = LARGE * generator.randrange(1, 3) if i % 5 == 0 else 0
        imports = "\n".join(f"import {name_of(k)}" for k in range(3 * i + 1, 3 * i + 4) if k < COUNT)
        text = MODULE.format(seconds=generator.choice((0, 0.0005, 0.002, 0.004)), imports=imports, bytes=kept[name])
        (folder / "modules" / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "main.py").write_text(MAIN.format(first=[name_of(0)]), encoding="utf-8")
    return kept


def told_by_importtime(text):
    """[(name, cumulative ns)]"""
    return [(name, int(us) * 1000) for us, name in re.findall(r"^import time:\s+\d+ \|\s+(\d+) \| +(\S+)$", text, re.M)]


def own_bytes(found):
    """Of each import, what it took without those within it: they end before it does, one level deeper."""
    within, own = {}, {}
    for e in found:
        grown = e["rss_after_bytes"] - e["rss_before_bytes"]
        own[e["name"]] = grown - within.pop(e["depth"] + 1, 0)
        within[e["depth"]] = within.get(e["depth"], 0) + grown
    return own


def off(told, found):
    """What took more than a millisecond, and differs by more than a twentieth."""
    return [(name, ns, found[name]["duration_ns"]) for name, ns in told if ns > 1e6 and abs(ns - found[name]["duration_ns"]) > max(0.05 * ns, PROBES_NS)]


class Interpreter:
    """One that somebody maps already, so that its probes are attached before the program starts."""

    def __init__(self, kymo, name):
        self.kymo = kymo
        self.root = FETCHED / f"root-{name.split()[1]}" if name.startswith("debian") else None
        self.short = {"import": PYTHONS[name]("-S", "-c", "import keyword"), "gc": PYTHONS[name]("-S", "-c", "import gc; gc.collect()")}
        self.waiting = subprocess.Popen(PYTHONS[name]("-S", "-c", "import time; time.sleep(100)"))

    def run(self, path, source, command):
        """(what its probes told, stdout, stderr)"""
        kind = {"gc": 1, "import": 2}[source]
        recorder = start_recording(self.kymo, path, "-a", "-s", source)
        try:
            wait_for(lambda: self.is_seen(path, source, kind), recorder)
            p = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
            out, said = p.communicate(timeout=200)
        finally:
            stop(recorder)
        assert p.returncode == 0, said[-500:]
        return events(self.kymo.cwd / path, kind, p.pid), out, said

    def is_seen(self, path, source, kind):
        short = subprocess.Popen(self.short[source])
        short.wait()
        time.sleep(0.2)  # two ticks
        return bool(events(self.kymo.cwd / path, kind, short.pid))

    def close(self):
        self.waiting.kill()
        self.waiting.wait()


class Importing(Interpreter):
    """With its modules."""

    def __init__(self, kymo, name):
        self.folder = kymo.cwd / f"imports-{name.replace(' ', '-')}"
        self.kept = write_modules(self.folder)
        super().__init__(kymo, name)
        self.remove()
        self.command = PYTHONS[name]("-B", "-S", "-X", "utf8", "-X", "importtime", self.folder)
        self.command[-1] = f"{self.command[-1]}/main.py"
        if self.root:  # where it finds /proc
            mount = f"mount -t proc proc {self.root}/proc && exec \"$@\""
            self.command = ["unshare", "--mount", "sh", "-c", mount, "sh", *self.command]

    def imports(self, path):
        """(its imports, what -X importtime said, RSS before and after)"""
        found, out, said = self.run(path, "import", self.command)
        return found, told_by_importtime(said), json.loads(out)

    def remove(self):
        if self.root:
            shutil.rmtree(self.root / "tmp" / self.folder.name, ignore_errors=True)

    def close(self):
        super().close()
        self.remove()


@pytest.mark.parametrize("name", NAMES)
def test_300_modules(kymo, name):
    if name not in PYTHONS:
        pytest.skip(f"{name}: no such interpreter here (make pythons fetches it)")
    interpreter = Importing(kymo, name)
    try:
        for i in range(TRIES):
            listed, told, rss = interpreter.imports(f"{i}.kymo")
            found = {e["name"]: e for e in listed}
            assert not {n for n, _ in told} - set(found)
            assert set(interpreter.kept) <= set(found) and len(listed) == len(found)
            check_memory(listed, interpreter.kept, rss)
            assert not quality(kymo.cwd / f"{i}.kymo").get("bpf.probe_no_start")
            assert sum(ns > 1e6 for _, ns in told) > 150
            # in each run another one loses its CPU between the interpreter's clock and the probe
            wrong = [w for w in off(told, found) if i == 0 or w[0] in {before[0] for before in wrong}]
            if not wrong:
                break
    finally:
        interpreter.close()
    assert not wrong


def check_memory(listed, kept, rss):
    """What the first of them grew by is what the process did, and each has what it keeps."""
    first = next(e for e in listed if e["name"] == name_of(0))
    own, whole, grown = own_bytes(listed), first["rss_after_bytes"] - first["rss_before_bytes"], rss[1] - rss[0]
    assert first["depth"] == 0 and grown > sum(kept.values()) and abs(whole - grown) <= 0.01 * grown, (first, rss)
    end = first["time_ns"] + first["duration_ns"]
    assert sum(own[e["name"]] for e in listed if first["time_ns"] <= e["time_ns"] <= end) == whole
    # the first one is also the first to use much of the interpreter
    assert not {n: own[n] - kept[n] for n in list(kept)[1:] if abs(own[n] - kept[n]) > SLACK}


@pytest.mark.parametrize("name", NAMES)
def test_collections_of_each(kymo, name):
    if name not in PYTHONS:
        pytest.skip(f"{name}: no such interpreter here (make pythons fetches it)")
    script = kymo.cwd / "collect.py"
    script.write_text(COLLECT)
    interpreter = Interpreter(kymo, name)
    log = (interpreter.root or kymo.cwd) / "tmp" / "collections.json"
    log.parent.mkdir(exist_ok=True)
    try:
        told, _, _ = interpreter.run("c.kymo", "gc", PYTHONS[name]("-S", script, "0.3", "/tmp/collections.json" if interpreter.root else log))
        wanted = json.loads(log.read_text())
    finally:
        interpreter.close()
        log.unlink(missing_ok=True)
    assert len(wanted) > 50 and collections(told)[-len(wanted):] == wanted
    assert not quality(kymo.cwd / "c.kymo").get("bpf.probe_no_start")
