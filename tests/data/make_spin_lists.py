"""Why deepmd-kit's pt backend has another energy than its pt_expt backend for formats/pt_spin_dpa3 in the triclinic cell:
its answers with other neighbour lists, from the same weights. Writes formats/pt_spin_dpa3/lists.npz.

as_it_is     the pt backend, as in cases.npz
moved        energies of 8 copies, moved as a whole
real_first   ties between an atom and the placeholder at its place settled: the atom first
closed       and excluded pairs (placeholders) taken out of the list, so that what is behind them moves up before a_sel
             cuts, as the pt_expt backend does
wide         as it is, but with sel of 600 and 240, which cut nothing

usage: make_spin_lists.py
"""

import copy
import lzma
import os
import pathlib
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch

torch.set_num_threads(1)
import deepmd.pt.utils.nlist as lists
from deepmd.pt.model.model import get_model

FOLDER = pathlib.Path(__file__).resolve().parent / "formats" / "pt_spin_dpa3"
SYSTEM, WIDE = "triclinic", {"e_sel": 600, "a_sel": 240}
as_it_is = lists.build_neighbor_list


def ordered(given, mask=None):
    """A list by distance, then atom, then shift of the image, an atom before its placeholder, as dgnn orders them. mask: the
    model's, of excluded pairs, which go to the end."""
    inverse, natoms = np.linalg.inv(given[f"{SYSTEM}/in/box"].reshape(3, 3)), len(given[f"{SYSTEM}/in/type"])

    def build(coord, atype, nloc, rcut, sel, distinguish_types=True, cap_neighbors=True):
        nsel = sel if isinstance(sel, int) else sum(sel)
        places = coord.detach().view(-1, 3).numpy()
        row = np.arange(len(places)) % nloc
        shift = np.rint((places - places[row]) @ inverse)
        distance = np.linalg.norm(places - places[:nloc, None], axis=-1)
        distance[np.arange(nloc), np.arange(nloc)] = -1
        order = np.array([np.lexsort((row // natoms, *shift.T[::-1], row % natoms, np.round(own, 9))) for own in distance])[:, 1 : nsel + 1]
        found = torch.tensor(np.where(np.take_along_axis(distance, order, 1) > rcut, -1, order))[None]
        if mask is not None:
            gone = (found < 0) | (mask(found, atype) == 0)
            found = torch.gather(torch.where(gone, -1, found), 2, torch.sort(gone.to(torch.int8), dim=-1, stable=True)[1])
        return found

    return build


def load(sel=None):
    with tempfile.NamedTemporaryFile(suffix=".pt") as file:
        file.write(lzma.decompress((FOLDER / "model.pt.xz").read_bytes()))
        file.flush()
        state = torch.load(file.name, weights_only=True)["model"]
    params = copy.deepcopy(state.pop("_extra_state")["model_params"])
    state = {name.removeprefix("model.Default."): value for name, value in state.items()}
    if sel:
        params["descriptor"]["repflow"].update(sel)
        for name in state:
            if name.endswith(("repflows.mean", "repflows.stddev")):  # the same row for each neighbour
                state[name] = state[name][:, :1].expand(-1, sel["e_sel"], -1).contiguous()
    model = get_model(params)
    model.load_state_dict(state)
    return model.eval()


def answer(model, given, build=as_it_is, move=0.0):
    lists.build_neighbor_list = build
    one = lambda name: torch.tensor(given[f"{SYSTEM}/in/{name}"])[None]  # noqa: E731
    result = model(one("coord") + torch.tensor(move), one("type").long(), one("spin"), box=one("box").reshape(1, 9))
    return {name: result[name].detach().numpy()[0] for name in ("energy", "atom_energy", "force", "force_mag", "virial")}


def main():
    given, model, random = dict(np.load(FOLDER / "cases.npz")), load(), np.random.default_rng(18)
    mask = model.backbone_model.atomic_model.pair_excl
    found = {"as_it_is": answer(model, given), "real_first": answer(model, given, ordered(given)),
             "closed": answer(model, given, ordered(given, mask)), "wide": answer(load(WIDE), given)}
    kept = {f"{name}/{key}": value for name, values in found.items() for key, value in values.items()}
    kept["moved/energy"] = np.array([answer(model, given, move=random.uniform(-3, 3, 3))["energy"][0] for _ in range(8)])
    assert np.abs(kept["as_it_is/energy"] - given[f"{SYSTEM}/out/energy"]).max() < 1e-11
    np.savez_compressed(FOLDER / "lists.npz", **kept)
    for name in (*found, "moved"):
        print(name, kept[f"{name}/energy"] - given[f"{SYSTEM}/out/energy"])


if __name__ == "__main__":
    main()
