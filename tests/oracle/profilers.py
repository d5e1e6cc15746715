# SPDX-License-Identifier: Apache-2.0
"""The profilers that are judged, all in one form: started on processes, stopped, asked for their stacks.

pids None: the whole host, for those that can. What counts as whole: kymo says it of each stack, by rule. Of the others a
stack is whole when its outermost frame is an end by its name (ENDS; of Python alone: PYTHON_ENDS), or lies at the entry
point of its program: more than their own rules would grant.
"""
import csv
import io
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import bcc_headers  # noqa: E402
import registry  # noqa: E402

ENDS = {"_start", "_dl_start", "clone", "__clone", "__GI___clone", "clone3", "__clone3", "__GI___clone3", "thread_start",
        "__start_context", "runtime.goexit", "runtime.goexit.abi0", "runtime.mstart", "runtime.mstart.abi0",
        "runtime.rt0_go", "runtime.rt0_go.abi0", "_rt0_amd64_linux", "ret_from_fork_asm", "make_fcontext"}
PYTHON_ENDS = {"<module>", "_bootstrap", "_bootstrap_inner", "Thread._bootstrap"}
NO_STACK = {"no user stack", "inside execve"}
ENTRY_BYTES = 64
SCRIPT_SECONDS = 60
BEGIN_SECONDS = 90
STOP_SECONDS = 60
HOUR = 3600
READ_ATTEMPTS = 10


def entry_offset(path):
    """Of an ELF file's first instruction, in the file; None: it has none."""
    try:
        with open(path, "rb") as f:
            head = f.read(64)
            entry, at = struct.unpack_from("<QQ", head, 24)
            size, n = struct.unpack_from("<HH", head, 54)
            f.seek(at)
            table = f.read(size * n)
    except (OSError, struct.error):
        return None
    for i in range(n if head[:4] == b"\x7fELF" else 0):
        kind, _, offset, vaddr, _, length = struct.unpack_from("<IIQQQQ", table, i * size)
        if kind == 1 and vaddr <= entry < vaddr + length:
            return entry - vaddr + offset
    return None


def heed_interrupts():
    """By which they are stopped: whoever is begun in the background by a shell ignores them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Profiler:
    """One of them, running. `hz`: what is asked for; `beside_hz`: at most, where several run at once."""
    name = "?"
    beside_hz = 199
    python_only = False
    ends_with = ()  # codes of its own that say no more than that it was interrupted
    events = True  # it opens perf events: they are there when it has begun

    def __init__(self, pids, folder, hz, binary):
        self.pids, self.hz, self.binary = None if pids is None else list(pids), hz, binary
        slug = re.sub(r"[^\w]+", "-", self.name)
        self.out, self.drawn, self.log = f"{folder}/{slug}.out", f"{folder}/{slug}.drawn", f"{folder}/{slug}.log"
        for old in (self.out, self.drawn):
            pathlib.Path(old).unlink(missing_ok=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(list(map(str, self.command())), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment(), preexec_fn=heed_interrupts)

    def command(self):
        raise NotImplementedError

    def environment(self):
        return None

    def failed(self, what):
        lines = pathlib.Path(self.log).read_text(errors="replace").strip().splitlines()
        return RuntimeError(f"{what}: {lines[-1][:120] if lines else 'says nothing'}")

    def attached(self):
        """Whether it records, as far as can be seen from outside."""
        if not self.events:
            return True
        try:
            links = (os.readlink(fd.path) for fd in os.scandir(f"/proc/{self.process.pid}/fd"))
            return any("[perf_event]" in link for link in links)
        except OSError:
            return False

    def begun(self):
        """Waits until it records: on a busy host that takes seconds."""
        end = time.monotonic() + BEGIN_SECONDS
        while not self.attached():
            if self.process.poll() is not None:
                raise self.failed(f"exit {self.process.returncode}")
            if time.monotonic() > end:
                raise TimeoutError(f"{self.name} does not begin")
            time.sleep(0.05)

    def look(self, pids):
        """At the programs while they run; most need nothing of them."""

    def stop(self):
        """Ends the recording and waits for what it then writes."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.end()
            raise RuntimeError(f"is not done {STOP_SECONDS} s after its end") from None
        if code not in (0, -signal.SIGINT, 128 + signal.SIGINT, *self.ends_with):
            raise self.failed(f"exit {code}")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def draw(self):
        """From what was recorded to folded stacks, the input of whoever draws flame graphs, if they are not there yet."""

    def recorded_bytes(self):
        return os.path.getsize(self.out)

    def labelled(self):
        """[(name of the thread, or None; frames from the outermost on; count)]"""
        raise NotImplementedError

    def stacks(self):
        """[(frames, weight)], and what one sample weighs."""
        return [(frames, n) for _, frames, n in self.labelled()], 1

    def samples(self):
        stacks, period = self.stacks()
        return round(sum(n for _, n in stacks) / period)

    def is_whole(self, frames):
        return bool(frames) and frames[0].split("+0x")[0] in ENDS

    def whole(self, comms=None):
        """(whole, all, the causes of others), of threads of these names."""
        whole = total = 0
        for comm, frames, n in self.labelled():
            if frames and (comm is None or not comms or comm in comms):
                total += n
                whole += n if self.is_whole(frames) else 0
        return whole, total, {}


