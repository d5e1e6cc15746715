# SPDX-License-Identifier: Apache-2.0
"""Names of native code: inlined functions, separate debug files, stripped files, perf maps, other mount namespaces."""

import json
import math
import os
import pathlib
import re
import shutil
import struct
import subprocess
import time

import pytest
from profile import folded, quality, rows, ticks

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
    spent = json.loads(record(kymo, "i.kymo", "--", program, 1.2).stdout)
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


def jit_names(path):
    """Names of code in memory, from the profile itself."""
    return {r["name"] for r in rows(path, """SELECT f.name AS name FROM frame JOIN binary b ON b.id = frame.binary
                                               JOIN function f ON f.id = frame.function WHERE b.kind = 4""")}


def remove_maps():
    for f in pathlib.Path("/tmp").glob("perf-*.map*"):
        if time.time() - f.lstat().st_mtime < 60:
            f.unlink(missing_ok=True)


JIT = ("jit;code_0<script>\033[31m", "jit;code_1<script>\033[31m")


@pytest.mark.parametrize("kind", ["file", "grown"])
def test_perf_map_names_code_in_memory(kymo, compiled, kind):
    program = compiled("jit.c", "-fno-omit-frame-pointer")
    spent = json.loads(record(kymo, "j.kymo", "--", program, 1.5, kind).stdout)
    path = kymo.cwd / "j.kymo"
    remove_maps()
    assert jit_names(path) == set(JIT)
    stacks = folded(kymo, path)
    assert not any("\033" in frame for stack, _ in stacks for frame in stack)
    weight = [share_of([(["code_0" if "code_0" in f else "code_1" if "code_1" in f else f for f in stack], ns)
                        for stack, ns in stacks], f) for f in ("code_0", "code_1")]
    total = sum(spent.values())
    n, p = sum(weight) * HZ / 1e9, spent["code_0"] / total
    assert n > 0.5 * total * HZ / 1e9
    assert abs(weight[0] * HZ / 1e9 - n * p) <= 4 * math.sqrt(n * p * (1 - p)), (weight, spent)


@pytest.mark.parametrize("kind", ["fifo", "link", "huge", "nobody"])
def test_perf_map_that_is_not_to_be_trusted(kymo, compiled, kind):
    """A FIFO, a link, a gigabyte, another user's: no names, every tick."""
    program = compiled("jit.c", "-fno-omit-frame-pointer")
    spent = json.loads(record(kymo, "h.kymo", "--tick", "100", "--", program, 1, kind).stdout)
    path = kymo.cwd / "h.kymo"
    remove_maps()
    assert not jit_names(path)
    assert quality(path).get("maps.refused", 0) >= 1
    total = sum(ns for stack, ns in folded(kymo, path))
    assert total >= 0.8 * sum(spent.values())
    longest = max(t["end_ns"] - t["start_ns"] for t in ticks(path))
    assert longest < 2e9, "the tick waited for the map"


def test_perf_map_of_a_process_in_a_pid_namespace(kymo, compiled):
    """Its /tmp, and the pid that it has there; nothing of that name is in ours."""
    program = compiled("jit.c", "-fno-omit-frame-pointer")
    # the program itself lies in /tmp, over which another one is mounted: by its descriptor
    record(kymo, "ns.kymo", "--", "unshare", "--mount", "--pid", "--fork", "sh", "-c",
           f"exec 9<{program}; mount -t tmpfs none /tmp && /proc/self/fd/9 1.5")
    assert jit_names(kymo.cwd / "ns.kymo") == set(JIT)


