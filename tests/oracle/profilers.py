# SPDX-License-Identifier: Apache-2.0
"""The profilers that are judged, all in one form: started on processes, stopped, asked for their stacks.

What counts as whole: kymo says it of each stack, by rule. Of the others a stack is whole when its outermost frame is an
end by its name (ENDS), or lies at the entry point of its program: more than their own rules would grant.
"""
import csv
import io
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

ENDS = {"_start", "_dl_start", "clone", "__clone", "__GI___clone", "clone3", "__clone3", "__GI___clone3", "thread_start",
        "__start_context", "runtime.goexit", "runtime.goexit.abi0", "runtime.mstart", "runtime.mstart.abi0",
        "runtime.rt0_go", "runtime.rt0_go.abi0", "_rt0_amd64_linux", "ret_from_fork_asm", "make_fcontext"}
NO_STACK = {"no user stack", "inside execve"}
ENTRY_BYTES = 64
SCRIPT_SECONDS = 90
BEGIN_SECONDS = 90
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


class Kymo:
    """whole: {load's number: {how a stack ended: samples}}, of the pids given and of those below them."""
    name = "kymo"

    def __init__(self, pids, folder, hz, binary):
        self.out, self.binary, self.pids, self.hz = f"{folder}/k.kymo", binary, list(pids), hz
        self.process = subprocess.Popen([binary, "record", "-q", "-s", "cpu", "-F", str(hz), "-t", "200", "-o", self.out, "-p", ",".join(map(str, pids))],
                                        stderr=subprocess.DEVNULL)

    def begun(self):
        """Waits until it records: on a busy host that takes seconds."""
        end = time.monotonic() + BEGIN_SECONDS
        while time.monotonic() < end:
            try:
                db = sqlite3.connect(f"file:{self.out}?mode=ro", uri=True)
                try:
                    if db.execute("SELECT count(*) FROM tick").fetchone()[0]:
                        return
                finally:
                    db.close()
            except sqlite3.Error:
                pass  # its tables are being made
            time.sleep(0.05)
        raise TimeoutError("kymo does not begin")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        if self.process.wait(120):
            raise RuntimeError(f"kymo record: exit {self.process.returncode}")

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
        found = {pid: {} for pid in self.pids}
        for pid, end, n in self.query("SELECT p.pid, s.stack_end, count(*) FROM sample s JOIN thread t ON t.id = s.thread "
                                      "JOIN process p ON p.id = t.process GROUP BY 1, 2"):
            pid = int(pid)
            while pid not in found and pid in parents:
                pid = parents[pid]
            if pid in found and end not in NO_STACK:
                found[pid][end] = found[pid].get(end, 0) + int(n)
        return found

    def whole(self):
        """(whole, all, the causes of others)"""
        ends = {}
        for of_pid in self.ends().values():
            for end, n in of_pid.items():
                ends[end] = ends.get(end, 0) + n
        total, whole = sum(ends.values()), ends.pop("whole", 0)
        return whole, total, ends

    def stacks(self, *options):
        """[(frames, weight)], and what one sample weighs."""
        out = subprocess.run([self.binary, "export", "--format", "folded", *map(str, options), self.out], capture_output=True, text=True, check=True).stdout
        lines = (line.rpartition(" ") for line in out.splitlines())
        period = self.query("SELECT value FROM meta WHERE key = 'period_ns.cpu'")[0][0]
        return [(stack.split(";")[1:], float(n)) for stack, _, n in lines], float(period)


class Perf:
    """perf record; its script is asked for frames with addresses."""
    graph = ["-g"]
    hz = 199
    name = "perf -g"

    def __init__(self, pids, folder, hz, binary):
        del hz, binary
        self.out = f"{folder}/{self.name.replace(' ', '-')}.data"
        self.maps = {}
        self.process = subprocess.Popen([shutil.which("perf"), "record", "-q", "-F", str(self.hz), "-e", "cpu-clock", *self.graph,
                                         "-p", ",".join(map(str, pids)), "-o", self.out],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

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

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(120)

    def samples(self):
        """(pid, [(address, name)] leaf first, user part)"""
        with tempfile.TemporaryFile("w+", errors="replace") as f:
            subprocess.run(["perf", "script", "-i", self.out, "-F", "pid,tid,ip,sym"], stdout=f, stderr=subprocess.DEVNULL,
                           stdin=subprocess.DEVNULL, check=False, timeout=SCRIPT_SECONDS)
            f.seek(0)
            for block in f.read().split("\n\n"):
                lines = block.strip("\n").splitlines()
                if not lines:
                    continue
                head = re.match(r"\s*(\d+)(?:/\d+)?\s*$", lines[0])
                frames = [line.split(None, 1) for line in lines[1 if head else 0:]]
                frames = [(int(a[0], 16), a[1] if len(a) > 1 else "") for a in frames if re.fullmatch("[0-9a-f]+", a[0])]
                yield int(head[1]) if head else 0, frames

    def whole(self):
        whole = total = 0
        for pid, frames in self.samples():
            user = [f for f in frames if f[0] < 1 << 47]
            if not user and frames:
                continue  # the kernel on behalf of nobody, or inside execve
            total += 1
            if user:
                address, name = user[-1]
                entry = self.maps.get(pid)
                whole += name.split("+0x")[0].strip() in ENDS or (entry is not None and 0 <= address - entry < ENTRY_BYTES)
        return whole, total, {}

    def stacks(self):
        return [([name for _, name in reversed(frames)], 1) for _, frames in self.samples()], 1


class PerfDwarf(Perf):
    name = "perf dwarf"
    graph = ["--call-graph", "dwarf,65528"]
    hz = 49  # 3 MB a second; it is named with each sample that it unwinds


class Bcc:
    """bcc's profile: folded stacks, names alone."""
    name = "bcc profile"

    def __init__(self, pids, folder, hz, binary):
        del hz, binary
        self.out = f"{folder}/bcc"
        with open(self.out, "wb") as f:
            self.process = subprocess.Popen([bcc_headers.PROFILE, "-f", "-d", "-F", "199", "-p", ",".join(map(str, pids[:8])), "3600"],
                                            stdout=f, stderr=subprocess.DEVNULL, env=bcc_headers.environment())

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(120)

    def stacks(self):
        out = []
        for line in pathlib.Path(self.out).read_text(errors="replace").splitlines():
            stack, _, n = line.rpartition(" ")
            if n.isdigit():
                out.append((stack.split(";")[1:], int(n)))
        return out, 1

    def whole(self):
        whole = total = 0
        for frames, n in self.stacks()[0]:
            user = frames[:frames.index("-")] if "-" in frames else frames
            total += n
            whole += n if user and user[0] in ENDS else 0
        return whole, total, {}


def peers():
    """Those that are installed; others with the reason."""
    there, missing = [], []
    if shutil.which("perf"):
        there += [PerfDwarf, Perf]
    else:
        missing.append("perf: not installed (scripts/packages, group bench)")
    reason = bcc_headers.why_not()
    if reason:
        missing.append(f"bcc's profile: {reason}")
    else:
        there.append(Bcc)
    return there, missing
