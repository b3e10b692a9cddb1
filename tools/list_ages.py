"""Lists each class of a model's tree, the versions that deepmd-kit 3.2.0 reads (tests/data/ages.json) and those that dgnn
reads; then the members without which deepmd-kit reads a tree and dgnn does not.

usage: list_ages.py
"""

import collections
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "data")]

import saved_files

import dgnn
from dgnn import _core


def changed(tree, path, value):
    """The tree, changed in place; None: without it."""
    at = tree
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    if value is None:
        del at[path[-1]]
    return tree


def is_read(row):
    tree = changed(saved_files.tree_of(row["case"]), row["path"], row["value"])
    try:
        _core.load_bytes("tree.json", json.dumps({"model": tree}).encode(), {"threads": 1})
    except dgnn.Error:
        return False
    return True


def class_of(row):
    """(class and type of the changed object, the version that it was written with)."""
    at = saved_files.tree_of(row["case"])
    for name in row["path"][:-1]:
        at = at[name]
    kind = at.get("@class") or str(next((name for name in reversed(row["path"][:-1]) if isinstance(name, str)), "model"))
    return f"{kind} {at.get('type', '')}".strip(), at.get("@version")


def shown(versions):
    return " ".join("none" if version is None else str(version) for version in sorted(versions, key=lambda v: v or 0)) or "-"


def main():
    rows = json.loads((ROOT / "tests" / "data" / "ages.json").read_text())
    deepmd, ours, missed = collections.defaultdict(set), collections.defaultdict(set), []
    for row in rows:
        if row["path"][-1] != "@version":
            if row["read_by"] and not is_read(row):
                missed.append(f"{class_of(row)[0]}: {row['path'][-1]}")
            continue
        kind, written = class_of(row)
        deepmd[kind].add(written)
        ours[kind].add(written)
        if row["read_by"]:
            deepmd[kind].add(row["value"])
        if is_read(row):
            ours[kind].add(row["value"])
    print(f"{'class':40} {'deepmd-kit 3.2.0':20} dgnn")
    for kind in sorted(deepmd):
        print(f"{kind:40} {shown(deepmd[kind]):20} {shown(ours[kind])}")
    print("members that deepmd-kit has a default for, which dgnn misses by name:", *sorted(set(missed)), sep="\n  ")


if __name__ == "__main__":
    main()
