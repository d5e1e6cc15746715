# SPDX-License-Identifier: Apache-2.0
"""Programs whose stacks profilers are held against: what there is of them on this machine.

A load is built into a folder, then runs for so many seconds by itself. What is missing has a reason.
"""
import glob
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
PYTHONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
FLAGS = ("-g", "-O2", "-fomit-frame-pointer")
FRAME_POINTERS = "c with frame pointers"  # a language, too: what others need
SHELL_LOOP = 'end=$(($(date +%s) + $1)); shift; while [ $(date +%s) -lt $end ]; do "$@" >/dev/null 2>&1; done'


class Missing(Exception):
    """Why a load cannot be had here."""


def tool(name, package):
    """The path of a program, or of a file that a pattern names."""
    found = shutil.which(name) if "/" not in name else next(iter(sorted(glob.glob(name))), None)
    if not found:
        raise Missing(f"no {name} (package {package}; scripts/packages, group bench)")
    return found


def build(*command):
    r = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if r.returncode:
        raise Missing(f"{command[0]} fails: {(r.stderr.splitlines() or ['?'])[0][:60]}")
    return command


def compiled(folder, source, *flags, compiler="gcc", package="gcc"):
    out = pathlib.Path(folder) / "-".join([source.replace(".", "-"), *(f.strip("-") for f in flags if f[1] != "l")])
    if not out.exists():
        after = [f for f in flags if f.startswith("-l")]
        build(tool(compiler, package), *FLAGS, *(f for f in flags if f not in after), "-o", out, PROGRAMS / source, *after)
    return out


def graph(folder, language, *flags):
    """The program of a known call graph, without its arguments (CPU_SECONDS SEED)."""
    out = pathlib.Path(folder) / f"graph-{language}"
    if language in ("c", FRAME_POINTERS):
        return [compiled(folder, "graph.c", *flags, *(["-fno-omit-frame-pointer"] if language == FRAME_POINTERS else []))]
    if language == "c++":
        return [compiled(folder, "graph.cc", *flags, compiler="g++", package="g++")]
    if language == "rust":
        if not out.exists():
            build(tool("rustc", "rustc"), "-C", "opt-level=2", "-C", "debuginfo=1", "-o", out, PROGRAMS / "graph.rs")
        return [out]
    if language == "go":
        if not out.exists():
            build(tool("go", "golang-go"), "build", "-o", out, PROGRAMS / "graph.go")
        return [out]
    return [interpreter(language), PROGRAMS / "graph.py"]


def interpreter(version):
    """pyenv's, or the system's where `version` begins with /."""
    if version.startswith("/"):
        return tool(version, "python3")
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found = sorted(glob.glob(f"{root}/versions/{version}.*/bin/python{version}"))
    if not found:
        raise Missing(f"no CPython {version} of pyenv")
    return found[-1]


# ---- commands, given a folder and seconds ----

def ways(way, *flags):
    return lambda folder, seconds: [compiled(folder, "ways.c", *flags), way, seconds]


def of_graph(language, *flags):
    return lambda folder, seconds: [*graph(folder, language, *flags), seconds, 7]


def dlopened(folder, seconds):
    library = compiled(folder, "library.c", "-shared", "-fPIC")
    return [compiled(folder, "ways.c"), "dlopen", seconds, library]


def fcontext(folder, seconds):
    return [compiled(folder, "fcontext.cc", "-lboost_context", compiler="g++", package="libboost-context-dev"), seconds]


def again(*command):
    """The command over and over."""
    return lambda folder, seconds: ["sh", "-c", SHELL_LOOP, "sh", int(seconds) + 1,
                                    *(c(folder) if callable(c) else c for c in command)]


def cc1plus(folder, seconds):
    """A C++ compiler itself, at work on templates."""
    source = pathlib.Path(folder) / "big.cc"
    source.write_text("#include <regex>\n#include <map>\n#include <string>\nint main(){std::map<std::string,std::regex> m;"
                      "m[\"a\"]=std::regex(\"x.*y\");return std::regex_match(\"xy\",m[\"a\"]);}\n")
    preprocessed = pathlib.Path(folder) / "big.ii"
    build(tool("g++", "g++"), "-E", source, "-o", preprocessed)
    return again(tool("/usr/lib/gcc/x86_64-linux-gnu/*/cc1plus", "g++"), "-quiet", "-O2", "-fpreprocessed",
                 str(preprocessed), "-o", "/dev/null")(folder, seconds)


def noise(folder):
    path = pathlib.Path(folder) / "noise"
    if not path.exists():
        path.write_bytes(os.urandom(1 << 20) + b"kymograph " * 400000)
    return str(path)


