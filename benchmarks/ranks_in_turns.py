"""Two ranks' efficiency of several built trees of dgnn, which take turns: a start of each, then the next start of each.

usage: ranks_in_turns.py TREE TREE... [--starts N] [--row NAME]...

Each start is one of bench_model.py's for that row (README.md beside this file): on two ranks, rank 0 alone and both in
turns; efficiency is one rank's time over twice the time of two. What two processes keep that share nothing stands beside
it. Prints each tree's median and range, and the median of what each tree has over the first one's in the same turn. For an
idle machine."""

import argparse
import json
import pathlib
import statistics
import subprocess

CODE = """
import json, sys
sys.path.insert(0, "benchmarks")
import bench_model
row = next(row for row in bench_model.ROWS if row["name"] == sys.argv[1])
run = bench_model.start_row({**row, "clock": "wall", "runs": 1})
print(json.dumps([0.5 / run["ratio"], 1 / run["apart_ratio"], run["second_ms_per_atom"]]))
"""


def start(tree, row):
    """(efficiency, that of two which share nothing, ms/atom on two ranks) of one start."""
    done = subprocess.run([tree / ".venv" / "bin" / "python", "-c", CODE, row], cwd=tree, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", nargs="+", type=lambda name: pathlib.Path(name).resolve(), metavar="TREE")
    parser.add_argument("--starts", type=int, default=7, metavar="N", help="of each tree (7)")
    parser.add_argument("--row", action="append", metavar="NAME", help="ranks_192 and ranks_1536; may repeat")
    options = parser.parse_args()
    for row in options.row or ("ranks_192", "ranks_1536"):
        turns = [[start(tree, row) for tree in options.trees] for _ in range(options.starts)]
        for k, tree in enumerate(options.trees):
            reached, apart, spent = zip(*(turn[k] for turn in turns))
            over = statistics.median(turn[k][0] / turn[0][0] for turn in turns)
            print(f"{row:10} {tree.name:12} efficiency {statistics.median(reached):.3f} ({min(reached):.3f} to {max(reached):.3f}), "
                  f"sharing nothing {statistics.median(apart):.3f}, {statistics.median(spent):.3f} ms/atom, over the first {over:.3f}",
                  flush=True)


if __name__ == "__main__":
    main()
