"""Lines and branches of the core that tests reach, and the errors that none of them saw. Needs gcc and its gcov.

    python tools/coverage.py             the C tests, then the Python tests of SUITES; or: make coverage
    python tools/coverage.py --c         the C tests alone
    python tools/coverage.py --keep      adds to the counters of an earlier run
    python tools/coverage.py --only TEXT runs only the programs and Python tests whose name holds TEXT

What is counted, and how: docs/testing.md.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import time

import compile as builder

ROOT = builder.ROOT
FOLDER = ROOT / "build" / "coverage"
PACKAGE = FOLDER / "python" / "dgnn"
# What refuses, fails and recovers; C tests have the kernels' numbers. Left out: what is timed, and what compares bits
# with the release build.
SUITES = ["tests/unit", "tests/trust", "tests/parity/test_compositions.py", "--ignore=tests/unit/test_bench.py",
          "--ignore=tests/unit/test_header.py", "--deselect=tests/trust/test_process_faults.py::test_fork",
          "--deselect=tests/unit/test_save.py::test_dgnn_loads_fast"]

# ---------------------------------------------------------------- running


def run_programs(only):
    for program in builder.build_tests("coverage"):
        if only in program.name:
            begin = time.monotonic()
            done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"coverage.py: {program.name} failed\n{done.stdout}{done.stderr}")
            last = (done.stdout.strip() or "no output").splitlines()[-1]
            print(f"{program.name}: {last}, {time.monotonic() - begin:.0f} s", flush=True)


def build_package():
    """dgnn with a _core that counts, in a folder of its own."""
    compile_flags, libraries = builder.library_flags()
    objects = builder.compile_objects(builder.core_sources(), "coverage", compile_flags)
    objects += builder.compile_objects(builder.bind_sources(), "coverage", builder.python_flags())
    shutil.rmtree(PACKAGE, ignore_errors=True)
    shutil.copytree(ROOT / "dgnn", PACKAGE, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    builder.link(objects, PACKAGE / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}",
                 ["-shared", "--coverage", "-pthread", *libraries, "-lm"])


def run_suites(only):
    """Tests find this dgnn, also in the processes that they start: no Python looks first where it was started."""
    if sys.version_info < (3, 11):
        sys.exit("coverage.py: needs Python 3.11 for the Python tests, or --c")
    build_package()
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "2"}
    found = subprocess.run([sys.executable, "-c", "import dgnn; print(dgnn._core.__file__)"], cwd=ROOT, env=environment,
                           capture_output=True, text=True, check=True).stdout.strip()
    if pathlib.Path(found).parent != PACKAGE:
        sys.exit(f"coverage.py: Python takes dgnn from {found}, expected {PACKAGE}")
    chosen = ["-k", only] if only else []
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "not long", *SUITES, *chosen], cwd=ROOT,
                          env=environment)
    if done.returncode not in (0, 5):
        sys.exit("coverage.py: the Python tests failed")


# ---------------------------------------------------------------- counters


def read_counters():
    """source -> line -> (executions, [executions of each branch]): the largest of all instances of the line."""
    files = collections.defaultdict(dict)
    counters = sorted((FOLDER / "csrc").rglob("*.gcda"))
    command = ["gcov", "--branch-probabilities", "--json-format", "--stdout", *map(str, counters)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for document in done.stdout.splitlines():
        for file in json.loads(document)["files"]:
            add_file(files[file["file"]], file["lines"])
    return {name: lines for name, lines in sorted(files.items()) if name.startswith("csrc/")}


def add_file(known, lines):
    for line in lines:
        number, count = line["line_number"], line["count"]
        branches = [branch["count"] for branch in line["branches"]]
        old_count, old_branches = known.get(number, (0, []))
        if len(old_branches) == len(branches):
            branches = [max(pair) for pair in zip(old_branches, branches, strict=True)]
        elif len(old_branches) > len(branches):
            branches = old_branches
        known[number] = (max(old_count, count), branches)


def shares(lines):
    """[lines reached, lines, branches taken, branches]"""
    taken = [count > 0 for _, branches in lines.values() for count in branches]
    return [sum(count > 0 for count, _ in lines.values()), len(lines), sum(taken), len(taken)]


def not_built():
    """Sources for other machines' instruction sets."""
    others = [path for path in sorted(builder.CSRC.rglob("*.c")) if not builder.is_for_this_machine(path)]
    return [path.relative_to(ROOT) for path in others]


