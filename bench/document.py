# SPDX-License-Identifier: Apache-2.0
"""docs/BENCHMARKS.md from what bench/run found (build/bench/results.json)."""
import statistics

from measure import interval
from turns import half_width

OFTEN_HZ = 500  # from here on what a sample takes may be seen in the target
QUIET_LOAD = 0.7  # of waiting threads before the start
HEAD = """# kymo beside its peers

{host}.
{quiet}

| part | command | begun | minutes | extent | load average |
|---|---|---|---|---|---|
{parts}
All profilers did the same work in the same run, in random order, each with the options that its own manual advises for a
flame graph of CPU time. Fixed amounts of work are begun when the profiler records; each round also has the work
without a profiler; a slowdown is of the one that was nearest in time. Cells are medians; in brackets the 95 % interval of
the median by order statistics, where there were fewer than six runs the range.

| profiler | version | command |
|---|---|---|
"""

COLUMNS_TEXT = """
The columns:

- **slowdown**: how much longer the work took by the clock; **CPU**: how much more CPU time its own processes were charged
  with, which is what the profiler does in the kernel while it interrupts them, and cold caches. On a shared host the clock
  says little.
- **µs a sample**: CPU of all of the profiler's processes while the work ran, by the samples of that time. **kernel ns**: what the
  kernel measured of a run of its BPF programs (kymo's on page faults among them); what perf does in the interrupt is nobody's
  account and stands in the table of turns.
- **memory**: the most that all its processes kept (pages shared by them once), until its result was there; **maps**: what its
  BPF maps take in the kernel.
- **CPU in all**: seconds, of all of the profiler's processes, from its start until its result was there.
- **whole**: of the work's stacks with a user part, those that reach a true end: kymo's by rule, the others' by the name of the
  outermost function (more than their own rules would grant); Python's own profilers see no native callers and are whole when they
  reach the module or the thread's start.
- **distance**: total variation distance of the shares from the truth that the program measured with its own clock, and what
  chance allows a right profiler; *impossible*: stacks that the program cannot have; *cut*: without their outermost callers.
  "-" where no truth is known, or where the profiler sees none of the program's functions.
- **result**: seconds from the end of recording to the flame graph (kymo) or to folded stacks, its input (the others).
"""

CELLS = ("slowdown", "CPU", "samples", "µs a sample", "kernel ns", "memory MiB", "maps MiB", "CPU in all s", "whole", "distance / allowed",
         "impossible", "cut", "result s")


def number(values, form="{:.1f}"):
    """Median, and the interval where there is one."""
    if not values:
        return "-"
    middle, low, high = interval(values)
    return form.format(middle) + (f" ({form.format(low)} to {form.format(high)})" if len(values) > 1 else "")


def column(runs, name):
    return [r[name] for r in runs if r.get(name) is not None]


def paired(runs, alone, name):
    """Per cent more than the run without a profiler that is nearest in time."""
    if not alone:
        return []
    return [100 * (r[name] / min(alone, key=lambda a: abs(a["at"] - r["at"]))[name] - 1) for r in runs]


def per_sample(runs):
    return [1e6 * r["own cpu"] / r["at work"] for r in runs if r["at work"]]


def plain_median(values, form="{:.1f}"):
    return form.format(statistics.median(values)) if values else "-"


def row(runs, alone, own_cpu):
    saw = [r for r in runs if r.get("seen")]
    distance, bound = column(saw, "distance"), column(saw, "bound")
    return (number(paired(runs, alone, "wall"), "{:+.1f}"), number(paired(runs, alone, "cpu"), "{:+.1f}") if own_cpu else "-",
            plain_median(column(runs, "samples"), "{:.0f}"), number(per_sample(runs), "{:.0f}"),
            plain_median(column(runs, "kernel ns"), "{:.0f}"),
            plain_median([m / 2**20 for m in column(runs, "memory")]),
            plain_median([m / 2**20 for m in column(runs, "maps") if m]), plain_median(column(runs, "whole cpu"), "{:.2f}"),
            plain_median([100 * w for w in column(runs, "whole")], "{:.1f} %"),
            f"{statistics.median(distance):.3f} / {statistics.median(bound):.3f}" if distance else "-",
            plain_median(column(saw, "impossible"), "{:.0f}"), plain_median([100 * c for c in column(saw, "cut")], "{:.1f} %"),
            number(column(runs, "result")))


