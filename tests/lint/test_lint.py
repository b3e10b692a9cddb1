"""The house rules that a script can check."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("script", ["check_includes.py", "check_prefix.py", "check_style.py"])
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


def test_the_style_check_can_fail():
    import check_style

    def rules(text, name="csrc/base/x.c"):
        return [rule for rule, _ in check_style.problems_of(name, text)]

    seven = "int a, int b, int c, int d, int e, int f, int g"
    long = "static void f(int x)\n{\n" + "    x++;\n" * 58 + "}\n"
    message = "void *context, const void *data, int64_t nbytes, int32_t to, int32_t tag,\n void **request, struct dgnn_error *e"
    assert rules("static int f(int a, void (*b)(int, int))\n{\n}\n") == []
    assert rules(f"static int f({seven})\n{{\n}}\n") == ["arguments"]
    assert rules(f"ROWS(a, 1)\nROWS(b, 2)\nstatic struct REAL(t)\n    REAL(f)({seven})\n{{\n}}\n") == ["arguments"]
    assert rules(f"static int f({message})\n{{\n}}\n") == []  # send_create of dgnn.h
    assert rules(f"static int f({message.replace('int32_t to', 'int64_t to')})\n{{\n}}\n") == ["arguments"]
    assert rules(long) == ["function"] and rules(long.replace("    x++;\n", "", 1)) == []
    assert rules("/* " + "x" * 108 + " */\n") == ["columns"]
    assert rules("\n" * 601) == ["file"] and rules("\n" * 601, "csrc/include/dgnn.h") == []
    (_, message), = check_style.problems_of("x.c", f"static int name({seven})\n{{\n}}\n")
    assert message == "x.c:1: name has 7 arguments; beyond 6 they are a struct"


def test_files_are_short():
    """Python's; those of C are in tools/check_style.py."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    counts = {name: len((ROOT / name).read_text().splitlines()) for name in listed if (ROOT / name).is_file()}
    assert len(counts) > 100 and not {name: count for name, count in counts.items() if count > 600}


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
