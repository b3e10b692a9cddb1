"""Models of several tasks: their heads, in Python, on the command line, in ASE, on ranks, and saved."""

import json
import warnings

import dgnn
import numpy as np
import pytest
import saved_files
from ase import Atoms
from dgnn.calculator import DGNNCalculator
from dgnn.cli import main
from dgnn.testing import run_mpi

NAMES = ["Domains_Alloy", "Omat24", "H2O_H2O-SCAN0"]
pytestmark = [pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning"),
              pytest.mark.filterwarnings("ignore::dgnn.UntrainedElementWarning")]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return saved_files.format_file("pt_heads", "model.pt", tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def maps_path(tmp_path_factory):
    return saved_files.format_file("pt_heads_maps", "model.pt", tmp_path_factory.mktemp("maps"))


def case_of(head, system="slab", name="pt_heads"):
    with np.load(saved_files.FORMATS / name / f"cases.{head}.npz") as file:
        data = {key.split("/", 1)[1]: file[key] for key in file.files if key.startswith(f"{system}/")}
    return (data["in/coord"], data["in/type"], data["in/box"]), data["out/energy"][0]


def test_heads_are_listed(path, maps_path):
    heads = dgnn.heads(path)
    assert {name for name, task in heads.items() if task["alias_of"] is None} == set(NAMES)
    assert heads["Default"]["alias_of"] == heads["inorganic"]["alias_of"] == "Omat24"
    assert all(task["type_map"] == ["O", "H", "Cu"] for task in heads.values())
    assert all(task["elements"] is None or set(task["elements"]) <= set(task["type_map"]) for task in heads.values())
    assert {name: task["type_map"] for name, task in dgnn.heads(maps_path).items()} == {
        "oxide": ["H", "O", "Cu", "Zr"], "water": ["O", "H"], "reversed": ["H", "O"]}


def test_heads_of_dpa4c(tmp_path):
    """One of them with native spins, whose file holds a model of another type; and each saved alone."""
    path = saved_files.format_file("ptexpt_dpa4c_heads", "model.pt", tmp_path)
    assert {name: task["alias_of"] for name, task in dgnn.heads(path).items()} == {
        "water": None, "ice": None, "magnet": None, "Default": "ice"}
    models = {name: dgnn.Model.load(path, head=name) for name in dgnn.heads(path)}
    assert [name for name, model in models.items() if model.is_spin] == ["magnet"]
    assert models["Default"].digest == models["ice"].digest != models["water"].digest
    with pytest.raises(dgnn.InputError, match="water, ice, magnet"):
        dgnn.Model.load(path)
    for kind in ("dgnn", "dp", "yaml"):
        assert main(["pack", str(path), "--head", "magnet", str(tmp_path / f"magnet.{kind}")]) == 0
        (coords, types, box), energy = case_of("magnet", "sparse", "ptexpt_dpa4c_heads")
        with np.load(saved_files.FORMATS / "ptexpt_dpa4c_heads" / "cases.magnet.npz") as file:
            spins = file["sparse/in/spin"]
        found = dgnn.Model.load(tmp_path / f"magnet.{kind}").compute(coords, types, box, spins=spins).energy
        assert found == models["magnet"].compute(coords, types, box, spins=spins).energy
        assert abs(found - energy) < 1e-10 * abs(energy)


@pytest.mark.parametrize("kind", ["pt2", "pt", "pth", "dp", "yaml", "hlo"])
def test_a_model_of_one_task_has_none(kind, base_path, tmp_path):
    made = {"pt": ("pt_dpa3", "model.pt"), "pth": ("pth_dpa3", "frozen_model.pth"), "dp": ("row_biases", "model.dp"),
            "yaml": ("row_biases", "model.yaml"), "hlo": ("hlo_dpa1", "model.hlo")}
    path = saved_files.format_file(*made[kind], tmp_path) if kind in made else base_path
    assert dgnn.heads(path) == {}
    with pytest.raises(dgnn.InputError, match="'Omat24'"):
        dgnn.Model.load(path, head="Omat24")


@pytest.mark.parametrize("path_of", ["absent.pt", "absent.dp"])
def test_heads_of_nothing(path_of, tmp_path):
    with pytest.raises(FileNotFoundError):
        dgnn.heads(tmp_path / path_of)


@pytest.mark.parametrize("alias", ["Default", "inorganic"])
def test_an_alias_is_its_head(alias, path):
    arguments, energy = case_of("Omat24")
    model = dgnn.Model.load(path, head=alias)
    assert abs(model.compute(*arguments).energy - energy) < 1e-10 * abs(energy)
    assert model.digest == dgnn.Model.load(path, head="Omat24").digest
    assert model.digest != dgnn.Model.load(path, head="Domains_Alloy").digest


@pytest.mark.parametrize("head,words", [
    (None, ["Domains_Alloy", "Omat24", "H2O_H2O-SCAN0", "head="]),
    ("omat24", ["'omat24'", "Omat24"]),
    ("Domains_Aloy", ["'Domains_Aloy'", "Domains_Alloy"]),
    (3, ["head", "3"]),
    ("", ["head"]),
])
def test_what_is_said_of_a_wrong_head(head, words, path):
    with pytest.raises(dgnn.InputError) as caught:
        dgnn.Model.load(path, head=head)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("kind", ["dgnn", "dp", "yaml"])
def test_a_head_saved_alone(kind, path, tmp_path, capsys):
    saved = tmp_path / f"omat24.{kind}"
    assert main(["pack", str(path), "--head", "Omat24", str(saved)]) == 0
    assert dgnn.heads(saved) == {}
    assert saved.stat().st_size < path.stat().st_size or kind == "yaml"
    arguments, _ = case_of("Omat24")
    expected, found = (dgnn.Model.load(file, **head).compute(*arguments) for file, head in ((path, {"head": "Omat24"}), (saved, {})))
    np.testing.assert_array_equal(found.forces, expected.forces)
    assert found.energy == expected.energy


def test_info_lists_heads(path, capsys):
    assert main(["info", str(path)]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in NAMES) and "another name of Omat24" in told and "--head" in told
    assert main(["info", str(path), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["heads"]) == {*NAMES, "Default", "inorganic"}
    assert main(["info", str(path), "--head", "Omat24"]) == 0
    assert "type_map" in capsys.readouterr().out


def test_every_command_takes_a_head(path, tmp_path, capsys):
    (coords, types, box), energy = case_of("Omat24", "triclinic")
    atoms = Atoms(np.array(["O", "H", "Cu"])[types], coords, cell=box, pbc=True)
    atoms.write(tmp_path / "a.extxyz")
    structure = str(tmp_path / "a.extxyz")
    assert main(["eval", str(path), "--head", "Omat24", structure, "--json"]) == 0
    assert abs(json.loads(capsys.readouterr().out)["energy"] - energy) < 1e-6
    assert main(["parity", str(path), structure, "--head", "Omat24", "--ranks", "1", "2"]) == 0
    assert main(["bench", str(path), structure, "--head", "Omat24", "--repeat", "1", "--threads", "1", "--json"]) == 0
    assert main(["eval", str(path), structure]) == 2
    assert "Omat24" in capsys.readouterr().err


def test_the_calculator(path):
    (coords, types, box), energy = case_of("H2O_H2O-SCAN0")
    atoms = Atoms(np.array(["O", "H", "Cu"])[types], coords, cell=box, pbc=True)
    atoms.calc = DGNNCalculator(path, head="H2O_H2O-SCAN0")
    assert abs(atoms.get_potential_energy() - energy) < 1e-10 * abs(energy)
    assert atoms.calc.todict()["head"] == "H2O_H2O-SCAN0"
    with pytest.raises(dgnn.InputError, match="head: belongs to Model.load"):
        DGNNCalculator(dgnn.Model.load(path, head="Omat24"), head="Omat24")


def energy_on_ranks(comm, path, head, arguments):
    return dgnn.Model.load(path, head=head, comm=comm).compute(*arguments, comm=comm, replicated=True).energy


def test_on_ranks(path):
    arguments, energy = case_of("Omat24")
    assert np.abs(np.array(run_mpi(energy_on_ranks, 2, path, "Omat24", arguments).values) - energy).max() < 1e-9
    with pytest.raises(Exception, match="Omat24"):
        run_mpi(energy_on_ranks, 2, path, "Omat", arguments)


@pytest.mark.filterwarnings("default::dgnn.UntrainedElementWarning")
def test_a_warning_for_an_element_without_statistics(path, monkeypatch):
    model = dgnn.Model.load(path, head="Omat24")
    model._untrained = dgnn.model._untrained_types({"type_map": ["O", "H", "Cu"], "elements": ["H", "O"]})
    coords = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.compute(coords, [0, 1, -1])  # all of them trained
    with pytest.warns(dgnn.UntrainedElementWarning, match="the head 'Omat24' had no Cu") as caught:
        model.compute(coords, ["O", "Cu", "Cu"])
        model.compute(coords, ["O", "Cu", "H"])  # once
    assert len(caught) == 1 and caught[0].filename == __file__


def test_elements_are_those_of_the_training_data(path):
    """The cases' trainer saw all three."""
    info = dgnn.Model.load(path, head="Omat24").info()
    assert info["elements"] == dgnn.heads(path)["Omat24"]["elements"]


def test_the_digest_of_a_pickled_model(path):
    import pickle

    model = pickle.loads(pickle.dumps(dgnn.Model.load(path, head="Omat24")))
    assert model.digest == dgnn.Model.load(path, head="Omat24").digest
