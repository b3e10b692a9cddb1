"""Archives that were cut, flipped, overwritten and torn, at every place: refused, or the same model. In C: 150,000 loads
take seconds."""

import subprocess

import compile as builder
import dgnn
import pytest
from conftest import DATA, ROOT

SOURCE = ROOT / "tests" / "c" / "corrupt.c"
KINDS = ["cut", "flip", "00", "ff", "zeros", "swaps"]


def damage(variant, path, figures):
    (program,) = builder.build_programs([SOURCE], variant)
    done = subprocess.run([program, path], cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    found = {name: list(map(int, numbers)) for name, *numbers in map(str.split, done.stdout.splitlines())}
    assert list(found) == KINDS
    assert found["cut"][0] == path.stat().st_size and found["flip"][0] == 8 * path.stat().st_size
    for name, (cases, refused, same, other) in found.items():
        assert other == 0 and refused + same == cases
        assert same == 0 if name == "cut" else same < 0.1 * cases  # times and other fields that nobody reads
        figures.record(f"damaged archives ({variant})", path.suffix, name, cases)


@pytest.fixture(params=[".pt2", ".dgnn"])
def small(request, tmp_path):
    path = tmp_path / f"model{request.param}"
    original = DATA / "cases" / "se_e3_tebd" / "model.pt2"
    if request.param == ".pt2":
        path.write_bytes(original.read_bytes())
    else:
        dgnn.Model.load(original).save(path)
    assert path.stat().st_size < 16384
    return path


def test_every_damage(small, figures):
    damage("release", small, figures)


@pytest.mark.long
def test_every_damage_under_sanitizers(small, figures):
    damage("asan", small, figures)
