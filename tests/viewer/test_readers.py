# SPDX-License-Identifier: Apache-2.0
"""Exports in the programs they are for: Go's pprof, speedscope's schema and its own page, SQLite's shell.

speedscope and a checker of JSON schemas come from npm into the build folder (npm, node: scripts/packages).
"""

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.parse

import pytest
from conftest import BUILD, KYMO

SELECTIONS = ((), ("--pid", "500"), ("--comm", "reader"), ("--since", "3s"), ("--until", "8s"), ("--pid", "500", "--since", "2s", "--until", "8s"))
VALUES = ("cpu", "fault", "io", "seen:rss", "seen:rss_anon", "seen:rss_file")
NPM = BUILD / "npm"
NPM_PACKAGES = ("speedscope@1.25.0", "ajv@8.20.0")


def kymo(*args, check=True):
    return subprocess.run([KYMO, *map(str, args)], check=check, capture_output=True, text=True)


def total(path, value, *options):
    r = kymo("report", "--json", "--value", value, *options, path, check=False)
    return json.loads(r.stdout)["total"] if r.returncode == 0 else {"samples": 0, "weight": 0}


@pytest.fixture(params=SELECTIONS, ids=lambda s: " ".join(s) or "all")
def selection(request):
    return request.param


# ---- pprof ----


