"""Make rounding.npz: deepmd-kit 3.2.0's float32 and float64 answers (same weights) for copies of the systems of
cases/dpa3_f32 with their atoms moved by 0.02 A, so that its rounding is known as a distribution, not as one sample.

usage: make_rounding.py SHARED_REFERENCE_FOLDER        (in deepmd-kit's environment, as make_cases.py)
"""

import copy
import json
import pathlib
import sys
import zipfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, sys.argv[1])
import make_cases  # noqa: E402

COPIES = 25


def arrays(tree):
    """JSON's named arrays as numpy arrays."""
    if isinstance(tree, list):
        return [arrays(value) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.get("@class") == "np.ndarray":
        return np.array(tree["value"], dtype=tree["dtype"])
    return {key: arrays(value) for key, value in tree.items()}


def main():
    case = HERE / "cases" / "dpa3_f32"
    with zipfile.ZipFile(case / "model.pt2") as archive:
        model = arrays(json.loads(archive.read("model/extra/model.json"))["model"])
    narrow = make_cases.BaseModel.deserialize(copy.deepcopy(model)).eval()
    wide = make_cases.BaseModel.deserialize(make_cases.widen(model)).eval()
    known, rng, out = np.load(case / "cases.npz"), np.random.default_rng(0), {}
    for system in ("triclinic", "cluster", "slab", "sparse"):
        coord, types = known[f"{system}/in/coord"], known[f"{system}/in/type"]
        box = known.get(f"{system}/in/box")
        out[f"{system}/type"] = types
        if box is not None:
            out[f"{system}/box"] = box
        for index in range(COPIES):
            moved = coord + 0.02 * rng.standard_normal(coord.shape)
            for kind, network in (("out", narrow), ("out64", wide)):
                answer = make_cases.evaluate(network, moved, types, box, lower="legacy")
                for key in ("atom_energy", "force", "virial"):
                    out.setdefault(f"{system}/{kind}/{key}", []).append(answer[key])
            out.setdefault(f"{system}/coord", []).append(moved)
    np.savez_compressed(HERE / "rounding.npz", **{key: np.array(value) for key, value in out.items()})


main()
