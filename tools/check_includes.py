"""Checks who includes what: the rooms of csrc and their one direction, and each third-party header in its file."""

import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
ROOMS = {  # room -> the rooms that it may include, beside itself and include/
    "base": set(),
    "pickle": {"base"},
    "io": {"base", "pickle"},
    "convert": {"base", "pickle", "io"},
    "ops": {"base"},
    "cuda": {"base", "ops"},
    "geom": {"base", "ops"},
    "comm": {"base"},
    "system": {"base", "geom", "comm"},
    "net/params": {"base", "ops", "io"},
    "net/parts": {"base", "ops", "geom", "comm", "io", "net/params"},
    "net/local": {"base", "ops", "geom", "comm", "io", "net/params", "net/parts"},
    "net/dpa2": {"base", "ops", "geom", "comm", "io", "net/params", "net/parts"},
    "net/dpa3": {"base", "cuda", "ops", "geom", "comm", "io", "net/params", "net/parts"},
    "net/dpa4c": {"base", "ops", "geom", "comm", "io", "net/params", "net/parts"},
    "net/energy": {"base", "ops", "geom", "comm", "io", "net/params", "net/parts", "net/local", "net/dpa2", "net/dpa3",
                   "net/dpa4c"},
    "model": {"base", "cuda", "io", "convert", "ops", "geom", "comm", "system", "net/params", "net/parts", "net/energy"},
    "mpi": set(),
    "bind": set(),
}
LIMIT = 30  # files of a room
FILES = {  # file -> headers that it may include beyond its room's
    "bind/pyalloc.c": {"base/alloc.h", "base/falsify.h"},
    "bind/mpi/_mpi.c": {"mpi/mpi_transport.h"},
}
# net reads a model's tree and exchanges rows; of io and comm it sees these two headers only.
NET_ONLY = {"io": {"io/tree.h"}, "comm": {"comm/exchange.h"}}
THIRD_PARTY = {  # header -> the files that may include it
    "zip.h": r"io/libzip\.h",
    "cJSON.h": r"io/json\.c|io/tree\.c",
    "mpi.h": r"mpi/mpi_transport\.h|include/dgnn_mpi\.h",
    "Python.h": r"bind/(state\.h|mpi/_mpi\.c)",
    "structmember.h": r"bind/pysignal\.c",
    "numpy/arrayobject.h": r"bind/pyarray\.c",
    "immintrin.h": r"ops/vector/\w*(avx2|avx512)\w*\.(c|h)",
    "arm_neon.h": r"ops/vector/\w*neon\w*\.(c|h)",
    "cblas.h": r"ops/\w+\.c",
}
SYSTEM = {
    "assert.h", "complex.h", "ctype.h", "errno.h", "fcntl.h", "float.h", "inttypes.h", "limits.h", "locale.h",
    "math.h", "pthread.h", "sched.h", "signal.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h",
    "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h", "strings.h", "sys/auxv.h", "sys/mman.h", "sys/stat.h",
    "sys/syscall.h", "sys/types.h", "time.h", "unistd.h", "dlfcn.h", "sys/random.h", "cpuid.h",
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def room_of(name):
    """The room of a file or a header, as "io" or "net/dpa3"."""
    parts = name.split("/")
    return "/".join(parts[:2]) if parts[0] == "net" else parts[0]


def check_file(path):
    name = path.relative_to(CSRC).as_posix()
    room = room_of(name)
    for kind, header in INCLUDE.findall(path.read_text()):
        problem = check_include(name, room, kind, header)
        if problem:
            yield f"csrc/{name}: includes {header}: {problem}"


def check_include(name, room, kind, header):
    base = header.split("/")[-1] if header.startswith("cjson/") else header
    if base in THIRD_PARTY:
        return None if re.fullmatch(THIRD_PARTY[base], name) else f"only {THIRD_PARTY[base]} may"
    if kind == "<":
        if room == "include":
            return None if header in ("stddef.h", "stdint.h") else "the public header includes stddef.h and stdint.h only"
        return None if header in SYSTEM else "unknown system header; add it to tools/check_includes.py if it is wanted"
    if header in ("dgnn.h", "dgnn_mpi.h") or header in FILES.get(name, ()):
        return None
    target = room_of(header)
    if "/" not in header or not (CSRC / header).exists():
        return 'expected "room/file.h" under csrc'
    if target != room and target not in ROOMS.get(room, ()):
        return f"{room} may include {', '.join(sorted(ROOMS.get(room, ()))) or 'include/'} only"
    if room.startswith("net/") and target in NET_ONLY and header not in NET_ONLY[target]:
        return f"of {target}, net may include {', '.join(NET_ONLY[target])} only"
    return None


def header_cycles():
    """Headers that include each other, as chains of names."""
    graph = {}
    for path in CSRC.rglob("*.h"):
        includes = {header for kind, header in INCLUDE.findall(path.read_text()) if kind == '"'}
        graph[path.relative_to(CSRC).as_posix()] = includes
    done, stack = set(), []

    def visit(name):
        if name in stack:
            yield " -> ".join([*stack[stack.index(name):], name])
        elif name not in done:
            stack.append(name)
            for other in sorted(graph.get(name, ())):
                yield from visit(other)
            stack.pop()
            done.add(name)

    for name in sorted(graph):
        yield from visit(name)


def main():
    problems, seen = [], {}
    sources = sorted(path for path in CSRC.rglob("*") if path.suffix in (".c", ".h", ".def"))
    counts = collections.Counter(path.parent for path in sources)
    problems += [f"{folder.relative_to(ROOT)}: {count} files; a room has at most {LIMIT}"
                 for folder, count in counts.items() if count > LIMIT]
    for path in sources:
        room = room_of(path.relative_to(CSRC).as_posix())
        if room not in ROOMS and room != "include":
            problems.append(f"csrc/{room}: not a room")
        problems += check_file(path)
        other = seen.setdefault(path.name, path)
        if other != path:
            problems.append(f"{path.relative_to(ROOT)}: the same file name as {other.relative_to(ROOT)}")
    problems += [f"headers include each other: {cycle}" for cycle in header_cycles()]
    if problems:
        sys.exit("\n".join(problems))
    print(f"includes: {len(sources)} files keep to their rooms")


if __name__ == "__main__":
    main()
