"""A DPA4C checkpoint of three tasks, in the layout of deepmd-kit's Trainer (pt_expt): two heads on one descriptor, told apart by
their case embedding, and one with native spins and a descriptor of its own; deepmd-kit's answers for each head, in the systems
of cases/dpa4c_base and cases/dpa4c_spin. Writes formats/ptexpt_dpa4c_heads.

usage: make_dpa4c_heads.py
"""

import copy
import io
import lzma
import os
import pathlib

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch

torch.set_num_threads(1)
from deepmd.pt_expt.model.get_model import get_model
from deepmd.pt_expt.train.wrapper import ModelWrapper
from deepmd.utils.argcheck import normalize

DATA = pathlib.Path(__file__).resolve().parent
FOLDER = DATA / "formats" / "ptexpt_dpa4c_heads"
NAMES = {"force": "energy_derv_r", "virial": "energy_derv_c_redu", "atom_virial": "energy_derv_c",
         "force_mag": "energy_derv_r_mag"}


def checked(seed, **options):
    model = dict(type_map=["O", "H"], descriptor=dict(type="dpa4c", rcut=5.0, channels=8, lmax=3, n_radial=6, radial_modes=2,
                                                      precision="float64", seed=seed),
                 fitting_net=dict(neuron=[8, 8], resnet_dt=False, activation_function="silu", precision="float64", seed=seed + 1,
                                  dim_case_embd=3), **options)
    whole = dict(model=model, learning_rate=dict(type="exp", start_lr=1e-3, stop_lr=1e-8),
                 loss={"type": "ener_spin" if "spin" in options else "ener"},
                 training=dict(training_data=dict(systems=["."]), numb_steps=1))
    return normalize(whole)["model"]


def stir(model, random):
    """Numbers that a fresh model has in no order, so that each of them counts."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            last = name.split(".")[-1]
            constant = last == "bispectrum_coupling" or last.endswith(("gram_scale", "probe_scale"))
            if value.is_floating_point() and value.numel() and not constant:
                factor = {"stddev": 0, "spin_reference": 0, "mean": 0.05, "out_std": 0, "case_embd": 0}.get(last, 0.1)
                value += factor * torch.tensor(random.standard_normal(tuple(value.shape)))
                if last == "spin_gate":
                    value.fill_(0.8)


def answer(model, given):
    one = lambda name, dtype=np.float64: torch.tensor(np.asarray(given[name], dtype))[None]  # noqa: E731
    more = {"spin": one("spin").requires_grad_(True)} if "spin" in given else {}
    box = None if "box" not in given else one("box").reshape(1, 9)
    result = model.call_common(one("coord").requires_grad_(True), one("type", np.int64), box=box, do_atomic_virial=True, **more)
    found = {"atom_energy": result["energy"], "energy": result["energy_redu"]}
    found.update({name: result[key].squeeze(-2) for name, key in NAMES.items() if result.get(key) is not None})
    return {name: value.detach().numpy()[0] for name, value in found.items()}


def main():
    params = {"water": checked(51), "ice": checked(51), "magnet": checked(61, spin=dict(scheme="native", use_spin=[True, False]))}
    params["ice"]["fitting_net"]["seed"] = 71
    params["ice"]["model_branch_alias"] = ["Default"]
    models = {name: get_model(copy.deepcopy(own)) for name, own in params.items()}
    random = np.random.default_rng(25)
    for number, name in enumerate(sorted(models)):
        stir(models[name], random)
        models[name].set_case_embd(number)
    models["ice"].atomic_model.descriptor = models["water"].atomic_model.descriptor
    wrapper = ModelWrapper(models, model_params=dict(model_dict=params)).eval()
    buffer = io.BytesIO()
    optimizer = torch.optim.Adam(wrapper.parameters(), lr=1e-3)
    torch.save({"model": wrapper.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "model.pt.xz").write_bytes(lzma.compress(buffer.getvalue(), preset=9))
    for name, model in models.items():
        inputs, kept = dict(np.load(DATA / "cases" / ("dpa4c_spin" if name == "magnet" else "dpa4c_base") / "cases.npz")), {}
        for system in sorted({key.split("/")[0] for key in inputs}):
            given = {key.split("/")[2]: value for key, value in inputs.items() if key.startswith(f"{system}/in/")}
            kept.update({f"{system}/in/{key}": value for key, value in given.items()})
            kept.update({f"{system}/out/{key}": value for key, value in answer(model, given).items()})
        np.savez_compressed(FOLDER / f"cases.{name}.npz", **kept)
        print(name, {key: float(value.ravel()[0]) for key, value in kept.items() if key.endswith("out/energy")})


if __name__ == "__main__":
    main()
