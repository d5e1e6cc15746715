# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear line, exit 1, nothing lost."""

import os
import random
import shutil
import sqlite3
import subprocess

import pytest
from conftest import KYMO, NOBODY

READERS = (("report",), ("ticks",), ("info",), ("export", "--format", "folded"), ("export", "--format", "svg"))


def refused(r, *words):
    assert r.returncode == 1, (r.returncode, r.stdout, r.stderr)
    assert r.stderr.count("\n") == 1, r.stderr
    assert r.stderr.startswith("kymo"), r.stderr
    assert r.stdout == ""
    for word in words:
        assert word in r.stderr, r.stderr


@pytest.mark.parametrize("arguments, word", [
    (("record", "-F", "0"), "-F"),
    (("record", "-F", "ninety"), "ninety"),
    (("record", "-F", "99999999999999999999"), "-F"),
    (("record", "-d", "-1"), "-d"),
    (("record", "--tick", "1"), "--tick"),
    (("record", "-p", "12,x"), "x"),
    (("record", "-p", ""), "-p"),
    (("record", "-p", "1,,2"), "-p"),
    (("record", "--"), "COMMAND"),
    (("record", "-o", "-", "-d", "1"), "standard output"),
    (("record", "-p", "1", "--", "true"), "exclude"),
    (("record", "-a", "-p", "1"), "exclude"),
    (("record", "--frobnicate",), "frobnicate"),
    (("frobnicate",), "frobnicate"),
    (("record", "-s", "cpu,,io"), "--sources"),
    (("record", "-s", ""), "--sources"),
    (("help", "record", "x"), "'x'"),
    (("version", "x"), "'x'"),
    (("report", "--quality", "--value", "io"), "--quality"),
    (("report", "a", "b"), ""),
    (("export", "--format", "gif", "x"), "gif"),
    (("record", "--", "/no/such/command"), "/no/such/command"),
    (("record", "--", "/etc/passwd"), "/etc/passwd"),
    (("record", "-p", "4194303"), "4194303"),
    (("record", "-a", "-d", "1", "-o", "/no/such/folder/x.kymo"), "/no/such/folder"),
    (("record", "-a", "-d", "1", "-o", "/proc/x.kymo"), "/proc"),
    (("record", "-a", "-d", "1", "-o", "/dev"), "/dev"),
    (("record", "-a", "-d", "1", "-o", "/dev/null"), "/dev/null"),
])
def test_bad_arguments(kymo, arguments, word):
    refused(kymo.run(*arguments, check=False), word)
    assert list(kymo.cwd.iterdir()) == []


def test_a_missing_command_costs_no_profile(kymo):
    kymo.run("record", "-q", "-a", "-d", "1")
    before = (kymo.cwd / "profile.kymo").read_bytes()
    refused(kymo.run("record", "--", "no-such-command", check=False), "no-such-command")
    assert (kymo.cwd / "profile.kymo").read_bytes() == before
    assert not (kymo.cwd / "profile.kymo.old").exists()


@pytest.mark.parametrize("form", ("folded", "svg", "pprof", "speedscope", "sqlite"))
@pytest.mark.parametrize("name", ("r.kymo", "link.svg", "day/1.kymo"))
def test_an_export_does_not_replace_a_profile(kymo, recorded, form, name):
    """Neither the one that it reads nor another."""
    (kymo.cwd / "day").mkdir()
    for copy in ("r.kymo", "day/1.kymo"):
        shutil.copy(recorded, kymo.cwd / copy)
    (kymo.cwd / "link.svg").symlink_to("r.kymo")
    before = (kymo.cwd / name).read_bytes()
    refused(kymo.run("export", "-f", form, "-o", name, "r.kymo", check=False), name, "profile")
    assert (kymo.cwd / name).read_bytes() == before
    assert sorted(p.name for p in kymo.cwd.rglob("*")) == ["1.kymo", "day", "link.svg", "r.kymo"]


def test_not_root(kymo):
    kymo.cwd.chmod(0o777)
    r = subprocess.run([KYMO, "record", "-a", "-d", "1"], cwd=kymo.cwd, user=NOBODY, group=NOBODY, extra_groups=[],
                       capture_output=True, text=True)
    refused(r, "root")
    assert list(kymo.cwd.iterdir()) == []