class Kymo(Profiler):
    """ends: {load's number: {how a stack ended: samples}}, of the pids given and of those below them."""
    name = "kymo"
    beside_hz = 999
    tick_ms = 200  # begun() waits for one
    sources = "cpu"

    def command(self):
        whom = ["-p", ",".join(map(str, self.pids))] if self.pids else []
        return [self.binary, "record", "-q", "-s", self.sources, "-F", self.hz, "-t", self.tick_ms, "-o", self.out, *whom]

    def attached(self):
        try:
            db = sqlite3.connect(f"file:{self.out}?mode=ro", uri=True)
            try:
                return db.execute("SELECT count(*) FROM tick").fetchone()[0] > 0
            finally:
                db.close()
        except sqlite3.Error:
            return False  # its tables are being made

    def query(self, sql):
        for _ in range(READ_ATTEMPTS):
            r = subprocess.run([self.binary, "sql", "--csv", self.out, sql], capture_output=True, text=True, check=False)
            if r.returncode == 0:
                return list(csv.reader(io.StringIO(r.stdout)))[1:]
            time.sleep(0.3)  # a profile that is being written may refuse for a moment
        raise RuntimeError(f"kymo sql: {r.stderr}")

    def ends(self):
        """{pid given: {end: samples}}; those without a user stack left out."""
        parents = {int(p): int(q) for p, q in self.query("SELECT DISTINCT pid, parent_pid FROM process")}
        found = {pid: {} for pid in self.pids or [0]}
        for pid, end, n in self.query("SELECT p.pid, s.stack_end, count(*) FROM sample s JOIN thread t ON t.id = s.thread "
                                      "JOIN process p ON p.id = t.process GROUP BY 1, 2"):
            pid = int(pid) if self.pids else 0
            seen = set()  # a number that was used again may make a parent of its own child
            while pid not in found and pid in parents and pid not in seen:
                seen.add(pid)
                pid = parents[pid]
            if pid in found and end not in NO_STACK:
                found[pid][end] = found[pid].get(end, 0) + int(n)
        return found

    def whole(self, comms=None):
        ends = {}
        for of_pid in ([self.ends_of(comms)] if comms else self.ends().values()):
            for end, n in of_pid.items():
                ends[end] = ends.get(end, 0) + n
        total, whole = sum(ends.values()), ends.pop("whole", 0)
        return whole, total, ends

    def ends_of(self, comms):
        """{end: samples} of the clock, of threads of these names."""
        quoted = ", ".join("'" + c.replace("'", "''") + "'" for c in comms)
        return {end: int(n) for end, n in self.query(
            "SELECT s.stack_end, count(*) FROM sample s JOIN thread t ON t.id = s.thread "
            f"WHERE s.source = 'cpu' AND t.comm IN ({quoted}) GROUP BY 1") if end not in NO_STACK}

    def folded(self, *options):
        out = subprocess.run([self.binary, "export", "--format", "folded", *map(str, options), self.out], capture_output=True, text=True, check=True).stdout
        lines = (line.rpartition(" ") for line in out.splitlines())
        return [(*stack.partition(";")[::2], float(n)) for stack, _, n in lines]

    def labelled(self):
        period = self.period()
        return [(comm, stack.split(";"), n / period) for comm, stack, n in self.folded()]

    def period(self):
        return float(self.query("SELECT value FROM meta WHERE key = 'period_ns.cpu'")[0][0])

    def stacks(self, *options):
        return [(stack.split(";"), n) for _, stack, n in self.folded(*options)], self.period()

    def charged(self, source, pid):
        """[(frames, weight)] of one source and process, and the weight of as many equal samples as would vary as much."""
        stacks, _ = self.stacks("--value", source, "--pid", pid)
        weights, squares = self.query("SELECT total(s.weight), total(1.0 * s.weight * s.weight) FROM sample s JOIN thread t ON t.id = s.thread "
                                      f"JOIN process p ON p.id = t.process WHERE s.source = '{source}' AND p.pid = {int(pid)}")[0]
        return stacks, float(squares) / max(1.0, float(weights))

    def draw(self):
        """More than is asked for: the flame graph itself."""
        subprocess.run([self.binary, "export", "-o", f"{self.drawn}.svg", self.out], check=True, stderr=subprocess.DEVNULL)