def line(cells):
    return "| " + " | ".join(cells) + " |\n"


def ordered(runs, names):
    """As they are listed, kymo first; nobody's run before all."""
    return dict(sorted(runs.items(), key=lambda r: ["", *names].index(r[0].rpartition("@")[0])))


def work_table(name, runs, idle):
    alone = runs.get("@99", [])
    out = f"\n### {name}\n\n"
    if alone and not idle:
        out += (f"Without a profiler: {number(column(alone, 'wall'), '{:.2f}')} s by the clock, "
                f"{number(column(alone, 'cpu'), '{:.2f}')} s of CPU.\n\n")
    out += line(("profiler", *CELLS)) + "|---" * (len(CELLS) + 1) + "|\n"
    for key in sorted(runs, key=lambda k: int(k.rpartition("@")[2])):
        who, _, hz = key.rpartition("@")
        if who:
            cells = row(runs[key], alone, own_cpu=name != "PostgreSQL, pgbench")
            if idle:
                cells = ("-", "-", *cells[2:])
            out += line((f"{who}, {hz} Hz", *cells))
    return out


def bytes_table(runs):
    """What is fixed and what a sample adds: from two rates of the same work."""
    out = line(("profiler", "fixed KiB", "bytes a sample")) + "|---|---|---|\n"
    for key in sorted(runs):
        who, _, hz = key.rpartition("@")
        high = runs.get(f"{who}@999")
        if not who or hz != "99" or not high:
            continue
        (n, size), (n_2, size_2) = ((statistics.median(column(r, "samples")), statistics.median(column(r, "bytes"))) for r in (runs[key], high))
        if n_2 <= n:
            continue
        slope = (size_2 - size) / (n_2 - n)
        out += line((who, f"{(size - slope * n) / 1024:.1f}", f"{slope:.1f}"))
    return out


def turns_text(found):
    """What a sample takes only by CPU time: by the clock the profiler's own processes are in it."""
    out = ""
    for t in found:
        often = t["hz"] > OFTEN_HZ
        for by, what in (("clock", "by the clock"), ("cpu", "by the target's CPU time")):
            values = [100 * p[by] for p in t["pairs"]]
            if len(values) < 2 or (often and by == "clock"):
                continue
            middle, low, high = interval(values)
            mean, half, ns = statistics.mean(values), half_width(values), 1e7 / t["hz"]
            out += line((t["name"], str(t["hz"]), what, str(len(values)), f"{mean:+.2f} ± {half:.2f} %", f"{middle:+.2f} % ({low:+.2f} to {high:+.2f})",
                         f"{mean * ns:,.0f} ± {half * ns:,.0f}" if often else "-"))
    head = line(("profiler", "Hz", "measured", "pairs", "mean slowdown, 95 %", "median (95 %)", "ns of the target a sample"))
    return head + "|---|---|---|---|---|---|---|\n" + out if out else ""


def judgement(v):
    if v["holds"]:
        return "right"
    if v["impossible"]:
        return "wrong: impossible stacks"
    return "wrong: callers missing" if v["cut"] > 0.1 else "wrong: shares"


def verdicts_text(verdicts):
    out = line(("program", "profiler", "samples", "impossible", "cut", "distance", "allowed", "verdict")) + "|---" * 8 + "|\n"
    for v in verdicts:
        if "why" in v:
            out += line((v["program"], v["profiler"], "-", "-", "-", "-", "-", v["why"]))
        elif not v["seen"]:
            out += line((v["program"], v["profiler"], "0", "-", "-", "-", "-", "sees none of the program's functions"))
        else:
            out += line((v["program"], v["profiler"], f"{v['samples']:,}", str(v["impossible"]), f"{100 * v['cut']:.1f} %",
                         f"{v['distance']:.3f}", f"{v['bound']:.3f}", judgement(v)))
    return out


# name: (of a run, the smaller the better; how much more is a difference)
COMPARED = {
    "µs of CPU a sample": (lambda r: 1e6 * r["own cpu"] / r["at work"] if r["at work"] else None, 1.1),
    "ns a sample in the kernel": (lambda r: r.get("kernel ns"), 1.1),
    "memory": (lambda r: r["memory"], 1.1),
    "CPU from the start to the result": (lambda r: r.get("whole cpu"), 1.1),
    "time to the result": (lambda r: r["result"], 1.1),
    "whole stacks": (lambda r: r["whole"] and 1 / r["whole"], 1.005),
    "distance from the truth": (lambda r: r.get("seen") and max(0, r["distance"] - r["bound"]) + 1, 1.005),
}


