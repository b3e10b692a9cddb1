"""Compiles the C sources for setup.py, the C tests, fuzzing and coverage. Needs the standard library only.

    python tools/compile.py tests [--variant asan]    build every tests/c/test_*.c, print the paths of the binaries
    python tools/compile.py objects [--variant NAME]  build the core's objects, print their paths
    python tools/compile.py fuzz                      build every tests/fuzz/*.c with clang's libFuzzer
    python tools/compile.py cuda [--variant NAME]     build the kernels as C++ with the fake driver of tests/cuda
    python tools/compile.py bench                     build every benchmarks/*.c, print the paths of the binaries

An object is built again when its source, a header that it includes, or its command line changed.
"""

import argparse
import concurrent.futures
import contextlib
import fcntl
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig

ROOT = pathlib.Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
TESTS_C = ROOT / "tests" / "c"
BASE_FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Icsrc", "-Icsrc/include"]
VARIANTS = {
    "release": ["-O3", "-g1", "-fPIC", "-fvisibility=hidden"],
    "asan": ["-O1", "-g", "-fPIC", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
             "-fno-sanitize-recover=all"],
    "tsan": ["-O1", "-g", "-fPIC", "-fsanitize=thread"],
    "coverage": ["-O0", "-g", "-fPIC", "--coverage", "-DINLINE=static inline __attribute__((unused))"],
    "fuzz": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined,fuzzer-no-link",
             "-fno-sanitize-recover=all"],
    # The same for long runs: comparisons are not traced, which takes half of the time.
    "millions": ["-O2", "-g1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
                 "-fsanitize-coverage=inline-8bit-counters,pc-table", "-fno-sanitize-recover=all"],
}
LINK_FLAGS = {
    "release": [],
    "asan": ["-fsanitize=address,undefined"],
    "tsan": ["-fsanitize=thread"],
    "coverage": ["--coverage"],
    "fuzz": ["-fsanitize=address,undefined,fuzzer"],
    "millions": ["-fsanitize=address,undefined,fuzzer"],
}
# File name suffix -> the machine it is for and the flags that it gets. Contraction is wanted in these kernels and
# nowhere else: a neighbour list must not depend on it.
INSTRUCTION_SETS = {
    "_avx512": ("x86_64", ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma",
                           "-mprefer-vector-width=512", "-ffp-contract=fast"]),
    "_avx2": ("x86_64", ["-mavx2", "-mfma", "-ffp-contract=fast"]),
    "_neon": ("aarch64", ["-ffp-contract=fast"]),
}
MACHINES = {"AMD64": "x86_64", "amd64": "x86_64", "arm64": "aarch64"}


def read_target():
    """What tools/wheels.py builds for, where it is not this machine as it is: {"name", "machine", "compiler", "linker", "cflags",
    "archives" (of libzip, zlib and cJSON, which go inside), "mpi" (name: [compile flags, link flags])}; else {}."""
    path = os.environ.get("DGNN_TARGET")
    return json.loads(pathlib.Path(path).read_text()) if path else {}


TARGET = read_target()
BUILD = ROOT / "build" / TARGET["name"] if TARGET else ROOT / "build"


class BuildError(Exception):
    """One line that says what is missing and how to get it."""


def machine():
    name = TARGET.get("machine") or platform.machine()
    return MACHINES.get(name, name)


def instruction_set(path):
    """(machine, flags) of a source, (None, []) for one that runs everywhere."""
    for suffix, need in INSTRUCTION_SETS.items():
        if path.stem.endswith(suffix):
            return need
    return None, []


def is_for_this_machine(path):
    return instruction_set(path)[0] in (None, machine())


def core_sources():
    """Everything but the binding and the transport over MPI, which need Python and an MPI."""
    found = [path for path in sorted(CSRC.rglob("*.c")) if path.relative_to(CSRC).parts[0] not in ("bind", "mpi")]
    return [path for path in found if is_for_this_machine(path)]


def bind_sources():
    return sorted((CSRC / "bind").glob("*.c"))


def compiler():
    command = TARGET.get("compiler") or shlex.split(os.environ.get("CC", "gcc" if shutil.which("gcc") else "cc"))
    if not shutil.which(command[0]):
        raise BuildError(f"no C compiler: {command[0]!r} was not found; on Debian: apt-get install gcc")
    return command


def pkg_config(what, name):
    return shlex.split(subprocess.run(["pkg-config", what, name], check=True, capture_output=True, text=True).stdout)


