"""The public header: alone as C11 and as C++17, and a host program that knows nothing else."""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess

import compile as builder
import dgnn
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HEADER = ROOT / "csrc" / "include" / "dgnn.h"


@pytest.mark.parametrize("compiler,language", [("gcc", "c11"), ("g++", "c++17"), ("clang", "c11")])
def test_header_compiles_alone(compiler, language, tmp_path):
    if compiler == "clang" and not shutil.which("clang"):
        pytest.skip("clang is not installed")
    source = tmp_path / ("alone.c" if language == "c11" else "alone.cpp")
    source.write_text(f'#include "{HEADER}"\nint main(void) {{ return DGNN_OK; }}\n')
    command = [compiler, f"-std={language}", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_header_is_the_manual():
    """At least as many lines of declarations have a comment near as not: the header has no other manual."""
    lines = HEADER.read_text().splitlines()
    commented = sum("/*" in line or line.lstrip().startswith("*") for line in lines)
    code = sum(bool(line.strip()) and not line.lstrip().startswith(("*", "/*", "#")) for line in lines)
    assert commented * 2 > code


def test_page():
    """docs/c_interface.md has each function and struct of the headers, with its comment."""
    spec = importlib.util.spec_from_file_location("gen_header", ROOT / "tools" / "gen_header.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    page = maker.page()
    assert page == maker.PAGE.read_text(), "run: make params"
    assert len(maker.declared()) > 30
    for name in maker.declared() | {"dgnn_system", "dgnn_transport", "dgnn_model_info", "dgnn_border"}:
        assert re.search(rf"^### .*`{name}`", page, re.M), name
    assert maker.code_names("*plan < 2 * n: dgnn_x") == r"`*plan` \< 2 \* n: `dgnn_x`"


def describe_system(coords, types, box):
    numbers = [] if box is None else np.ravel(box)
    atoms = [f"{t} {x[0]!r} {x[1]!r} {x[2]!r}" for t, x in zip(types.tolist(), coords.tolist())]
    return "\n".join([f"{len(types)} {int(box is not None)}", " ".join(repr(float(v)) for v in numbers), *atoms]) + "\n"


def test_host_program(base_path, data):
    """Energies and forces to the last bit, as the same core gives them to Python."""
    (host,) = builder.build_programs([ROOT / "tests" / "c" / "host.c"], "release")
    model = dgnn.Model.load(base_path, threads=1)
    cases = np.load(data / "cases" / "dpa3_base" / "cases.npz")
    text, expected = "", []
    for name in ("triclinic", "cluster", "slab", "sparse"):
        box = cases[f"{name}/in/box"] if f"{name}/in/box" in cases else None
        coords, types = cases[f"{name}/in/coord"], cases[f"{name}/in/type"]
        text += describe_system(coords, types, box)
        result = model.compute(coords, types, box)
        expected.append(np.concatenate([[result.energy], result.forces.ravel()]))
    done = subprocess.run([host, base_path], input=text, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(expected)
    for line, row in zip(lines, expected):
        assert np.abs(row).max() > 1e-3
        np.testing.assert_array_equal(np.array(line.split(), float), row)


def test_host_program_reports_errors(tmp_path):
    (host,) = builder.build_programs([ROOT / "tests" / "c" / "host.c"], "release")
    done = subprocess.run([host, tmp_path / "absent.pt2"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "DGNN_ERROR_SYSTEM" in done.stderr and "absent.pt2" in done.stderr
