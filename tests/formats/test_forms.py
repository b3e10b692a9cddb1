"""Every kind of file that deepmd-kit writes: its own numbers from those that it trained, froze and exported itself
(data/formats), and the bits of its .pt2 from a case's model in all other forms (data/saved.tar.xz). Python's unpickler
never runs, and torch is not imported."""

import json
import pickle
import sys

import dgnn
import numpy as np
import pytest
import saved_files
import yaml
from conftest import DATA
from test_cases import SYSTEMS, Case, assert_cases

HEADS = {"pt_heads": ["Domains_Alloy", "Omat24", "H2O_H2O-SCAN0"], "pt_heads_maps": ["oxide", "water", "reversed"],
         "ptexpt_dpa4c_heads": ["water", "ice", "magnet"]}
FILES = [(name, file, head) for name in sorted(path.name for path in saved_files.FORMATS.iterdir())
         for file in saved_files.format_files(name) for head in HEADS.get(name, [None])]
SPINS = {"pt_spin_dpa3": "model.pt", "pth_spin_dpa3": "frozen_model.pth"}
PT_EXPT = -96.79822301674898  # eV: the tree of pt_spin_dpa3 evaluated by deepmd-kit's pt_expt backend
pytestmark = [pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning"),
              pytest.mark.filterwarnings("ignore::dgnn.UntrainedElementWarning")]
found_classes = []  # by any unpickler of this process
sys.addaudithook(lambda event, arguments: event == "pickle.find_class" and found_classes.append(arguments))


