"""The tutorials: each page's blocks run in a process of their own with small inputs, and print the words of the page."""

import json
import re
import subprocess
import sys

import pages
import pytest
from conftest import ROOT

NAMES = sorted(path.stem for path in pages.TUTORIALS.glob("*.md"))


def run(arguments):
    return subprocess.run([sys.executable, ROOT / "tools" / "pages.py", *map(str, arguments)], capture_output=True, text=True,
                          timeout=300)


@pytest.mark.parametrize("name", NAMES)
def test_page(name):
    done = run(["--short", pages.TUTORIALS / f"{name}.md"])
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-6000:]


def test_notebooks_are_those_of_the_pages():
    assert run(["--notebooks", "--check"]).returncode == 0
    for name in pages.NOTEBOOKS:
        cells = json.loads((pages.TUTORIALS / f"{name}.ipynb").read_text())["cells"]
        code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert all(block.code.strip() in code for block in pages.blocks((pages.TUTORIALS / f"{name}.md").read_text())
                   if block.kind == "python" and "not run" not in block.notes)


def test_figures():
    """Each that a page shows is there, small, and shown with words on what it shows."""
    for path in [*pages.TUTORIALS.glob("*.md"), ROOT / "docs" / "index.md", ROOT / "docs" / "design.md"]:
        text = path.read_text()
        for words, name in re.findall(r"^!\[([^\]]*)\]\(([^)]+)\)", text, re.M):
            figure = path.parent / name
            assert len(words) > 20 and figure.exists() and figure.stat().st_size < pages.LARGEST_FIGURE, (path.name, name)
        for name in re.findall(r"^```\{image\} (\S+)", text, re.M):
            assert (path.parent / name).stat().st_size < pages.LARGEST_FIGURE, name


def test_picture_of_the_rooms():
    """It has each room that there is, and each lies above those that it includes."""
    import check_includes
    import figures

    assert set(figures.PLACES) == set(check_includes.ROOMS) | {"include"}
    height = {room: row for room, (_, _, row) in figures.PLACES.items()}
    assert all(height[room] > height[other] for room, others in check_includes.ROOMS.items() for other in others)


PAGE = """# A page

<!-- short: 5 -> 2; for k -> for j -->
```python
for k in range(5):
    pass
print(f"{0.5:.2f} of 3")
```

```text
0.50 of 3
```

```console
$ echo one 2
one 2
```

```{code-block} text
:caption: a.txt

words
```

```console
$ cat a.txt
words
```
"""


@pytest.mark.parametrize("old, new, fault", [
    ("", "", None),
    ("0.50 of 3\n", "0.51 of 3\n", None),
    ("0.50 of 3\n", "0.53 of 3\n", "0.50, expected 0.53"),
    ("0.50 of 3\n", "0.50 or 3\n", "other words"),
    ("one 2\n```", "one 4\n```", "2, expected 4"),
    ("echo one 2", "false", "ended with 1"),
    ("words\n```\n\n```console", "others\n```\n\n```console", "other words"),
    ("print(", "raise ValueError(", "ValueError"),
    ("# A page", "# A page\n\n![Nobody draws this](none.png)\n", "no block drew it"),
    ("```text\n0.50 of 3\n```", "", "the page does not show"),
])
def test_runner(old, new, fault, tmp_path):
    """What is wrong in a page is found."""
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace(old, new, 1))
    done = run([page])
    assert (done.returncode == 0) == (fault is None) and (fault or "") in done.stderr, done.stderr


def test_short_runs(tmp_path):
    """Their numbers are others, their words are not; and a comment that changes nothing is an error."""
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("0.50 of 3\n", "0.97 of 8\n"))
    assert run(["--short", page]).returncode == 0
    page.write_text(PAGE.replace("short: 5", "short: 7"))
    done = run(["--short", page])
    assert done.returncode and "names '7', which is not in the block" in done.stderr
