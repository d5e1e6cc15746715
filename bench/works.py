# SPDX-License-Identifier: Apache-2.0
"""What the contenders are measured on: fixed amounts of work, begun by a line and done with an empty one."""
import os
import pathlib
import select
import subprocess
import sys
import time

from measure import ROOT, builds, children

sys.path.insert(0, str(ROOT / "tests/oracle"))
import judge  # noqa: E402
import loads  # noqa: E402

PYTHON = "/usr/bin/python3"
WAIT_SECONDS = 120
STARTED_SECONDS = 0.3
# Begins at a line, ends with an empty one, waits for the input's end.
SHELL = 'read go; {work}; echo; read end'


class Work:
    """One run of it. `comms`: what its threads are called, empty: anything on the host."""
    name = "?"
    python = False  # it is an interpreter whose truth is known
    comms = ()
    idle = False
    own_cpu = True  # what it takes is its process's own and its children's

    def __init__(self, folder, scale):
        self.folder, self.scale = pathlib.Path(folder), scale
        self.process = subprocess.Popen(list(map(str, self.command())), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, cwd=ROOT)
        self.pid, self.said, self.begun_at = self.process.pid, b"", 0
        time.sleep(STARTED_SECONDS)

    @classmethod
    def prepare(cls, folder):
        """Once; loads.Missing says why it cannot be had."""

    @classmethod
    def clear(cls):
        """Once, after all."""

    def command(self):
        raise NotImplementedError

    def begin(self):
        self.begun_at = time.monotonic()
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def wait(self):
        """Seconds that it took."""
        out, end = self.process.stdout.fileno(), time.monotonic() + WAIT_SECONDS
        while not (self.said == b"\n" or self.said.endswith(b"\n\n")):
            if not select.select([out], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"{self.name} is not done after {WAIT_SECONDS} s")
            more = os.read(out, 1 << 16)
            if not more:
                raise RuntimeError(f"{self.name} ended too early")
            self.said += more
        return time.monotonic() - self.begun_at

    def finish(self):
        """CPU seconds, of all its processes."""
        self.process.stdin.close()
        self.process.stdout.close()
        _, status, usage = os.wait4(self.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_utime + usage.ru_stime

    def end(self):
        if self.process.returncode is None:
            for pid in children(self.pid)[::-1]:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            self.process.wait()

    def truth(self):
        return judge.read_folded(self.said.decode().splitlines())


class Python(Work):
    name = "Python, CPU-bound"
    python = True
    comms = ("bench-python",)
    units, threads = 32000, 1

    @classmethod
    def link(cls, folder):
        return pathlib.Path(folder) / cls.comms[0]

    @classmethod
    def prepare(cls, folder):
        """By a name of its own: it is told from the host's other interpreters."""
        loads.tool(PYTHON, "python3")
        if not cls.link(folder).exists():
            cls.link(folder).symlink_to(PYTHON)

    def command(self):
        return [self.link(self.folder), ROOT / "bench/programs/work.py", self.threads, int(self.units * self.scale), 7]


class PythonThreads(Python):
    name = "Python, 200 threads"
    units, threads = 20000, 200


class Pgbench(Work):
    name = "PostgreSQL, pgbench"
    comms = ("postgres", "pgbench")
    own_cpu = False
    transactions = 15000  # of each of four clients
    database = None

    @classmethod
    def prepare(cls, folder):
        cls.database = loads.Database(folder, 1)

    @classmethod
    def clear(cls):
        if cls.database:
            cls.database.end()
            cls.database = None

    def command(self):
        work = (f"pgbench -h {self.database.data} -S -c 4 -j 2 -t {int(self.transactions * self.scale)} postgres >/dev/null 2>&1 </dev/null")
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "sh", "-c", SHELL.format(work=f"cd /; {work}")]


class Compile(Work):
    name = "a compile"
    comms = ("cc1", "as", "gcc", "xargs")
    jobs = 72
    flags = "-std=gnu17 -O2 -D_GNU_SOURCE -Iuser -Iinclude"

    @classmethod
    def prepare(cls, folder):
        loads.tool("gcc", "gcc")

    def command(self):
        """kymo's own sources, two at a time."""
        sources = [str(p.relative_to(ROOT)) for d in ("base", "model", "query", "merge") for p in sorted((ROOT / "user" / d).glob("*.c"))]
        wanted = (sources * 9)[:max(1, int(self.jobs * self.scale))]
        return ["sh", "-c", SHELL.format(work=f"printf '%s\\n' {' '.join(wanted)} | xargs -P2 -I@ gcc {self.flags} -c -o /dev/null @")]


class Execs(Work):
    name = "an exec storm"
    comms = ("true", "sh")
    processes = 3500  # of each of two shells

    def command(self):
        loop = f"i=0; while [ $i -lt {int(self.processes * self.scale)} ]; do /bin/true; i=$((i+1)); done"
        return ["sh", "-c", SHELL.format(work=f"({loop}) & ({loop}) & wait")]


class Idle(Work):
    """Nothing, for as long as the others take about."""
    name = "an idle host"
    idle = True
    seconds = 3

    def command(self):
        return ["sh", "-c", SHELL.format(work=f"sleep {self.seconds * self.scale}")]


WORKS = (Python, PythonThreads, Pgbench, Compile, Execs, Idle)
