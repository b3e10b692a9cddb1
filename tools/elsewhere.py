"""Other compilers and systems, as far as this machine can look: clang builds all without a warning, and clang for macOS (arm64)
takes the sources as far as its headers are to be had (there are none of Apple's here: stand-ins declare what is not in C11).

    python tools/elsewhere.py [--quick]        --quick: the syntax alone
"""

import argparse
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile

import compile as builder

# What Darwin's own headers would declare and no free-standing compiler has. Names only: nothing is run.
STAND_INS = {
    "sched.h": "int sched_yield(void);\n",
}


def sources():
    return [*builder.core_sources(), *builder.bind_sources()]


def clang_flags(source):
    flags = builder.source_flags(source, "release")
    return [*flags, *builder.library_flags()[0], *(builder.python_flags() if "bind" in source.parts else [])]


def syntax(source, extra=()):
    """What clang says of one file."""
    flags = [flag for flag in clang_flags(source) if not flag.startswith("-mprefer")]
    command = ["clang", "-fsyntax-only", "-Werror", *flags, *extra, str(source)]
    return subprocess.run(command, cwd=builder.ROOT, capture_output=True, text=True).stderr


def look(name, files, extra=()):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda source: syntax(source, extra), files))
    wrong = [(source, text) for source, text in zip(files, said, strict=True) if text]
    print(f"{name}: {len(files) - len(wrong)} of {len(files)} files without a word")
    for source, text in wrong[:5]:
        print(f"{source.relative_to(builder.ROOT)}:\n{text[:1500]}")
    return bool(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if not shutil.which("clang"):
        sys.exit("elsewhere.py: clang was not found; on Debian: apt-get install clang")
    failed = look("clang, this machine", sources())
    if not arguments.quick and not failed:
        with tempfile.TemporaryDirectory() as folder:
            objects = builder.compile_objects(builder.core_sources(), "release", builder.library_flags()[0],
                                              folder=pathlib.Path(folder), cc=["clang", "-Werror"])
        print(f"clang, this machine: {len(objects)} objects built without a warning")
    sys.exit(failed)


if __name__ == "__main__":
    main()
