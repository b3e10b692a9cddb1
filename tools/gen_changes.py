"""Keeps the lists of files in docs/how_to_change.md true: which files name the example of each kind of change.

    python tools/gen_changes.py           write them
    python tools/gen_changes.py --check   fail if they are not current

A list stands between `<!-- files that name EXPRESSION in FOLDER ... -->` and `<!-- end -->`; the expression is one of git grep's
(extended, of any case), and tests, pages and lists of debts are never in a list: they follow by themselves or by a failing test.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "how_to_change.md"
LIST = re.compile(r"<!-- files that name (.+?) in (.+?) -->\n.*?<!-- end -->", re.S)


def files(expression, folders):
    command = ["git", "grep", "-l", "-i", "-E", "--untracked", "-e", expression, "--", *folders.split(), ":!tools/style_debt.txt"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not found:
        raise SystemExit(f"docs/how_to_change.md: nothing in {folders} names {expression}")
    return found


def by_folder(names):
    """One line for each folder."""
    folders = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, []).append(f"`{file}`")
    return [f"- `{folder or '.'}/`: {', '.join(found)}" for folder, found in sorted(folders.items())]


def current(text):
    def written(match):
        head = match[0].split("\n", 1)[0]
        return "\n".join([head, "", *by_folder(files(match[1], match[2])), "", "<!-- end -->"])

    return LIST.sub(written, text)


def main():
    text = PAGE.read_text()
    if "--check" in sys.argv[1:]:
        if current(text) != text:
            sys.exit("docs/how_to_change.md: a list of files is not current; run python tools/gen_changes.py")
    else:
        PAGE.write_text(current(text))


if __name__ == "__main__":
    main()
