# SPDX-License-Identifier: Apache-2.0
"""bcc compiles against a kernel's headers. Where those of the running one cannot be had, any recent ones do for
`profile`, which reads no kernel structure: Debian's, whose two halves bcc wants in one folder."""
import os
import pathlib
import shutil
import subprocess

from measure import builds

PROFILE = shutil.which("profile-bpfcc") or shutil.which("profile", path="/usr/share/bcc/tools")


def merged_headers(sources=pathlib.Path("/usr/src")):
    """A folder in the build's, or None."""
    for own in sorted(sources.glob("linux-headers-*-amd64"), reverse=True):
        common = own.with_name(own.name.replace("-cloud", "").removesuffix("-amd64") + "-common")
        out = builds().resolve() / "bench" / own.name
        if not common.is_dir():
            continue
        if not (out / "include" / "generated").is_dir():
            for half in (common, own):
                for part in ("arch", "include"):
                    if (half / part).is_dir():
                        shutil.copytree(half / part, out / part, symlinks=True, dirs_exist_ok=True)
        return out
    return None


def environment():
    """What `profile` is to be run with."""
    release = os.uname().release
    if os.path.isdir(f"/lib/modules/{release}/build") or os.path.exists("/sys/kernel/kheaders.tar.xz"):
        return os.environ
    headers = merged_headers()
    return os.environ | ({"BCC_KERNEL_SOURCE": str(headers)} if headers else {})


def why_not():
    """None where it works."""
    if not PROFILE:
        return "not installed (scripts/packages, group bench)"
    r = subprocess.run([PROFILE, "-f", "1"], env=environment(), capture_output=True, check=False)
    return "does not work here: it needs headers of a kernel (scripts/packages, group bench)" if r.returncode else None
