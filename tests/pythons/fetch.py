#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's other CPythons, each in a root file system with the libraries it was built for. Usage: fetch.py FOLDER [VERSION...]

The ordinary apt client works in a folder of its own, with suites beside the machine's; nothing is installed. What is there is kept:
FOLDER/root-3.9, root-3.11, root-3.13, root-3.14, and root-3.15, which kymo does not know. tests/e2e and `make check-pythons` use them.
"""
import os
import pathlib
import shutil
import subprocess
import sys

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITES = {"3.9": "bullseye", "3.11": "bookworm", "3.13": "trixie", "3.14": "sid", "3.15": "sid"}
LINKS = ("lib", "lib64", "bin", "sbin")  # into usr, as every release since has them


def run(*args, cwd=None, env=None, seconds=600):
    """What it printed. env: beside this process's own."""
    r = subprocess.run([str(a) for a in args], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, cwd=cwd,
                       env={**os.environ, **(env or {})})
    if r.returncode:
        raise RuntimeError(f"{args[0]} failed: {(r.stdout.strip().splitlines() or ['no message'])[-1][:200]}")
    return r.stdout


def prepare(folder, suites, kind="deb"):
    """The options with which apt has those suites, and installs nothing."""
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(CREATED_BY) $(SUITE)").splitlines()
    places = [t.split()[0] for t in targets if " Packages " in t and "security" not in t and "debian" in t.split()[0].rsplit("/", 2)[-2]]
    if not places:
        raise RuntimeError("apt has no Debian among its sources")
    for f in ("lists/partial", "cache/archives/partial"):
        (folder / f).mkdir(parents=True)
    (folder / "status").touch()
    signed = f"[signed-by={KEYRING}] " if pathlib.Path(KEYRING).exists() else ""
    (folder / "list").write_text("".join(f"{kind} {signed}{places[0]} {s} main\n" for s in sorted(suites)))
    settings = {"Dir::State": folder, "Dir::State::status": folder / "status", "Dir::State::lists": folder / "lists",
                "Dir::Cache": folder / "cache", "Dir::Etc::sourcelist": folder / "list", "Dir::Etc::sourceparts": "/dev/null",
                "Acquire::Languages": "none", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
                "APT::Sandbox::User": "root"}
    return [a for k, v in settings.items() for a in ("-o", f"{k}={v}")]


def unpack(debs, root):
    (root / "usr").mkdir(parents=True)
    for name in LINKS:
        (root / "usr" / name).mkdir()
        (root / name).symlink_to(f"usr/{name}")
    for name in ("tmp", "proc", "dev"):
        (root / name).mkdir()
    for deb in debs:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as tar:
            subprocess.run(["tar", "-x", "-C", root, "--keep-directory-symlink"], stdin=tar.stdout, check=True)


def fetch(options, version, folder):
    """Whole or not at all: the name comes last."""
    work = folder / f"new-{version}"
    shutil.rmtree(work, ignore_errors=True)
    (work / "debs" / "partial").mkdir(parents=True)
    run("apt-get", "-q", "-y", *options, "-o", f"Dir::Cache::archives={work}/debs", "-t", SUITES[version], "--no-install-recommends",
        "--download-only", "install", f"python{version}", "libc6")
    unpack(sorted((work / "debs").glob("*.deb")), work / "root")
    print(run("chroot", work / "root", f"/usr/bin/python{version}", "-c",
              "import sys, platform; print('%d.%d.%d' % sys.version_info[:3], *platform.libc_ver())").strip(), flush=True)
    (work / "root").rename(folder / f"root-{version}")
    shutil.rmtree(work)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1]).resolve()
    wanted = [v for v in sys.argv[2:] or SUITES if not (folder / f"root-{v}").exists()]
    if not wanted:
        return
    apt = folder / "apt"
    shutil.rmtree(apt, ignore_errors=True)
    try:
        options = prepare(apt, {SUITES[v] for v in wanted})
        run("apt-get", "-q", *options, "update")
        for version in wanted:
            fetch(options, version, folder)
    except (RuntimeError, subprocess.SubprocessError) as e:
        sys.exit(f"fetch: {e}")
    finally:
        shutil.rmtree(apt, ignore_errors=True)


if __name__ == "__main__":
    main()
