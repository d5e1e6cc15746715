# SPDX-License-Identifier: Apache-2.0
"""The demo's Python half: loads, parses, scores and renders records, over and over, and keeps some of them.

Arguments: seconds (14), a folder for its output. Ends by itself.
"""
import json
import math
import os
import sys
import time


def load(path):
    with open(path) as f:
        return f.read()


def parse(text):
    return [json.loads(line) for line in text.splitlines()]


def score(record):
    total = 0.0
    for i, value in enumerate(record["values"]):
        total += math.sqrt(value) * math.log(i + 2)
    return total


def rank(records):
    return sorted(records, key=score, reverse=True)


def render(records):
    return "\n".join(f"{r['name']:>12} {score(r):12.3f}" for r in records)


def save(folder, page):
    with open(os.path.join(folder, "page.txt"), "w") as f:
        f.write(page * 20)
        f.flush()
        os.fsync(f.fileno())


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 14
    folder = sys.argv[2] if len(sys.argv) > 2 else "/tmp"
    source = os.path.join(folder, "records.txt")
    with open(source, "w") as f:
        for i in range(500):
            print(json.dumps({"name": f"item{i}", "values": list(range(i % 50 + 10))}), file=f)
    end = time.monotonic() + seconds
    kept = []
    rounds = 0
    while time.monotonic() < end:
        records = rank(parse(load(source)))
        page = render(records)
        if len(kept) < 200:
            kept.append(records)
        rounds += 1
        if rounds % 20 == 0:
            save(folder, page)
    print(rounds)


main()
