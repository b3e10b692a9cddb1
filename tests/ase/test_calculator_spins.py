"""Spin models through ASE: where spins come from, magnetic forces, files, and the example."""

import subprocess
import sys

import ase.io
import dgnn
import numpy as np
import pytest
from ase import Atoms
from conftest import DATA, ROOT
from dgnn.calculator import DGNNCalculator

FOLDER = DATA / "cases" / "spin_dpa3"
pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning", "ignore::dgnn.model.SmallSpinWarning")


@pytest.fixture(scope="module")
def model():
    return dgnn.Model.load(FOLDER / "model.pt2")


@pytest.fixture(scope="module")
def case():
    with np.load(FOLDER / "cases.npz") as file:
        return {key.removeprefix("triclinic/"): file[key] for key in file.files if key.startswith("triclinic/")}


@pytest.fixture
def atoms(case, model):
    """Without spins as yet."""
    made = Atoms(np.array(["O", "H"])[case["in/type"]], case["in/coord"], cell=case["in/box"], pbc=True)
    made.calc = DGNNCalculator(model)
    return made


def magforces(atoms):
    return atoms.calc.get_property("magforces", atoms)


def test_numbers_of_deepmd(atoms, case):
    atoms.set_array("spins", case["in/spin"])
    largest = np.abs(case["out/force_mag"]).max()
    assert largest > 1e-2
    np.testing.assert_allclose(magforces(atoms), case["out/force_mag"], atol=1e-10 * max(1, largest))
    np.testing.assert_allclose(atoms.get_forces(), case["out/force"], atol=1e-10)
    assert atoms.get_potential_energy() == pytest.approx(case["out/energy"][0], abs=1e-10)
    assert "magforces" in atoms.calc.implemented_properties
    assert "magforces" not in DGNNCalculator.implemented_properties


def test_where_spins_come_from(atoms, case, model):
    """The array first, then moments: vectors, or numbers along z."""
    def expected(spins):
        result = model.compute(atoms.positions, case["in/type"], case["in/box"], spins=spins)
        return result.energy, result.forces_mag

    def found():
        return atoms.get_potential_energy(), magforces(atoms)

    vectors = 0.7 * case["in/spin"]
    along_z = np.zeros((len(atoms), 3))
    along_z[:, 2] = 1.0 + 0.05 * np.arange(len(atoms))
    energies = set()
    for spins, arrays in ((along_z, dict(initial_magmoms=along_z[:, 2])), (vectors, dict(initial_magmoms=vectors)),
                          (case["in/spin"], dict(initial_magmoms=vectors, spins=case["in/spin"]))):
        atoms.arrays.update(arrays)
        energy, pulls = expected(spins)
        assert found()[0] == energy
        np.testing.assert_array_equal(found()[1], pulls)
        energies.add(energy)
    assert len(energies) == 3


@pytest.mark.parametrize("how", ["array", "vectors", "collinear"])
def test_the_cache_sees_a_spin_turn(atoms, case, how):
    name = "spins" if how == "array" else "initial_magmoms"
    atoms.set_array(name, case["in/spin"][:, 2] + 1 if how == "collinear" else case["in/spin"].copy())
    before = atoms.get_potential_energy()
    assert not atoms.calc.check_state(atoms)
    oxygen = np.flatnonzero(case["in/type"] == 0)[0]
    atoms.arrays[name][oxygen] += 0.3
    assert atoms.calc.check_state(atoms) == [name]
    assert abs(atoms.get_potential_energy() - before) > 1e-6
    del atoms.arrays[name]
    with pytest.raises(dgnn.InputError, match="needs spins"):
        atoms.get_potential_energy()


def test_magnetic_forces_are_the_slope(atoms, case):
    atoms.set_array("spins", case["in/spin"])
    pulls, step = magforces(atoms).copy(), 1e-4
    atom = int(np.linalg.norm(pulls, axis=1).argmax())
    energies = []
    for sign in (1, -1):
        atoms.arrays["spins"][atom, 1] += sign * step
        energies.append(atoms.get_potential_energy())
        atoms.arrays["spins"][atom, 1] -= sign * step
    assert (energies[1] - energies[0]) / (2 * step) == pytest.approx(pulls[atom, 1], rel=1e-5)


@pytest.mark.parametrize("spins, text", [
    (None, "this model needs spins: set atoms.arrays"),
    (np.ones(32), r"spins: expected shape \(32, 3\)"),
    (np.full((32, 3), np.nan), "spins: .* nan"),
])
def test_spins_that_are_none(atoms, case, spins, text):
    if spins is not None:
        atoms.set_array("spins", spins)
    with pytest.raises(dgnn.InputError, match=text):
        atoms.get_potential_energy()
    atoms.arrays["spins"] = case["in/spin"]
    assert np.isfinite(atoms.get_potential_energy())


def test_null_atoms_with_spins(atoms, case, model):
    atoms.set_array("spins", case["in/spin"])
    more = atoms + Atoms("He", positions=[[1.0, 1.0, 1.0]])
    more.arrays["spins"][-1] = (1.0, 2.0, 3.0)
    more.calc = DGNNCalculator(model, type_map={"He": None})
    assert more.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-11)
    np.testing.assert_allclose(magforces(more)[:-1], magforces(atoms), rtol=1e-11, atol=1e-11)
    assert not magforces(more)[-1].any()


@pytest.mark.parametrize("name", ["spins", "initial_magmoms"])
def test_extxyz_keeps_the_vectors(atoms, case, tmp_path, name):
    atoms.set_array(name, case["in/spin"])
    path = tmp_path / "spins.extxyz"
    atoms.set_array("magforces", magforces(atoms))
    ase.io.write(path, atoms)
    again = ase.io.read(path)
    np.testing.assert_allclose(again.arrays[name], case["in/spin"], atol=1e-8)
    np.testing.assert_allclose(again.arrays["magforces"], magforces(atoms), atol=1e-8)
    again.calc = atoms.calc
    assert again.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-4)


def test_relaxation_example(tmp_path):
    """Random spins become a ferromagnet; what it writes goes on from there."""
    path = tmp_path / "relaxed.extxyz"
    script = ROOT / "examples" / "iron" / "relax_spins.py"
    done = subprocess.run([sys.executable, script, path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [line.replace(" eV", "").split() for line in done.stdout.splitlines()]
    energies, torques = [float(row[3]) for row in rows], [float(row[-1]) for row in rows]
    assert all(later < earlier for earlier, later in zip(energies, energies[1:])) and energies[0] - energies[-1] > 0.5
    assert torques[0] > 0.05 and torques[-1] < 1e-3
    relaxed = ase.io.read(path)
    np.testing.assert_allclose(np.linalg.norm(relaxed.arrays["spins"], axis=1), 2.2, atol=1e-7)
    assert np.linalg.norm(relaxed.arrays["spins"].mean(axis=0)) > 2.19
    energy, pulls = relaxed.get_potential_energy(), relaxed.arrays["magforces"]
    relaxed.calc = DGNNCalculator(script.with_name("model.pt2"))
    assert relaxed.get_potential_energy() == pytest.approx(energy, abs=1e-6)
    np.testing.assert_allclose(magforces(relaxed), pulls, atol=1e-6)
