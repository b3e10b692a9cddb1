"""Checks with nm that every global symbol of room/file.c begins with dgnn_<file>_, or is declared in dgnn.h or in a
header that file.c stands behind (dgnn_buffer_reserve in base/alloc.h, say: then with dgnn_)."""

import re
import subprocess
import sys

import compile as builder

PUBLIC = set(re.findall(r"\b(dgnn_\w+)\s*\(", (builder.CSRC / "include" / "dgnn.h").read_text()))
KINDS = "TDBRVWC"  # global: text, data, bss, read-only, weak, common


def symbols(path):
    output = subprocess.run(["nm", "--defined-only", "--extern-only", str(path)], check=True, capture_output=True,
                            text=True).stdout
    for line in output.splitlines():
        _, kind, name = line.split(maxsplit=2)
        if kind in KINDS and not name.startswith("__"):
            yield name


def own_header(source):
    """Names in the header of the same name, and, with the suffixes of both element types, in the templates that it includes."""
    header = source.with_suffix(".h")
    if not header.exists():
        return set()
    text = header.read_text()
    names = set(re.findall(r"\b(dgnn_\w+)", text))
    for body in re.findall(r'#include "([\w/]+_(?:types|body)\.h)"', text):
        for name in re.findall(r"REAL\((dgnn_\w+)\)", (builder.CSRC / body).read_text()):
            names |= {f"{name}_f32", f"{name}_f64"}
    return names


def prefixes(source):
    """dgnn_<file>_; for a_b.c, a part of a, dgnn_a_ too."""
    stem = source.stem
    return {f"dgnn_{stem}_", f"dgnn_{stem.split('_')[0]}_"}


def main():
    compile_flags, _ = builder.library_flags()
    sources = builder.core_sources()
    problems, count = [], 0
    for source, made in zip(sources, builder.compile_objects(sources, "release", compile_flags), strict=True):
        declared = own_header(source)
        for name in symbols(made):
            count += 1
            if name.startswith(tuple(prefixes(source))) or name == f"dgnn_{source.stem}":
                continue
            if name not in PUBLIC and name not in declared:
                problems.append(f"{source.relative_to(builder.ROOT)}: {name}: expected dgnn_{source.stem}_..., or a "
                                "declaration in dgnn.h or in the header of the same name")
    if problems:
        sys.exit("\n".join(problems))
    print(f"prefixes: {count} global symbols in {len(sources)} files")


if __name__ == "__main__":
    main()
