"""The ASE calculator, as a new user would try it."""

import copy
import os
import subprocess
import sys

import ase.io
import dgnn
import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError, get_calculator_class
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.io.trajectory import Trajectory
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE
from conftest import DATA, ROOT
from dgnn.calculator import DGNNCalculator, element_types

WATER = ROOT / "examples" / "water"


@pytest.fixture(scope="module")
def frames():
    with np.load(WATER / "frames.npz") as file:
        return dict(file)


@pytest.fixture
def water(frames, water_path):
    symbols = np.array(["O", "H"])[frames["type"]]
    atoms = Atoms(symbols, positions=frames["coord"][0], cell=frames["box"][0], pbc=True)
    atoms.calc = DGNNCalculator(water_path)
    return atoms


def small(name="dpa3_base"):
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        inputs = {key.split("/")[-1]: file[key] for key in file.files if key.startswith("triclinic/in/")}
    return Atoms(np.array(["O", "H"])[inputs["type"]], positions=inputs["coord"], cell=inputs["box"], pbc=True), inputs


def test_numbers_of_deepmd(water, frames):
    energy, virial = frames["energy"][0], frames["virial"][0].reshape(3, 3)
    assert water.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    assert water.get_potential_energy(force_consistent=True) == water.get_potential_energy()
    assert np.abs(frames["force"][0]).max() > 0.1
    np.testing.assert_allclose(water.get_forces(), frames["force"][0], atol=1e-9)
    np.testing.assert_allclose(water.get_potential_energies(), frames["atom_energy"][0], atol=1e-9)
    stress = -0.5 * (virial + virial.T) / water.get_volume()
    expected = [stress[0, 0], stress[1, 1], stress[2, 2], stress[1, 2], stress[0, 2], stress[0, 1]]
    assert np.abs(expected).max() > 1e-5
    np.testing.assert_allclose(water.get_stress(), expected, atol=1e-12)
    np.testing.assert_allclose(water.calc.results["virial"], virial, atol=1e-9)


def test_stresses_sum_to_the_stress(water):
    stresses = water.get_stresses()
    assert stresses.shape == (192, 6)
    np.testing.assert_allclose(stresses.sum(axis=0), water.get_stress(), atol=1e-12)


@pytest.mark.parametrize("pbc", [True, False])
@pytest.mark.parametrize("models", [1, 2])
def test_virials_of_atoms(base_path, pbc, models):
    """Those of compute, also where there is no volume; asked for after energies, before them, and never by themselves."""
    atoms, _ = small()
    atoms.pbc = pbc
    if not pbc:
        atoms.cell = None
    atoms.calc = DGNNCalculator(base_path if models == 1 else [base_path] * models)
    atoms.get_potential_energy()
    assert "atom_virial" not in atoms.calc.results
    virials = atoms.calc.get_property("atom_virial", atoms)
    wanted = dgnn.Model.load(base_path).compute(atoms.positions, atoms.get_chemical_symbols(), atoms.cell.array if pbc else None, atomic=True)
    np.testing.assert_allclose(virials, wanted.atom_virial, atol=1e-12)
    np.testing.assert_allclose(virials.sum(axis=0), atoms.calc.get_property("virial", atoms), atol=1e-11)
    assert np.abs(virials).max() > 1e-3


def test_stress_is_the_strain_derivative(base_path):
    atoms, _ = small()
    atoms.calc = DGNNCalculator(base_path)
    stress = atoms.get_stress(voigt=False)
    numerical = np.zeros((3, 3))
    step = 1e-5
    for i in range(3):
        for j in range(i, 3):
            energies = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[i, j] += sign * step / 2
                strain[j, i] += sign * step / 2
                strained = atoms.copy()
                strained.set_cell(atoms.cell @ strain, scale_atoms=True)
                strained.calc = atoms.calc
                energies.append(strained.get_potential_energy())
            numerical[i, j] = numerical[j, i] = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
    assert np.abs(stress).max() > 1e-5
    np.testing.assert_allclose(stress, numerical, atol=1e-6 * np.abs(stress).max())


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 1, 0), (1, 0, 0)])
def test_no_stress_without_full_pbc(base_path, pbc):
    atoms, _ = small()
    atoms.pbc = pbc
    atoms.calc = DGNNCalculator(base_path)
    assert np.isfinite(atoms.get_potential_energy())
    for ask in (atoms.get_stress, atoms.get_stresses):
        with pytest.raises(PropertyNotImplementedError, match="set atoms.pbc = True"):
            ask()
    assert "stress" not in atoms.calc.results


