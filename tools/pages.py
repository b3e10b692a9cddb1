"""Runs the code blocks of pages of the documentation, in their order, each page in an empty folder.

    python tools/pages.py docs/tutorials/phonons.md            at full length: printed numbers are those of the page
    python tools/pages.py --short docs/tutorials/phonons.md    with small inputs: printed words are those of the page
    python tools/pages.py --write docs/tutorials/phonons.md    at full length: what is printed and drawn goes into the page
    python tools/pages.py                                      all tutorials
    python tools/pages.py --notebooks [--check]                the notebooks of those pages that have one

```python is run in the page's process, and a ```text after it is what it prints. Of ```console, lines with "$ " go to a shell,
the others are what it prints. A {code-block} with a caption is a file of that name. The folder has links to examples/ and tests/.
Comments before a block steer it:

    <!-- short: 4000 -> 40; BEADS = 8 -> BEADS = 2 -->    what other text a short run takes
    <!-- numbers: 5% -->                                  how near printed numbers must be; "any": words alone are compared.
                                                          Without it: one unit in the last digit that is printed
    <!-- not run: why -->                                 left out
"""

import argparse
import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
TUTORIALS = ROOT / "docs" / "tutorials"
NOTEBOOKS = ("molecular_dynamics", "cells", "phonons")
LARGEST_FIGURE = 60_000  # bytes
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?", re.I)
STARTED = {"examples", "tests"}  # what each folder has links to


class Block(NamedTuple):
    kind: str  # python, text, console, file, or another language
    code: str
    line: int  # of its first line in the page, from 1
    notes: dict  # of the comment before it: short, numbers, not run
    caption: str | None = None


def blocks(text):
    """The fenced and indented blocks of a page, in their order."""
    from markdown_it import MarkdownIt

    found, notes = [], {}
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        if token.type == "html_block":
            notes |= {key.strip(): value.strip() for key, value in
                      re.findall(r"<!--\s*(short|numbers|not run):(.*?)-->", token.content, re.S)}
        elif token.type in ("fence", "code_block"):
            found.append(block_of(token, notes))
            notes = {}
    return found


def block_of(token, notes):
    info, code, line = token.info.strip(), token.content, token.map[0] + (2 if token.type == "fence" else 1)
    caption = re.search(r"^:caption: (\S+)\n", code, re.M)
    if info.startswith("{code-block}") and caption:
        options = re.match(r"(?::\w+:.*\n)*\n?", code)[0]
        return Block("file", code[len(options):], line + options.count("\n"), notes, caption[1])
    return Block(info or "indented" if token.type == "code_block" else info, code, line, notes)


def shortened(block):
    """Its text in a short run."""
    code = block.code
    for change in filter(None, block.notes.get("short", "").split(";")):
        old, new = (part.strip() for part in change.split("->"))
        if old not in code:
            raise SystemExit(f"line {block.line}: the comment 'short' names {old!r}, which is not in the block")
        code = code.replace(old, new)
    return code


# ---------------------------------------------------------------- comparison


def tolerance_of(printed, note):
    if note:
        return float(note.rstrip("%")) / 100 * abs(float(printed.replace(",", "")))
    digits, _, exponent = printed.lower().partition("e")
    return 1.01 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def difference(expected, found, note, words_only):
    """None, or what is not as the page has it."""
    parts = [[" ".join(part.split()) for part in NUMBER.split(text.strip())] for text in (expected, found)]
    if parts[0] != parts[1]:
        return "other words"
    if words_only or note == "any":
        return None
    for wanted, number in zip(NUMBER.findall(expected), NUMBER.findall(found), strict=True):
        values = [float(text.replace(",", "")) for text in (wanted, number)]
        if abs(values[0] - values[1]) > tolerance_of(wanted, note):
            return f"{number}, expected {wanted}" + (f" within {note}" if note else "")
    return None


# ---------------------------------------------------------------- a page