def test_python_with_trampolines(kymo):
    """CPython's own perf map, 3.12 on."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    found = [p for v in ("3.12", "3.13", "3.14") for p in (
        *pyenv.glob(f"versions/{v}.*/bin/python{v}"), pathlib.Path("/usr/bin") / f"python{v}") if p.exists()]
    python = found[0] if found else None
    if not python:
        pytest.skip("needs CPython 3.12 or later")
    code = "import time\ndef leaf():\n  s = 0\n  for i in range(9999): s += i * i\nwhile time.process_time() < 1: leaf()"
    record(kymo, "py.kymo", "--", python, "-X", "perf", "-c", code)
    remove_maps()
    assert "py::leaf:<string>" in jit_names(kymo.cwd / "py.kymo")


def test_node(kymo):
    if not shutil.which("node"):
        pytest.skip("needs Node.js")
    (kymo.cwd / "busy.js").write_text("""
        function hotFunction(n) { let s = 0; for (let i = 0; i < n; i++) s = (s + i * 3) % 1000003; return s; }
        const end = process.cpuUsage().user + 1.2e6;
        while (process.cpuUsage().user < end) hotFunction(3e5);""")
    record(kymo, "n.kymo", "--", "node", "--perf-basic-prof", "busy.js")
    stacks = folded(kymo, kymo.cwd / "n.kymo")
    remove_maps()
    hot = sum(ns for stack, ns in stacks if any("hotFunction" in f for f in stack))
    assert hot > 0.4 * sum(ns for _, ns in stacks), stacks


# ---- stripped files ----

def tool(*args, **options):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, **options).stdout


def with_mini_debuginfo(program, out):
    """As Fedora makes it: the functions that are not dynamic symbols, with xz, into the stripped file."""
    keep, debug, mini = (out.parent / f"{out.name}.{x}" for x in ("keep", "debug", "mini"))
    dynamic = {x.split()[0] for x in tool("nm", "-D", program, "--format=posix", "--defined-only", text=True).splitlines()}
    functions = {x.split()[0] for x in tool("nm", program, "--format=posix", "--defined-only", text=True).splitlines()
                 if x.split()[1] in "TtD"}
    keep.write_text("\n".join(sorted(functions - dynamic)) + "\n")
    tool("objcopy", "--only-keep-debug", program, debug)
    tool("objcopy", "-S", "--remove-section", ".comment", f"--keep-symbols={keep}", debug, mini)
    tool("strip", "--strip-all", "-R", ".comment", "-o", out, program)
    tool("xz", "-f", mini)
    tool("objcopy", "--add-section", f".gnu_debugdata={mini}.xz", out)
    debug.unlink()


def test_mini_debuginfo_names_a_stripped_file(kymo, compiled):
    for name in ("nm", "objcopy", "strip", "xz"):
        if not shutil.which(name):
            pytest.skip(f"needs {name}")
    program = compiled("busy.c", "-O0")
    out = kymo.cwd / "stripped"
    with_mini_debuginfo(program, out)
    assert b"no symbols" in subprocess.run(["nm", out], capture_output=True).stderr
    record(kymo, "m.kymo", "--", out, 1)
    stacks = folded(kymo, kymo.cwd / "m.kymo")
    inner = [s for s, _ in stacks if "inner" in s]
    assert inner and all(s[s.index("main"):][:4] == ["main", "outer", "middle", "inner"] for s in inner), stacks
    assert not any("[stripped]" in s for s, _ in stacks), stacks


@pytest.mark.parametrize("where", ["beside", "packed"])
def test_lines_from_a_separate_debug_file(kymo, compiled, where):
    """By .gnu_debuglink: the stripped file's DWARF lies in .debug beside it, plain or compressed."""
    program = compiled("inlines.c", "-fno-omit-frame-pointer")
    out, debug = kymo.cwd / "stripped", kymo.cwd / ".debug" / "stripped.debug"
    debug.parent.mkdir()
    tool("objcopy", "--only-keep-debug", *(["--compress-debug-sections"] if where == "packed" else []), program, debug)
    tool("strip", "--strip-all", "-o", out, program)
    tool("objcopy", f"--add-gnu-debuglink={debug}", out)
    record(kymo, "d.kymo", "--", out, 1)
    stacks = folded(kymo, kymo.cwd / "d.kymo")
    inlined = sum(share_of(stacks, f"{f} (inlined)") for f in FUNCTIONS)
    assert inlined > 0.9 * sum(ns for _, ns in stacks)


def test_a_debug_file_of_another_build_is_not_taken(kymo, compiled):
    program, other = compiled("inlines.c", "-fno-omit-frame-pointer"), compiled("busy.c")
    out, debug = kymo.cwd / "stripped", kymo.cwd / "stripped.debug"
    tool("objcopy", "--only-keep-debug", other, debug)
    tool("strip", "--strip-all", "-o", out, program)
    tool("objcopy", f"--add-gnu-debuglink={debug}", out)
    record(kymo, "o.kymo", "--", out, 0.5)
    binary = "SELECT id FROM binary WHERE path LIKE '%/stripped'"
    assert not rows(kymo.cwd / "o.kymo", f"SELECT * FROM function WHERE file != '' AND binary IN ({binary})")


# ---- where the file is not where its path says ----

def names_of(path, suffix):
    return {r["name"] for r in rows(path, """SELECT f.name AS name FROM frame JOIN binary b ON b.id = frame.binary
        JOIN function f ON f.id = frame.function WHERE b.path LIKE ?""", f"%{suffix}%")}


def test_a_deleted_file_and_its_successor(kymo, compiled):
    """A running program is removed and another put in its place, as upgrades do: each has its own names."""
    old, new = compiled("busy.c", "-O0"), compiled("inlines.c", "-fno-omit-frame-pointer")
    place = kymo.cwd / "program"
    shutil.copy(old, place)
    record(kymo, "x.kymo", "--", "sh", "-c",
           f"{place} 1.5 & sleep 0.3; rm {place}; cp {new} {place}; {place} 1; wait")
    assert {"main", "outer", "middle", "inner"} <= names_of(kymo.cwd / "x.kymo", "/program")
    assert "alpha" in {r["name"] for r in rows(kymo.cwd / "x.kymo", "SELECT name FROM function")}
    for stack, _ in folded(kymo, kymo.cwd / "x.kymo"):
        assert not ("inner" in stack and any("alpha" in f or "run" in f for f in stack)), stack


