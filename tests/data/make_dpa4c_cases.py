"""Cases of DPA4C for options that meet in none of the others: native spins beside charge and spin of the frame with everything
else away from its default (dpa4c_spin_charge), and the widest descriptor (dpa4c_wide), whose weights are a long sequence over and
over, so that its archive is small. deepmd-kit's graph form, as the other cases of this family.

usage: make_dpa4c_cases.py OUTDIR SEED      (environment as for make_cases.py)

Each energy is checked against deepmd-kit's numpy model before it is written.
"""

import copy
import itertools
import json
import os
import pathlib
import sys
import zipfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch

torch.set_num_threads(1)
from deepmd.dpmodel.model.base_model import BaseModel as NumpyModel
from deepmd.dpmodel.model.model import get_model
from deepmd.pt_expt.model import BaseModel
from deepmd.pt_expt.utils.serialization import _collect_metadata, _numpy_to_json_serializable
from make_cases import systems

KEPT = ("out_std", "fparam_avg", "fparam_inv_std", "aparam_avg", "aparam_inv_std")


def model(fitting=None, spin=None, **options):
    found = dict(type_map=["O", "H"], descriptor=dict(type="dpa4c", precision="float64", **options),
                 fitting_net=dict(neuron=[8, 8], precision="float64", seed=2, **(fitting or {})))
    return {**found, **({"spin": dict(scheme="native", use_spin=spin)} if spin else {})}


CASES = {
    "dpa4c_spin_charge": model(dict(resnet_dt=True, activation_function="tanh", numb_aparam=2), [True, True], rcut=4.7,
                               channels=16, lmax=4, n_radial=9, radial_modes=3, basis_type="gaussian", exclude_types=[[0, 0]],
                               add_chg_spin_ebd=True, default_chg_spin=[2.0, 3.0], seed=1),
    "dpa4c_wide": model(dict(resnet_dt=False, activation_function="silu"), rcut=6.0, channels=128, lmax=3, n_radial=16,
                        radial_modes=2, seed=3),
}