def test_pbc_of_each_axis(base_path):
    atoms, inputs = small()
    model = dgnn.Model.load(base_path)
    energies = set()
    for pbc in [(1, 1, 1), (1, 1, 0), (0, 0, 1), (0, 0, 0)]:
        atoms.pbc = pbc
        atoms.calc = DGNNCalculator(model)
        expected = model.compute(inputs["coord"], inputs["type"], inputs["box"], pbc=pbc)
        np.testing.assert_allclose(atoms.get_forces(), expected.forces, atol=1e-12)
        energies.add(atoms.get_potential_energy())
    assert len(energies) == 4


def test_a_slab_without_a_third_vector(base_path):
    """ASE lets the vector of a direction that isn't periodic be zero."""
    atoms, _ = small()
    atoms.pbc = (1, 1, 0)
    tall = atoms.copy()
    tall.cell[2] = np.cross(tall.cell[0], tall.cell[1]) / 50
    atoms.cell[2] = 0
    model = dgnn.Model.load(base_path)
    atoms.calc, tall.calc = DGNNCalculator(model), DGNNCalculator(model)
    np.testing.assert_allclose(atoms.get_forces(), tall.get_forces(), atol=1e-12)
    assert np.abs(atoms.get_forces()).max() > 1e-3


@pytest.mark.parametrize("pbc,vectors", [((1, 1, 1), 2), ((1, 1, 1), 0), ((1, 0, 0), 0), ((0, 0, 1), 2)])
def test_a_periodic_direction_without_a_vector(base_path, pbc, vectors):
    """ASE would put in a vector of 1 Å."""
    atoms, _ = small()
    atoms.cell[vectors:] = 0
    atoms.pbc = pbc
    atoms.calc = DGNNCalculator(base_path)
    with pytest.raises(dgnn.InputError, match=r"pbc = \[.*\], and cell vector \d is zero"):
        atoms.get_potential_energy()


def test_unknown_element(base_path):
    atoms, _ = small()
    symbols = atoms.get_chemical_symbols()
    atoms.set_chemical_symbols(["S", *symbols[1:]])
    atoms.calc = DGNNCalculator(base_path)
    with pytest.raises(dgnn.InputError, match="the model knows O, H; the structure also has S; pass type_map="):
        atoms.get_potential_energy()


def test_type_map(base_path):
    atoms, _ = small()
    plain = atoms.copy()
    plain.calc = DGNNCalculator(base_path)
    renamed = atoms.copy()
    renamed.set_chemical_symbols(["S" if symbol == "O" else "He" for symbol in atoms.get_chemical_symbols()])
    for type_map in [{"S": "O", "He": "H"}, {"S": 0, "He": 1}, ["S", "He"]]:
        renamed.calc = DGNNCalculator(base_path, type_map=type_map)
        assert renamed.get_potential_energy() == plain.get_potential_energy()
        np.testing.assert_array_equal(renamed.get_forces(), plain.get_forces())
    for wrong in [{"S": "X"}, {"S": 2}, {"S": -1}, ["S"], {"S": 0.5}, {0: "O"}, {1: "O", "S": "H"}, [8, 1], 3]:
        with pytest.raises(dgnn.InputError, match="type_map"):
            DGNNCalculator(base_path, type_map=wrong)
    assert element_types(["O", "H"], None) == {"O": 0, "H": 1}


def test_null_atoms(base_path):
    """An element that is mapped to None takes no part: as if its atoms were not there."""
    atoms, _ = small()
    extra = atoms + Atoms("He2", positions=[[1.0, 1.0, 1.0], [3.0, 2.0, 4.0]])
    extra.calc = DGNNCalculator(base_path, type_map={"He": None})
    atoms.calc = DGNNCalculator(base_path)
    assert extra.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-11)
    np.testing.assert_allclose(extra.get_forces()[:-2], atoms.get_forces(), atol=1e-12)
    assert not extra.get_forces()[-2:].any() and not extra.get_potential_energies()[-2:].any()


