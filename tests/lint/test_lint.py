"""The house rules that a script can check."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("script", ["check_includes.py", "check_prefix.py"])
def test_rule(script):
    done = subprocess.run([sys.executable, ROOT / "tools" / script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_include_check_can_fail(tmp_path):
    """A rule that nothing can break checks nothing."""
    import check_includes

    for name, header, kind in [
        ("net/dpa3/dpa3.c", "io/archive.h", '"'),
        ("io/json.c", "net/parts/descriptor.h", '"'),
        ("net/dpa3/dpa3.c", "mpi.h", "<"),
        ("net/dpa3/dpa3.c", "net/dpa2/dpa2.h", '"'),
        ("net/parts/layer.c", "net/local/local.h", '"'),
        ("bind/pymodel.c", "base/alloc.h", '"'),
        ("base/alloc.c", "unheard_of.h", "<"),
        ("include/dgnn.h", "stdio.h", "<"),
    ]:
        assert check_includes.check_include(name, check_includes.room_of(name), kind, header), (name, header)
    assert check_includes.check_include("net/dpa3/dpa3.c", "net/dpa3", '"', "io/tree.h") is None


def test_files_are_short():
    long = [
        f"{path.relative_to(ROOT)}: {count} lines"
        for folder in ("csrc", "dgnn", "tools")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".c", ".h", ".py") and (count := len(path.read_text().splitlines())) > 800
    ]
    assert not long, long


def test_no_machine_path():
    """Nothing in the repository names the machine that it was written on."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = ["/wo" + "rk/", "/ro" + "ot/", "pypi-" + "more"]
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix in (".npz", ".pt2", ".png", ".dp") or not path.is_file():
            continue
        text = path.read_text(errors="replace")
        assert not [word for word in words if word in text], name
