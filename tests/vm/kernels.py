# SPDX-License-Identifier: Apache-2.0
"""Kernels of Debian's packages, unpacked into the build folder by the ordinary apt client; nothing is installed.

What the machine's own sources have is asked first; where more is wanted, apt works in a folder of its own with the
suites of SUITES, from the same places as the machine's own. What was fetched once is kept: versions vanish from there.
"""
import io
import json
import lzma
import pathlib
import re
import shutil
import subprocess
import tarfile

# Of the name behind "-": "6.12-rt". Cloud kernels are small, and have all that kymo needs.
FLAVOURS = {"": "cloud-amd64", "rt": "rt-amd64"}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Suites beside the machine's own: of the old release 5.10, of the next one the newest.
SUITES = {"main": ["trixie-backports"], "security": ["bullseye-security"]}
NEWEST = "newest"
MODULE = "brd.ko"  # a disk in memory
FETCH_SECONDS = 300


class Unavailable(Exception):
    """Why a kernel cannot be had."""


def run(*args, **options):
    r = subprocess.run(args, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=FETCH_SECONDS, **options)
    if r.returncode:
        raise Unavailable(f"{args[0]} failed: {(r.stdout.strip().splitlines() or ['no message'])[-1][:200]}")
    return r.stdout


def version_key(version):
    return [int(n) for n in re.findall(r"\d+", version)]


class Apt:
    """apt with the machine's sources, or (extra) in a folder of its own."""

    def __init__(self, folder, extra):
        self.options = []
        if extra:
            self.prepare(folder)

    def prepare(self, folder):
        targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(CREATED_BY)").splitlines()
        places = {"security" if "security" in t else "main": t.split()[0] for t in targets if t.endswith(" Packages")}
        if not places:
            raise Unavailable("apt has no sources")
        shutil.rmtree(folder, ignore_errors=True)
        for f in ("lists/partial", "cache/archives/partial"):
            (folder / f).mkdir(parents=True)
        (folder / "status").touch()
        signed = f"[signed-by={KEYRING}] " if pathlib.Path(KEYRING).exists() else ""
        (folder / "list").write_text("".join(f"deb {signed}{places[kind]} {suite} main\n"
                                             for kind in places for suite in SUITES[kind]))
        settings = {"Dir::State": folder, "Dir::State::status": folder / "status", "Dir::State::lists": folder / "lists",
                    "Dir::Cache": folder / "cache", "Dir::Etc::sourcelist": folder / "list", "Dir::Etc::sourceparts": "/dev/null",
                    "Acquire::Languages": "none", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false"}
        self.options = [a for k, v in settings.items() for a in ("-o", f"{k}={v}")]
        run("apt-get", "-q", *self.options, "-o", "APT::Sandbox::User=root", "update")

    def versions(self):
        """name ("6.1", "6.12-rt") -> newest version of its packages ("6.1.0-50-cloud-amd64")"""
        found = {}
        for kind, flavour in FLAVOURS.items():
            out = run("apt-cache", *self.options, "search", "--names-only", rf"^linux-image-[0-9].*-{flavour}$")
            for version in re.findall(rf"^linux-image-(\d\S*[-+]\S*?-{flavour}) ", out, re.M):
                # another release's kernel made for an older one
                if not re.match(r"\d+\.\d+\.\d+", version) or ".deb" in version:
                    continue
                name = ".".join(version.split(".")[:2]) + (kind and f"-{kind}")
                found[name] = max(found.get(name, version), version, key=version_key)
        return found

    def download(self, version, folder):
        """The packages that a kernel's image and modules are spread over, differently since 6.19."""
        folder.mkdir(parents=True)
        got = []
        for kind in ("image", "binary", "modules"):
            try:
                run("apt-get", "-q", *self.options, "-o", "APT::Sandbox::User=root", "download", f"linux-{kind}-{version}",
                    cwd=folder)
                got.append(kind)
            except Unavailable as e:
                reason = str(e)
        if "image" not in got:
            raise Unavailable(reason)
        return sorted(folder.glob("*.deb"))


def unpacked(name, data):
    if name.endswith(".xz"):
        return lzma.decompress(data)
    if name.endswith(".zst"):
        return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def take_files(deb, folder):
    """The kernel and the one module, of a package that has them."""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for m in tar:
            name = pathlib.PurePath(m.name).name
            if not m.isfile() or not (name.startswith("vmlinuz") or re.fullmatch(rf"{re.escape(MODULE)}(\.xz|\.zst)?", name)):
                continue
            content = tar.extractfile(m).read()
            to = "vmlinuz" if name.startswith("vmlinuz") else MODULE
            (folder / to).write_bytes(unpacked(name, content))


def fetch(apt, version, folder):
    """Whole or not at all: the name comes last."""
    shutil.rmtree(folder, ignore_errors=True)
    for deb in apt.download(version, folder / "debs"):
        take_files(deb, folder)
    shutil.rmtree(folder / "debs")
    if not (folder / "vmlinuz").exists():
        raise Unavailable(f"the packages of {version} have no kernel")
    (folder / "name.json").write_text(json.dumps(version))


def cached(folder):
    name = folder / "name.json"
    return json.loads(name.read_text()) if name.exists() else None


def get(build, wanted):
    """{name: (folder, version or None, reason)} in the order wanted."""
    missing = [s for s in wanted if not cached(build / s)]
    problems = {}
    for extra in (False, True):
        if not missing:
            break
        try:
            if not shutil.which("apt-get"):
                raise Unavailable("no apt-get")
            apt = Apt(build / "apt", extra)
            versions = apt.versions()
        except (Unavailable, subprocess.TimeoutExpired) as e:
            problems.update({s: str(e) for s in missing})
            continue
        if extra and versions:
            versions[NEWEST] = max((v for n, v in versions.items() if "-" not in n), key=version_key)
        for series in list(missing):
            if series not in versions:
                problems.setdefault(series, "no such package where apt looks")
                continue
            try:
                fetch(apt, versions[series], build / series)
                missing.remove(series)
            except (Unavailable, subprocess.SubprocessError) as e:
                problems[series] = str(e)
    shutil.rmtree(build / "apt", ignore_errors=True)
    return {s: (build / s, cached(build / s), problems.get(s)) for s in wanted}