class Perf(Profiler):
    """perf record; its script is asked for frames with addresses."""
    graph = ["-g"]
    name = "perf -g"

    def __init__(self, *args):
        self.maps = {}
        super().__init__(*args)

    def command(self):
        whom = ["-p", ",".join(map(str, self.pids))] if self.pids else ["-a"]
        return [shutil.which("perf"), "record", "-q", "-F", self.hz, "-e", "cpu-clock", *self.graph, *whom, "-o", self.out]

    def look(self, pids):
        """Where programs are mapped, while they run: for ends that have no name."""
        for pid in pids:
            try:
                exe = os.readlink(f"/proc/{pid}/exe")
                entry = entry_offset(f"/proc/{pid}/exe")
                for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
                    fields = line.split(None, 5)
                    start, end = (int(x, 16) for x in fields[0].split("-"))
                    offset = int(fields[2], 16)
                    if len(fields) == 6 and fields[5] == exe and entry is not None and offset <= entry < offset + end - start:
                        self.maps[pid] = start + entry - offset
            except (OSError, ValueError):
                pass

    def draw(self):
        with open(self.drawn, "wb") as f:
            try:
                subprocess.run(["perf", "script", "--no-inline", "-i", self.out, "-F", "comm,pid,tid,ip,sym"], stdout=f,
                               stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False, timeout=SCRIPT_SECONDS)
            except subprocess.TimeoutExpired:
                raise RuntimeError(f"perf script is not done after {SCRIPT_SECONDS} s") from None

    def blocks(self):
        """(comm, pid, [(address, name)] leaf first)"""
        if not os.path.exists(self.drawn):
            self.draw()
        for block in pathlib.Path(self.drawn).read_text(errors="replace").split("\n\n"):
            lines = block.strip("\n").splitlines()
            head = re.match(r"\s*(.*?)\s+(\d+)(?:/\s*\d+)?\s*$", lines[0]) if lines else None
            if not head or head[2] == "0":  # what is idle is nobody
                continue
            frames = [line.split(None, 1) for line in lines[1:]]
            yield head[1], int(head[2]), [(int(a[0], 16), a[1].strip() if len(a) > 1 else "") for a in frames if re.fullmatch("[0-9a-f]+", a[0])]

    def whole(self, comms=None):
        whole = total = 0
        for comm, pid, frames in self.blocks():
            if comms and comm not in comms:
                continue
            user = [f for f in frames if f[0] < 1 << 47]
            if not user and frames:
                continue  # the kernel on behalf of nobody, or inside execve
            total += 1
            if user:
                address, name = user[-1]
                entry = self.maps.get(pid)
                whole += name.split("+0x")[0].strip() in ENDS or (entry is not None and 0 <= address - entry < ENTRY_BYTES)
        return whole, total, {}

    def labelled(self):
        return [(comm, [name for _, name in reversed(frames)], 1) for comm, _, frames in self.blocks()]


