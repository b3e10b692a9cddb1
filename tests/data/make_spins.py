"""Make spins.npz: what the cases do not ask of spin models, from deepmd-kit 3.2.0. Models are those of cases/.

small/MODEL/SYSTEM/LENGTH/   a case's system in which a third of the magnetic atoms have spins LENGTH times as long;
                             moved/: how much deepmd-kit's answers change under rigid shifts, by rounding alone
image/MODEL/NUMBER/          a few atoms in a cell smaller than the cutoff, in which sel cuts among an atom's own images:
                             two of four at one distance, where it has no spin. All numbers are multiples of 1/32 Å,
                             since rounding else decides which of two opposite images is nearer
ghost/MODEL/REACH/           rows with ghosts and a neighbour list that ends at REACH, for deepmd-kit's lower interface

usage: make_spins.py OUT     (in the environment of make_cases.py)
"""

import json
import pathlib
import sys
import zipfile

import numpy as np
import torch
from deepmd.pt_expt.model.spin_ener_model import SpinEnergyModel
from make_cases import _pack, evaluate

CASES = pathlib.Path(__file__).parent / "cases"
CUTOFF = 5.0
SHIFTS = np.array([[0.31, -0.27, 0.43], [-1.13, 0.2, 0.7], [0.01, 0.02, -0.05]])


def arrays_of(tree):
    if isinstance(tree, dict) and tree.get("@class") == "np.ndarray":
        return np.array(tree["value"], dtype=tree["dtype"])
    if isinstance(tree, dict):
        return {key: arrays_of(value) for key, value in tree.items()}
    return [arrays_of(value) for value in tree] if isinstance(tree, list) else tree


def load(name):
    with zipfile.ZipFile(CASES / name / "model.pt2") as file:
        tree = json.loads(file.read("model/extra/model.json"))
    return SpinEnergyModel.deserialize(arrays_of(tree["model"])).eval()


def put(out, prefix, **values):
    out.update((prefix + key, value) for key, value in values.items() if value is not None)


def small(out):
    for name in ("spin_dpa3", "spin_dpa2", "spin_dpa1", "spin_se_e2_a"):
        model = load(name)
        for system in ("triclinic", "sparse"):
            with np.load(CASES / name / "cases.npz") as file:
                coord, types, box, spin = (file[f"{system}/in/{key}"] for key in ("coord", "type", "box", "spin"))
            magnetic = np.flatnonzero(np.abs(spin).sum(axis=1))[::3]
            for length in (0.0, 1e-12, 1e-6, 1e-3):
                prefix, less = f"small/{name}/{system}/{length}/", spin.copy()
                less[magnetic] *= length
                put(out, prefix + "in/", coord=coord, type=types, box=box, spin=less)
                answer = evaluate(model, coord, types, box, spin=less)
                moved = [evaluate(model, coord + shift, types, box, spin=less) for shift in SHIFTS]
                put(out, prefix + "out/", **answer)
                put(out, prefix + "moved/", **{key: max(np.abs(other[key] - value).max() for other in moved)
                                               for key, value in answer.items()})


def splits(nodes, box, sel):
    """Are the nearest sel of some node two of four images at one distance, and no other node's images tie there?"""
    shifts = np.array([(a, b, c) for a in range(-4, 5) for b in range(-4, 5) for c in range(-4, 5)]) @ box
    found = False
    for node in range(len(nodes)):
        distance = np.sort(np.linalg.norm(nodes[None] + shifts[:, None] - nodes[node], axis=-1).ravel())[1:]
        tied = np.flatnonzero(np.abs(distance - distance[sel - 1]) < 1e-9)
        if distance[sel] < CUTOFF and len(tied) > 1 and tied[-1] >= sel:
            if list(tied) != [sel - 2, sel - 1, sel, sel + 1]:
                return False
            found = True
    return found


def image(out):
    rng = np.random.default_rng(1)
    for name in ("spin_dpa3", "spin_dpa1"):
        model, number, sel = load(name), 0, 100
        scale = np.array(model.spin.get_virtual_scale())
        while number < 6:
            box = np.array([[4.0, 0, 0], [rng.choice([0, 0.5, 1]), 4, 0], [0, rng.choice([0, -0.5, 1]), 2]])
            types = rng.integers(0, 2, rng.integers(2, 4)).astype(np.int32)
            coord = np.round(_pack(len(types), box, rng, 1.2) * 32) / 32
            spin = rng.standard_normal((len(types), 3)) * (types == 0)[:, None]
            if splits(np.concatenate([coord, coord + scale[types, None] * spin]), box, sel):
                prefix = f"image/{name}/{number}/"
                answer = evaluate(model, coord, types, box, spin=spin)
                put(out, prefix + "in/", coord=coord, type=types, box=box, spin=spin)
                put(out, prefix + "out/", energy=answer["energy"])
                number += 1


def images(coord, box, reach):
    """Positions and owners of all atoms near the cell: the owned ones first, ghosts in no particular order."""
    shifts = np.array([(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1) if a or b or c])
    ghosts = (coord[None] + (shifts @ box)[:, None]).reshape(-1, 3)
    owners = np.tile(np.arange(len(coord)), len(shifts))
    near = np.linalg.norm(ghosts[:, None] - coord[None], axis=-1).min(axis=1) < reach
    order = np.random.default_rng(2).permutation(np.flatnonzero(near))
    return np.concatenate([coord, ghosts[order]]), np.concatenate([np.arange(len(coord)), owners[order]])


def ghost(out):
    rng = np.random.default_rng(3)
    box = np.array([[7.0, 0, 0], [1.1, 6.6, 0], [-0.7, 0.9, 6.4]])
    coord = _pack(12, box, rng, 1.35)
    for name in ("spin_dpa3_both", "spin_small_sel", "spin_exclude", "spin_fparam", "spin_dpa2_fparam",
                 "spin_dpa1_fparam", "spin_se_e2_a_fparam"):
        model = load(name)
        for reach in (CUTOFF, CUTOFF + 1.0):
            rows, owner = images(coord, box, reach)
            types = rng.integers(0, 2, len(coord)).astype(np.int32)[owner]
            spin = rng.standard_normal((len(coord), 3))[owner]
            distance = np.linalg.norm(rows[None] - coord[:, None], axis=-1)
            near = [[j for j in rng.permutation(len(rows)) if j != i and distance[i, j] < reach]
                    for i in range(len(coord))]
            width = max(map(len, near))
            nlist = np.array([row + [-1] * (width - len(row)) for row in near])
            given = {}
            if name.endswith("fparam"):
                given = dict(fparam=np.array([0.37, -0.21]), aparam=rng.standard_normal((len(coord), 1)))
            tensors = {key: torch.tensor(value)[None] for key, value in given.items()}
            answer = model.forward_lower(
                torch.tensor(rows)[None].requires_grad_(True), torch.tensor(types, dtype=torch.int64)[None],
                torch.tensor(spin)[None], torch.tensor(nlist)[None], mapping=torch.tensor(owner)[None],
                **tensors)
            prefix = f"ghost/{name}/{reach}/"
            put(out, prefix + "in/", coord=rows, type=types, spin=spin, mapping=owner, nlist=nlist.astype(np.int32),
                **given)
            put(out, prefix + "out/", **{key: answer[key].detach().numpy()[0] for key in (
                "energy", "atom_energy", "virial", "extended_force", "extended_force_mag")})


if __name__ == "__main__":
    found = {}
    small(found)
    image(found)
    ghost(found)
    np.savez_compressed(sys.argv[1], **found)
