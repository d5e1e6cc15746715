# SPDX-License-Identifier: Apache-2.0
"""End-to-end tests run the built binary on the real kernel. KYMO names it (default build/kymo)."""

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "fixtures" / "programs"
KYMO = os.environ.get("KYMO", str(ROOT / "build" / "kymo"))
NOBODY = 65534

sys.path.insert(0, str(pathlib.Path(__file__).parent))


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        skip = pytest.mark.skip(reason="recording needs root")
        for item in items:
            if "no_root" not in item.keywords:
                item.add_marker(skip)


def pytest_configure(config):
    config.addinivalue_line("markers", "no_root: runs without root")


class Kymo:
    """The binary, run in a folder of the test's own."""

    def __init__(self, cwd):
        self.cwd = cwd
        self.path = KYMO

    def run(self, *args, check=True, timeout=120, **options):
        options.setdefault("cwd", self.cwd)
        r = subprocess.run([KYMO, *map(str, args)], text=True, capture_output=True, timeout=timeout, **options)
        if check and r.returncode != 0:
            raise AssertionError(f"kymo {' '.join(map(str, args))}: exit {r.returncode}\n{r.stdout}{r.stderr}")
        return r

    def start(self, *args, **options):
        options.setdefault("cwd", self.cwd)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([KYMO, *map(str, args)], text=True, **options)


@pytest.fixture
def kymo():
    """In a folder that other users may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="kymo-e2e-") as folder:
        os.chmod(folder, 0o755)
        yield Kymo(pathlib.Path(folder))


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """compiled(name, *flags): a C program of tests/fixtures/programs, built for this run."""
    folder = tmp_path_factory.mktemp("programs")
    done = {}

    def build(name, *flags, compiler="gcc"):
        key = (name, flags, compiler)
        if key not in done:
            out = folder / f"{pathlib.Path(name).stem}-{len(done)}"
            subprocess.run([compiler, "-g", "-O2", *flags, "-o", out, PROGRAMS / name, "-lpthread"], check=True)
            done[key] = out
        return done[key]

    return build
