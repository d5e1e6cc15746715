# SPDX-License-Identifier: Apache-2.0
"""Four threads of 200 run, with the GIL and without it; work done counts in FILE, 8 bytes a thread.
usage: waiting.py FILE SECONDS [THREADS]"""
import mmap
import struct
import sys
import threading
import time
import zlib

DATA = b"x" * (1 << 20)
RUNNING = 4
SPINS = 2000


def spin(n):
    x = 0
    for i in range(n):
        x += i * i
    return x


def work(counts, number, end):
    n = 0
    while time.monotonic() < end:
        spin(SPINS)
        if number:
            zlib.crc32(DATA)
        n += 1
        struct.pack_into("q", counts, 8 * number, n)


def main():
    end = time.monotonic() + float(sys.argv[2])
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    with open(sys.argv[1], "r+b") as f:
        counts = mmap.mmap(f.fileno(), 8 * RUNNING)
    over = threading.Event()
    for _ in range(threads - RUNNING):
        threading.Thread(target=over.wait, daemon=True).start()
    running = [threading.Thread(target=work, args=(counts, i, end)) for i in range(RUNNING)]
    for t in running:
        t.start()
    for t in running:
        t.join()
    over.set()


main()