# ---------------------------------------------------------------- errors

FUNCTION = re.compile(r"^\w[\w *]*\b(?:REAL\()?(\w+)\)?\([^;{}]*\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
RETURNED = re.compile(r"\breturn\s+(?:REAL\()?(\w+)")
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def read_sources(names):
    """Their texts, with comments blank."""
    return {name: COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), (ROOT / name).read_text())
            for name in names}


def find_makers(sources):
    """Functions of which every return makes an error, base/status.h's first: to call one is to make an error."""
    bodies = {name: RETURNED.findall(body) for text in sources.values() for name, body in FUNCTION.findall(text)}
    makers, more = {"dgnn_status_set", "dgnn_status_set_errno", "dgnn_status_no_memory"}, True
    while more:
        more = {name for name, returned in bodies.items() if returned and makers.issuperset(returned)} - makers
        makers |= more
    return makers


def errors(text, makers, lines):
    """(line, its text, reached) for each place that makes an error. A condition before it in its line must have gone
    all its ways."""
    call = re.compile(rf"(?<!^int )\b(?:{'|'.join(sorted(makers))})\)?\(|\breturn DGNN_ERROR_\w+;")
    for number, line in enumerate(text.splitlines(), 1):
        found = call.search(line)
        if not found or number not in lines or not line.startswith(" "):
            continue
        count, branches = lines[number]
        conditional = re.search(r"\?|&&|\|\|", line[:found.start()])
        yield number, line.strip(), all(branches) if conditional else count > 0


# ---------------------------------------------------------------- printing


def row(name, counts):
    reached, lines, taken, branches = counts
    return (f"{name:34} {reached:6}/{lines:<6} {100 * reached / max(1, lines):5.1f} %   "
            f"{taken:6}/{branches:<6} {100 * taken / max(1, branches):5.1f} %")


def write_tables(files):
    rooms = collections.defaultdict(lambda: [0, 0, 0, 0])
    print(f"\n{'':34} {'lines':>13}           {'branches':>13}")
    for name, lines in files.items():
        counts = shares(lines)
        for total in {pathlib.PurePath(name).parts[1], "core" if "/bind/" not in name else "bind"}:
            rooms[total] = [sum(pair) for pair in zip(rooms[total], counts, strict=True)]
        print(row(name, counts))
    core = rooms.pop("core")
    print()
    for room, counts in rooms.items():
        print(row(room, counts))
    print(row("core (all but bind)", core))


def write_errors(files):
    sources = read_sources(name for name in files if "/bind/" not in name)
    makers = find_makers(sources)
    found = [(name, *error) for name, text in sources.items() for error in errors(text, makers, files[name])]
    unseen = [error for error in found if not error[3]]
    print(f"\n{len(found) - len(unseen)} of {len(found)} places that make an error were reached")
    for name, number, text, _ in unseen:
        print(f"    not reached: {name}:{number}: {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--c", action="store_true", help="the C tests alone")
    parser.add_argument("--keep", action="store_true", help="add to the counters of an earlier run")
    parser.add_argument("--only", default="", metavar="TEXT", help="tests whose name holds this")
    arguments = parser.parse_args()
    for old in [] if arguments.keep else FOLDER.rglob("*.gcda"):
        old.unlink()
    run_programs(arguments.only)
    if not arguments.c:
        run_suites(arguments.only)
    files = read_counters()
    write_tables(files)
    write_errors(files)
    for name in not_built():
        print(f"    not built on this machine: {name}")


if __name__ == "__main__":
    try:
        main()
    except builder.BuildError as error:
        sys.exit(f"coverage.py: {error}")
