# SPDX-License-Identifier: Apache-2.0
"""Profilers that the distribution has not, or only older than today's interpreters: from PyPI, into a folder of the build's."""
import shutil
import subprocess
import sys

from measure import builds

# What was measured last; a newer one is to be looked at first, its options may have changed.
PACKAGES = {"py-spy": "py-spy==0.4.3", "austin": "austin-dist==3.7.0"}  # Austin 4.0.0 is built for glibc 2.38
INSTALL_SECONDS = 300


def folder():
    return builds().resolve() / "bench" / "venv"


def tool(name):
    """Where it is, or None. The distribution's own is not asked: Debian 12's Austin is of 2020 and knows CPython up to 3.8."""
    path = folder() / "bin" / name
    return str(path) if path.exists() else None


def fetch(names=tuple(PACKAGES)):
    """Installs what is missing. {name: why it could not be had}"""
    missing = [n for n in names if not tool(n)]
    why = {}
    if missing and not (folder() / "bin/pip").exists():
        shutil.rmtree(folder(), ignore_errors=True)
        said = run("/usr/bin/python3", "-m", "venv", str(folder()))
        if said:
            return dict.fromkeys(missing, said)
    for name in missing:
        said = run(str(folder() / "bin/pip"), "install", "-q", PACKAGES[name])
        if said:
            why[name] = said
    return why


def run(*command):
    """None, or what it says."""
    try:
        r = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as e:
        return str(e)
    return None if r.returncode == 0 else (r.stderr.strip().splitlines() or [f"exit {r.returncode}"])[-1][:120]


def version(name):
    r = subprocess.run([tool(name), "--version"], capture_output=True, text=True, check=False)
    return (r.stdout or r.stderr).strip().splitlines()[0]


if __name__ == "__main__":
    for name, reason in fetch().items():
        print(f"{name}: {reason}", file=sys.stderr)
    for name in PACKAGES:
        if tool(name):
            print(tool(name))
