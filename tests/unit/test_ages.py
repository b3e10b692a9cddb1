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


@pytest.mark.parametrize("case", CASES)
def test_what_deepmd_kit_reads(case):
    tree = saved_files.tree_of(case)
    with np.load(DATA / "cases" / case / "cases.npz") as file:
        given = {key.split("/in/")[1]: file[key] for key in file.files if key.startswith("sparse/in/")}
        truth = file["sparse/out/atom_energy"].ravel()
    refused = []
    for row in (row for row in ROWS if row["case"] == case and row["read_by"]):
        expected = np.array(row.get("atom_energy", truth))
        try:
            found = energies_of(changed(tree, row["path"], row["value"]), given)
        except REFUSED as error:
            refused.append(f"{row['path']} {row['value']}: {error}")
            assert not is_version(row) or "compressed" in str(error) or "degree" in str(error), refused[-1]
        else:
            assert np.abs(found - expected).max() <= 1e-10 * max(1, np.abs(expected).max()), row
    assert len(refused) <= 3, "\n".join(refused)