def test_another_mount_namespace(kymo, compiled):
    """The same path is another file there."""
    here, there = compiled("busy.c", "-O0"), compiled("inlines.c", "-fno-omit-frame-pointer")
    place, hidden = kymo.cwd / "bin", kymo.cwd / "hidden"
    place.mkdir(), hidden.mkdir()
    shutil.copy(here, place / "program")
    shutil.copy(there, hidden / "program")
    record(kymo, "mnt.kymo", "--", "unshare", "--mount", "sh", "-c",
           f"mount --bind {hidden} {place} && exec {place}/program 1")
    stacks = folded(kymo, kymo.cwd / "mnt.kymo")
    assert share_of(stacks, "beta (inlined)") > 0
    assert share_of(stacks, "inner") == 0


def test_overlayfs(kymo, compiled):
    """A container's root: what stat says of a file there is not what the kernel says of its mapping."""
    folders = {n: kymo.cwd / n for n in ("lower", "upper", "work", "merged")}
    for f in folders.values():
        f.mkdir()
    shutil.copy(compiled("inlines.c", "-fno-omit-frame-pointer"), folders["lower"] / "below")
    options = "lowerdir={lower},upperdir={upper},workdir={work}".format(**folders)
    if subprocess.run(["unshare", "--mount", "mount", "-t", "overlay", "none", "-o", options, folders["merged"]],
                      capture_output=True).returncode:
        pytest.skip("needs overlayfs on the file system of /tmp")
    merged = folders["merged"]
    record(kymo, "ov.kymo", "--", "unshare", "--mount", "sh", "-c",
           f"mount -t overlay none -o {options} {merged} && cp {compiled('busy.c', '-O0')} {merged}/above && "
           f"{merged}/below 1 && exec {merged}/above 1")
    stacks = folded(kymo, kymo.cwd / "ov.kymo")
    below, above = share_of(stacks, "gamma_deep (inlined)"), share_of(stacks, "inner")
    assert below > 0 and above > 0, stacks
    # the namespace is gone before the last samples are named
    assert not any(f in ("[below]", "[above]") for s, _ in stacks for f in s), stacks


# ---- hostile files ----

def with_huge_sections(program, out):
    """4 GB, sparse: symbols and DWARF are said to fill the hole."""
    data = bytearray(program.read_bytes())
    sections, size, n, names = *struct.unpack_from("<Q", data, 40), *struct.unpack_from("<HHH", data, 58)
    end, hole = len(data), 3 << 30
    strings = struct.unpack_from("<Q", data, sections + names * size + 24)[0]
    for i in range(n):
        at = sections + i * size
        start = strings + struct.unpack_from("<I", data, at)[0]
        name = bytes(data[start:data.index(0, start)])
        if name in (b".symtab", b".strtab", b".dynsym", b".debug_info", b".debug_line", b".debug_str", b".gnu_debugdata"):
            struct.pack_into("<QQ", data, at + 24, end, hole)
    out.write_bytes(data)
    os.truncate(out, 4 << 30)
    out.chmod(0o755)


def assert_ticks_kept(path, longest_s=2):
    longest = max(t["end_ns"] - t["start_ns"] for t in ticks(path))
    assert longest < longest_s * 1e9, "a tick waited for a file"


def test_a_file_of_4_gb_with_huge_sections(kymo, compiled):
    out = kymo.cwd / "huge"
    with_huge_sections(compiled("busy.c", "-O0"), out)
    record(kymo, "g.kymo", "--tick", "100", "--", out, 1.5)
    assert_ticks_kept(kymo.cwd / "g.kymo")
    stacks = folded(kymo, kymo.cwd / "g.kymo")
    assert sum(ns for s, ns in stacks if s[0] == "huge") > 0


def test_a_file_truncated_while_it_is_read(kymo, compiled):
    """A program maps copies of itself and cuts them short, over and over, as they are looked into."""
    copies = kymo.cwd / "copies"
    copies.mkdir()
    script = f"""
import mmap, os, time
data = open({str(compiled('busy.c', '-O0'))!r}, 'rb').read()
end = time.monotonic() + 1.5
i = 0
while time.monotonic() < end:
    path = {str(copies)!r} + f'/{{i % 40}}'
    with open(path, 'wb') as f:
        f.write(data)
    with open(path, 'r+b') as f:
        m = mmap.mmap(f.fileno(), len(data), flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
        os.truncate(path, len(data) * (i % 7) // 9)
        time.sleep(0.002)
        m.close()
    i += 1
"""
    record(kymo, "t.kymo", "--tick", "100", "--", "/usr/bin/python3", "-c", script)
    assert_ticks_kept(kymo.cwd / "t.kymo")
    assert len(ticks(kymo.cwd / "t.kymo")) >= 5
