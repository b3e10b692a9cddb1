"""What README and First steps tell a new user to type does what they say."""

import os
import re
import shutil
import subprocess
import sys

import ase.io
import dgnn
import numpy as np
import pytest
import saved_files
from ase import Atoms
from conftest import ROOT

PAGES = ["README.md", "docs/first_steps.md"]
pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")


def text_of(page):
    return (ROOT / page).read_text()


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```", text_of(page), re.M | re.S)


def commands(page):
    found = [line.partition("#")[0].strip() for line in re.findall(r"^    (dgnn .*)$", text_of(page), re.M)]
    assert len(found) >= 3
    return [line for line in found if not line.startswith("dgnn ipi ")]  # it waits for i-PI: tests/hosts/test_ipi.py


@pytest.fixture(scope="module")
def frame():
    with np.load(ROOT / "examples" / "water" / "frames.npz") as file:
        return {key: file[key][0] if key != "type" else file[key] for key in ("coord", "type", "box")}


@pytest.fixture
def folder(frame, tmp_path, monkeypatch):
    """The files that the pages name; 24 atoms, so that nobody waits."""
    shutil.copy(ROOT / "examples" / "water" / "model.pt2", tmp_path)
    rows = np.flatnonzero(np.linalg.norm(frame["coord"] - frame["coord"].mean(axis=0), axis=1) < 4)[:24]
    atoms = Atoms(np.array(["O", "H"])[frame["type"][rows]], frame["coord"][rows], cell=[9.0] * 3, pbc=True)
    ase.io.write(tmp_path / "POSCAR", atoms, sort=True)
    for name in "abc":
        shutil.copy(tmp_path / "model.pt2", tmp_path / f"{name}.pt2")
    (tmp_path / "data" / "set.000").mkdir(parents=True)
    np.savetxt(tmp_path / "data" / "type.raw", frame["type"][rows], fmt="%d")
    (tmp_path / "data" / "type_map.raw").write_text("O H")
    for key, value in (("coord", atoms.positions), ("box", np.asarray(atoms.cell)), ("force", np.zeros((len(rows), 3)))):
        np.save(tmp_path / "data" / "set.000" / f"{key}.npy", value.reshape(1, -1))
    for name in ("water.xyz", "a.cif", "md.traj", "md.xyz"):
        ase.io.write(tmp_path / name, [atoms] * (1 if name == "a.cif" else 2))
    saved_files.format_file("pt_heads", "model.pt", tmp_path).rename(tmp_path / "DPA-3.1-3M.pt")  # small, with its heads' names
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_five_minutes(frame, folder, monkeypatch):
    checkpoint, plain, ase_, questions, ranks, _ = python_blocks("README.md")  # the last is LAMMPS's: tests/hosts/test_lammps.py
    told = dict(coords=frame["coord"], types=frame["type"], box=frame["box"])
    exec(checkpoint, told)
    assert told["model"].type_map == ["O", "H", "Cu"]
    monkeypatch.chdir(ROOT)
    exec(plain, told)
    assert isinstance(told["r"], dgnn.Result) and "# ['O', 'H']" in plain and told["model"].type_map == ["O", "H"]
    monkeypatch.chdir(folder)
    told = dict(atoms=ase.io.read("POSCAR"))
    exec(ase_, told)
    assert np.abs(told["atoms"].get_forces()).max() > 0.01
    told = dict(dgnn=dgnn, model=dgnn.Model.load("model.pt2"), structures=[told["atoms"]] * 2, coords=frame["coord"][:3],
                types=frame["type"][:3], box=frame["box"])
    exec(questions, told)
    assert told["h"].shape == (3, 3, 3, 3)
    assert "comm=MPI.COMM_WORLD, ids=my_ids" in ranks  # which tests/mpi/compute_mpi.py does


def test_first_steps(folder, monkeypatch, capsys):
    plain, flux, ase_, dipoles = python_blocks("docs/first_steps.md")
    monkeypatch.chdir(ROOT)
    told = {}
    exec(plain, told)
    given = dict(coords=told["frames"]["coord"][0], types=told["frames"]["type"], box=told["frames"]["box"][0])
    told.update(given, atoms=Atoms(numbers=np.ones(len(given["coords"]), int), positions=given["coords"]))
    exec(flux, told)
    assert told["J"].shape == (3,)
    assert re.match(r"-29943\.\d+ 4\.\d+\n", capsys.readouterr().out)
    monkeypatch.chdir(folder)
    told = {}
    exec(ase_.replace("fmax=0.01", "fmax=0.01, steps=2"), told)
    assert told["atoms"].get_stress().shape == (6,)
    for name, case in {"energies": "dpa3_base", "dipoles": "dipole_dpa3"}.items():
        shutil.copy(ROOT / "tests" / "data" / "cases" / case / "model.pt2", folder / f"{name}.pt2")
    exec(dipoles, told)
    assert told["atoms"].get_dipole_moment().shape == (3,)


@pytest.mark.parametrize("page", PAGES)
def test_commands(page, folder):
    """With dgnn as it is without an installation."""
    for command in commands(page):
        line = command.replace("dgnn ", f"{sys.executable} -m dgnn ", 1)
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert (done.stdout == "") == (" -o " in command or " pack " in command), command
    assert ("results.extxyz" in os.listdir(folder)) and len(ase.io.read("results.extxyz", ":")) >= 2
