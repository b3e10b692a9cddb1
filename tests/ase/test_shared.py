"""Calculators and models that threads share, parameters of atoms, and types that a file has as numbers."""

import copy
import threading
import warnings

import dgnn
import numpy as np
import pytest
from ase import Atoms
from ase.mep import NEB
from conftest import DATA
from dgnn.calculator import DGNNCalculator
from test_calculator import small

PARAMETERS = DATA / "cases" / "dpa3_fparam_aparam" / "model.pt2"


def random_atoms(seed, n=60):
    rng = np.random.default_rng(seed)
    return Atoms(np.array(["O", "H"])[rng.integers(0, 2, n)], rng.random((n, 3)) * 9, cell=np.eye(3) * 9, pbc=True)


def in_threads(work, count):
    """What work(k) gave or raised, for each of count threads at once."""
    found, start = [None] * count, threading.Barrier(count)

    def run(k):
        start.wait()
        try:
            found[k] = work(k)
        except Exception as error:
            found[k] = error

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("shared", ["calculator", "model"])
def test_threads_get_their_own_results(base_path, shared):
    """Energy, forces and stress of each thread's atoms are theirs, whoever computes meanwhile."""
    model = dgnn.Model.load(base_path, threads=1)
    one = DGNNCalculator(model)
    systems = [random_atoms(seed) for seed in range(4)]
    wanted = []
    for atoms in systems:
        atoms.calc = DGNNCalculator(model)
        wanted.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))
    for atoms in systems:
        atoms.calc = one if shared == "calculator" else DGNNCalculator(model)

    def work(k):
        wrong = 0
        for _ in range(15):
            found = systems[k].get_potential_energy(), systems[k].get_forces(), systems[k].get_stress()
            wrong += not all(np.array_equal(a, b) for a, b in zip(found, wanted[k]))
        return wrong

    assert len({energy for energy, _, _ in wanted}) == 4
    assert in_threads(work, 4) == [0] * 4


def test_neb_in_threads(base_path):
    """ASE drops what a thread raises, and goes on with whatever was in memory."""
    first = small()[0]
    last = first.copy()
    last.positions[:3] += 0.4
    model = dgnn.Model.load(base_path, threads=1)

    def forces(parallel):
        images = [first.copy() for _ in range(6)] + [last.copy()]
        neb = NEB(images, parallel=parallel)
        neb.interpolate()
        for image in images:
            image.calc = DGNNCalculator(model)
        return neb.get_forces()

    wanted = forces(False)
    assert np.abs(wanted).max() > 1e-3
    for _ in range(3):
        np.testing.assert_array_equal(forces(True), wanted)


@pytest.mark.parametrize("way", ["get_property", "calculate"])
def test_after_an_error_nothing_is_another_systems(base_path, way, monkeypatch):
    calc = DGNNCalculator(base_path)
    one, other = random_atoms(1), random_atoms(2)
    energy = calc.get_property("energy", one)
    with monkeypatch.context() as patch:
        def fails(**arguments):
            raise dgnn.BusyError("the model is computing in another thread")

        patch.setattr(calc.model, "compute", fails)
        with pytest.raises(dgnn.BusyError):
            calc.get_property("energy", other) if way == "get_property" else calc.calculate(other, ["energy"])
        assert calc.results == {} and calc.atoms is None
        assert calc.get_property("energy", other, allow_calculation=False) is None
    assert calc.get_property("energy", other) != energy
    assert calc.get_property("energy", one) == energy and calc.results["energy"] == energy
    assert calc.atoms == one
    calc.reset()
    assert calc.results == {} and calc.atoms is None and DGNNCalculator(base_path).results == {}


class Communicator:
    """As mpi4py's, of ranks that were split."""

    def __deepcopy__(self, memo):
        raise ValueError("cannot pickle user-defined communicator")


def test_a_copy_shares_the_communicator(base_path):
    calc = DGNNCalculator(base_path)
    energy = calc.get_property("energy", random_atoms(1))
    calc.comm = Communicator()
    other = copy.deepcopy(calc)
    assert other.comm is calc.comm and other.model is not calc.model and other is not calc
    calc.comm = other.comm = None
    assert other.results["energy"] == energy and other.results is not calc.results
    assert other.get_property("energy", random_atoms(2)) == calc.get_property("energy", random_atoms(2)) != energy


# ---------------------------------------------------------------- parameters


