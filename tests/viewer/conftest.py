# SPDX-License-Identifier: Apache-2.0
"""The flame graph in a real browser. KYMO names the binary (default build/kymo), KYMO_BUILD its build folder."""

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from browser import CHROMIUM, Browser  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("KYMO_BUILD", ROOT / "build"))
KYMO = os.environ.get("KYMO", str(BUILD / "kymo"))


def pytest_collection_modifyitems(items):
    if not CHROMIUM:
        for item in items:
            if "browser" in item.fixturenames:
                item.add_marker(pytest.mark.skip(reason="needs Chromium"))


@pytest.fixture(scope="session")
def browser():
    b = Browser()
    yield b
    b.close()


def build_maker(name):
    # Relative to the checkout where it lies in it: that is how the Makefile names its targets.
    build = os.path.relpath(BUILD, ROOT) if BUILD.is_relative_to(ROOT) else BUILD
    subprocess.run(["make", "-s", f"BUILD={build}", f"{build}/tests/unit/{name}"], cwd=ROOT, check=True)
    return BUILD / "tests" / "unit" / name


@pytest.fixture(scope="session")
def make_profile():
    return build_maker("export/make_flame_profile")


@pytest.fixture(scope="session")
def sick(tmp_path_factory):
    """The profile of a host that ran out of memory, and the same of a recorder that was killed."""
    maker = build_maker("query/make_sick_profile")
    folder = tmp_path_factory.mktemp("sick")
    subprocess.run([maker, folder / "sick.kymo"], check=True)
    subprocess.run([maker, folder / "killed.kymo", "killed"], check=True)
    return folder / "sick.kymo"


@pytest.fixture(scope="session")
def export(make_profile, tmp_path_factory):
    """export("small" or "hostile", *options) -> the path of its SVG."""
    folder = tmp_path_factory.mktemp("svg")

    def run(kind, *options):
        profile = folder / f"{kind}.kymo"
        if not profile.exists():
            subprocess.run([make_profile, profile, *(["hostile"] if kind == "hostile" else [])], check=True)
        out = folder / f"{kind}{len(list(folder.iterdir()))}.svg"
        subprocess.run([KYMO, "export", "-o", out, *options, profile], check=True)
        return out

    return run
