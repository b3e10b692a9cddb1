"""Runs the libFuzzer targets, tests/fuzz/NAME/fuzz_NAME.c, each from the inputs in tests/fuzz/NAME/corpus, those in
found.zip beside it, and those that earlier runs here found (build/fuzz-corpus/NAME). An input that ends a target stays in
build/fuzz-crashes. Needs clang.

    python tools/fuzz.py [--seconds 60] [NAME ...]          or: make fuzz FUZZ_SECONDS=60
    python tools/fuzz.py --long [--seconds 60] [NAME ...]   millions of short inputs, without tracing comparisons
    python tools/fuzz.py --keep [NAME ...]                  writes found.zip again: the fewest inputs that reach as much

What a target says goes to build/fuzz-logs/NAME.log, or to the folder that --log names, while it runs.
"""

import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

import compile as builder

ROOT = builder.ROOT
FOLDER = ROOT / "tests" / "fuzz"
FOUND = ROOT / "build" / "fuzz-corpus"
LOGS = ROOT / "build" / "fuzz-logs"
DICTIONARY = ROOT / "build" / "fuzz" / "options.dict"
LONGEST = 8192  # bytes of an input of a long run: long ones take most of the time, and half a minute's run has them
TARGETS = sorted(path.parent.name for path in FOLDER.glob("*/fuzz_*.c"))
Run = collections.namedtuple("Run", "failed executions edges output")


def build(variant="fuzz"):
    """name -> program. Writes the dictionary too: here, once, since targets may run side by side. variant: "millions" for long
    runs, of short inputs."""
    programs = builder.build_fuzzers(variant)
    write_dictionary()
    return {program.name.removeprefix("fuzz_"): program for program in programs}


def is_possible():
    """Is there a clang that has libFuzzer?"""
    if not shutil.which("clang"):
        return False
    command = ["clang", "-fsanitize=fuzzer", "-x", "c", "-", "-o", "/dev/null"]
    source = "int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return !data && size; }"
    return subprocess.run(command, input=source, capture_output=True, text=True).returncode == 0


def write_dictionary():
    """The names of all options, for libFuzzer to put into its inputs."""
    rows = "".join(path.read_text() for path in sorted((ROOT / "csrc" / "net" / "params").glob("*.def")))
    names = sorted(set(re.findall(r"^DGNN_\w+\((\w+)", rows, re.M)))
    DICTIONARY.write_text("".join(f'"\\"{name}\\":"\n' for name in names))


def dictionary_of(name):
    """A target's own, where it has one."""
    own = FOLDER / name / f"{name}.dict"
    return own if own.exists() else DICTIONARY


def unpack(name):
    """The folder of what was found, here and before."""
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    if (FOLDER / name / "found.zip").exists():
        with zipfile.ZipFile(FOLDER / name / "found.zip") as archive:
            archive.extractall(folder)
    return folder


def keep(name, program):
    with tempfile.TemporaryDirectory() as folder:
        seeds = [path.name for path in (FOLDER / name / "corpus").iterdir()]
        for seed in seeds:
            shutil.copy(FOLDER / name / "corpus" / seed, folder)
        subprocess.run([program, "-merge=1", "-use_counters=0", "-use_cmp=0", folder, unpack(name)], cwd=ROOT, check=True,
                       capture_output=True)
        with zipfile.ZipFile(FOLDER / name / "found.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(pathlib.Path(folder).iterdir()):
                if path.name not in seeds:
                    archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return len(archive.namelist())


def run(name, program, seconds, executions=-1, longest=0, logs=LOGS):
    """Until so many seconds or executions are over. Any fault, an input of more than 10 s, and more than 1 GiB end it.
    longest: bytes of an input; 0: as the longest in the corpus."""
    crashes = ROOT / "build" / "fuzz-crashes"
    for folder in (crashes, logs):
        folder.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-runs={executions}", "-timeout=10", "-rss_limit_mb=1024",
               f"-max_len={longest}", "-print_final_stats=1", f"-artifact_prefix={crashes}/{name}-", f"-dict={dictionary_of(name)}"]
    # Stacks of allocations are wanted where something is wrong, and each target checks itself that nothing is left.
    lean = {**os.environ, "ASAN_OPTIONS": "malloc_context_size=1:quarantine_size_mb=4:detect_leaks=0"}
    log = logs / f"{name}{'-long' if longest else ''}.log"
    with open(log, "w") as file:
        done = subprocess.run([program, *options, unpack(name), FOLDER / name / "corpus"], cwd=ROOT, stdout=file,
                              stderr=subprocess.STDOUT, env=lean if longest else None)
    output = log.read_text(errors="replace")
    numbers = [re.findall(pattern, output) for pattern in (r"number_of_executed_units: (\d+)", r" cov: (\d+)")]
    executions, edges = (int(found[-1]) if found else 0 for found in numbers)
    return Run(done.returncode != 0, executions, edges, output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", choices=[*TARGETS, []], help="all of them if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--long", action="store_true", help=f"millions of inputs, of at most {LONGEST} bytes")
    parser.add_argument("--log", type=pathlib.Path, default=LOGS, help="folder of what targets say")
    parser.add_argument("--keep", action="store_true", help="run nothing; write found.zip")
    arguments = parser.parse_args()
    failed = []
    for name, program in build("millions" if arguments.long else "fuzz").items():
        if name not in (arguments.names or TARGETS):
            continue
        if arguments.keep:
            print(f"{name}: {keep(name, program)} inputs")
        else:
            done = run(name, program, arguments.seconds, longest=LONGEST if arguments.long else 0, logs=arguments.log)
            print(f"{name}: {done.executions} executions, {done.edges} edges", flush=True)
            if done.failed:
                failed.append(name)
                print(done.output[-8000:])
    sys.exit(f"fuzz.py: {', '.join(failed)} failed" if failed else 0)


if __name__ == "__main__":
    try:
        main()
    except builder.BuildError as error:
        sys.exit(f"fuzz.py: {error}")