def behind(results):
    """[(column, work, peer, kymo's, the peer's)] where a peer's median is better by more than chance makes of it."""
    out = []
    for work, runs in results["runs"].items():
        for key, of_peer in runs.items():
            who, _, hz = key.rpartition("@")
            mine = runs.get(f"kymo@{hz}")
            if who in ("", "kymo") or not mine:
                continue
            for name, (of, more) in COMPARED.items():
                a, b = ([v for v in map(of, r) if v] for r in (mine, of_peer))
                if a and b and statistics.median(a) > more * statistics.median(b):
                    out.append((name, work, f"{who}, {hz} Hz", statistics.median(a) / statistics.median(b)))
    return out


def behind_text(results, reasons):
    found = behind(results)
    out = ("None of the others delivers the same: stacks of native code, Python and the kernel in one, with times, causes, exact accounts and the\n"
           "host's health. Where a peer's median is better nevertheless:\n\n")
    for name in COMPARED:
        said = {}
        for _, _, who, ratio in (f for f in found if f[0] == name):
            said.setdefault(who, []).append(ratio)
        if said:
            out += f"- **{name}**. {reasons.get(name, '')}\n"
            out += "".join(f"  - {who}: kymo's is {extent(ratios)}\n" for who, ratios in said.items())
    return out


def extent(ratios):
    low, high = min(ratios), max(ratios)
    times = f"{low:.1f} to {high:.1f}" if high > low else f"{low:.1f}"
    return f"{times} times that, in {len(ratios)} work{'s' if len(ratios) > 1 else ''}"


def short_text(results):
    """A line for each profiler, over all that is below."""
    names = list(dict.fromkeys([c["name"] for c in results["contenders"]] + [v["profiler"] for v in results.get("verdicts", [])]))
    cells = ("profiler", "right, of programs judged", "loads 99.5 % whole", "least whole of a work", "µs a sample, 99 Hz", "CPU in all s, 99 Hz",
             "memory MiB, 99 Hz")
    out = "\n## In short\n\n" + line(cells) + "|---" * len(cells) + "|\n"
    for name in names:
        verdicts = [v for v in results.get("verdicts", []) if v["profiler"] == name]
        wholes = [float(load["cells"][name].split()[0]) for load in (results.get("whole") or {}).values() if " of " in load["cells"].get(name, "")]
        works = [r[f"{name}@99"] for r in results["runs"].values() if f"{name}@99" in r]
        least = [statistics.median(column(r, "whole")) for w, r in zip(results["runs"], works) if w != "an idle host" and column(r, "whole")]
        out += line((name, f"{sum(v.get('holds', False) for v in verdicts)} of {len(verdicts)}" if verdicts else "-",
                     f"{sum(w >= 99.5 for w in wholes)} of {len(wholes)}" if wholes else "-", f"{100 * min(least):.1f} %" if least else "-",
                     plain_median([m for r in works for m in per_sample(r)]), plain_median([c for r in works for c in column(r, "whole cpu")], "{:.2f}"),
                     plain_median([m / 2**20 for r in works for m in column(r, "memory")])))
    return out


REASONS = {
    "memory": "perf and the others keep no symbols, health or accounts while they record, and write a stack without looking at it; "
              "kymo names frames while the files are there (half of it is the process that parses them). perf's ring buffers are the kernel's and "
              "not in its figure; what BPF maps take stands beside it. py-spy and Austin know one process.",
    "ns a sample in the kernel": "the kernel's own walk follows frame pointers, which the stacks of that work lack: it ends after a "
                                 "frame or two (column whole), where kymo walks on by the tables and reads Python's frames as well.",
    "µs of CPU a sample": "perf writes stacks as numbers and does the rest at its end; bcc and bpftrace count in the kernel and name at their "
                          "end (column result, and no time is kept). kymo also reads the host's health and every process's account each second, "
                          "which at 99 Hz is most of it.",
    "CPU from the start to the result": "kymo names what it saw while files and processes are there (ELF, DWARF, unwind tables: kept on disk for the next "
                                        "start), reads health and accounts each second, and stores every sample with its time.",
    "time to the result": "folded stacks are written by those that counted them in the kernel without a pass over samples, and stand there "
                          "already where one process's are counted by a Python profiler; kymo's figure includes naming what is left, and drawing.",
    "whole stacks": "judged by names for the others: a stack that ends at the right name may lack frames in between (see the verdicts).",
}


