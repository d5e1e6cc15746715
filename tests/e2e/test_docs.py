# SPDX-License-Identifier: Apache-2.0
"""The documents name what the program has."""

import re

import pytest
from conftest import ROOT

pytestmark = pytest.mark.no_root


def test_profile_md_names_every_health_column():
    columns = re.findall(r"^HEALTH\((\w+)", (ROOT / "user/model/health.def").read_text(), re.M)
    text = (ROOT / "docs/formats/profile.md").read_text()
    assert len(columns) > 50
    assert not [c for c in columns if not re.search(rf"\b{c}\b", text)]


def test_every_quality_counter_has_a_meaning():
    counters = re.findall(r'= "([\w.]+)"', (ROOT / "user/agent/quality.c").read_text())
    meanings = (ROOT / "user/query/meaning.c").read_text()
    assert len(counters) > 20
    assert not [c for c in counters if f'"{c}"' not in meanings]