@pytest.fixture(autouse=True)
def no_unpickler(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("Python's unpickler was called")

    import _pickle

    for module in (pickle, _pickle):
        for name in ("Unpickler", "load", "loads"):
            monkeypatch.setattr(module, name, refuse)
    found_classes.clear()
    yield
    assert not found_classes and "torch" not in sys.modules


@pytest.mark.parametrize("name,file,head", FILES, ids=lambda value: str(value))
def test_a_file_of_deepmd_kit(name, file, head, tmp_path, figures):
    path = saved_files.format_file(name, file, tmp_path)
    with np.load(saved_files.FORMATS / name / (f"cases.{head}.npz" if head else "cases.npz")) as cases:
        arrays = dict(cases)
    model = dgnn.Model.load(path, head=head)
    assert model.dtype == ("float32" if name == "pt_f32" else "float64")
    systems = [system for system in SYSTEMS if not (name in SPINS and system == "triclinic")]
    assert_cases(model, [Case(arrays, system) for system in systems], figures, f"{name}/{file} {head or ''}")


@pytest.mark.parametrize("name", sorted({name for name, _, _ in FILES if name.startswith("saved_")}))
def test_a_tree_in_a_file_of_jax(name, tmp_path, figures):
    """deepmd-kit writes the tree of a .hlo as that of a .dp, and beside it programs that are not read."""
    path = saved_files.format_file(name, "model.dp", tmp_path).rename(tmp_path / "model.hlo")
    with np.load(saved_files.FORMATS / name / "cases.npz") as cases:
        arrays = dict(cases)
    assert_cases(dgnn.Model.load(path), [Case(arrays, system) for system in SYSTEMS], figures, f"{name}/model.hlo")


LISTS = "lists.npz"  # the pt backend's answers with other lists: make_spin_lists.py


def triclinic(name="pt_spin_dpa3"):
    with np.load(saved_files.FORMATS / name / "cases.npz") as cases:
        return Case(dict(cases), "triclinic")


def lists_of(kind):
    with np.load(saved_files.FORMATS / "pt_spin_dpa3" / LISTS) as file:
        return {key.split("/")[1]: file[key] for key in file.files if key.startswith(f"{kind}/")}


def furthest(result, theirs):
    """Over all quantities, the largest difference over the largest component (or 1)."""
    pairs = (("atom_energy", "atom_energy"), ("forces", "force"), ("forces_mag", "force_mag"), ("virial", "virial"))
    return max(np.abs(np.ravel(getattr(result, ours)) - theirs[other].ravel()).max() / max(1, np.abs(theirs[other]).max())
               for ours, other in pairs)


@pytest.mark.parametrize("name,file", SPINS.items())
def test_where_the_backends_of_deepmd_kit_differ(name, file, tmp_path):
    """A cell where lists are cut: the pt backend has another answer than pt_expt, whose answer is dgnn's. Two things are the
    reason, and with both undone the pt backend has dgnn's numbers: between an atom and the placeholder at its place the sort
    chooses either, and excluded placeholders keep their places among the a_sel nearest, of which angles are made."""
    case = triclinic(name)
    result = dgnn.Model.load(saved_files.format_file(name, file, tmp_path)).compute(**case.inputs())
    energy = result.energy
    assert abs(energy - PT_EXPT) < 1e-10 * abs(PT_EXPT)
    assert 1e-6 < abs(energy - case.get("out", "energy")[0]) < 1e-4
    assert abs(lists_of("as_it_is")["energy"][0] - case.get("out", "energy")[0]) < 1e-10
    moved = lists_of("moved")["energy"]  # the same system elsewhere
    assert moved.max() - moved.min() > 5e-5
    assert 1e-6 < abs(energy - lists_of("real_first")["energy"][0]) < 1e-4
    closed = lists_of("closed")
    assert abs(energy - closed["energy"][0]) < 1e-10 * abs(energy) and furthest(result, closed) < 1e-10


def test_nothing_else_differs_between_the_backends(tmp_path):
    """The same cell, with a sel that cuts nothing."""
    path = saved_files.format_file("pt_spin_dpa3", "model.pt", tmp_path)
    dgnn.Model.load(path).save(tmp_path / "model.yaml")
    tree = yaml.safe_load((tmp_path / "model.yaml").read_text())["model"]
    descriptor = tree["backbone_model"]["descriptor"]
    for owner, wrap in ((descriptor["repflow_args"], int), *((layer, lambda sel: [sel]) for layer in
                                                             descriptor["repflow_variable"]["repflow_layers"])):
        owner.update(e_sel=wrap(600), a_sel=240)
    for statistics in descriptor["repflow_variable"]["@variables"].values():  # the same row for each neighbour
        statistics["value"] = [[rows[0]] * 600 for rows in statistics["value"]]
    (tmp_path / "wide.json").write_text(json.dumps({"model": tree}))
    result, theirs = dgnn.Model.load(tmp_path / "wide.json").compute(**triclinic().inputs()), lists_of("wide")
    assert abs(result.energy - PT_EXPT) > 1 and furthest(result, theirs) < 1e-10


SAVED = saved_files.names()
KINDS = sorted({kind for _, kind in SAVED})


def result_of(model, arrays):
    given = Case(arrays, "sparse").inputs()
    return model.compute(**given, atomic=model.output == "energy")


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_in_another_form(kind):
    """All cases that deepmd-kit could save so."""
    count, options = 0, dict(threads=1, skin=0)
    for case, data in saved_files.saved(kind):
        folder = DATA / "cases" / case
        with np.load(folder / "cases.npz") as cases:
            arrays = dict(cases)
        expected = result_of(dgnn.Model.load(folder / "model.pt2", **options), arrays)
        result = result_of(from_bytes(f"{case}.{kind}", data, options), arrays)
        assert max(np.abs(value).max() for value in vars(expected).values() if isinstance(value, np.ndarray)) > 0
        for name, value in vars(expected).items():
            np.testing.assert_array_equal(getattr(result, name), value, err_msg=f"{case}.{kind} {name}")
        count += 1
    assert count >= 50


def from_bytes(name, data, options):
    from dgnn import files
    from dgnn.arguments import load_options

    given = dict(dtype=None, threads=None, device="cpu", memory="fast", semantics=None, skin=None, head=None)
    return dgnn.Model(files.make((name, data), load_options(**{**given, **options})), name)


# Compressed models whose tensors are those of another one that is there, with other numbers: nine forms are enough.
LIKE_ANOTHER = {f"compressed_{name}" for name in (
    "coarse", "coarse_se_e2_a", "dipole", "dpa1_one_side", "dpa1_two_side", "dpa2_one_side", "f32", "far", "odd_stride",
    "se_e2_a_pairs", "se_e3")}


def test_what_no_form_of_exists_is_named():
    """With the reason why deepmd-kit could not save it. A model that cannot be built at all is named once."""
    assert not LIKE_ANOTHER & {case for case, _ in SAVED}
    bare = sorted(path.name for path in (DATA / "cases").iterdir()
                  if not path.name.endswith("_graph") and path.name not in LIKE_ANOTHER)
    reasons = {kind: saved_files.not_saved(kind) for kind in ("input", "pt", "pth", "expt.pt", "pte")}
    for kind, built_as in (("pt", "pt"), ("pth", "pt"), ("pte", "expt.pt")):
        missing = {case for case in bare if (case, kind) not in SAVED}
        assert missing == {*reasons["input"], *reasons[built_as], *reasons[kind]}, kind
    missing = {case for case in bare if (case, "expt.pt") not in SAVED and (f"{case}_graph", "expt.pt") not in SAVED}
    assert missing == {*reasons["input"], *reasons["expt.pt"]}