def versions_text(contenders):
    return "".join(line((c["name"], c["version"], f"`{c['command']}`")) for c in contenders)


def quiet(parts):
    """What the host says of the figures."""
    if all(p["load"] <= QUIET_LOAD for p in parts.values()):
        return "The host had nothing else to do."
    return ("**The host was not quiet** where a load average stands at the start: others worked on it at the same time, so what is measured by\n"
            "the clock (slowdown, result) says little there, and caches are colder; samples, shares, memory and bytes hold.")


def part_line(name, p):
    return line((name, f"`{p['command']}`", p["begun"], f"{p['minutes']:.0f}", p["extent"], f"{p['load']:.1f} at the start, {p['load_after']:.1f} at the end"))


def whole_text(loads):
    """What bench/whole found."""
    names = list(dict.fromkeys(n for load in loads.values() for n in load["cells"]))
    out = ("\n## Whole stacks\n\n`make bench-whole`: per cent of stacks that are whole, of so many; programs of every kind, all profilers at once, each at\n"
           "a rate at which it does not fall behind.\n\n")
    out += line(("load", *names)) + "|---" * (len(names) + 1) + "|\n"
    for name, load in loads.items():
        out += line((name, *(load["cells"].get(n, "-") for n in names)))
    good = [load["good"] for load in loads.values()]
    out += f"\nkymo: {good.count(True)} of {len(good)} at 99.5 % or more, {good.count(False)} below, {good.count(None)} skipped.\n"
    notes = "".join(f"- {name}: {load['note']}\n" for name, load in loads.items() if load["note"])
    return out + ("\n" + notes if notes else "")


def works_text(results):
    names = [c["name"] for c in results["contenders"]]
    works = {name: ordered(results["runs"][name], names) for name in results["works"] if name in results["runs"]}
    out = "\n## The works\n" + COLUMNS_TEXT
    for name, runs in works.items():
        out += work_table(name, runs, idle=name == "an idle host")
    first = next(iter(works))
    return out + (f"\n### Bytes\n\nOf the recordings of *{first}* at 99 and at 999 Hz: what is fixed, and what a sample adds. Those that keep\n"
                  "counts of stacks have no time in them.\n\n") + bytes_table(works[first])


def render(results):
    parts = results["parts"]
    out = HEAD.format(host=results["host"], quiet=quiet(parts), parts="".join(part_line(*p) for p in parts.items())) + versions_text(results["contenders"])
    missing = {**results["missing"], **{k: "; ".join(sorted(set(v))) for k, v in results["failures"].items()}}
    if missing:
        out += "\nLeft out: " + "; ".join(f"{k} ({v})" for k, v in missing.items()) + ".\n"
    out += short_text(results)
    if results["runs"]:
        out += works_text(results)
    turned = results.get("turns", []) + results.get("kernel", [])
    if turned:
        out += ("\n## The target's slowdown in random turns\n\nA load on each CPU counts its work while the recorder is switched on and "
                "off; pairs of turns, which comes first by\nchance.\n\n" + turns_text(turned))
    if results.get("cost"):
        out += "\n## All CPUs busy, 200 processes more\n\n`bench/cost`:\n\n" + "".join(f"    {x}\n" for x in results["cost"].splitlines())
    if results.get("verdicts"):
        out += ("\n## The oracle's verdicts\n\nPrograms whose call graph and times are known (`tests/oracle`), recorded by all in the same run; kymo at "
                "999 Hz, the others\nat a rate at which they do not fall behind. *features*: what the language does to stacks (exceptions, closures, signals,\n"
                "sorting with a function, destructors ...); the others are graphs made from a seed. C, C++ and Rust as distributions build\n"
                "them, without frame pointers. *memory*, *io*: bytes instead of time. Right: no impossible stack, and the shares as near to the\n"
                "truth as chance allows so many samples.\n\n" + verdicts_text(results["verdicts"]))
    if results.get("whole"):
        out += whole_text(results["whole"])
    if results["runs"]:
        out += "\n## What kymo is behind in\n\n" + behind_text(results, REASONS)
    return out
