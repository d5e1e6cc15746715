# SPDX-License-Identifier: Apache-2.0
"""A fixed amount of work in Python, its call graph known. usage: work.py THREADS UNITS SEED

Begins at a line on its input. Prints the truth, as folded stacks with ns of the threads' own clocks, and an empty line
when it is done; then it waits until its input ends, so that a profiler which reads names late finds it there. With more
than one thread each sleeps between its units, as those of a server do."""
import functools
import random
import sys
import threading
import time

SLEEP_SECONDS = 0.02
LOOPS = 3000


def leaf(units):
    for _ in range(units):
        x = 0
        for i in range(LOOPS):
            x += i


def down(units, n):
    if n:
        down(units, n - 1)
    else:
        leaf(units)


def recursive(units):
    down(units, 20)


def key(units):
    if units:
        leaf(units)
    return 0


def sorting(units):
    sorted([0, units], key=key)


def add(total, units):
    if units:
        leaf(units)
    return total


def reducing(units):
    functools.reduce(add, [0, units, 0])


def generator(units):
    yield 0
    leaf(units)
    yield 1


def generating(units):
    for _ in generator(units):
        pass


PATHS = {
    "work;recursive;" + 21 * "down;" + "leaf": recursive,
    "work;sorting;key;leaf": sorting,
    "work;reducing;add;leaf": reducing,
    "work;generating;generator;leaf": generating,
}


def work(units, seed, alone, spent):
    chosen, names = random.Random(seed), sorted(PATHS)
    before = time.thread_time_ns()
    while units > 0:
        path, n = chosen.choice(names), chosen.randint(3, 12)
        PATHS[path](n)
        units -= n
        now = time.thread_time_ns()
        spent[path] += now - before
        before = now
        if not alone:
            time.sleep(chosen.uniform(0, SLEEP_SECONDS))


def main():
    n, units, seed = map(int, sys.argv[1:])
    spents = [dict.fromkeys(PATHS, 0) for _ in range(n)]
    go = threading.Event()

    def begin(i):
        go.wait()
        work(units // n, seed + i, False, spents[i])

    threads = [threading.Thread(target=begin, args=(i,)) for i in range(n if n > 1 else 0)]
    for t in threads:
        t.start()
    sys.stdin.readline()
    go.set()
    if not threads:
        work(units, seed, True, spents[0])
    for t in threads:
        t.join()
    for path in PATHS:
        print(path, sum(s[path] for s in spents))
    print(flush=True)
    sys.stdin.read()


main()
