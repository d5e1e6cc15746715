# SPDX-License-Identifier: Apache-2.0
"""./setup refuses what cannot end well before it changes anything."""

import shutil
import subprocess

import pytest
from conftest import NOBODY, ROOT

TOOLS = ("sh", "dirname", "env", "id", "sed", "grep", "cut", "tr")


@pytest.fixture
def bare(kymo):
    """A copy of setup, and a PATH without sudo, in which every attempt to build or install leaves a trace."""
    tools = kymo.cwd / "bin"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name))
    for name in ("make", "apt-get", "apt-cache", "dpkg-query"):
        (tools / name).write_text(f"#!/bin/sh\n: > {kymo.cwd}/traces/{name}\n")
        (tools / name).chmod(0o755)
    (kymo.cwd / "traces").mkdir()
    (kymo.cwd / "traces").chmod(0o777)
    (kymo.cwd / "scripts").mkdir()
    shutil.copy(ROOT / "setup", kymo.cwd)
    shutil.copy(ROOT / "scripts" / "packages", kymo.cwd / "scripts")
    return kymo


def test_demo_without_root_or_sudo(bare):
    r = subprocess.run([bare.cwd / "setup", "demo"], env={"PATH": str(bare.cwd / "bin")}, user=NOBODY, group=NOBODY,
                       extra_groups=[], capture_output=True, text=True)
    assert r.returncode == 1
    assert r.stdout == "" and r.stderr.count("\n") == 1
    assert "root" in r.stderr and "sudo" in r.stderr
    assert list((bare.cwd / "traces").iterdir()) == []


@pytest.mark.parametrize("broken, exit_code, said", [("golang-go", 0, "setup: going on without golang-go, "),
                                                     ("git", 1, "setup: apt-get could not install git")])
def test_deps_that_cannot_be_installed(bare, broken, exit_code, said):
    """What only some tests use may be absent; what the build needs may not."""
    (bare.cwd / "bin" / "apt-get").write_text(f'#!/bin/sh\nfor a; do [ "$a" != {broken} ] || exit 100; done\n')
    (bare.cwd / "bin" / "apt-cache").write_text("#!/bin/sh\necho '  Candidate: 1.0'\n")
    r = subprocess.run([bare.cwd / "setup", "deps"], env={"PATH": str(bare.cwd / "bin")}, capture_output=True, text=True)
    assert r.returncode == exit_code, r.stdout + r.stderr
    assert said in r.stdout + r.stderr and "?" not in r.stdout + r.stderr