def libzip_name():
    """What to load at run time for libzip (csrc/io/libzip.h): the name that the library gives itself."""
    library = pathlib.Path(pkg_config("--variable=libdir", "libzip")[0]) / "libzip.so"
    done = subprocess.run(["objdump", "-p", library], capture_output=True, text=True)
    found = re.search(r"SONAME\s+(\S+)", done.stdout)
    if not found:
        raise BuildError(f"{library} has no name to load it by; on Debian: apt-get install libzip-dev binutils")
    elsewhere = any(flag.startswith("-L") for flag in pkg_config("--libs", "libzip"))
    return str(library.parent / found[1]) if elsewhere else found[1]


def library_flags():
    """(compile flags, link flags) of libzip, which is loaded when it is needed, and cJSON, which is linked. Of a target: both
    are inside."""
    if TARGET:
        return [*TARGET["cflags"], "-DDGNN_LIBZIP_INSIDE"], [*TARGET["archives"], "-ldl"]
    if not shutil.which("pkg-config"):
        raise BuildError("pkg-config was not found; on Debian: apt-get install pkg-config libzip-dev libcjson-dev")
    for name, package in (("libzip", "libzip-dev"), ("libcjson", "libcjson-dev")):
        if subprocess.run(["pkg-config", "--exists", name]).returncode:
            raise BuildError(f"the library {name} was not found by pkg-config; on Debian: apt-get install {package}")
    compile_flags = [*pkg_config("--cflags", "libzip"), *pkg_config("--cflags", "libcjson")]
    return [*compile_flags, f'-DDGNN_LIBZIP="{libzip_name()}"'], [*pkg_config("--libs", "libcjson"), "-ldl"]


def command_output(*command):
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True)
    return shlex.split(done.stdout) if done.returncode == 0 else None


def mpich_flags():
    """MPICH of PyPI's wheel in this environment, else what mpicc.mpich says. None: not here."""
    header = pathlib.Path(sys.prefix) / "include" / "mpi.h"
    if header.is_file() and "MPICH_VERSION" in header.read_text(errors="replace"):
        return [f"-I{header.parent}"], [f"-L{pathlib.Path(sys.prefix) / 'lib'}", "-lmpi"]
    shown = command_output("mpicc.mpich", "-show")
    if shown:
        return ([flag for flag in shown if flag.startswith("-I")],
                [flag for flag in shown if flag.startswith(("-L", "-lmpi"))])
    return None


def openmpi_flags():
    """Open MPI by pkg-config, else what mpicc.openmpi says. None: not here."""
    compile_flags = command_output("pkg-config", "--cflags", "ompi-c")
    if compile_flags is not None:
        return compile_flags, command_output("pkg-config", "--libs", "ompi-c")
    compile_flags = command_output("mpicc.openmpi", "--showme:compile")
    if compile_flags is not None:
        return compile_flags, command_output("mpicc.openmpi", "--showme:link")
    return None


def mpi_flags():
    """MPI's name: (compile flags, link flags), or None where its mpi.h is not here."""
    if TARGET:
        return {name: tuple(flags) for name, flags in TARGET["mpi"].items()}
    return {"mpich": mpich_flags(), "openmpi": openmpi_flags()}


def python_flags():
    """Compile flags of an extension module."""
    import numpy

    include = pathlib.Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").exists():
        raise BuildError(f"{include}/Python.h is missing; on Debian: apt-get install python3-dev")
    whole = ["-DDGNN_WHOLE_API"] if sysconfig.get_config_var("Py_GIL_DISABLED") else []  # it has no limited one
    return [f"-I{include}", f"-I{numpy.get_include()}", *whole, "-DNPY_NO_DEPRECATED_API=NPY_1_25_API_VERSION",
            "-DNPY_TARGET_VERSION=NPY_1_25_API_VERSION"]


def source_flags(path, variant):
    flags = VARIANTS[variant]
    if variant in ("fuzz", "millions", "tsan") and path.stem.startswith("vector_"):
        flags = ["-O1"]  # minutes to instrument; the plain C reference runs instead
    return flags + BASE_FLAGS + (instruction_set(path)[1] or ["-ffp-contract=off"])


def read_dependencies(depfile):
    text = depfile.read_text().replace("\\\n", " ")
    return [ROOT / name for name in shlex.split(text.split(":", 1)[1])]


def is_current(target, command):
    """Was target made by this very command, after the last change of all it depends on?"""
    note, depfile = target.with_suffix(".cmd"), target.with_suffix(".d")
    if not (target.exists() and note.exists() and depfile.exists()) or note.read_text() != shlex.join(command):
        return False
    made = target.stat().st_mtime
    return all(path.exists() and path.stat().st_mtime <= made for path in read_dependencies(depfile))


