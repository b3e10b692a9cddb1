"""Trees as older and newer deepmd-kits write them, and deepmd-kit 3.2.0's answers from them: ages.json.

From a model's tree one thing is changed at a time: the version of an object (each that deepmd-kit knows, one more, and
none), or one member is left out, as trees have it that are older than the member. deepmd-kit's pt and pt_expt (dpmodel)
backends then read it or don't, and evaluate it. Where one of them reads a tree, dgnn gives the same atoms' energies or
refuses the tree by name (tests/formats/test_ages.py).

usage: make_ages.py [CASE ...]        needs what make_cases.py needs
"""

import copy
import json
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch
from saved_files import DATA, tree_of

torch.set_num_threads(1)
import deepmd.pt.model.model as pt
import deepmd.pt_expt.model as pt_expt
from deepmd.pt.model.model.spin_model import SpinEnergyModel as PtSpin
from deepmd.pt_expt.model.spin_ener_model import SpinEnergyModel as ExptSpin
from deepmd.pt_expt.utils.serialization import _json_to_numpy
from make_cases import evaluate

CASES = ["dpa2_all_updates", "dpa2_strip", "dpa1_attn2",
         "dpa1_strip", "dpa1_resnet_dt", "se_atten_v2", "se_e2_a", "se_e2_r", "se_e3", "se_e3_tebd", "hybrid_local",
         "linear_dpa3_dpa1", "spin_se_e2_a", "dpa3_all_parameters", "dpa3_compress_linear"]
VERSIONS = [None, 0, 1, 2, 3, 4, 5, 6, 7]  # of any class


def objects(value, path=()):
    """(path, object) of all that are no arrays."""
    if isinstance(value, dict) and "@is_variable" not in value:
        yield path, value
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from objects(item, (*path, name))


def changes_of(tree, seen):
    """Of objects that are alike (in all cases: seen) the first."""
    for path, members in objects(tree):
        likeness = members.get("@class", path[-1:]), members.get("type"), frozenset(members)
        if likeness in seen:
            continue
        seen.add(likeness)
        for version in VERSIONS if "@version" in members else []:
            if version != members["@version"]:
                yield [*path, "@version"], version
        for name in members:
            if name != "@version":
                yield [*path, name], None


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


def inputs_of(case):
    with np.load(DATA / "cases" / case / "cases.npz") as file:
        return {key.split("/in/")[1]: file[key] for key in file.files if key.startswith("sparse/in/")}


def atom_energies(kind, tree, given, lower):
    model = kind.deserialize(_json_to_numpy(copy.deepcopy(tree))).eval()
    answer = evaluate(model, given["coord"], given["type"], given.get("box"), given.get("spin"), given.get("fparam"),
                      given.get("aparam"), given.get("charge_spin"), lower=lower)
    return answer["atom_energy"].ravel()


def pt_kind(tree):
    return {"spin_ener": PtSpin, "linear": pt.LinearEnergyModel}.get(tree.get("type"), pt.BaseModel)


def read_by(tree, given, quiet=True):
    """(backend, atoms' energies) of the backend that reads the tree."""
    spin = "spin" in given
    for name, kind, lower in (("pt", pt_kind(tree), None), ("dpmodel", ExptSpin if spin else pt_expt.BaseModel, "legacy")):
        try:
            energies = atom_energies(kind, tree, given, None if spin else lower)
        except Exception as error:
            if not quiet:
                print(f"{name}: {type(error).__name__}: {error}")
            continue
        yield name, energies
        return


def run(names):
    rows, seen = [], set()
    for case in names or CASES:
        tree, given = tree_of(case), inputs_of(case)
        (_, truth), = read_by(tree, given, quiet=False)
        for path, value in changes_of(tree, seen):
            row = dict(case=case, path=path, value=value, read_by=None)
            for row["read_by"], energies in read_by(changed(tree, path, value), given):
                if np.abs(energies - truth).max() > 1e-11:
                    row["atom_energy"] = energies.tolist()
            rows.append(row)
        print(case, len(rows), flush=True)
        write(rows)


def write(rows):
    (DATA / "ages.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    run(sys.argv[1:])
