# SPDX-License-Identifier: Apache-2.0
"""The end of a recording on a terminal: what it saw, on one screen of 80 x 24."""

import fcntl
import os
import pty
import re
import struct
import termios

import pytest
from conftest import KYMO

BURN = """
import time
def hot():
    end = time.process_time() + 1
    while time.process_time() < end:
        sum(range(1000))
hot()
"""


def on_terminal(cwd, *args, **environment):
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ.update(TERM="xterm", **environment)
        os.execv(KYMO, [KYMO, *args])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    out = b""
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode()


@pytest.mark.parametrize("color", [True, False])
def test_one_screen(kymo, color):
    args = ("record", "-F", "499", "-o", "s.kymo", "--", "/usr/bin/python3", "-c", BURN)
    code, out = on_terminal(kymo.cwd, *args, **({} if color else {"NO_COLOR": "1"}))
    assert code == 0
    assert ("\x1b[" in out[out.index("\n"):]) == color
    # what stands there in the end: the progress line was overwritten
    lines = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line).split("\r")[-1] for line in out.replace("\r\n", "\n").rstrip("\n").split("\n")]
    assert len(lines) <= 24, out
    assert all(len(line) <= 80 for line in lines[1:]), out
    text = "\n".join(lines)
    assert "hot" in text and "/usr/bin/python3" in text and "samples" in text
    assert lines[-1].startswith("Next: kymo report s.kymo")


def test_not_in_a_pipe_nor_when_quiet(kymo):
    r = kymo.run("record", "-o", "s.kymo", "-d", "1")
    assert r.stdout == "" and r.stderr.count("\n") == 1 and "Next: kymo report s.kymo" in r.stderr
    code, out = on_terminal(kymo.cwd, "record", "-q", "-o", "s.kymo", "-d", "1")
    assert code == 0 and out == ""