def write_commands(variant="release"):
    """build/compile_commands.json, from which editors and clang's tools learn how each file is compiled."""
    entries = [{"directory": str(ROOT), "file": command[command.index("-c") + 1], "arguments": command}
               for note in sorted((BUILD / variant).rglob("*.cmd"))
               for command in [shlex.split(note.read_text())] if (ROOT / command[command.index("-c") + 1]).exists()]
    (BUILD / "compile_commands.json").write_text(json.dumps(entries, indent=1))


def compile_one(source, target, flags, cc):
    command = [*cc, *flags, "-MMD", "-MF", str(target.with_suffix(".d")), "-c", str(source.relative_to(ROOT)), "-o",
               str(target)]
    if is_current(target, command):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{shlex.join(command)}\n{done.stderr}")
    sys.stderr.write(done.stderr)
    target.with_suffix(".cmd").write_text(shlex.join(command))


@contextlib.contextmanager
def building(folder):
    """One process at a time builds in a folder; the next finds what it built."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def compile_objects(sources, variant="release", extra=(), folder=None, cc=None):
    """Builds an object from each source, in parallel; returns their paths. extra: further compile flags."""
    folder = folder or BUILD / variant
    cc = cc or compiler()
    with building(folder):
        return _compile_objects(sources, variant, extra, folder, cc)


def _compile_objects(sources, variant, extra, folder, cc):
    jobs = int(os.environ.get("DGNN_BUILD_JOBS", "2"))
    objects = [folder / source.relative_to(ROOT).with_suffix(".o") for source in sources]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(compile_one, source, target, [*source_flags(source, variant), *extra], cc)
                 for source, target in zip(sources, objects, strict=True)]
        for task in tasks:
            task.result()
    return objects


def link(objects, target, flags, cc=None):
    """Links if an object is newer than target or the command changed."""
    linker = cc or TARGET.get("linker") or compiler()
    command = [*linker, *[str(path) for path in objects], *flags, "-o", str(target)]
    note = BUILD / "link" / (pathlib.Path(target).name + ".cmd")
    with building(note.parent):
        fresh = target.exists() and note.exists() and note.read_text() == shlex.join(command)
        if fresh and all(path.stat().st_mtime <= target.stat().st_mtime for path in objects):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise BuildError(f"{shlex.join(command)}\n{done.stderr}")
        note.write_text(shlex.join(command))


def version():
    return re.search(r'#define DGNN_VERSION "([\d.]+)"', (CSRC / "include" / "dgnn.h").read_text())[1]


def soname(name="dgnn"):
    """What a host's programs ask the loader for. Its number changes when dgnn.h breaks what it promised."""
    return f"lib{name}.so.{version().split('.')[0]}"


def link_library(folder, name=None):
    """The core as a shared library in folder: its path. name: of the file, where it is not the soname."""
    compile_flags, libraries = library_flags()
    target = folder / (name or soname())
    link(compile_objects(core_sources(), "release", compile_flags), target,
         ["-shared", f"-Wl,-soname,{soname()}", "-Wl,-z,defs", "-pthread", *libraries, "-lm"])
    return target


def link_mpi_library(folder, mpi, flags, name=None):
    """The transport over one MPI as a shared library beside libdgnn: its path. flags: (compile flags, link flags)."""
    own = f"dgnn_mpi_{mpi}" if mpi else "dgnn_mpi"
    target = folder / (name or soname(own))
    objects = compile_objects(sorted((CSRC / "mpi").glob("*.c")), "release", flags[0],
                              folder=BUILD / own)
    link(objects, target, ["-shared", f"-Wl,-soname,{soname(own)}", "-pthread", str(folder / soname()), "-Wl,-rpath,$ORIGIN",
                           *flags[1]])
    return target


def with_helpers(source):
    """The source, and the sources in tests/c that stand behind the headers it includes."""
    found, waiting = [], [source]
    while waiting:
        path = waiting.pop()
        found.append(path)
        for name in re.findall(r'#include "(\w+)\.h"', path.read_text()):
            for behind in (TESTS_C / f"{name}.h", TESTS_C / f"{name}.c"):
                if behind.exists() and behind not in found + waiting:
                    waiting.append(behind)
    return [path for path in found if path.suffix == ".c"]


def build_programs(sources, variant, cc=None):
    """One program per source, each linked with its helpers and the whole core."""
    compile_flags, libraries = library_flags()
    core = compile_objects(core_sources(), variant, compile_flags, cc=cc)
    programs = []
    for source in sources:
        own = compile_objects(with_helpers(source), variant, [*compile_flags, "-Itests/c"], cc=cc)
        program = ROOT / "build" / variant / source.stem
        link([*own, *core], program, [*LINK_FLAGS[variant], "-pthread", *libraries, "-lm"], cc=cc)
        programs.append(program)
    return programs