class Page:
    def __init__(self, path, short, write, folder):
        self.path, self.short, self.write, self.folder = pathlib.Path(path).resolve(), short, write, pathlib.Path(folder)
        self.text = self.path.read_text()
        self.lines = self.text.split("\n")
        self.faults, self.replaced = [], []
        self.ran = 0

    def fault(self, line, what):
        self.faults.append(f"{self.path.name}:{line}: {what}")

    def run(self, python):
        """python: a function of a block's code and line that returns what it printed."""
        found, printed = blocks(self.text), None
        for number, block in enumerate(found):
            code = shortened(block) if self.short else block.code
            if "not run" in block.notes:
                continue
            if block.kind == "file":
                (self.folder / block.caption).write_text(code)
            elif block.kind == "python":
                printed = python(code, block.line)
                following = found[number + 1] if number + 1 < len(found) else None
                if printed.strip() and (following is None or following.kind != "text"):
                    self.fault(block.line, f"printed what the page does not show: {printed.strip()[:300]}")
            elif block.kind == "text" and printed is not None:
                self.compare(block, block.code, printed)
                printed = None
            elif block.kind == "console":
                self.console(block, code)
            else:
                continue
            self.ran += 1
        self.figures()

    def compare(self, block, expected, printed):
        """A short run's numbers are others, and so may be the number of its lines."""
        wrong = difference(expected, printed, block.notes.get("numbers"), self.short)
        if wrong and not self.write:
            self.fault(block.line, f"{wrong}. The page has\n{expected.rstrip()}\nand now it prints\n{printed.rstrip()}")
        if wrong and self.write:
            self.replaced.append((block.line - 1, expected.count("\n"), printed.rstrip("\n") + "\n"))

    def console(self, block, code):
        expected, printed = [], []
        for command, shown in commands(code):
            done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=900)
            if done.returncode:
                self.fault(block.line, f"$ {command}\nended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
            expected.append(f"$ {command}\n{shown}")
            printed.append(f"$ {command}\n{done.stdout.rstrip()}\n" if shown or (self.write and done.stdout.strip()) else
                           f"$ {command}\n")
        expected, printed = ("\n".join("".join(lines).split("\n")) for lines in (expected, printed))
        if self.short:
            block = block._replace(code=code)
        self.compare(block, expected, printed)

    def figures(self):
        for name in re.findall(r"^!\[[^\]]*\]\((\w+\.png)\)", self.text, re.M):
            made = self.folder / name
            if made.exists() and not self.short:
                shrink(made)
            if not made.exists():
                self.fault(0, f"{name} is shown, and no block drew it")
            elif made.stat().st_size > LARGEST_FIGURE and not self.short:
                self.fault(0, f"{name} has {made.stat().st_size} bytes, expected at most {LARGEST_FIGURE}")
            elif self.write:
                shutil.copy(made, self.path.parent)

    def rewrite(self):
        for first, count, text in sorted(self.replaced, reverse=True):
            self.lines[first:first + count] = text.rstrip("\n").split("\n")
        self.path.write_text("\n".join(self.lines))


def shrink(path):
    """Of a figure: 64 colours, which lines and labels need no more than."""
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("RGB").quantize(64)
    small.save(path, optimize=True)


def commands(code):
    """(command, what it shows) of a console block. A line that ends with a backslash goes on."""
    found = []
    for line in code.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], ""])
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1][0] += "\n" + line
        else:
            found[-1][1] += line + "\n"
    return found


def in_this_process(path):
    """A function that runs code in one name space, with the page's lines in tracebacks."""
    names = {"__name__": "__main__"}

    def python(code, line):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * (line - 1) + code, str(path), "exec"), names)
        return out.getvalue()

    return python


@contextlib.contextmanager
def in_a_notebook(name, folder):
    """The same, by the cells of the page's notebook, which is kept with its results in docs/_build/notebooks."""
    import nbclient
    import nbformat

    notebook = nbformat.reads(json.dumps(notebook_of(TUTORIALS / f"{name}.md")), as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}})
    cells = [(number, cell) for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]

    def python(code, line):
        while True:
            number, cell = cells.pop(0)
            client.execute_cell(cell, number)
            if cell.source == code.rstrip():
                return "".join(output.text for output in cell.outputs
                               if output.output_type == "stream" and output.name == "stdout")

    with client.setup_kernel():
        yield python
    kept = ROOT / "docs" / "_build" / "notebooks"
    kept.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, kept / f"{name}.ipynb")


