# SPDX-License-Identifier: Apache-2.0
"""The short form of make soak: on a churning host nothing of kymo's grows, and no tick is missing."""

import pathlib
import sys

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests/soak"))
import soak  # noqa: E402

SECONDS = 15


def test_churning_host(kymo):
    assert not soak.soak(pathlib.Path(kymo.path), SECONDS, kymo.cwd)
