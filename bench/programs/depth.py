# SPDX-License-Identifier: Apache-2.0
"""Spins under DEPTH Python calls for SECONDS, in a process on each CPU. Usage: depth.py DEPTH SECONDS"""
import os
import sys
import time


def leaf(end):
    x = 0
    while time.monotonic() < end:
        for i in range(100000):
            x += i * 7
    return x


def down(n, end):
    if n <= 2:
        return leaf(end)
    return down(n - 1, end) + 1


def main():
    depth, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
    cpus = sorted(os.sched_getaffinity(0))
    cpu = next((c for c in cpus[1:] if os.fork() == 0), cpus[0])
    os.sched_setaffinity(0, {cpu})
    down(depth - 2, end)


main()
