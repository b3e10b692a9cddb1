"""Trees of all ages: what deepmd-kit 3.2.0 reads, dgnn reads with the same numbers, or refuses by name.

data/ages.json (make_ages.py) has one change of a tree a row: another version of an object, or a member left out, and
whether deepmd-kit reads it. tools/list_ages.py prints it by class."""

import copy
import json

import dgnn
import numpy as np
import pytest
import saved_files
from conftest import DATA
from dgnn import _core

ROWS = json.loads((DATA / "ages.json").read_text())
CASES = list(dict.fromkeys(row["case"] for row in ROWS))
OPTIONS = {"threads": 1, "skin": 0.0}
REFUSED = (dgnn.ModelFormatError, dgnn.UnsupportedModelError)
pytestmark = pytest.mark.filterwarnings("ignore::dgnn.UntrainedElementWarning")


def changed(tree, path, value):
    """None: without it."""
    tree = copy.deepcopy(tree)
    at = tree
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    if value is None:
        del at[path[-1]]
    return tree


def energies_of(tree, given):
    core = _core.load_bytes("tree.json", json.dumps({"model": tree}).encode(), OPTIONS)
    result = dgnn.Model(core).compute(given["coord"], given["type"], given.get("box"), spins=given.get("spin"),
                                      fparam=given.get("fparam"), aparam=given.get("aparam"),
                                      charge_spin=given.get("charge_spin"))
    return result.atom_energy


def is_version(row):
    return row["path"][-1] == "@version" and row["value"] is not None


def given_of(case):
    with np.load(DATA / "cases" / case / "cases.npz") as file:
        given = {key.split("/in/")[1]: file[key] for key in file.files if key.startswith("sparse/in/")}
        return given, file["sparse/out/atom_energy"].ravel()


@pytest.mark.parametrize("case", CASES)
def test_what_deepmd_kit_reads(case):
    """With its numbers; a member that deepmd-kit has a default for, and always writes, may be missed by name instead."""
    tree = saved_files.tree_of(case)
    given, truth = given_of(case)
    for row in (row for row in ROWS if row["case"] == case and row["read_by"]):
        expected = np.array(row.get("atom_energy", truth))
        try:
            found = energies_of(changed(tree, row["path"], row["value"]), given)
        except REFUSED as error:
            assert not is_version(row), f"{row['path']} {row['value']}: {error}"
            assert "model." in str(error)
        else:
            assert np.abs(found - expected).max() <= 1e-10 * max(1, np.abs(expected).max()), row


def test_the_cases_are_of_all_ages():
    """Each class has a version that deepmd-kit reads beside the one that it writes, where there is any."""
    versions = [row for row in ROWS if is_version(row) and row["read_by"]]
    assert len(versions) >= 15 and {row["path"][-2] for row in versions if len(row["path"]) > 1} >= {"descriptor", "fitting"}


@pytest.mark.parametrize("version", [1, 2])
def test_dpa2_of_old(version):
    """As it was before its third version, when layers had none of three settings."""
    later = ("use_sqrt_nnei", "g1_out_conv", "g1_out_mlp")
    tree = saved_files.tree_of("dpa2_inside")
    descriptor = tree["descriptor"]
    descriptor["@version"] = version
    for owner in (descriptor["repformer_args"], *descriptor["repformers_variable"]["repformer_layers"]):
        assert [owner.pop(name) for name in later] == [False] * 3
    for layer in descriptor["repformers_variable"]["repformer_layers"]:
        layer["@version"] = 1
    if version == 1:
        del descriptor["use_tebd_bias"]
    given, truth = given_of("dpa2_inside")
    np.testing.assert_array_equal(energies_of(tree, given), energies_of(saved_files.tree_of("dpa2_inside"), given))
    assert np.abs(energies_of(tree, given) - truth).max() < 1e-10
