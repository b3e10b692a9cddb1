"""The page of parameters is what the tables say, and a hyper-parameter has one place for each thing done with it."""

import functools
import subprocess
import sys

import check_arguments
import pytest
from conftest import ROOT

TABLES = check_arguments.read_tables(ROOT / "csrc" / "net" / "params")
# Options; members of parts, as "layers" or "version", are also words that other things have.
OPTIONS = {path.stem for path in (ROOT / "csrc" / "net" / "params").glob("*.def")}
NAMES = sorted({name for table in OPTIONS for name in TABLES[table]})
# Words that also name other things: a layer's arrays, a property of every descriptor, what info() and warnings say, a result, a
# stage.
OTHER_MEANINGS = {"bias": "csrc/net/", "descriptor": ("dgnn/", "csrc/bind/py", "csrc/model/compute", "csrc/model/evaluate"), "dim_out": "csrc/net/",
                  "mixed_types": "csrc/net/", "weights": "csrc/net/",
                  "a_sel": "dgnn/calculator.py", "sel": ("dgnn/calculator.py", "csrc/model/compute.c"), "n_dim": "csrc/io/tree.h",
                  "virtual_scale": "dgnn/", "readout": ("csrc/net/dpa4c/dpa4c_paper_body.h", "csrc/net/dpa4c/dpa4c_body.h")}


@functools.cache
def trace(name):
    done = subprocess.run(["sh", ROOT / "tools" / "trace_param.sh", name], capture_output=True, text=True)
    return done.stdout.split()


def test_the_page_is_current():
    done = subprocess.run([sys.executable, ROOT / "tools" / "gen_params.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_page_has_every_row():
    text = (ROOT / "docs" / "parameters.md").read_text()
    for table, rows in check_arguments.read_all_rows(ROOT / "csrc" / "net" / "params").items():
        for name, _ in rows:
            assert f"| `{name}` |" in text, (table, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_in_few_files(name):
    """Three for each table that has it: the table, and two that use it; beside csrc/convert, which writes whole trees."""
    others = OTHER_MEANINGS.get(name, "-")
    files = [path for path in trace(name)
             if not path.startswith(others) and not path.startswith("csrc/convert/")]
    tables = sum(name in rows for rows in TABLES.values())
    assert tables and len([path for path in trace(name) if path.endswith(".def")]) == tables
    assert len(files) <= 3 * tables, files


def test_the_trace_finds():
    assert set(trace("a_compress_rate")) >= {"csrc/net/params/repflow.def", "csrc/net/dpa3/dpa3.c"}
    assert trace("no_such_parameter") == []