class PerfDwarf(Perf):
    name = "perf dwarf,65528"
    graph = ["--call-graph", "dwarf,65528"]
    beside_hz = 49  # 3 MB a second; it is named with each sample that it unwinds


class PerfDwarfShort(PerfDwarf):
    """As its manual has it: 8,192 bytes of each stack."""
    name = "perf dwarf"
    beside_hz = 99
    graph = ["--call-graph", "dwarf"]


class Bcc(Profiler):
    """bcc's profile: folded stacks, names alone."""
    name = "bcc profile"

    def command(self):
        whom = ["-p", ",".join(map(str, self.pids[:8]))] if self.pids else []
        return [bcc_headers.PROFILE, "-f", "-d", "-F", self.hz, "--stack-storage-size", 131072, *whom, HOUR]

    def environment(self):
        return bcc_headers.environment()

    def recorded_bytes(self):
        return os.path.getsize(self.log)

    def lines(self):
        for line in pathlib.Path(self.log).read_text(errors="replace").splitlines():
            stack, _, n = line.rpartition(" ")
            if n.isdigit():
                yield stack.split(";"), int(n)

    def labelled(self):
        return [(frames[0], frames[1:], n) for frames, n in self.lines()]

    def whole(self, comms=None):
        whole = total = 0
        for frames, n in self.lines():
            if comms and frames[0] not in comms:
                continue
            user = frames[1:frames.index("-")] if "-" in frames else frames[1:]
            total += n
            whole += n if user and user[0] in ENDS else 0
        return whole, total, {}


class Bpftrace(Profiler):
    """Its one-liner, with room for more stacks than it has by default."""
    name = "bpftrace"

    def command(self):
        whom = "/" + " || ".join(f"pid == {p}" for p in self.pids[:8]) + "/" if self.pids else "/pid/"
        program = f"profile:hz:{self.hz} {whom} {{ @[comm, ustack(perf), kstack(perf)] = count(); }}"
        return [shutil.which("bpftrace"), "-q", "-f", "json", "-o", self.out, "-e", program]

    def environment(self):
        return os.environ | {"BPFTRACE_MAP_KEYS_MAX": "65536"}

    def labelled(self):
        out = []
        for line in pathlib.Path(self.out).read_text(errors="replace").splitlines():
            for key, n in self.pairs(line):
                comm, _, stacks = key.partition(",\n")
                user, _, kernel = ("\n" + stacks).partition("\n,")
                frames = [self.frame(f) for part in (kernel, user) for f in part.splitlines() if f.strip()]
                out.append((comm, frames[::-1], n))
        return out

    @staticmethod
    def pairs(line):
        """Of a map; a key whose stack could not be looked up may stand there more than once."""
        entry = json.loads(line, strict=False, object_pairs_hook=list) if line.strip() else []
        if ("type", "map") not in entry:
            return []
        return dict(dict(entry)["data"]).get("@", [])

    @staticmethod
    def frame(line):
        """Address, name+offset, (file)."""
        return re.sub(r"\+(0x[0-9a-f]+|\d+)$", "", re.sub(r" \([^()]*\)$", "", line.strip()).split(None, 1)[-1])


