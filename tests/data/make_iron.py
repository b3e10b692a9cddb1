"""Train the small model of examples/iron: bcc iron with spins, of an energy that is known.

    E = sum over pairs of  switch(r) (stiffness (r - r0)^2 - J exp((r0 - r) / length) S_i . S_j)

so that the ground state is ferromagnetic. A se_e2_a spin model learns energies, forces and magnetic forces of distorted
cells of 16 atoms whose spins go from aligned to random. After 3,000 steps it is a rough one: of unseen cells, forces are
0.09 eV/Å off (of 0.49) and magnetic forces 0.05 eV (of 0.08); the ground state is right.

usage: make_iron.py OUT.pt2 STEPS     (3000; needs what make_cases.py needs)
"""
import copy
import json
import sys
import time
import zipfile

import numpy as np
import torch
from make_cases import se
from deepmd.dpmodel.model.model import get_model
from deepmd.pt_expt.model.spin_ener_model import SpinEnergyModel
from deepmd.pt_expt.utils.serialization import _collect_metadata, _numpy_to_json_serializable

LATTICE, LENGTH, CUTOFF, SPIN = 2.87, 1.0, 3.8, 2.2  # Å, Å, Å, Bohr magnetons
STIFFNESS, COUPLING = 5.0, 0.03  # eV/Å^2, eV
NEAREST = LATTICE * 3**0.5 / 2
CONFIG = se("se_e2_a", rcut=4.0, rcut_smth=1.0, sel=[40], neuron=[8, 16, 16], axis_neuron=6, fit=dict(neuron=[24, 24]))
CONFIG = {**CONFIG, "type_map": ["Fe"], "spin": dict(use_spin=[True], virtual_scale=[0.25])}


def energy(coords, spins, box):
    """Of frames; coords may be outside of the cell."""
    d = coords[:, None] - coords[:, :, None]
    images = torch.tensor([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], dtype=torch.float64)
    d = d[:, :, :, None] + (images @ box)[:, None, None]
    square = (d**2).sum(-1)
    near = (square > 1e-6) & (square < CUTOFF**2)
    r = torch.where(near, square, torch.ones_like(square)) ** 0.5
    switch = torch.where(near, 0.5 * (1 + torch.cos(torch.pi * r / CUTOFF)), torch.zeros_like(r))
    dots = torch.einsum("fic,fjc->fij", spins, spins)[..., None]
    pairs = switch * (STIFFNESS * (r - NEAREST) ** 2 - COUPLING * torch.exp((NEAREST - r) / LENGTH) * dots)
    return 0.5 * pairs.sum((1, 2, 3))


def frames(count, rng):
    sites = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = np.concatenate([sites, sites + 0.5]) * LATTICE
    boxes = 2 * LATTICE * (np.eye(3) + rng.normal(0, 0.015, (count, 3, 3)))
    coords = (sites / (2 * LATTICE)) @ boxes + rng.normal(0, 0.06, (count, 16, 3))
    common = rng.normal(size=(count, 1, 3))
    common /= np.linalg.norm(common, axis=2, keepdims=True)
    spins = common + rng.exponential(1.2, (count, 1, 1)) * rng.normal(size=(count, 16, 3))
    spins *= SPIN * rng.normal(1, 0.04, (count, 16, 1)) / np.linalg.norm(spins, axis=2, keepdims=True)
    made = [torch.tensor(a) for a in (coords, spins, boxes)]
    made[0].requires_grad_(True), made[1].requires_grad_(True)
    e = energy(*made)
    forces, pulls = (-g for g in torch.autograd.grad(e.sum(), made[:2]))
    return [a.detach() for a in (*made, e, forces, pulls)]


def predict(model, batch):
    coords, spins, boxes = batch[:3]
    types = torch.zeros(coords.shape[:2], dtype=torch.int64)
    r = model(coords.clone().requires_grad_(True), types, spins.clone().requires_grad_(True), box=boxes.reshape(-1, 9))
    return r["energy"][:, 0], r["force"], r["force_mag"]


def train(model, steps, rng):
    known, unseen = frames(1500, rng), frames(16, rng)
    for some in (unseen, known):
        some[3] -= known[3].mean()  # where energy is zero is of no concern
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    begin = time.time()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * 0.01 ** (step / steps)
        rows = torch.tensor(rng.choice(1500, 4))
        batch = [a[rows] for a in known]
        e, f, m = predict(model, batch)
        loss = ((e - batch[3]) / 16).square().mean() + (f - batch[4]).square().mean() + 20 * (m - batch[5]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            e, f, m = predict(model, unseen)
            errors = [((e - unseen[3]) / 16).abs().max(), (f - unseen[4]).square().mean() ** 0.5, (m - unseen[5]).square().mean() ** 0.5]
            print(f"{step} ({time.time() - begin:.0f} s): energy/atom {errors[0]:.1e} eV, force {errors[1]:.1e} of "
                  f"{unseen[4].square().mean() ** 0.5:.1e}, magnetic {errors[2]:.1e} of {unseen[5].square().mean() ** 0.5:.1e}", flush=True)


def write(path, model):
    data = model.serialize()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("model/extra/metadata.json", json.dumps(_collect_metadata(model.eval(), spin_scheme="deepspin", lower_kind="nlist")))
        z.writestr("model/extra/model_def_script.json", json.dumps(CONFIG))
        z.writestr("model/extra/model.json", json.dumps({"model": _numpy_to_json_serializable(data), "model_def_script": CONFIG,
                                                         "backend": "dpmodel", "software": "deepmd-kit", "version": "3.2.0"}))


if __name__ == "__main__":
    random = np.random.default_rng(1)
    fresh = SpinEnergyModel.deserialize(get_model(copy.deepcopy(CONFIG)).serialize()).train()
    train(fresh, int(sys.argv[2]), random)
    write(sys.argv[1], fresh)