def test_aparam_of_arrays():
    """They go with their atoms, as other columns do, and the cache sees them change."""
    atoms, inputs = small("dpa3_fparam_aparam")
    model = dgnn.Model.load(PARAMETERS, threads=1)
    atoms.info["fparam"] = inputs["fparam"]
    atoms.set_array("aparam", inputs["aparam"].ravel())  # as an extxyz column of one number is read
    atoms.calc = DGNNCalculator(model)
    arguments = [inputs[key] for key in ("coord", "type", "box")]
    expected = model.compute(*arguments, fparam=inputs["fparam"], aparam=inputs["aparam"])
    assert atoms.get_potential_energy() == expected.energy
    part = atoms[::2]
    part.calc = DGNNCalculator(model)
    half = model.compute(inputs["coord"][::2], inputs["type"][::2], inputs["box"], fparam=inputs["fparam"],
                         aparam=inputs["aparam"][::2])
    assert part.get_potential_energy() == half.energy
    atoms.arrays["aparam"] += 0.5
    assert "aparam" in atoms.calc.check_state(atoms)
    assert atoms.get_potential_energy() == model.compute(*arguments, fparam=inputs["fparam"],
                                                         aparam=inputs["aparam"] + 0.5).energy != expected.energy
    atoms.info["aparam"] = inputs["aparam"]
    with pytest.raises(dgnn.InputError, match="aparam: found in atoms.info and in atoms.arrays; remove one"):
        atoms.get_potential_energy()


@pytest.mark.parametrize("model,changes,message", [
    ("dpa3_fparam_aparam", {"fparam": None}, r'needs fparam: set atoms.info\["fparam"\], 2 numbers \(dgnn eval: --fparam\)'),
    ("dpa3_fparam_aparam", {"aparam": None},
     r'needs aparam: set atoms.arrays\["aparam"\] \(or .*\), 1 number for each atom \(.* column aparam:R:1\)'),
    ("dpa3_fparam_aparam", {"fparam": [1.0]}, r'found 1 numbers in atoms.info\["fparam"\]; this model takes 2'),
    ("dpa3_base", {"fparam": [1.0]}, r'found 1 numbers in atoms.info\["fparam"\]; this model takes none'),
    ("dpa3_base", {"charge_spin": [1, 0]}, r'found 2 numbers in atoms.info\["charge_spin"\]; this model takes none'),
    ("dpa3_charge_spin", {"charge_spin": None}, r'needs charge_spin: set atoms.info\["charge_spin"\], 2 numbers'),
])
def test_where_parameters_belong(model, changes, message):
    atoms, inputs = small(model)
    atoms.info.update({key: inputs[key] for key in ("fparam", "aparam", "charge_spin") if key in inputs})
    for key, value in changes.items():
        atoms.info.pop(key, None) if value is None else atoms.info.update({key: value})
    atoms.calc = DGNNCalculator(DATA / "cases" / model / "model.pt2")
    with pytest.raises(dgnn.InputError, match=message):
        atoms.get_potential_energy()


# ---------------------------------------------------------------- types


def test_a_permuted_list_of_types(base_path):
    """The model's types are O, H: the list says that H is computed as O, which is taken, and said."""
    atoms = small()[0]
    swapped = atoms.copy()
    swapped.symbols = ["H" if symbol == "O" else "O" for symbol in atoms.symbols]
    atoms.calc = DGNNCalculator(base_path)
    with pytest.warns(UserWarning, match="H is computed as O, O is computed as H: a list has .* O, H, in their order") as said:
        swapped.calc = DGNNCalculator(base_path, type_map=["H", "O"])
    assert said[0].filename == __file__
    assert swapped.get_potential_energy() == atoms.get_potential_energy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for type_map in (["O", "H"], ["S", "He"], [None, "H"], {"H": "O", "O": "H"}):
            DGNNCalculator(base_path, type_map=type_map)


def test_types_that_are_numbers(base_path):
    """As LAMMPS has them; ASE takes them for H, He and so on."""
    atoms = small()[0]
    atoms.calc = DGNNCalculator(base_path)
    numbered = atoms.copy()
    numbered.set_array("type", np.where(atoms.numbers == 8, 1, 2))
    numbered.numbers[:] = numbered.arrays["type"]
    numbered.calc = DGNNCalculator(base_path, type_map={1: "O", 2: "H"})
    assert numbered.get_potential_energy() == atoms.get_potential_energy()
    numbered.arrays["type"][0] = 3 - numbered.arrays["type"][0]
    assert "type" in numbered.calc.check_state(numbered)
    assert numbered.get_potential_energy() != atoms.get_potential_energy()
    numbered.arrays["type"][0] = 7
    with pytest.raises(dgnn.InputError, match="has types 1, 2; the structure also has 7"):
        numbered.get_potential_energy()
    atoms.calc = numbered.calc
    with pytest.raises(dgnn.InputError, match=r'types of LAMMPS, .*atoms.arrays\["type"\]; these atoms have none'):
        atoms.get_potential_energy()