@pytest.mark.parametrize("name,key,other", [
    ("dpa3_fparam_aparam", "fparam", lambda v: v + 0.5),
    ("dpa3_fparam_aparam", "aparam", lambda v: v + 0.5),
    ("dpa3_charge_spin", "charge_spin", lambda v: v + 1),
])
def test_parameters_of_info(name, key, other):
    """They reach the model, and the cache sees them change."""
    atoms, inputs = small(name)
    model = dgnn.Model.load(DATA / "cases" / name / "model.pt2")
    keys = [k for k in ("fparam", "aparam", "charge_spin") if k in inputs]
    for k in keys:
        atoms.info[k] = inputs[k]
    atoms.calc = DGNNCalculator(model)
    expected = model.compute(inputs["coord"], inputs["type"], inputs["box"], **{k: inputs[k] for k in keys})
    assert atoms.get_potential_energy() == expected.energy
    changed = {**{k: inputs[k] for k in keys}, key: other(inputs[key])}
    atoms.info[key] = changed[key]
    assert key in atoms.calc.check_state(atoms)
    second = model.compute(inputs["coord"], inputs["type"], inputs["box"], **changed)
    assert atoms.get_potential_energy() == second.energy
    assert abs(second.energy - expected.energy) > 1e-9
    atoms.info[key] = np.array(changed[key]).tolist()  # the same numbers in a list: nothing changed
    assert not atoms.calc.check_state(atoms)
    for kept in (np.array(changed[key]), np.array(changed[key]).tolist()):  # and then changed where they are
        atoms.info[key] = kept
        assert atoms.get_potential_energy() == second.energy
        kept[0] = inputs[key][0]
        assert key in atoms.calc.check_state(atoms) and atoms.get_potential_energy() != second.energy


@pytest.mark.parametrize("key,value", [("fparam", "x"), ("fparam", [1.0, None]), ("fparam", {}), ("aparam", [[1.0], [1.0, 2.0]]),
                                       ("aparam", np.ones(5)), ("fparam", [1.0, 2.0, 3.0])])
def test_parameters_that_are_none(key, value):
    atoms, inputs = small("dpa3_fparam_aparam")
    atoms.info.update({name: inputs[name] for name in ("fparam", "aparam")})
    atoms.calc = DGNNCalculator(DATA / "cases" / "dpa3_fparam_aparam" / "model.pt2")
    assert np.isfinite(atoms.get_potential_energy())
    atoms.info[key] = value
    with pytest.raises(dgnn.InputError, match=key):
        atoms.get_potential_energy()


def test_cache(water):
    water.get_potential_energy()
    calls = []
    compute = water.calc.model.compute
    water.calc.model.compute = lambda *args, **kwargs: calls.append(1) or compute(*args, **kwargs)
    water.get_potential_energy()
    water.get_forces()
    water.get_stress()
    assert not calls
    water.positions[0, 0] += 0.01
    water.get_forces()
    water.get_potential_energy()
    assert len(calls) == 1
    water.get_stresses()
    assert len(calls) == 2


def test_moments_have_no_effect_but_are_said(base_path):
    atoms, _ = small()
    atoms.set_initial_magnetic_moments([1.0] * len(atoms))
    atoms.calc = DGNNCalculator(base_path)
    with pytest.warns(UserWarning, match="initial magnetic moments"):
        atoms.get_potential_energy()
    atoms.set_array("spins", np.ones((len(atoms), 3)))
    with pytest.raises(dgnn.InputError, match="takes no spins"):
        atoms.get_potential_energy()


def test_strict():
    path = DATA / "cases" / "dpa3_small_sel" / "model.pt2"
    atoms, _ = small("dpa3_small_sel")
    atoms.calc = DGNNCalculator(path)
    with pytest.warns(dgnn.TruncationWarning, match="more neighbours than the model's sel"):
        atoms.get_potential_energy()
    atoms.calc = DGNNCalculator(path, strict=True)
    with pytest.warns(dgnn.TruncationWarning), pytest.raises(dgnn.InputError, match="strict=True"):
        atoms.get_potential_energy()


def test_options(base_path):
    with pytest.raises(TypeError, match="did you mean 'type_map'"):
        DGNNCalculator(base_path, typemap={})
    with pytest.raises(dgnn.InputError, match="dtype: belongs to Model.load"):
        DGNNCalculator(dgnn.Model.load(base_path), dtype="float32")
    assert DGNNCalculator(base_path, dtype="float32").model.dtype == "float32"


def test_relaxation_with_a_cell_filter(water):
    before = water.get_potential_energy()
    volume = water.get_volume()
    optimizer = FIRE(FrechetCellFilter(water), logfile=None)
    optimizer.run(fmax=0.05, steps=5)
    assert water.get_potential_energy() < before - 0.1
    assert water.get_volume() != volume


