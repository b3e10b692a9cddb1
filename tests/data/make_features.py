"""Descriptors and last hidden layers of deepmd-kit 3.2.0 for the models of cases/: features.npz, keys CASE/descriptor and
CASE/last_layer, of three atoms of each system (rows_of), systems in the order of their names.

They are what deepmd-kit's fitting net is given, and what its last layer is given, while it evaluates the energies of
cases.npz, with the same neighbour list. deepmd-kit's eval_descriptor and eval_fitting_last_layer give these numbers where
its .pth and .pt models have them; with a .pt2 it makes another list for them than for energies where pairs are excluded or
the model has a graph form. Spin models' rows are those of real atoms, which deepmd-kit does not give out.

usage: make_features.py [CASE ...], in the environment of make_cases.py; without names those that are not there yet
"""
import copy
import json
import pathlib
import sys
import zipfile

import numpy as np
import torch
from make_cases import BaseModel, SpinEnergyModel

DATA = pathlib.Path(__file__).resolve().parent
ROWS = 3


def tree(path):
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        return json.loads(file.read(next(name for name in names if name.endswith("model.json"))))["model"], names, file


def arrays(value):
    """The archive's JSON as deepmd-kit's serialised model."""
    if isinstance(value, dict):
        if value.get("@class") == "np.ndarray":
            return np.array(value["value"], dtype=value["dtype"])
        return {key: arrays(item) for key, item in value.items()}
    return [arrays(item) for item in value] if isinstance(value, list) else value


def metadata(path):
    with zipfile.ZipFile(path) as file:
        name = next((name for name in file.namelist() if name.endswith("metadata.json")), None)
        return json.loads(file.read(name)) if name else {}


class Seen:
    """What a fitting net, and the last layers of its networks, are given."""

    def __init__(self, fitting):
        self.descriptor, self.hidden = None, []
        for name in ("call", "forward", "call_graph", "_call_common"):
            if hasattr(fitting, name):
                self.wrap(fitting, name)
        self.nets = [net for net in fitting.nets.modules() if hasattr(net, "call_until_last")]
        for net in self.nets:
            self.watch(net)

    def wrap(self, fitting, name):
        inner = getattr(fitting, name)

        def outer(descriptor, *args, **kwargs):
            self.descriptor = descriptor.detach().numpy()
            return inner(descriptor, *args, **kwargs)

        setattr(fitting, name, outer)

    def watch(self, net):
        inner, seen = net.call, self

        def call(x):
            seen.hidden.append(net.call_until_last(x).detach().numpy())
            return inner(x)

        net.call = call


def rows_of(n):
    """The first atom, the one in the middle and the last."""
    return np.unique(np.linspace(0, n - 1, ROWS).astype(int))


def numbers_of(seen, types, nets):
    n = len(types)
    descriptor = seen.descriptor.reshape(-1, seen.descriptor.shape[-1])[:n]
    hidden = [part.reshape(-1, part.shape[-1])[:n] for part in seen.hidden]
    if not hidden:
        return descriptor, None
    if len(hidden) == 1:
        return descriptor, hidden[0]
    assert len(hidden) == nets, (len(hidden), nets)
    return descriptor, np.stack([hidden[types[k]][k] for k in range(n)])


KEYS = ("coord", "type", "box", "spin", "fparam", "aparam", "charge_spin")


def energy_of(model, coord, type, lower, box=None, spin=None, **parameters):
    """As make_cases.evaluate, without atomic virials, which take most of its time."""
    one = lambda x, dt=np.float64: torch.tensor(np.asarray(x, dtype=dt))[None]
    more = dict(box=None if box is None else one(np.reshape(box, 9)), **{key: one(value) for key, value in parameters.items()})
    places, types = one(coord).requires_grad_(True), one(type, np.int64)
    if spin is not None:
        out = model(places, types, one(spin).requires_grad_(True), **more)["energy"]
    elif lower:
        out = model.call_common(places, types, neighbor_graph_method=lower, **more)["energy_redu"]
    else:
        out = model(places, types, **more)["energy"]
    return out.detach().numpy()[0]


def of_case(name):
    folder = DATA / "cases" / name
    value = arrays(tree(folder / "model.pt2")[0])
    is_spin = value.get("type") == "spin_ener"
    model = (SpinEnergyModel if is_spin else BaseModel).deserialize(copy.deepcopy(value)).eval()
    atomic = model.get_dp_atomic_model()
    if atomic is None:
        return None
    is_single = "float32" in json.dumps(value, default=str)
    lower = metadata(folder / "model.pt2").get("lower_input_kind", "nlist")
    how = None if is_spin or lower == "graph" else "legacy"
    found, seen = {}, Seen(atomic.fitting_net)
    with np.load(folder / "cases.npz") as cases:
        for system in sorted({key.split("/")[0] for key in cases.files}):
            inputs = {key: cases[f"{system}/in/{key}"] for key in KEYS if f"{system}/in/{key}" in cases.files}
            seen.hidden.clear()
            energy = energy_of(model, lower=how, **inputs)
            assert np.allclose(energy, cases[f"{system}/out/energy"], rtol=1e-4 if is_single else 0, atol=1e-9), (
                name, system)
            types = inputs["type"]
            descriptor, last = numbers_of(seen, types, len(seen.nets))
            rows = rows_of(len(types))
            found.setdefault(f"{name}/descriptor", []).append(descriptor[rows])
            if last is not None and len(atomic.fitting_net.neuron):
                found.setdefault(f"{name}/last_layer", []).append(last[rows])
    return {key: np.concatenate(parts) for key, parts in found.items()}


def main(names):
    path = DATA / "features.npz"
    everything = dict(np.load(path)) if path.exists() else {}
    missing = [folder.name for folder in (DATA / "cases").iterdir() if f"{folder.name}/descriptor" not in everything]
    for name in names or sorted(missing):
        try:
            found = of_case(name)
        except Exception as error:
            print(f"{name}: FAILED {type(error).__name__}: {str(error)[:300]}", flush=True)
            continue
        if found is None:
            print(f"{name}: a sum of models, which has none", flush=True)
            continue
        everything.update(found)
        np.savez_compressed(path, **everything)
        shapes = [f"{key.split('/')[-1]} {value.shape}" for key, value in found.items()]
        print(name, *shapes, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
