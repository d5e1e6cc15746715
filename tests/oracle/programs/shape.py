# SPDX-License-Identifier: Apache-2.0
"""A program made from a seed (tests/oracle/shapes.py) in Python. usage: shape.py FOLDER cpu|memory|io AMOUNT SEED [FILE]"""
import mmap
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, sys.argv[1])
import table  # noqa: E402

HANDLER = -1
PAGE, KIB, MIB = 4096, 1024, 1 << 20
PIECE, PIECES = 64 * KIB, 8
SHORTEST_US = 300
ACTION, AMOUNT, SEED = sys.argv[2], float(sys.argv[3]), int(sys.argv[4])


def thread_ns():
    return int(1e9 * time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID))  # time.thread_time_ns() is 3.7's


class Turn:
    def __init__(self, seed):
        self.random, self.done = random.Random(seed), [0] * len(table.PATHS)
        self.steps = self.until = self.bytes = None


def spin(t):
    while thread_ns() < t.until:
        x = 0
        for i in range(1000):
            x += i


def grow(t):
    m = mmap.mmap(-1, t.bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(m, "madvise"):
        m.madvise(mmap.MADV_NOHUGEPAGE)
    for i in range(0, t.bytes, PAGE):
        m[i] = 1
    m.close()


def write_out(t):
    if os.pwrite(FILE, memoryview(BUFFER)[:t.bytes], 0) != t.bytes:
        sys.exit(1)


ACT = {"cpu": spin, "memory": grow, "io": write_out}[ACTION]


interrupted = []


def begin(t):
    table.STEPS[t.steps[0]](t, 0)


def handler(number, frame):
    t, level = interrupted
    level += 1
    if level == len(t.steps):
        ACT(t)
    else:
        table.STEPS[t.steps[level]](t, level)


def run(t):
    cpu = ACTION == "cpu"
    start, had = thread_ns(), 0
    wanted = AMOUNT * (1e9 if cpu else MIB)
    shares = [share for _, share in table.PATHS]
    while had < wanted:
        i = t.random.choices(range(len(shares)), shares)[0]
        before = thread_ns()
        t.steps = table.PATHS[i][0]
        t.until = before + 1000 * t.random.randrange(SHORTEST_US, SHORTEST_US + table.LONGEST_US)
        t.bytes = PIECE * t.random.randint(1, PIECES)
        begin(t)
        t.done[i] += thread_ns() - before if cpu else t.bytes
        had = thread_ns() - start if cpu else had + t.bytes
        if table.PAUSE_US:
            time.sleep(t.random.uniform(0, table.PAUSE_US / 1e6))


def main():
    sys.setrecursionlimit(5000)
    sys.stdin.readline()  # until told to begin, or the input's end
    turns = [Turn(SEED + i) for i in range(table.THREADS)]
    threads = [threading.Thread(target=run, args=(t,)) for t in turns[1:]]
    for t in threads:
        t.start()
    run(turns[0])
    for t in threads:
        t.join()
    for i, (steps, _) in enumerate(table.PATHS):
        names = ["handler" if s == HANDLER else f"step_{s}" for s in steps]
        print(";".join(["begin", *names, ACT.__name__]), sum(t.done[i] for t in turns))
    print()
    sys.stdout.flush()
    sys.stdin.read()


if ACTION == "io":
    BUFFER = mmap.mmap(-1, PIECE * PIECES)
    FILE = os.open(sys.argv[5], os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
signal.signal(signal.SIGUSR1, handler)
table.ACT, table.interrupted = ACT, interrupted
main()