def build_foreign(source, name, cc):
    """The program of a C test of the kernels for another machine: without what needs libraries, which are not there for it.
    Functions that the test does not call are left out, so that what they call may be missing."""
    rooms = ("base", "ops", "net/params", "net/parts", "net/dpa4c") if "dpa4c" in source.stem else ("base", "ops")
    core = [path for room in rooms for path in sorted((CSRC / room).rglob("*.c")) if instruction_set(path)[0] in (None, name)]
    folder = ROOT / "build" / name
    objects = compile_objects([*with_helpers(source), *core], "release", ["-Itests/c", "-ffunction-sections", "-fdata-sections"],
                              folder=folder, cc=cc)
    link(objects, folder / source.stem, ["-Wl,--gc-sections", "-pthread", "-lm"], cc=cc)
    return folder / source.stem


# The kernels as C++ for the CPU, and the driver around them (tests/cuda).
FAKE_DRIVER = [ROOT / "kernels" / "kernels.cu", ROOT / "tests" / "cuda" / "cuda_on_cpu.cpp",
               ROOT / "tests" / "cuda" / "cuda_driver_on_cpu.cpp"]


def build_on_cpu(sources, target, variant, link_flags):
    """C++ sources with the shim, which with TSan is built without it: it tells the sanitizer what its fibres do."""
    flags = {"release": ["-O2"], "asan": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
             "tsan": ["-O1", "-g", "-fsanitize=thread"]}[variant]
    common = ["-std=c++17", "-Wall", "-Wextra", "-fPIC", "-ffp-contract=off", "-Itests/cuda", "-Ikernels", "-Icsrc",
              "-Icsrc/include"]
    if not shutil.which("g++"):
        raise BuildError("no C++ compiler: 'g++' was not found; on Debian: apt-get install g++")
    cc = ["ccache", "g++"] if compiler()[0] == "ccache" else ["g++"]
    objects = [target.parent / f"{source.stem}.o" for source in sources]
    with building(target.parent):
        for source, made in zip(sources, objects, strict=True):
            is_shim = variant == "tsan" and "on_cpu" in source.stem
            compile_one(source, made, [*common, *(["-O1", "-g", "-DCUDA_ON_CPU_TSAN"] if is_shim else flags), "-x", "c++"], cc)
    link(objects, target, [*link_flags, "-pthread", *flags], cc=["g++"])
    return target


def build_fake_driver(variant="release"):
    """The path of a libcuda.so.1 that runs dgnn's kernels on the CPU."""
    return build_on_cpu(FAKE_DRIVER, ROOT / "build" / "cuda" / variant / "libcuda.so.1", variant,
                        ["-shared", "-Wl,-soname,libcuda.so.1", "-Wl,--no-undefined"])


def build_misuse(variant):
    """The program of kernels with mistakes."""
    folder = ROOT / "tests" / "cuda"
    return build_on_cpu([folder / "misuse.cpp", folder / "cuda_on_cpu.cpp"], ROOT / "build" / "cuda" / f"misuse_{variant}" /
                        f"misuse_{variant}", variant, [])


def build_tests(variant):
    return build_programs(sorted(TESTS_C.glob("test_*.c")), variant)


def build_fuzzers(variant="fuzz"):
    if not shutil.which("clang"):
        raise BuildError("fuzzing needs clang; on Debian: apt-get install clang")
    return build_programs(sorted((ROOT / "tests" / "fuzz").rglob("*.c")), variant,
                          cc=["clang", "-Wno-unused-command-line-argument"])


def build_benchmarks():
    return build_programs(sorted((ROOT / "benchmarks").glob("*.c")), "release")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["tests", "objects", "fuzz", "bench", "cuda"])
    parser.add_argument("--variant", default="asan", choices=sorted(VARIANTS))
    arguments = parser.parse_args()
    if arguments.what == "tests":
        made = build_tests(arguments.variant)
    elif arguments.what == "fuzz":
        made = build_fuzzers()
    elif arguments.what == "cuda":
        made = [build_fake_driver(arguments.variant)]
    elif arguments.what == "bench":
        made = build_benchmarks()
    else:
        made = compile_objects(core_sources(), arguments.variant, library_flags()[0])
    print("\n".join(str(path.relative_to(ROOT)) for path in made))


if __name__ == "__main__":
    try:
        main()
    except BuildError as error:
        sys.exit(f"compile.py: {error}")
