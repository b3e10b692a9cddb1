"""Writes docs/c_interface.md from csrc/include/dgnn.h and dgnn_mpi.h: each comment as text, each declaration as code.

    python tools/gen_header.py [--check]"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "c_interface.md"
HEADERS = [ROOT / "csrc" / "include" / name for name in ("dgnn.h", "dgnn_mpi.h")]
SECTION = re.compile(r"/\* -{5,} (.+?) \*/\n")
COMMENT = re.compile(r"\s*/\*(.*?)\*/\n", re.S)
NAME = re.compile(r"DGNN_API[^;(]*?\b(dgnn_\w+)\(|^(?:struct|enum) (dgnn_\w+)(?: \{|;)", re.M)
MACROS = re.compile(r"^#(?:ifndef DGNN_H|ifndef DGNN_MPI_H|define DGNN_H|define DGNN_MPI_H|include .*|endif|if .*|else|ifdef .*|"
                    r"define DGNN_API.*)$|^extern \"C\" \{$|^\}$", re.M)


def prose(comment):
    """The paragraphs of a comment, with names as code."""
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() for line in comment.strip().splitlines()]
    paragraphs = [" ".join(part.split("\n")) for part in re.split(r"\n\s*\n", "\n".join(lines))]
    return "\n\n".join(code_names(paragraph.strip()) for paragraph in paragraphs)


def code_names(text):
    """Names of dgnn's, of pointers and of macros in backticks; what Markdown would read as markup, escaped."""
    found = re.split(r"(\*?\b(?:dgnn|DGNN)_\w+|\*\b\w+)", text)
    return "".join(f"`{part}`" if k % 2 else part.replace("*", r"\*").replace("<", r"\<") for k, part in enumerate(found))


def pieces(text):
    """(comment, declarations) of what stands between empty lines, outside of braces."""
    depth, lines, found = 0, [], []
    for line in text.splitlines():
        if not line.strip() and depth == 0:
            found.append(lines)
            lines = []
            continue
        lines.append(line)
        bare = re.sub(r"/\*.*?\*/", "", line)
        depth += bare.count("{") - bare.count("}") + bare.count("/*") - bare.count("*/")
    for part in [*found, lines]:
        block = "\n".join(part) + "\n"
        comment = COMMENT.match(block)
        code = block[comment.end():] if comment else block
        if block.strip():
            yield comment[1] if comment else "", code.rstrip()


def render(text):
    for comment, code in pieces(text):
        names = [first or second for first, second in NAME.findall(code)]
        if names:
            yield "### " + ", ".join(f"`{name}`" for name in dict.fromkeys(names))
        if comment:
            yield prose(comment)
        if code:
            yield f"```c\n{code}\n```"


def page():
    parts = ["# The C interface", "<!-- Written by tools/gen_header.py from the headers in csrc/include. -->",
             "`make install PREFIX=...` puts the library, these headers, pkg-config files and a CMake package under a prefix;\n"
             "`python -m dgnn --cflags --libs` tells how to build against a Python package. `examples/host` has two host\n"
             "programs, one in C with threads for ranks and one in C++ over MPI, with a Makefile and a `CMakeLists.txt`."]
    for header in HEADERS:
        text = header.read_text()
        opening = COMMENT.match(text)
        parts += [f"## `{header.name}`", prose(opening[1])]
        sections = SECTION.split(re.sub(r"\n{3,}", "\n\n", MACROS.sub("", text[opening.end():])))
        parts += render(sections[0])
        for title, body in zip(sections[1::2], sections[2::2], strict=True):
            parts += [f"## {title[0].upper()}{title[1:]}", *render(body)]
    return "\n\n".join(parts) + "\n"


def declared():
    """The functions of both headers."""
    return {name for header in HEADERS for name in re.findall(r"DGNN_API[^;(]*?\b(dgnn_\w+)\(", header.read_text())}


def main():
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        raise SystemExit("docs/c_interface.md is not what the headers say; run: python tools/gen_header.py")


if __name__ == "__main__":
    main()
