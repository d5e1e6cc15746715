# SPDX-License-Identifier: Apache-2.0
"""Python on each CPU, 30 calls deep, until SECONDS are over; work done counts in FILE, 8 bytes a process.
usage: counted.py FILE SECONDS"""
import mmap
import os
import struct
import sys
import time

DEPTH = 30
LOOPS = 500


def leaf(counts, at, end):
    n = 0
    while n & 255 or time.monotonic() < end:
        x = 0
        for i in range(LOOPS):
            x += i * 7
        n += 1
        struct.pack_into("q", counts, at, n)


def down(n, *arguments):
    if n:
        return down(n - 1, *arguments)
    return leaf(*arguments)


def main():
    path, end = sys.argv[1], time.monotonic() + float(sys.argv[2])
    cpus = sorted(os.sched_getaffinity(0))
    with open(path, "r+b") as f:
        counts = mmap.mmap(f.fileno(), 8 * len(cpus))
    mine = next((i for i in range(1, len(cpus)) if os.fork() == 0), 0)
    os.sched_setaffinity(0, {cpus[mine]})
    down(DEPTH, counts, 8 * mine, end)


main()
