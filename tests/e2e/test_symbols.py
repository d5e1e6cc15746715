# SPDX-License-Identifier: Apache-2.0
"""Names of native code: inlined functions, separate debug files, stripped files, perf maps, other mount namespaces."""

import json
import math
import re
import shutil
import subprocess

import pytest
from profile import folded, rows

HZ = 499
FUNCTIONS = ("alpha", "beta", "gamma_deep")


def record(kymo, out, *args, **options):
    return kymo.run("record", "-q", "-F", HZ, "-o", out, *args, **options)


def share_of(stacks, name):
    """ns of the stacks that have the frame, however deep."""
    return sum(ns for stack, ns in stacks if name in stack)


@pytest.mark.parametrize("compiler", ["gcc", "g++", "clang"])
def test_shares_by_inlined_function_within_four_sigmas(kymo, compiled, compiler):
    """C and C++ with frame pointers, -O2: the functions exist nowhere but inlined."""
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    flags = ("-fno-omit-frame-pointer",) + (("-x", "c++") if compiler == "g++" else ())
    program = compiled("inlines.c", *flags, compiler=compiler)
    spent = json.loads(record(kymo, "i.kymo", "--", program, 2).stdout)
    stacks = folded(kymo, kymo.cwd / "i.kymo")
    weight = {f: share_of(stacks, f"{f} (inlined)") for f in FUNCTIONS}
    period = 1e9 / HZ
    total, n = sum(spent.values()), round(sum(weight.values()) * HZ / 1e9)
    assert abs(sum(weight.values()) - total) <= 4 * math.sqrt(n) * period + 0.02 * total, (weight, spent)
    for f in FUNCTIONS:
        p = spent[f] / total
        sigma = math.sqrt(n * p * (1 - p))
        assert abs(weight[f] / period - n * p) <= 4 * sigma, (f, weight, spent, sigma)
    # in true order, and below the function that they are inlined into
    for stack, _ in stacks:
        names = [re.sub(r"\(.*?\)| \(inlined\)| \[clone.*|\.constprop.*", "", f).strip() for f in stack]
        if "gamma_deep" in names:
            at = names.index("gamma_deep")
            assert names[at - 3:at] == ["main", "run", "gamma_outer"], stack


def test_inlined_functions_in_every_format(kymo, compiled):
    program = compiled("inlines.c", "-fno-omit-frame-pointer")
    record(kymo, "f.kymo", "--", program, 1)
    path = kymo.cwd / "f.kymo"
    report = kymo.run("report", path).stdout
    assert re.search(r"native\s+alpha \(inlined\)\s+\S*inlines\.c:\d+", report), report
    assert all(len(line) <= 80 for line in report.splitlines())
    view = json.loads(kymo.run("report", "--json", "--limit", 0, path).stdout)
    functions = view["functions"]
    beta = next(f for f in functions if f["function"] == "beta (inlined)")
    assert beta["file"].endswith("inlines.c") and beta["line"] > 0
    for form in ("svg", "speedscope", "d3"):
        assert "gamma_deep (inlined)" in kymo.run("export", "--format", form, path).stdout, form
    # frames are more by what is inlined, samples are not
    assert view["total"]["weight"] == sum(ns for _, ns in folded(kymo, path)) == sum(
        f["self"]["weight"] for f in functions)
    lines = rows(path, """SELECT count(*) AS n FROM inline i JOIN function f ON f.id = i.function
                            JOIN frame ON frame.id = i.frame
                           WHERE f.name = 'alpha' AND i.line BETWEEN f.first_line AND f.first_line + 4""")
    assert lines[0]["n"] > 0
