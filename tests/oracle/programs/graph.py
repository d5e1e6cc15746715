# SPDX-License-Identifier: Apache-2.0
"""A known call graph in Python, through C and back. usage: graph.py CPU_SECONDS SEED"""
import functools
import random
import sys
import time


def thread_time():
    return time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)  # time.thread_time() is 3.7's


def leaf_a(until):
    while thread_time() < until:
        x = 0
        for i in range(2000):
            x += i


def down(until, n):
    if n:
        down(until, n - 1)
    else:
        leaf_a(until)


def recursive(until):
    down(until, 3)


def key(value):
    if value:
        leaf_a(value)
    return 0


def sorting(until):
    sorted([0, until], key=key)


def add(total, value):
    if value:
        leaf_a(value)
    return total


def reducing(until):
    functools.reduce(add, [0, until, 0])


def generator(until):
    yield 0
    leaf_a(until)
    yield 1


def generating(until):
    for _ in generator(until):
        pass


PATHS = {
    "work;recursive;down;down;down;down;leaf_a": recursive,
    "work;sorting;key;leaf_a": sorting,
    "work;reducing;add;leaf_a": reducing,
    "work;generating;generator;leaf_a": generating,
}


def work():
    chosen = random.Random(int(sys.argv[2]))
    spent = dict.fromkeys(PATHS, 0.0)
    sys.stdin.readline()  # until told to begin, or the input's end
    wanted = thread_time() + float(sys.argv[1])
    before = thread_time()
    while before < wanted:
        path = chosen.choice(sorted(PATHS))
        PATHS[path](before + chosen.uniform(0.001, 0.004))
        now = thread_time()
        spent[path] += now - before
        before = now
    for path, seconds in spent.items():
        print(path, round(seconds * 1e9))
    print()
    sys.stdout.flush()
    sys.stdin.read()  # a profiler that reads names at its end finds us here


work()
