"""deepmd-kit's model deviations of models whose answers are in cases/, for LAMMPS's file: model_devi.npz. Run where
deepmd-kit is installed.

Its C++ (which its pair style uses) divides a component of the virial by that component's mean, with relative_v; its Python
by the norm of all nine. So relative_v is not here: the test has the formula."""

import pathlib

import numpy as np
from deepmd.infer.model_devi import calc_model_devi_f, calc_model_devi_v

DATA = pathlib.Path(__file__).resolve().parent
COMMITTEES = {"dpa1": ["dpa1_small_sel", "dpa1_small_sel_graph"],
              "dpa2": ["dpa2_graph_small_sel", "dpa2_graph_small_sel_graph", "dpa2_graph_small_sel"]}


def main():
    found = {}
    for kind, names in COMMITTEES.items():
        cases = [np.load(DATA / "cases" / name / "cases.npz") for name in names]
        assert all(np.array_equal(case["slab/in/coord"], cases[0]["slab/in/coord"]) for case in cases)
        forces = np.array([case["slab/out/force"] for case in cases])[:, None]
        virials = np.array([case["slab/out/virial"] for case in cases]).reshape(len(cases), 1, 9) / forces.shape[2]
        for label, level in (("plain", None), ("relative", 0.25)):
            *of_forces, of_atoms = calc_model_devi_f(forces, relative=level, atomic=True)
            found[f"{kind}/{label}"] = np.concatenate([np.ravel(calc_model_devi_v(virials)), np.ravel(of_forces), of_atoms[0]])
    np.savez_compressed(DATA / "model_devi.npz", **found)


if __name__ == "__main__":
    main()