class PySpy(Profiler):
    """It stops the process for each sample, unless told not to."""
    name = "py-spy"
    python_only = True
    events = False
    options = []

    def command(self):
        return [registry.tool("py-spy"), "record", "-p", self.pids[0], "-r", self.hz, "-d", HOUR, "-f", "raw", "-o", self.out, *self.options]

    def attached(self):
        return "Sampling process" in pathlib.Path(self.log).read_text(errors="replace")

    def labelled(self):
        out = []
        for line in pathlib.Path(self.out).read_text(errors="replace").splitlines():
            stack, _, n = line.rpartition(" ")
            out.append((None, stack.split(";"), int(n)))
        return out

    def is_whole(self, frames):
        return frames[0].split(" (")[0] in PYTHON_ENDS | ENDS


class PySpyNonblocking(PySpy):
    name = "py-spy nonblocking"
    options = ["--nonblocking"]


class PySpyNative(PySpy):
    name = "py-spy native"
    options = ["--native"]

    def is_whole(self, frames):
        """Its outermost are libc's, without names."""
        return any(f.split(" (")[0] in PYTHON_ENDS for f in frames[:4])


class Austin(Profiler):
    """It looks without stopping anybody; -s: those that run, not those that sleep."""
    name = "Austin"
    python_only = True
    events = False
    ends_with = (254,)

    def command(self):
        return [registry.tool("austin"), "-s", "-i", f"{1000000 // self.hz}us", "-p", self.pids[0], "-o", self.out]

    def attached(self):
        return os.path.exists(self.out)

    def lines(self):
        for line in pathlib.Path(self.out).read_text(errors="replace").splitlines():
            stack, _, n = line.rpartition(" ")
            if stack.startswith("P") and n.lstrip("-").isdigit():
                yield stack.split(";")[2:], int(n)

    def labelled(self):
        """P1;T2;FILE:FUNCTION:LINE;... MICROSECONDS; each line is a sample."""
        return [(None, [f.rsplit(":", 2)[-2] if f.count(":") > 1 else f for f in frames], 1) for frames, n in self.lines() if n > 0]

    def is_whole(self, frames):
        return frames[0] in PYTHON_ENDS


def perf_missing():
    return None if shutil.which("perf") else "not installed (scripts/packages, group bench)"


def bpftrace_missing():
    if not shutil.which("bpftrace"):
        return "not installed (scripts/packages, group bench)"
    r = subprocess.run(["bpftrace", "-q", "-e", "BEGIN { exit(); }"], capture_output=True, text=True, check=False)
    return f"does not work here: {(r.stderr.strip().splitlines() or ['?'])[-1][:80]}" if r.returncode else None


def registry_missing(name):
    return lambda: None if registry.tool(name) else "not fetched (bench/registry.py)"


# family: (why it cannot be had or None, how it tells its version)
FAMILIES = {
    Kymo: (lambda: None, None),
    Perf: (perf_missing, ["perf", "version"]),
    Bcc: (bcc_headers.why_not, ["dpkg-query", "-Wf", "bcc ${Version}", "bpfcc-tools"]),
    Bpftrace: (bpftrace_missing, ["bpftrace", "--version"]),
    PySpy: (registry_missing("py-spy"), None),
    Austin: (registry_missing("austin"), None),
}


def family(kind):
    return next(f for f in FAMILIES if issubclass(kind, f))


def version(kind, binary="kymo"):
    """As it says itself."""
    command = {Kymo: [binary, "--version"], PySpy: [registry.tool("py-spy"), "--version"],
               Austin: [registry.tool("austin"), "--version"]}.get(family(kind)) or FAMILIES[family(kind)][1]
    r = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    return (r.stdout or r.stderr).strip().splitlines()[0]


def peers(kinds=(PerfDwarf, Perf, Bcc, Bpftrace, PySpy, PySpyNative, Austin)):
    """Those that work here; others with the reason."""
    there, missing, reasons = [], [], {}
    for kind in kinds:
        f = family(kind)
        if f not in reasons:
            reasons[f] = FAMILIES[f][0]()
        if reasons[f]:
            missing.append(f"{kind.name}: {reasons[f]}")
        else:
            there.append(kind)
    return there, missing
