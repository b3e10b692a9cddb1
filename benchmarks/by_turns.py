"""Rows of bench_model.py in two built trees by turns: is the newer one as fast? Rows of published sizes are this tree's in both.

usage: by_turns.py OLD [NEW] [--row NAME]... [--starts N] [--json FILE]

OLD and NEW (this tree) are folders with a build of their own. Each start is a process of each tree, the first of a pair in
turn; a pair's ratio is NEW's time over OLD's. The table has the median of the ratios and the interval that holds it with
90 % (by order statistics: of n ratios those of rank k and n + 1 - k, where so many fall on one side of the median by chance in
at most 5 % of all cases), and the peak of memory beyond the start, where a row has one. Of rows on two ranks it has the
efficiencies: one rank's time over twice that of two, OLD's and NEW's.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import deep_models

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS = ("fast_192", "fast_1536", "small_192", "float64_192", "threads_192", "molecule_24", "dpa2_small", "dpa2_medium",
        "se_atten", "se_e2_a", "ranks_192", "ranks_1536", "dpa31_fast_192", "dpa31_small_192")
DEEP = ("dpa31_", "dpa32_", "dpa33_")


def measure(tree, row, folder):
    """What the tree's own bench_model.py says of a row; of published sizes, which older trees do not know, this one's."""
    file, is_deep = pathlib.Path(folder) / "row.json", row.startswith(DEEP)
    script = (ROOT if is_deep else tree) / "benchmarks" / "bench_model.py"
    command = [tree / ".venv" / "bin" / "python", script, "--row", row, "--json", file]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    subprocess.run(command, cwd=tree, env=environment, check=True, capture_output=True)
    return json.loads(file.read_text())


def time_of(row):
    """ms/atom; of a row that compares two, the second: with threads, on ranks, moved."""
    return row["ms_per_atom"] if "ms_per_atom" in row else row["second_ms_per_atom"]


def efficiency_of(row):
    """Of two ranks; None of other rows."""
    return 0.5 / row["ratio"] if row["kind"] == "ranks" else None


def interval(ratios):
    """The bounds of the median with 90 %, or None where there are too few."""
    count, tail, rank = len(ratios), 0.0, 0
    while tail + math.comb(count, rank) / 2**count <= 0.05:
        tail += math.comb(count, rank) / 2**count
        rank += 1
    ordered = sorted(ratios)
    return (ordered[rank - 1], ordered[count - rank]) if rank else None


def compare(old, new, row, starts, folder):
    pairs = []
    for start in range(starts):
        order = (old, new) if start % 2 == 0 else (new, old)
        done = {tree: measure(tree, row, folder) for tree in order}
        pairs.append((done[old], done[new]))
    ratios = [time_of(second) / time_of(first) for first, second in pairs]
    medians = [statistics.median(map(time_of, side)) for side in zip(*pairs)]
    memory = [statistics.median(run["mb_per_atom"] for run in side) for side in zip(*pairs)] if "mb_per_atom" in pairs[0][0] else None
    reached = [statistics.median(map(efficiency_of, side)) for side in zip(*pairs)] if efficiency_of(pairs[0][0]) else None
    return {"row": row, "efficiency": reached, "old_ms_per_atom": medians[0], "new_ms_per_atom": medians[1], "ratio": statistics.median(ratios),
            "interval": interval(ratios), "ratios": ratios, "mb_per_atom": memory}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("new", nargs="?", default=ROOT, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--row", action="append", help=f"default: {', '.join(ROWS)}")
    parser.add_argument("--starts", type=int, default=9)
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "by_turns.json")
    options = parser.parse_args()
    results = []
    for name in deep_models.MODELS:
        deep_models.archive(name)
    print(f"{'row':12} {'old':>8} {'new':>8} ms/atom  ratio   90 % interval   MB/atom")
    with tempfile.TemporaryDirectory() as folder:
        for row in options.row or ROWS:
            found = compare(options.old, options.new, row, options.starts, folder)
            bounds = "-" if found["interval"] is None else "{:.3f} to {:.3f}".format(*found["interval"])
            memory = "" if found["mb_per_atom"] is None else "{:.3f} {:.3f}".format(*found["mb_per_atom"])
            if found["efficiency"]:
                memory = "efficiency {:.3f} {:.3f}".format(*found["efficiency"])
            print(f"{row:12} {found['old_ms_per_atom']:8.4f} {found['new_ms_per_atom']:8.4f}         {found['ratio']:6.3f}   "
                  f"{bounds:15} {memory}", flush=True)
            results.append(found)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