def test_relaxation_of_a_cluster(base_path):
    atoms = Atoms("OH2", positions=[[0, 0, 0], [1.1, 0, 0], [0, 1.2, 0]])
    atoms.calc = DGNNCalculator(base_path)
    atoms.set_constraint(FixAtoms([0]))
    before = atoms.get_potential_energy()
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=50)
    assert atoms.get_potential_energy() < before


NVE = "NVE with the trained water model at 300 K: eV/atom (ratio of the two steps' fluctuations: 3.5 to 4.5)"


@pytest.fixture
def droplets(water_path):
    """At 300 K, and too small for an atom to have more than a_sel neighbours; strict=True sees that it is so."""
    with np.load(DATA / "droplets.npz") as start:
        atoms = Atoms(start["numbers"], start["positions"], velocities=start["velocities"])
    atoms.calc = DGNNCalculator(water_path, strict=True)
    return atoms


def nve(atoms, step, duration):
    """Total energies per atom along the way, durations in fs."""
    moving = copy_of(atoms)
    dynamics = VelocityVerlet(moving, step * units.fs)
    energies = []
    dynamics.attach(lambda: energies.append(moving.get_total_energy() / len(moving)))
    dynamics.run(round(duration / step))
    return np.array(energies)


def fluctuation_and_drift(energies):
    later = energies[len(energies) // 10 :]
    slope = np.polyfit(np.arange(len(later)), later, 1)[0]
    return later.std(), abs(slope) * len(later)


@pytest.mark.parametrize("steps", [200, pytest.param(2000, marks=pytest.mark.long)])
def test_nve_conserves_energy(droplets, figures, steps):
    """The fluctuation falls with the square of the step, over the same time from the same start; no drift beyond it."""
    fluctuation = {}
    for step in (0.5, 0.25):
        fluctuation[step], drift = fluctuation_and_drift(nve(droplets, step, steps * 0.5))
        row = f"droplets, {steps * 0.5:.0f} fs, step {step} fs"
        figures.record(NVE, row, "fluctuation", fluctuation[step])
        figures.record(NVE, row, "drift", drift)
        assert drift < fluctuation[step]
    ratio = fluctuation[0.5] / fluctuation[0.25]
    figures.record(NVE, f"droplets, {steps * 0.5:.0f} fs, step {step} fs", "ratio", ratio)
    assert 1e-6 < fluctuation[0.5] < 1e-4
    assert 3.5 < ratio < 4.5


@pytest.mark.long
def test_nve_of_the_liquid(water, figures):
    """In the liquid a_sel binds, as it does in deepmd-kit: each neighbour that enters or leaves an angle list makes
    energy jump, whatever the step. What the step adds to that is the difference from half the step: the common jumps
    cancel, and each halving divides it by four."""
    MaxwellBoltzmannDistribution(water, temperature_K=300, rng=np.random.default_rng(5))
    Stationary(water)
    with pytest.warns(dgnn.TruncationWarning, match="more neighbours than the model's a_sel"):
        energies = {step: nve(water, step, 50) for step in (0.5, 0.25, 0.125)}
    for step, values in energies.items():
        fluctuation, drift = fluctuation_and_drift(values)
        figures.record(NVE, f"liquid, 50 fs, step {step} fs", "fluctuation", fluctuation)
        figures.record(NVE, f"liquid, 50 fs, step {step} fs", "drift", drift)
        assert fluctuation < 6e-5
    coarse = energies[0.5] - energies[0.25][::2]
    fine = (energies[0.25] - energies[0.125][::2])[::2]
    ratio = coarse.std() / fine.std()
    figures.record(NVE, "liquid, 50 fs, differences", "ratio", ratio)
    assert 3.5 < ratio < 4.5


def test_forces_along_a_trajectory(droplets, figures):
    """Central differences of fourth order, at the start and after 20 fs, of atoms that have no neighbour near a cutoff
    (the exponential switch leaves 8e-7 there)."""
    model, step = droplets.calc.model, 5e-4
    types = np.where(droplets.numbers == 8, 0, 1)
    dynamics = VelocityVerlet(droplets, 0.5 * units.fs)
    for _ in range(2):
        forces, distances = droplets.get_forces(), droplets.get_all_distances()
        near = np.minimum(abs(distances - 6.0), abs(distances - 4.0)).min(axis=1) < 3 * step
        for atom in np.flatnonzero(~near)[::30]:
            axis = np.abs(forces[atom]).argmax()
            energies = {}
            for k in (-2, -1, 1, 2):
                moved = droplets.positions.copy()
                moved[atom, axis] += k * step
                energies[k] = model.compute(moved, types).atom_energy
            slope = np.sum(8 * (energies[1] - energies[-1]) - (energies[2] - energies[-2])) / (12 * step)
            error = abs(slope + forces[atom, axis]) / np.abs(forces).max()
            figures.record("derivatives of energy: error over the largest component (limit 1e-7)",
                           "trained water, along a trajectory", "forces", error, 1e-7)
            assert abs(forces[atom, axis]) > 1e-2 and error < 1e-7
        dynamics.run(40)


def copy_of(atoms):
    other = atoms.copy()
    other.calc = atoms.calc
    return other


def test_trajectory(water, tmp_path):
    path = tmp_path / "md.traj"
    with Trajectory(path, "w", water) as trajectory:
        dynamics = VelocityVerlet(water, 0.5 * units.fs)
        dynamics.attach(trajectory.write, interval=1)
        dynamics.run(3)
    frames = ase.io.read(path, ":")
    assert len(frames) == 4
    assert frames[-1].get_potential_energy() == water.get_potential_energy()
    np.testing.assert_array_equal(frames[-1].get_forces(), water.get_forces())


def test_extxyz(water, tmp_path):
    path = tmp_path / "water.extxyz"
    water.get_stress()
    ase.io.write(path, water)
    again = ase.io.read(path)
    np.testing.assert_allclose(again.get_forces(), water.get_forces(), atol=1e-7)
    np.testing.assert_allclose(again.get_stress(), water.get_stress(), atol=1e-12)


def test_database(water, tmp_path):
    """Stores the calculator's name and todict()."""
    from ase.db import connect

    water.get_potential_energy()
    database = connect(tmp_path / "atoms.json")
    database.write(water)
    row = database.get(1)
    assert row.calculator == "dgnn" and row.energy == water.get_potential_energy()
    assert row.calculator_parameters["digest"] == water.calc.model.digest


def test_todict(base_path):
    stored = DGNNCalculator(base_path, dtype="float32", type_map={"He": None}).todict()
    import json

    assert json.loads(json.dumps(stored)) == stored
    assert stored["model"] == str(base_path) and stored["dtype"] == "float32" and stored["type_map"] == {"He": None}


def test_the_file_is_not_needed_again(base_path, tmp_path, monkeypatch):
    """Scripts change folders, files are replaced: a trajectory says which model it was all the same."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt2").write_bytes(base_path.read_bytes())
    atoms, _ = small()
    atoms.calc = DGNNCalculator("model.pt2")
    stored = atoms.calc.todict()
    assert stored["model"] == str(tmp_path / "model.pt2")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert copy.deepcopy(atoms).get_potential_energy() == atoms.get_potential_energy()
    (tmp_path / "model.pt2").unlink()
    with Trajectory("md.traj", "w", atoms) as trajectory:
        trajectory.write()
    assert atoms.calc.todict() == stored


def test_properties_by_name(water):
    """virial, as deepmd-kit's calculator has it; and what ASE itself does with results."""
    assert water.calc.get_property("virial", water).shape == (3, 3)
    properties = water.calc.calculate_properties(water, ["energy", "forces", "stress"])
    np.testing.assert_array_equal(properties["forces"], water.get_forces())
    assert "virial" not in properties


def test_set_is_refused(base_path):
    """ASE's set() would keep an option that nobody reads."""
    with pytest.raises(dgnn.InputError, match="dtype: set when a calculator is made"):
        DGNNCalculator(base_path).set(dtype="float32")


def test_registered():
    assert get_calculator_class("dgnn") is DGNNCalculator
    plugins = pytest.importorskip("ase._4.plugins", reason="this ASE has no plugins").plugins
    (plugin,) = [plugin for plugin in plugins if plugin.name == "dgnn"]
    assert plugin.implementation is DGNNCalculator


def test_nothing_on_stdout(base_path):
    code = (f"from dgnn.calculator import DGNNCalculator as C; from ase import Atoms\n"
            f"Atoms('OH', positions=[[0, 0, 0], [0, 0, 1]], calculator=C({str(base_path)!r})).get_forces()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "" and done.stderr == ""
