"""Writes docs/tests.md, the index of the tests, from the first sentence of each test file.

    python tools/gen_tests.py           write it
    python tools/gen_tests.py --check   fail if it is not current
"""

import ast
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "tests.md"
HEAD = """# Index of the tests

<!-- Written by tools/gen_tests.py from the first sentence of each file. -->

[Testing](testing.md) says what each suite is for. The last column names the file of the core that a C test is the test of.
"""


def of_python(path):
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def of_c(path):
    found = re.match(r"(?:#include[^\n]*\n|\s)*/\*(.*?)\*/", path.read_text(), re.S)
    return re.sub(r"\n \* ?", " ", found[1]) if found else ""


def first_sentence(text):
    text = " ".join(text.split())
    found = re.match(r".*?\.(?= |$)", text)
    return (found[0] if found else text).rstrip(".:;")


def module_of(path):
    stem = path.stem.removeprefix("test_")
    found = sorted((ROOT / "csrc").rglob(f"{stem}.c"))
    return f"`{found[0].relative_to(ROOT)}`" if path.suffix == ".c" and found else ""


def rows(folder):
    for path in sorted([*folder.rglob("test_*.py"), *folder.rglob("test_*.c"), *folder.rglob("fuzz_*.c")]):
        sentence = first_sentence(of_c(path) if path.suffix == ".c" else of_python(path))
        if not sentence:
            raise SystemExit(f"{path.relative_to(ROOT)}: its first comment must say what it tests")
        yield f"| `{path.relative_to(folder)}` | {sentence} | {module_of(path)} |".replace("\\", "")


def page():
    lines = [HEAD]
    for folder in sorted(path for path in (ROOT / "tests").iterdir() if path.is_dir()):
        found = list(rows(folder))
        if found:
            lines += [f"## {folder.name}", "", "| file | what it tests | of |", "|---|---|---|", *found, ""]
    return "\n".join(lines)


def main():
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        raise SystemExit("docs/tests.md is not what the tests say; run: make params")


if __name__ == "__main__":
    main()