def run_page(path, short, write):
    """Faults of a page, and how many blocks ran."""
    path = pathlib.Path(path).resolve()
    with tempfile.TemporaryDirectory(prefix="dgnn_page_") as folder:
        for name in STARTED:
            (pathlib.Path(folder) / name).symlink_to(ROOT / name)
        page, before = Page(path, short, write, folder), os.getcwd()
        os.chdir(folder)
        try:
            if path.stem in NOTEBOOKS and path.parent == TUTORIALS and not short:
                with in_a_notebook(path.stem, folder) as python:
                    page.run(python)
            else:
                page.run(in_this_process(path))
        except BaseException:
            print("\n".join(page.faults), file=sys.stderr)  # what came before may be why
            raise
        finally:
            os.chdir(before)
    if write:
        page.rewrite()
    return page.faults, page.ran


# ---------------------------------------------------------------- notebooks


def cell(kind, source, number):
    made = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source.strip("\n").splitlines(keepends=True)}
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def notebook_of(path):
    """The page as a notebook: text, and code without its results. Figures are left out, since cells draw them."""
    text, cells, last = path.read_text(), [], 0
    lines = text.split("\n")
    cells.append(cell("code", "# From the folder docs/tutorials to that of the repository.\nimport os\n\n"
                      "if not os.path.exists(\"examples\"):\n    os.chdir(\"../..\")", 0))
    for block in blocks(text):
        first = next(n for n in range(block.line - 2, -1, -1) if lines[n].startswith("```"))
        say("\n".join(lines[last:first]), cells)
        last = block.line - 1 + block.code.count("\n") + 1
        if "not run" in block.notes:
            say("\n".join(lines[first:last]), cells)
        elif block.kind == "python":
            cells.append(cell("code", block.code, len(cells)))
        elif block.kind == "console":
            told = "\n".join(f"!{command}" for command, _ in commands(block.code))
            cells.append(cell("code", told, len(cells)))
        elif block.kind != "text":
            say("\n".join(lines[first:last]), cells)
    say("\n".join(lines[last:]), cells)
    return {"cells": cells, "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                                         "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


def say(text, cells):
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.S)
    text = re.sub(r"^!\[[^\]]*\]\(\w+\.png\)\n", "", text, flags=re.M)
    text = re.sub(r"\{download\}`[^`]*`", "this notebook", text)
    if text.strip():
        cells.append(cell("markdown", text, len(cells)))


def write_notebooks(check):
    stale = []
    for name in NOTEBOOKS:
        path = TUTORIALS / f"{name}.ipynb"
        made = json.dumps(notebook_of(TUTORIALS / f"{name}.md"), indent=1, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text() != made:
            stale.append(path.name)
            if not check:
                path.write_text(made)
    if check and stale:
        raise SystemExit(f"{', '.join(stale)}: not what the page makes; python tools/pages.py --notebooks")


def environment():
    """What pages are run with: this interpreter's commands first, stand-ins for Slurm's, the figures' looks, and one thread, so that
    sums repeat."""
    path = [str(pathlib.Path(sys.executable).parent), str(ROOT / "tests" / "pages" / "stand_ins"), os.environ["PATH"]]
    return {"PATH": os.pathsep.join(path), "MPLBACKEND": "Agg", "MATPLOTLIBRC": str(ROOT / "docs" / "matplotlibrc"),
            "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--notebooks", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    os.environ.update(environment())
    warnings.simplefilter("ignore")
    if options.notebooks:
        return write_notebooks(options.check)
    bad = False
    for path in options.pages or sorted(TUTORIALS.glob("*.md")):
        start = time.perf_counter()
        faults, ran = run_page(path, options.short, options.write)
        print(f"{pathlib.Path(path).name}: {ran} blocks in {time.perf_counter() - start:.0f} s", flush=True)
        for fault in faults:
            print(fault, file=sys.stderr)
        bad = bad or bool(faults)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
