# SPDX-License-Identifier: Apache-2.0
"""The CPython interpreters that tests can run: pyenv's, the system's, and Debian's others where they were fetched (tests/pythons)."""

import os
import pathlib
import re
import shutil
import subprocess

from conftest import ROOT

VERSIONS = ["3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"]
UNKNOWN = "3.15"  # fetched, too: kymo has no layout for it
FETCHED = pathlib.Path(os.environ.get("KYMO_PYTHONS", ROOT / "build" / "pythons"))
PYENV = pathlib.Path(os.environ.get("PYENV_ROOT", "/root/.pyenv")) / "versions"


def pyenv(version):
    """Its newest of a version, or None."""
    found = sorted(PYENV.glob(f"{version}.*/bin/python{version}"), key=lambda p: [int(n) for n in re.findall(r"\d+", p.parts[-3])])
    return str(found[-1].resolve()) if found else None


def system():
    """version -> /usr/bin/python3.N"""
    found = pathlib.Path("/usr/bin").glob("python3.*")
    return {m[1]: str(p) for p in found if (m := re.fullmatch(r"python(3\.\d+)", p.name))}


def roots():
    """version -> a root file system with Debian's python3.N and the C library that belongs to it"""
    found = FETCHED.glob("root-3.*/usr/bin/python3.*")
    return {m[1]: p.parents[2] for p in sorted(found) if (m := re.fullmatch(r"python(3\.\d+)", p.name)) and p.parents[2].name == f"root-{m[1]}"}


def in_root(root, version, command):
    """A command of that interpreter and of files, with the libraries of its own distribution."""
    names = []
    for word in command:
        if isinstance(word, pathlib.Path):
            copy = shutil.copytree if word.is_dir() else shutil.copy
            copy(word, root / "tmp" / word.name)
        names.append(f"/tmp/{word.name}" if isinstance(word, pathlib.Path) else str(word))
    return ["chroot", root, f"/usr/bin/python{version}", *names]


def with_probes():
    """name -> function from a command's words (files as paths) to the command: Debian's interpreters"""
    found = {f"system {v}": lambda *words, p=p: [p, *map(str, words)] for v, p in system().items()}
    return found | {f"debian {v}": lambda *words, r=r, v=v: in_root(r, v, words) for v, r in roots().items() if v != UNKNOWN}


def includes(python):
    """Where its headers are, or None."""
    out = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])"], text=True, stdout=subprocess.PIPE, check=True)
    folder = pathlib.Path(out.stdout.strip())
    return folder if (folder / "Python.h").exists() else None


def extension(python, compiled):
    """interleave.c for this interpreter: a module where its headers are there, else what ctypes calls."""
    flags = ["-shared", "-fPIC", "-fomit-frame-pointer"]
    folder = includes(python) if python else None
    return compiled("interleave.c", *flags, *(["-DMODULE", f"-I{folder}"] if folder else []))