def test_no_btf(kymo):
    """In a mount namespace of its own, where /sys/kernel/btf is an empty folder."""
    r = subprocess.run(["unshare", "-m", "sh", "-c",
                        f"mount -t tmpfs none /sys/kernel/btf && exec {KYMO} record -a -d 1"],
                       cwd=kymo.cwd, capture_output=True, text=True)
    refused(r, "BTF")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    from conftest import Kymo

    k = Kymo(tmp_path_factory.mktemp("recorded"))
    # with a load of its own: an idle host has no samples
    burn = "import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    k.run("record", "-q", "-F", "499", "-o", "r.kymo", "--", "/usr/bin/python3", "-c", burn)
    return k.cwd / "r.kymo"


@pytest.mark.parametrize("arguments, word", [
    (("record",), "root"),
    (("record", "-p", "1", "-d", "1"), "root"),
    (("record", "--rotate", "1s", "-o", "d"), "root"),
    (("record", "-o", "x.svg", "--", "true"), "root"),
    *(((*reader, "root.kymo"), "root.kymo: Permission denied") for reader in READERS),
    (("sql", "root.kymo", "SELECT 1"), "root.kymo: Permission denied"),
    (("info", "closed"), "closed: Permission denied"),
    (("info", "closed/r.kymo"), "closed/r.kymo: Permission denied"),
    *((("export", "-o", f"closed/out.{form}", "open.kymo"), "cannot be written: Permission denied") for form in ("svg", "folded", "db")),
], ids=lambda a: " ".join(a) if isinstance(a, tuple) else "")
def test_an_ordinary_user_is_told_why_not(kymo, recorded, arguments, word):
    for name, mode in (("root.kymo", 0o600), ("open.kymo", 0o644), ("closed/r.kymo", 0o644)):
        (kymo.cwd / name).parent.mkdir(exist_ok=True)
        shutil.copy(recorded, kymo.cwd / name)
        (kymo.cwd / name).chmod(mode)
    (kymo.cwd / "closed").chmod(0o700)
    before = sorted(kymo.cwd.rglob("*"))
    r = subprocess.run([KYMO, *arguments], cwd=kymo.cwd, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True,
                       timeout=60)
    refused(r, word)
    assert sorted(kymo.cwd.rglob("*")) == before


def test_an_ordinary_user_reads(kymo, recorded):
    """In a folder in which nothing can be written."""
    shutil.copy(recorded, kymo.cwd / "open.kymo")
    (kymo.cwd / "open.kymo").chmod(0o644)
    for reader in (*READERS, ("sql",)):
        r = subprocess.run([KYMO, *reader, "open.kymo"], cwd=kymo.cwd, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True,
                           text=True, timeout=60)
        assert r.returncode == 0 and r.stdout and not r.stderr, (reader, r.stderr)


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r[0] + r[-1])
@pytest.mark.parametrize("bad", ["missing", "empty", "random", "truncated", "foreign", "text", "folder", "fifo", "unreadable"])
def test_bad_profiles(kymo, recorded, reader, bad):
    path = kymo.cwd / "bad.kymo"
    data = recorded.read_bytes()
    if bad == "empty":
        path.write_bytes(b"")
    elif bad == "random":
        path.write_bytes(random.Random(1).randbytes(100_000))
    elif bad == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif bad == "foreign":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE tick(id)")
    elif bad == "text":
        path.write_text("main;f 1\n" * 1000)
    elif bad == "folder":
        path.mkdir()
    elif bad == "fifo":
        os.mkfifo(path)
    elif bad == "unreadable":
        shutil.copy(recorded, path)
        path.chmod(0)
        kymo.cwd.chmod(0o755)
    options = dict(user=NOBODY, group=NOBODY, extra_groups=[]) if bad == "unreadable" else {}
    r = subprocess.run([KYMO, *reader, "bad.kymo"], cwd=kymo.cwd, capture_output=True, text=True, timeout=20, **options)
    refused(r, "bad.kymo")


def test_truncated_anywhere_never_crashes(kymo, recorded):
    data = recorded.read_bytes()
    path = kymo.cwd / "cut.kymo"
    generator = random.Random(2)
    for _ in range(30):
        path.write_bytes(data[: generator.randrange(len(data))])
        r = kymo.run("report", path, check=False, timeout=20)
        assert r.returncode in (0, 1), r.stderr
        assert r.returncode == 0 or r.stderr.count("\n") == 1


def test_output_to_a_full_or_closed_place(kymo, recorded):
    with open("/dev/full", "w") as full:
        r = subprocess.run([KYMO, "export", "--format", "folded", recorded], stdout=full, stderr=subprocess.PIPE, text=True)
    assert r.returncode == 1 and r.stderr.count("\n") == 1
    r = subprocess.run(f"{KYMO} export --format folded {recorded} | head -1", shell=True, capture_output=True, text=True)
    assert r.stderr == ""
