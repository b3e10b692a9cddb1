"""dgnn check: is this installation right? What a report of a fault should hold."""

import argparse
import json
import os
import sys

import dgnn
from dgnn.cli_common import UsageError, one_line, painted

EXAMPLES = """examples:
  dgnn check                   numbers of one case of each family beside deepmd-kit's, on all that this machine has
  dgnn check --json            the same, for a report of a fault

Exit code 0: all is right; 1: something is wrong, and a line that begins with FAILED names it; 2: it could not be looked at.
"""


def add_check(commands):
    help = "is this installation right? Takes seconds"
    command = commands.add_parser("check", help=help, description=f"{help[0].upper()}{help[1:]}.", epilog=EXAMPLES,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.set_defaults(run=run_check)
    command.add_argument("--json", action="store_true", help="everything, as JSON")
    command.add_argument("--cases", metavar="FOLDER", help="other cases than those that come with dgnn")


def run_check(options):
    if options.cases and not os.path.isdir(options.cases):
        raise UsageError(f"--cases: {options.cases}: no such folder")
    from dgnn import check

    try:
        report = check.run(options.cases, show_progress if sys.stderr.isatty() else None)
    except (dgnn.Error, OSError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise UsageError(f"the check itself failed ({type(error).__name__}: {one_line(error)}); are the package's files in "
                         f"{check.CASES.parent} of one build?") from None
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(json.dumps(report) if options.json else "\n".join(lines(report)))
    return 0 if report["ok"] else 1


def show_progress(what, done, total):
    print(f"\r\x1b[K{done} of {total}: {what}", end="", file=sys.stderr, flush=True)


def lines(report):
    versions, machine, mpi = report["versions"], report["machine"], report["mpi"]
    here = {name: version for name, version in versions.items() if version and name not in (
        "python", "implementation", "free_threaded", "global_lock", "libc")}
    rows = [
        ("dgnn", f"{report['dgnn']} in {machine['package']}"),
        ("python", f"{versions['implementation']} {versions['python']}"
                   + (f", free-threaded, its lock {'on' if versions['global_lock'] == 'True' else 'off'}"
                      if versions["free_threaded"] == "True" else "")),
        ("packages", ", ".join(f"{name} {version}" for name, version in here.items())),
        ("system", f"{machine['system']}, {versions['libc'] or 'C library not known'}"),
        ("processor", f"{machine['processor'] or machine['machine']}, {machine['usable_cores']} of {machine['cores']} cores"),
        ("libraries", " ".join(machine["libraries"])),
        ("environment", " ".join(f"{name}={value}" for name, value in machine["environment"].items()) or "-"),
        ("instruction sets", " ".join(report["instruction_sets"])),
        ("threads", f"{report['threads']['default']} where nothing is said"),
        ("mpi", f"{mpi['library']}" if mpi["found"] else f"none: {mpi['why']}"),
        *((name, told) for name, told in report["devices"].items()),
    ]
    width = max(len(name) for name, _ in rows)
    yield from (f"{name:{width}}  {told}" for name, told in rows)
    for name, by_set in report["cases"].items():
        worst = " ".join(f"{used} {max(errors.values()):.1e}" for used, errors in by_set.items())
        yield f"{name:{width}}  {report['weights'][name]} weights; largest difference over its limit: {worst}"
    yield from (painted(f"FAILED  {problem}", "red", sys.stdout) for problem in report["problems"])
    yield painted(f"{len(report['problems'])} wrong" if report["problems"] else "all is right", "red" if report["problems"]
                  else "green", sys.stdout) + f", {report['seconds']:.1f} s"
