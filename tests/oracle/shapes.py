# SPDX-License-Identifier: Apache-2.0
"""Programs made from a seed, whose every path, time, byte of memory and byte of I/O is known: one graph in any of five languages.

A path is a sequence of functions, each of which calls the next; the last of them spins, takes memory or writes a file
(programs/shape.*). Functions are few and paths many, so that who called whom cannot be guessed from the names. A program is run as
    PROGRAM cpu|memory|io AMOUNT SEED [FILE]      AMOUNT: CPU seconds of each thread, or MiB
begins at a line, prints the truth as folded stacks (ns or bytes), an empty line, and waits until its input ends.
"""
import os
import pathlib
import random

import loads

HANDLER = -1  # in a path: what follows runs in a signal's handler
LEAVES = {"cpu": "spin", "memory": "grow", "io": "write_out"}
LANGUAGES = ("c", "c++", "rust", "go", "/usr/bin/python3.11")
SHARE_MAX = 20


class Shape:
    def __init__(self, functions, paths, length, threads=1, pause_us=0, longest_us=3000, handlers=False):
        self.functions, self.paths, self.length, self.handlers = functions, paths, length, handlers
        self.threads, self.pause_us, self.longest_us = threads, pause_us, longest_us

    def made(self, seed):
        """[(functions' numbers, share)], all different."""
        chosen, found = random.Random(seed), {}
        while len(found) < self.paths:
            path = [chosen.randrange(self.functions) for _ in range(chosen.randint(*self.length))]
            if self.handlers:
                path.insert(chosen.randint(1, len(path)), HANDLER)
            found[tuple(path)] = chosen.randint(1, SHARE_MAX)
        return sorted(found.items())


SHAPES = {
    "deep": Shape(functions=40, paths=6, length=(250, 350)),
    "wide": Shape(functions=300, paths=120, length=(2, 4)),
    "recursive": Shape(functions=3, paths=8, length=(5, 40)),
    "threaded": Shape(functions=40, paths=24, length=(3, 12), threads=8),
    "bursty": Shape(functions=40, paths=12, length=(3, 10), pause_us=4000, longest_us=12000),
    "signals": Shape(functions=30, paths=10, length=(3, 12), handlers=True),
}
WITHOUT_SIGNALS = ("rust", "go")  # a handler of theirs runs on the runtime's terms, not in the stack that it interrupts


def numbers(path):
    return ", ".join(map(str, path))


def table_c(shape, paths):
    out = "".join(f"STEP({i})\n" for i in range(shape.functions))
    out += f"static const step steps[] = {{ {', '.join(f'step_{i}' for i in range(shape.functions))} }};\n"
    for i, (path, _) in enumerate(paths):
        out += f"static const short path_{i}[] = {{ {numbers(path)} }};\n"
    out += "static const struct path paths[] = {\n"
    out += "".join(f"\t{{ path_{i}, {len(path)}, {share} }},\n" for i, (path, share) in enumerate(paths)) + "};\n"
    return out + "".join(f"#define {k} {v}\n" for k, v in settings(shape, paths).items())


def settings(shape, paths):
    return {"PATHS": len(paths), "SHARES": sum(s for _, s in paths), "THREADS": shape.threads, "PAUSE_US": shape.pause_us,
            "LONGEST_US": shape.longest_us}


def table_rust(shape, paths):
    out = f"steps!({', '.join(f'step_{i} {i}' for i in range(shape.functions))});\n"
    out += f"static PATHS: [(&[i16], u64); {len(paths)}] = [\n"
    out += "".join(f"    (&[{numbers(path)}], {share}),\n" for path, share in paths) + "];\n"
    return out + "".join(f"const {k}: u64 = {v};\n" for k, v in settings(shape, paths).items() if k != "PATHS")


def table_go(shape, paths):
    out = "package main\n\n"
    for i in range(shape.functions):
        out += f"//go:noinline\nfunc step_{i}(t *turn, level int) {{\n\tnext(t, level+1)\n\tt.sum += {i}\n}}\n\n"
    out += "var steps []func(*turn, int)\n\nfunc init() {\n\tsteps = []func(*turn, int){"
    out += ", ".join(f"step_{i}" for i in range(shape.functions)) + "}\n}\n\nvar paths = []path{\n"
    out += "".join(f"\t{{[]int{{{numbers(path)}}}, {share}}},\n" for path, share in paths) + "}\n\n"
    return out + "".join(f"const {k} = {v}\n" for k, v in settings(shape, paths).items() if k != "PATHS")


# A function between two steps would stand on the stack: each goes on by itself.
PYTHON_STEP = """
def step_{k}(t, level):
    level += 1
    if level == len(t.steps):
        ACT(t)
    elif t.steps[level] == {handler}:
        interrupted[:] = t, level
        os.kill(os.getpid(), signal.SIGUSR1)
        level -= 1  # the handler has run before this
    else:
        STEPS[t.steps[level]](t, level)

"""


def table_python(shape, paths):
    out = "import os\nimport signal\n\n"
    out += "".join(PYTHON_STEP.format(k=i, handler=HANDLER) for i in range(shape.functions))
    out += f"\nSTEPS = [{', '.join(f'step_{i}' for i in range(shape.functions))}]\nPATHS = [\n"
    out += "".join(f"    (({numbers(path)},), {share}),\n" for path, share in paths) + "]\n"
    return out + "".join(f"{k} = {v}\n" for k, v in settings(shape, paths).items() if k != "PATHS")


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def command(folder, language, name, seed):
    """The program of that shape in that language, built; loads.Missing says what it lacks."""
    shape = SHAPES[name]
    if shape.handlers and language in WITHOUT_SIGNALS:
        raise loads.Missing("a handler does not run in the stack that it interrupts")
    paths = shape.made(seed)
    home = pathlib.Path(folder) / f"{name}-{os.path.basename(language).replace('+', 'p').replace(' ', '-')}-{seed}"
    out = home / f"shape-{name}"
    if language.startswith("/") or language[0].isdigit():
        written(home / "table.py", table_python(shape, paths))
        return [loads.interpreter(language), loads.PROGRAMS / "shape.py", home]
    if out.exists():
        return [out]
    if language in ("c", "c++", loads.FRAME_POINTERS):
        written(home / "table.h", table_c(shape, paths))
        compiler, source = ("g++", "shape.cc") if language == "c++" else ("gcc", "shape.c")
        flags = ["-fno-omit-frame-pointer"] if language == loads.FRAME_POINTERS else []
        loads.build(loads.tool(compiler, compiler), *loads.FLAGS, *flags, "-I", home, "-o", out, loads.PROGRAMS / source, "-lpthread")
    elif language == "rust":
        table = written(home / "table.rs", table_rust(shape, paths))
        loads.build("env", f"TABLE={table}", loads.tool("rustc", "rustc"), "-C", "opt-level=2", "-C", "debuginfo=1", "-o", out, loads.PROGRAMS / "shape.rs")
    else:
        # files of one package lie in one folder
        sources = [written(home / "table.go", table_go(shape, paths)), written(home / "shape.go", (loads.PROGRAMS / "shape.go").read_text())]
        loads.build(loads.tool("go", "golang-go"), "build", "-o", out, *sources)
    return [out]