def stir(tree, rng):
    """Every number away from what a fresh model has: no zeros, no ones."""
    if isinstance(tree, list):
        for value in tree:
            stir(value, rng)
    if not isinstance(tree, dict):
        return
    for key, value in list(tree.items()):
        if not (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
            stir(value, rng)
            continue
        name = [part for part in key.split(".") if not part.isdigit()][-1]
        if name in KEPT or not value.size:
            continue
        noise = rng.standard_normal(value.shape)
        if name == "adam_type_embedding":
            other = value + 0.3 * noise
            if not value[-1].any():
                other[-1] = 0  # the row of NULL atoms
        elif name in ("mean", "stddev"):
            other = value + 0.2 * noise if name == "mean" else value * (1 + 0.5 * np.abs(noise))
        elif name in ("adam_freqs", "spin_reference"):
            other = value * (1 + 0.02 * noise) if name == "adam_freqs" else 1 + 0.3 * np.abs(noise)
        elif name == "spin_gate":
            other = 0.6 + 0.1 * noise
        elif name in ("b", "bias_atom_e", "out_bias", "idt"):
            other = value + 0.1 * noise
        elif not value.any():
            other = 0.7 * noise / np.sqrt(value.shape[-2] if value.ndim > 1 else 1)
        else:
            other = value * (1 + 0.1 * noise)
        tree[key] = other.astype(value.dtype)


def repeat(tree, steps):
    """Large matrices from a sequence that repeats."""
    if isinstance(tree, list):
        for value in tree:
            repeat(value, steps)
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.size > 2000:
            sequence = np.fromiter(itertools.islice(itertools.cycle(steps), value.size), float, value.size).reshape(value.shape)
            tree[key] = (sequence * np.round(1000 / np.sqrt(value.shape[0])) / 1000).round(6).astype(value.dtype)
        else:
            repeat(value, steps)


def one(value, dtype=np.float64):
    return None if value is None else np.asarray(value, dtype)[None]


def answers(model, given):
    tensors = {key: None if value is None else torch.tensor(one(value)) for key, value in given.items() if key != "type"}
    coord, box = tensors["coord"].requires_grad_(True), tensors["box"]
    kinds = torch.tensor(one(given["type"], np.int64))
    box = None if box is None else box.reshape(1, 9)
    more = {key: tensors[key] for key in ("aparam", "charge_spin") if given.get(key) is not None}
    if given.get("spin") is not None:
        result = model(coord, kinds, tensors["spin"].requires_grad_(True), box=box, do_atomic_virial=True, **more)
    else:
        result = model.call_common(coord, kinds, box=box, do_atomic_virial=True, neighbor_graph_method="dense", **more)
        names = {"energy": "energy_redu", "force": "energy_derv_r", "virial": "energy_derv_c_redu",
                 "atom_virial": "energy_derv_c"}
        result = {"atom_energy": result["energy"], **{ours: result[theirs].squeeze(-2) if "derv" in theirs else result[theirs]
                                                      for ours, theirs in names.items()}}
    return {key: value.detach().numpy()[0].astype(np.float64) for key, value in result.items()
            if value is not None and key not in ("mask", "mask_mag")}


def numpy_energy(model, given):
    more = {key: one(given[key]) for key in ("aparam", "charge_spin", "spin") if given.get(key) is not None}
    box = None if given["box"] is None else one(np.reshape(given["box"], 9))
    return np.asarray(model.call_common(one(given["coord"]), one(given["type"], np.int64), box=box, neighbor_graph_method="dense",
                                        **more)["energy"])[0]


def write(folder, name, config, rng):
    tree = get_model(copy.deepcopy(config)).serialize()
    stir(tree, rng)
    if name == "dpa4c_wide":
        repeat(tree["descriptor"], rng.standard_normal(1499).round(3))
    torch_model = BaseModel.deserialize(copy.deepcopy(tree)).eval()
    numpy_model = NumpyModel.deserialize(copy.deepcopy(tree))
    arrays = {}
    for system, (coord, kinds, box) in systems(2, rng).items():
        kinds = np.asarray(kinds, np.int32)
        given = dict(coord=coord, type=kinds, box=box)
        if "spin" in config:
            given["spin"] = rng.standard_normal((len(kinds), 3)) * np.array(config["spin"]["use_spin"])[kinds][:, None]
            given["aparam"] = rng.standard_normal((len(kinds), 2))
            given["charge_spin"] = np.array([-1.0, 1.0]) if system != "cluster" else None  # there the default one
        found = answers(torch_model, given)
        apart = np.abs(numpy_energy(numpy_model, given).ravel() - found["atom_energy"].ravel()).max()
        assert apart < 1e-9 * max(1, np.abs(found["atom_energy"]).max()), (name, system, apart)
        arrays.update({f"{system}/in/{key}": value for key, value in given.items() if value is not None})
        arrays.update({f"{system}/out/{key}": value for key, value in found.items()})
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "cases.npz", **arrays)
    metadata = _collect_metadata(torch_model, spin_scheme="native" if "spin" in config else None, lower_kind="graph")
    with zipfile.ZipFile(folder / "model.pt2", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("model/extra/metadata.json", json.dumps(metadata))
        archive.writestr("model/extra/model_def_script.json", json.dumps(config))
        archive.writestr("model/extra/model.json", json.dumps({
            "model": _numpy_to_json_serializable(copy.deepcopy(tree)), "model_def_script": config, "backend": "dpmodel",
            "software": "deepmd-kit", "version": "3.2.0"}))
    print(name, (folder / "model.pt2").stat().st_size, np.abs(arrays["slab/out/force"]).max(),
          arrays["slab/out/atom_energy"].std())


def main(outdir, seed):
    for number, (name, config) in enumerate(CASES.items()):
        write(pathlib.Path(outdir) / name, name, config, np.random.default_rng([int(seed), number]))


if __name__ == "__main__":
    main(*sys.argv[1:])