@pytest.fixture(scope="session")
def go():
    if not shutil.which("go") or subprocess.run(["go", "tool", "-n", "pprof"], capture_output=True).returncode != 0:
        pytest.skip("needs Go's pprof")

    def run(path, *options):
        r = subprocess.run(["go", "tool", "pprof", *options, path], capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
        return r.stdout

    return run


def raw_sums(text):
    """{type: sum over all samples} of pprof -raw, which prints what it read."""
    lines = text[text.index("\nSamples:\n"):].splitlines()[2:]
    types = [t.split("/")[0] for t in lines[0].split()]
    sums = [0] * len(types)
    for line in lines[1:]:
        if line.startswith("Locations"):
            break
        row = re.match(r"^((?:\s*-?\d+)+):", line)
        if row:
            sums = [a + int(b) for a, b in zip(sums, row.group(1).split(), strict=True)]
    return dict(zip(types, sums, strict=True))


def test_pprof_has_reports_totals(go, sick, tmp_path, selection):
    out = tmp_path / "x.pb.gz"
    kymo("export", "-o", out, *selection, sick)
    sums = raw_sums(go(out, "-raw"))
    for value in VALUES:
        own = total(sick, value, *selection)
        assert sums.get(value, 0) == own["weight"], value
    assert sums["samples"] == total(sick, "cpu", *selection)["samples"]
    assert sums.get("io_samples", 0) == total(sick, "io", *selection)["samples"]


@pytest.mark.parametrize("value", VALUES)
def test_pprofs_default_is_the_value_asked_for(go, sick, tmp_path, value):
    out = tmp_path / "x.pprof"
    kymo("export", "--value", value, "-o", out, sick)
    assert f"Type: {value}\n" in go(out, "-top")


def test_pprof_tells_who_and_when(go, sick, tmp_path):
    out = tmp_path / "x.pb.gz"
    kymo("export", "-o", out, sick)
    tags = go(out, "-tags")
    for text in ("process:", "thread:", "pid:", "tid:", "psi_mem_some:", "io:", "grower", "short", "write"):
        assert text in tags, text
    traces = go(out, "-traces", "-sample_index=io")
    assert "read;all" in traces and "[server]" in traces
    # ticks 7 to 10 had 26 to 29 % of pressure, those before 0.1
    part = go(out, "-top", "-unit=ns", "-tagfocus=psi_mem_some=20percent:40percent")
    assert f"{total(sick, 'cpu', '--since', '6s')['weight']}ns" in part
    part = go(out, "-top", "-unit=ns", "-tagfocus=psi_mem_some=0percent:1percent")
    assert f"{total(sick, 'cpu', '--until', '6s')['weight']}ns" in part
    written = go(out, "-top", "-unit=B", "-sample_index=io", "-tagfocus=io=write")
    assert "655360B" in written and "[server]" in written and "read;all" not in written
    assert "kymo " in go(out, "-comments")


def test_pprof_reads_hostile_names(go, make_profile, tmp_path):
    subprocess.run([make_profile, tmp_path / "h.kymo", "hostile"], check=True)
    out = tmp_path / "x.pb.gz"
    kymo("export", "-o", out, tmp_path / "h.kymo")
    assert raw_sums(go(out, "-raw", "-symbolize=none"))["cpu"] == total(tmp_path / "h.kymo", "cpu")["weight"]
    top = go(out, "-top", "-nodecount=0")
    assert "script" in top
    assert "<module>" in top and "<unknown>" not in top


# ---- the formats of one value ----


def test_every_format_has_reports_totals(sick, selection):
    for value in VALUES:
        own = total(sick, value, *selection)["weight"]
        if not total(sick, value, *selection)["samples"]:
            continue  # nothing to export is an error
        args = ("--value", value, *selection, sick)
        folded = kymo("export", "--format", "folded", *args).stdout
        assert sum(int(line.rpartition(" ")[2]) for line in folded.splitlines()) == own, value
        assert json.loads(kymo("export", "--format", "d3", *args).stdout)["value"] == own, value
        (p,) = json.loads(kymo("export", "--format", "speedscope", *args).stdout)["profiles"]
        assert sum(p["weights"]) == p["endValue"] == own, value


# ---- speedscope ----


@pytest.fixture(scope="session")
def npm():
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("needs npm and node")
    if not (NPM / "node_modules" / "ajv" / "package.json").exists():
        NPM.mkdir(parents=True, exist_ok=True)
        r = subprocess.run(["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", NPM, *NPM_PACKAGES],
                           capture_output=True, text=True, timeout=300)
        if r.returncode != 0:
            pytest.skip("npm cannot install speedscope: " + (r.stderr.strip().splitlines() or [""])[-1])
    return NPM / "node_modules"


CHECK = """
const fs = require("fs");
const Ajv = require("ajv");
const schema = JSON.parse(fs.readFileSync(process.argv[1]));
const check = new Ajv({ strict: false }).compile(schema);
for (const path of process.argv.slice(2))
    if (!check(JSON.parse(fs.readFileSync(path)))) { console.error(path, JSON.stringify(check.errors)); process.exit(1); }
"""


def valid(npm, *paths):
    r = subprocess.run(["node", "-e", CHECK, npm / "speedscope" / "dist" / "release" / "file-format-schema.json", *paths],
                       capture_output=True, text=True, cwd=npm.parent)
    return r.returncode == 0, r.stderr


@pytest.fixture(scope="session")
def speedscope_files(sick, make_profile, tmp_path_factory):
    folder = tmp_path_factory.mktemp("speedscope")
    subprocess.run([make_profile, folder / "hostile.kymo", "hostile"], check=True)
    for value in VALUES:
        kymo("export", "--value", value, "-o", folder / f"{value.replace(':', '_')}.speedscope.json", sick)
    kymo("export", "-o", folder / "hostile.speedscope.json", folder / "hostile.kymo")
    return folder


def test_speedscopes_schema(npm, speedscope_files):
    files = sorted(speedscope_files.glob("*.json"))
    assert len(files) == len(VALUES) + 1
    ok, error = valid(npm, *files)
    assert ok, error
    # the check can fail
    bad = json.loads(files[0].read_text())
    bad["profiles"][0]["unit"] = "furlongs"
    (speedscope_files / "bad.speedscope").write_text(json.dumps(bad))
    assert not valid(npm, speedscope_files / "bad.speedscope")[0]


def show(browser, npm, path):
    """The file in speedscope's own page, as its command line program would open it."""
    script = path.with_suffix(".js")
    data = base64.b64encode(path.read_bytes()).decode()
    script.write_text(f"speedscope.loadFileFromBase64({json.dumps(path.name)}, {json.dumps(data)})")
    page = browser.open((npm / "speedscope" / "dist" / "release" / "index.html").as_uri() +
                        "#localProfilePath=" + urllib.parse.quote(str(script)) + "&view=sandwich")
    end = time.monotonic() + 60
    text = ""
    while time.monotonic() < end:
        text = page.run("document.body.innerText")
        if "Self" in text or "Something went wrong" in text:
            break
        time.sleep(0.05)
    title = page.run("document.title")
    page.close()
    return title, text


def test_speedscope_shows_it(browser, npm, speedscope_files, sick):
    for value in ("cpu", "fault", "seen_rss"):
        title, text = show(browser, npm, speedscope_files / f"{value}.speedscope.json")
        assert "speedscope" in title and "allocate" in text, (value, text[:500])
    title, text = show(browser, npm, speedscope_files / "hostile.speedscope.json")
    assert "<script>" in text and "owned" not in title


def test_speedscope_refuses_what_is_wrong(browser, npm, speedscope_files):
    bad = json.loads((speedscope_files / "cpu.speedscope.json").read_text())
    bad["profiles"][0]["samples"][0] = [99999]
    (speedscope_files / "index.speedscope").write_text(json.dumps(bad))
    title, text = show(browser, npm, speedscope_files / "index.speedscope")
    assert "allocate" not in text and "Something went wrong" in text


# ---- sqlite3 ----


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="needs SQLite's shell")
def test_sqlites_shell(sick, tmp_path):
    kymo("export", "-o", tmp_path / "x.db", sick)
    out = subprocess.run(["sqlite3", "-bail", tmp_path / "x.db",
                          "SELECT sum(weight) FROM sample_named WHERE source = 'cpu'; PRAGMA integrity_check; SELECT count(*) > 3 FROM stack_text"],
                         check=True, capture_output=True, text=True).stdout
    assert out.split() == [str(total(sick, "cpu")["weight"]), "ok", "1"]