def sqlite(folder, seconds):
    del folder
    return again(tool("sqlite3", "sqlite3"), ":memory:",
                 "CREATE TABLE t(a,b); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<300000) "
                 "INSERT INTO t SELECT x, x*7919%1009 FROM c; CREATE INDEX i ON t(b); "
                 "SELECT b, count(*), sum(a) FROM t GROUP BY b ORDER BY 2 DESC LIMIT 5; SELECT count(*) FROM t x JOIN t y ON x.a=y.b;")("", seconds)


class Database:
    """PostgreSQL under pgbench, in a folder of its own; a process like the others."""

    def __init__(self, folder, seconds):
        self.data = pathlib.Path(folder) / "pg"
        self.bin = pathlib.Path(tool("/usr/lib/postgresql/*/bin/postgres", "postgresql")).parent
        pgbench = tool("pgbench", "postgresql")
        if self.data.exists():
            shutil.rmtree(self.data)
        self.data.mkdir(parents=True)
        shutil.chown(self.data, "postgres", "postgres")
        os.chmod(folder, 0o755)
        options = f"-c listen_addresses= -c unix_socket_directories={self.data} -c fsync=off"
        self.do(f"{self.bin}/initdb -A trust -D {self.data}/d && {self.bin}/pg_ctl -w -D {self.data}/d -l {self.data}/log -o '{options}' start")
        self.do(f"{pgbench} -h {self.data} -i -s 1 postgres")
        self.server = int((self.data / "d/postmaster.pid").read_text().split()[0])
        self.client = subprocess.Popen(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", pgbench, "-h",
                                        self.data, "-c", "4", "-T", str(int(seconds)), "postgres"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    @staticmethod
    def do(script):
        build("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "sh", "-c", f"cd /; ({script}) >/dev/null 2>&1 </dev/null")

    def pids(self):
        return [self.server, self.client.pid]

    def end(self):
        self.client.kill()
        self.client.wait()
        os.kill(self.server, signal.SIGINT)
        for _ in range(100):
            if not pathlib.Path(f"/proc/{self.server}").exists():
                return
            time.sleep(0.1)
        os.kill(self.server, signal.SIGQUIT)


class Waiting:
    """A program that begins when it is told to, by a line, so that all of it is recorded; what it prints at its end."""

    def __init__(self, command):
        self.process = subprocess.Popen(list(map(str, command)), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid

    def output(self, seconds=120):
        return self.process.communicate("go\n", timeout=seconds)[0]

    def until_done(self):
        """The lines that it prints up to the empty one; it is there until end()."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return list(itertools.takewhile("\n".__ne__, self.process.stdout))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Command:
    """A load that is a command."""

    def __init__(self, command):
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)

    def pids(self):
        return [self.process.pid]

    def end(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


LOADS = {
    "C, -O2": of_graph("c"),
    "C, -O3": of_graph("c", "-O3"),
    "C, LTO": of_graph("c", "-O2", "-flto"),
    "C++, exceptions": of_graph("c++"),
    "C++, -O3": of_graph("c++", "-O3"),
    "C++, LTO": of_graph("c++", "-O2", "-flto"),
    "Rust": of_graph("rust"),
    "Go": of_graph("go"),
    "perl": lambda folder, seconds: [tool("perl", "perl"), PROGRAMS / "busy.pl", seconds],
    "python3.11, Debian": of_graph("/usr/bin/python3.11"),
    **{f"CPython {v}": of_graph(v) for v in PYTHONS},
    "PostgreSQL": Database,
    "sqlite3": sqlite,
    "cc1plus": cc1plus,
    "openssl speed": lambda folder, seconds: [tool("openssl", "openssl"), "speed", "-seconds", "1"],
    "xz": lambda folder, seconds: again(tool("xz", "xz-utils"), "-9kc", noise)(folder, seconds),
    "Node.js": lambda folder, seconds: [tool("node", "nodejs"), PROGRAMS / "busy.js", seconds],
    "static": ways("spin", "-static"),
    "static-pie": ways("spin", "-static-pie", "-fPIE"),
    "dlopen": dlopened,
    "1,000 frames": ways("deep"),
    "signals": ways("signal"),
    "signals, own stack": ways("altstack"),
    "vfork": ways("vfork"),
    "ucontext": ways("ucontext"),
    "boost context": fcontext,
    "system calls": ways("system"),
    "vDSO": ways("clock"),
}
# Of many processes, which come and go: what their threads are called.
MANY = {"PostgreSQL": ("postgres", "pgbench"), "sqlite3": ("sqlite3",), "cc1plus": ("cc1plus",), "xz": ("xz",)}


def start(name, folder, seconds):
    """Runs it. Missing says why not."""
    made = LOADS[name](folder, seconds)
    return made if isinstance(made, Database) else Command(made)
