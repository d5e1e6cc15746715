# SPDX-License-Identifier: Apache-2.0
"""The guest's file system, all in memory: busybox, kymo, its tests, Python, and the libraries that they need."""
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
APPLETS = ["sh", "mount", "mkdir", "insmod", "poweroff", "dmesg", "cat", "grep", "sleep", "true", "timeout"]
# What guest.py and its loads import: asked of the interpreter, with all that this draws in.
IMPORTS = "json, os, pathlib, re, resource, select, signal, sqlite3, subprocess, sys, time, mmap, contextlib, encodings.idna"


class Tree:
    def __init__(self, root):
        self.root = root
        shutil.rmtree(root, ignore_errors=True)
        for folder in ("bin", "proc", "sys", "dev", "tmp", "run", "var/tmp", "root", "tests"):
            (root / folder).mkdir(parents=True)

    def add(self, path, to=None):
        """With the libraries that it needs, where it is a program or a library."""
        to = self.root / str(to or path).lstrip("/")
        if to.exists():
            return
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, to)  # follows links
        if to.suffix in (".py", ".pyc"):
            return
        r = subprocess.run(["ldd", path], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for library in re.findall(r"(/\S+) \(0x", r.stdout):
            self.add(library)


def python_files(python):
    """Sources and modules that the guest imports, and the compiled forms beside them."""
    code = (f"import {IMPORTS}\nimport sys\n"
            "print('\\n'.join(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)))")
    out = subprocess.run([python, "-S", "-c", code], text=True, stdout=subprocess.PIPE, check=True).stdout
    for name in map(pathlib.Path, out.split()):
        yield name
        yield from name.parent.glob(f"__pycache__/{name.stem}.*.pyc")


def make(root, image, build, module, loads):
    """build: kymo's; module: a file or None; loads: programs for /tests."""
    busybox = shutil.which("busybox")
    tree = Tree(root)
    tree.add(busybox, "/bin/busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    python = pathlib.Path(shutil.which("python3", path="/usr/bin") or sys.executable).resolve()
    tree.add(python, "/usr/bin/python3")
    for name in python_files(python):
        tree.add(name)
    for name in ("kymo", "bpf/kymo.bpf.o", "tests/bpf/test_fields", "tests/vm/programs"):
        tree.add(build / name, f"/tests/{name}")
    for name in ("libgcc_s.so.1",):  # opened at run time
        for folder in ("/lib", "/usr/lib"):
            for found in pathlib.Path(folder).glob(f"x86_64-linux-gnu/{name}"):
                tree.add(found)
    for load in loads:
        tree.add(load, f"/tests/{load.name}")
    if module and module.exists():
        tree.add(module, f"/{module.name}")
    tree.add(HERE / "guest.py", "/tests/guest.py")
    tree.add(HERE / "init", "/init")
    (root / "init").chmod(0o755)
    # Not compressed: the guest, which is emulated, would have to undo it.
    names = subprocess.run(["find", "."], cwd=root, stdout=subprocess.PIPE, check=True).stdout
    with open(image, "wb") as out:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=root, input=names, stdout=out, check=True)
    shutil.rmtree(root)
