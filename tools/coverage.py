"""Lines and branches of the core that the C tests reach: builds them with gcov's counters, runs them, and prints a row for
each room and each file below 80 % of its lines. Needs gcc and its gcov.

    python tools/coverage.py          or: make coverage
"""

import collections
import json
import pathlib
import subprocess
import sys

import compile as builder

ROOT = builder.ROOT
FOLDER = ROOT / "build" / "coverage"


def run_tests():
    """Counters of an earlier run are dropped; a test that fails ends this."""
    programs = builder.build_tests("coverage")
    for old in FOLDER.rglob("*.gcda"):
        old.unlink()
    for program in programs:
        done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"coverage.py: {program.name} failed\n{done.stdout}{done.stderr}")
        print(f"{program.name}: {(done.stdout.strip() or 'no output').splitlines()[-1]}", flush=True)


def read_counters():
    """source -> line -> (executions, [executions of each branch]), the largest of all units that include the line."""
    files = collections.defaultdict(dict)
    for counters in sorted((FOLDER / "csrc").rglob("*.gcda")):
        done = subprocess.run(["gcov", "--branch-probabilities", "--json-format", "--stdout", str(counters)], cwd=ROOT,
                              capture_output=True, text=True, check=True)
        for document in done.stdout.splitlines():
            for file in json.loads(document)["files"]:
                add_file(files[file["file"]], file["lines"])
    return {name: lines for name, lines in files.items() if name.startswith("csrc/")}


def add_file(known, lines):
    for line in lines:
        number, count = line["line_number"], line["count"]
        branches = [branch["count"] for branch in line["branches"]]
        old_count, old_branches = known.get(number, (0, []))
        if len(old_branches) == len(branches):
            branches = [max(pair) for pair in zip(old_branches, branches)]
        known[number] = (max(old_count, count), branches if branches else old_branches)


def shares(lines):
    """(lines, lines reached, branches, branches reached)"""
    branches = [count for _, counts in lines.values() for count in counts]
    return (len(lines), sum(count > 0 for count, _ in lines.values()), len(branches), sum(count > 0 for count in branches))


def row(name, counts):
    lines, reached, branches, taken = counts
    return (f"{name:36} {reached:6}/{lines:<6} {100 * reached / max(1, lines):5.1f} %   "
            f"{taken:6}/{branches:<6} {100 * taken / max(1, branches):5.1f} %")


def main():
    run_tests()
    files = {name: shares(lines) for name, lines in sorted(read_counters().items())}
    rooms = collections.defaultdict(lambda: (0, 0, 0, 0))
    for name, counts in files.items():
        room = pathlib.PurePath(name).parts[1]
        rooms[room] = tuple(map(sum, zip(rooms[room], counts)))
    print(f"\n{'':36} {'lines':>13}           {'branches':>13}")
    for name, counts in files.items():
        if counts[1] < 0.8 * counts[0]:
            print(row(name, counts))
    print()
    for room, counts in rooms.items():
        print(row(room, counts))
    print(row("all", tuple(map(sum, zip(*rooms.values())))))


if __name__ == "__main__":
    try:
        main()
    except builder.BuildError as error:
        sys.exit(f"coverage.py: {error}")
