"""Checks what a reader would otherwise have to: columns, and the lengths of files, functions and lists of arguments.

Templates (x_body.h, x_types.h) are C like the rest. The public interface is what it is: a function that the public
header declares, or that stands in one of its structs, has the arguments that hosts pass; and a public header is one file,
which a host includes, or copies, without others of this tree. What else is over a limit today stands in tools/style_debt.txt with its
count: a count that grew, or a new file, is an error, and so is a count that fell without the list following, so the
list only shrinks. `python tools/check_style.py --write` lets it follow."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEBT = ROOT / "tools" / "style_debt.txt"
FOLDERS = ("csrc", "kernels", "lammps", "tests/c", "tests/fuzz", "benchmarks", "examples")
SUFFIXES = (".c", ".h", ".cpp", ".cu", ".def")
COLUMNS, FILE, FUNCTION, ARGUMENTS = 110, 600, 60, 6

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
# The head of a definition at the left margin: a type, a name or REAL(name), and its arguments, then the brace.
NESTED = r"\((?:[^(){};]|\([^(){};]*\))*\)"
HEAD = re.compile(r"^(?!(?:else|do|typedef|struct \w+ \{|enum|union|#))"
                  r"[A-Za-z_][\w \t*]*(?:\([\w ,]*\)[ \t*\n]*)?[\s*]*"
                  rf"\b(\w+|\w+\(\w+\))\(((?:[^(){{}};]|{NESTED})*)\)\n\{{$", re.M)


def blank(match):
    """Of the same length in lines and columns, so that positions stay."""
    return re.sub(r"[^\n]", " ", match[0])


def types_of(text):
    """The types of a list of arguments, without their names."""
    parts, depth = [""], 0
    for letter in " ".join(text.split()):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    if parts in ([""], ["void"]):
        return ()
    return tuple(re.sub(r"\w+(?:\[\w*\])?$", "", part.strip()).replace(" ", "") for part in parts)


def public_types():
    """Those of more than six arguments, of functions and of structs' members in csrc/include."""
    found = set()
    for path in sorted((ROOT / "csrc" / "include").glob("*.h")):
        plain = COMMENT.sub(blank, path.read_text())
        found |= {types_of(text) for text in re.findall(rf"\w+\)?\(((?:[^(){{}};]|{NESTED})*)\);", plain)}
    return {types for types in found if len(types) > ARGUMENTS}


def functions(text):
    """(name, first line, lines, types of arguments) of each definition; lines from its head to its closing brace."""
    plain = STRING.sub(blank, COMMENT.sub(blank, text))
    for match in HEAD.finditer(plain):
        end = plain.find("\n}", match.end())
        if end >= 0:
            first = plain.count("\n", 0, match.start()) + 1
            yield match[1], first, plain.count("\n", 0, end + 2) + 2 - first, types_of(match[2])


def problems_of(name, text):
    """(rule, message) of each."""
    lines = text.splitlines()
    if len(lines) > FILE and not name.startswith("csrc/include/"):
        yield "file", f"{name}: {len(lines)} lines; a file has at most {FILE}"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            yield "columns", f"{name}:{number}: {len(line)} columns; a line has at most {COLUMNS}"
    if name.endswith((".c", ".h")):
        for function, first, length, arguments in functions(text):
            if length > FUNCTION:
                yield "function", f"{name}:{first}: {function} has {length} lines; a function has at most {FUNCTION}"
            if len(arguments) > ARGUMENTS and arguments not in PUBLIC:
                yield "arguments", (f"{name}:{first}: {function} has {len(arguments)} arguments; beyond {ARGUMENTS} they "
                                    "are a struct")


PUBLIC = public_types()


def sources():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *FOLDERS], cwd=ROOT, capture_output=True,
                            text=True, check=True).stdout
    return [name for name in sorted(listed.splitlines()) if name.endswith(SUFFIXES) and (ROOT / name).is_file()]


def measure():
    counts, messages = {}, {}
    for name in sources():
        for rule, message in problems_of(name, (ROOT / name).read_text()):
            counts[name, rule] = counts.get((name, rule), 0) + 1
            messages.setdefault((name, rule), []).append(message)
    return counts, messages


def read_debt():
    rows = (line.split() for line in DEBT.read_text().splitlines() if line and not line.startswith("#"))
    return {(name, rule): int(count) for name, rule, count in rows}


def main():
    counts, messages = measure()
    if "--write" in sys.argv[1:]:
        head = "# File, rule, count: what is over a limit of tools/check_style.py. It only shrinks.\n"
        DEBT.write_text(head + "".join(f"{name} {rule} {count}\n" for (name, rule), count in sorted(counts.items())))
        return
    debt, found = read_debt(), []
    for key in sorted(set(counts) | set(debt)):
        if counts.get(key, 0) > debt.get(key, 0):
            found += messages[key]
        elif counts.get(key, 0) < debt.get(key, 0):
            found.append(f"{key[0]}: {counts.get(key, 0)} over the limit of {key[1]}, tools/style_debt.txt says "
                         f"{debt[key]}: run python tools/check_style.py --write")
    if found:
        sys.exit("\n".join(found))
    print(f"style: {len(sources())} files, {sum(debt.values())} places over a limit, as tools/style_debt.txt says")


if __name__ == "__main__":
    main()
