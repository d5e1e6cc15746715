# SPDX-License-Identifier: Apache-2.0
"""kymo report as people see it, over one real recording: every view's width, colour on a terminal alone, JSON that agrees."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios

import pytest

from conftest import KYMO

PROGRAM = """
import json, os, time

def burn():
    return sum(i * i for i in range(2000))

def parse():
    return json.loads("[" + ",".join(str(i) for i in range(2000)) + "]", parse_int=hook)

def hook(text):
    return int(text) ^ 1

def descend(n):
    return burn() if n == 0 else descend(n - 1)

def work(seconds):
    while time.process_time() < seconds:
        parse()
        descend(8)

work(2)
"""

VIEWS = [(), ("--tree",), ("--tree", "--all-frames"), ("--processes",), ("--quality",), ("--value", "seen:rss"),
         ("--tree", "--value", "fault"), ("--value", "io"), ("--sort", "name", "--limit", "5"), ("--tree", "--limit", "0")]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A program that ends by the CPU time that it got, so that a loaded host gives the same samples."""
    folder = tmp_path_factory.mktemp("views")
    (folder / "program.py").write_text(PROGRAM)
    # as the test's own user: pytest's folders are closed to others
    env = {k: v for k, v in os.environ.items() if not k.startswith("SUDO_")}
    r = subprocess.run([KYMO, "record", "-F", "199", "-o", "p.kymo", "--", "/usr/bin/python3", "program.py"], cwd=folder, env=env,
                       text=True, capture_output=True, timeout=120)
    assert r.returncode == 0, r.stderr
    return KYMO, folder


def report(recording, *args, columns=None, **options):
    kymo, folder = recording
    env = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    if columns:
        env["COLUMNS"] = str(columns)
    r = subprocess.run([kymo, "report", *args, "p.kymo"], cwd=folder, env=env, text=True, capture_output=True, timeout=60, **options)
    assert r.returncode == 0, r.stderr
    return r.stdout


def nodes(recording, *args):
    return json.loads(report(recording, "--tree", "--json", "--limit", "0", *args))["nodes"]


def path(all_nodes, node):
    """Names from the process down."""
    names = []
    while True:
        names.append(node["function"])
        if node["parent"] is None:
            return names[::-1]
        node = all_nodes[node["parent"]]


@pytest.mark.parametrize("columns", [80, 120])
def test_every_view_fits(recording, columns):
    for view in VIEWS:
        text = report(recording, *view, columns=columns)
        assert text.splitlines(), view
        wide = [line for line in text.splitlines() if len(line) > columns]
        assert not wide, (view, wide)
        assert "\033" not in text


def test_tree_is_the_program(recording):
    """What the program wrote, in its order; json and the interpreter folded away, recursion once."""
    tree = nodes(recording)
    own = {n["function"]: n for n in tree if n["kind"] == "python" and not n["folded"]}
    assert path(tree, own["burn"])[-3:] == ["work", "descend", "burn"], path(tree, own["burn"])
    assert own["descend"]["recursive"] and not own["burn"]["recursive"]
    assert path(tree, own["hook"])[-3:] == ["work", "parse", "hook"], path(tree, own["hook"])
    assert own["hook"]["through_library"]
    assert not {"loads", "JSONDecoder.decode"} & set(own), set(own)
    assert any(n["folded"] == "library" for n in tree)
    everything = {n["function"] for n in nodes(recording, "--all-frames")}
    assert "JSONDecoder.decode" in everything
    assert not any(n["folded"] for n in nodes(recording, "--all-frames"))


def test_tree_adds_up(recording):
    """Every sample is in the tree once, folded or not; a caller has what it calls and its own."""
    whole = json.loads(report(recording, "--json"))["total"]
    for args in ((), ("--all-frames",)):
        tree = nodes(recording, *args)
        below = [0] * len(tree)
        for n in tree:
            if n["parent"] is not None:
                below[n["parent"]] += n["total"]["weight"]
        assert all(n["total"]["weight"] == n["self"]["weight"] + b for n, b in zip(tree, below))
        assert sum(n["total"]["weight"] for n in tree if n["parent"] is None) == whole["weight"]
        assert sum(n["self"]["samples"] for n in tree) == whole["samples"]


def test_exact_beside_sampled(recording):
    """Of the same processes, within four of the errors that the report itself tells."""
    text = report(recording)
    seconds = {"s": 1, "ms": 1e-3, "us": 1e-6}
    sampled, unit, error, error_unit = re.search(r"= ([\d.]+) (\w+) \+- ([\d.]+) (\w+) of CPU time", text).groups()
    exact, exact_unit = re.search(r"account of the same: ([\d.]+) (\w+)", text).groups()
    difference = abs(float(sampled) * seconds[unit] - float(exact) * seconds[exact_unit])
    assert difference <= 4 * float(error) * seconds[error_unit] + 0.02, text


def on_terminal(recording, *args, **env):
    """What a terminal of 100 columns gets."""
    kymo, folder = recording
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    keep = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    child = subprocess.Popen([kymo, "report", *args, "p.kymo"], cwd=folder, stdout=slave, env={**keep, "TERM": "xterm", **env})
    os.close(slave)
    out = b""
    try:
        while select.select([master], [], [], 60)[0] and (part := os.read(master, 65536)):
            out += part
    except OSError:  # the other side is closed
        pass
    os.close(master)
    assert child.wait() == 0
    return out.decode()


def test_colour_on_a_terminal_alone(recording):
    plain = re.compile(r"\033\[\d+m")
    text = on_terminal(recording, "--tree")
    assert plain.search(text)
    without = plain.sub("", text).replace("\r", "")
    assert "\033" not in without
    assert without == report(recording, "--tree", columns=100)
    assert "\033" not in on_terminal(recording, "--tree", NO_COLOR="1")
    assert "\033" not in on_terminal(recording, "--quality", TERM="dumb")


def test_seen_is_told_as_correlation(recording):
    text = report(recording, "--value", "seen:cpu")
    assert "correlation, not cause" in text
    assert "correlation" not in report(recording, "--value", "fault")
    seen = json.loads(report(recording, "--value", "seen:faults", "--json"))
    assert (seen["value"], seen["source"], seen["unit"]) == ("seen:faults", "cpu", "count")
