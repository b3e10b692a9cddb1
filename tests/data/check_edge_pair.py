"""A pair at the cutoff's edge: per-atom virials and forces of dpa1_not_smooth in 80-bit numbers, derivatives by complex
steps, beside dgnn's and deepmd-kit's. docs/exactness.md says what comes out.

usage: check_edge_pair.py [ATOM ...]      (of the slab; 66 and 80 are the pair)"""
import json
import pathlib
import sys
import zipfile

import dgnn
import numpy as np

CASE = pathlib.Path(__file__).parent / "cases" / "dpa1_not_smooth"
REAL, COMPLEX, STEP = np.longdouble, np.clongdouble, np.longdouble(1e-30)
MODEL = json.loads(zipfile.ZipFile(CASE / "model.pt2").read("model/extra/model.json"))["model"]
DESCRIPTOR, FITTING = MODEL["descriptor"], MODEL["fitting"]
CUTOFF, SMOOTH, SEL = DESCRIPTOR["rcut"], DESCRIPTOR["rcut_smth"], sum(DESCRIPTOR["sel"])


def array(variable):
    return np.array(variable["value"], REAL)


def layer(own, x):
    variables = own["@variables"]
    y = x @ array(variables["w"])
    y = y if variables.get("b") is None else y + array(variables["b"])
    y = np.tanh(y) if own["activation_function"].lower() == "tanh" else y
    y = y if variables.get("idt") is None else y * array(variables["idt"])
    copies = y.shape[-1] // x.shape[-1] if own.get("resnet") and y.shape[-1] in (x.shape[-1], 2 * x.shape[-1]) else 0
    return y + np.concatenate([x] * copies, -1) if copies else y


TABLE = np.eye(DESCRIPTOR["ntypes"], dtype=REAL)
for own in DESCRIPTOR["type_embedding"]["embedding"]["layers"]:
    TABLE = layer(own, TABLE)


def length(rows):
    return np.sqrt((rows * rows).sum(-1))[:, None]


def switch(distance):
    """The value as float64 rounds it, the derivative exact."""
    u, rounded = (distance - SMOOTH) / (CUTOFF - SMOOTH), (distance.real.astype(float) - SMOOTH) / (CUTOFF - SMOOTH)
    inside = distance.real < SMOOTH
    value = rounded * rounded * rounded * (-6 * (rounded * rounded) + 15 * rounded - 10) + 1
    exact = u * u * u * (-6 * u * u + 15 * u - 10) + 1
    return np.where(inside, 1, value).astype(REAL) + 1j * np.where(inside, 0, exact.imag)


def attend(block, g, direction):
    own, norm = block["attention_layer"], block["attn_layer_norm"]
    q, k, v = np.split(layer(own["in_proj"], g), 3, 1)
    q, k, v = (part / length(part) for part in (q, k, v))
    logit = q @ k.T / np.sqrt(REAL(own["hidden_dim"]) * REAL(own["scaling_factor"]))
    weight = np.exp(logit - logit.real.max(1)[:, None])
    weight = weight / weight.sum(1)[:, None] * (direction @ direction.T)
    g = g + layer(own["out_proj"], weight @ v)
    g = g - g.mean(-1)[:, None]
    g = g / np.sqrt((g * g).mean(-1)[:, None] + REAL(norm["eps"]))
    return g * array(norm["@variables"]["w"]) + array(norm["@variables"]["b"])


def energy(centre, vectors, others):
    distance = length(vectors)[:, 0]
    w, variables = switch(distance), DESCRIPTOR["@variables"]
    row = np.concatenate([(w / distance)[:, None], (w / distance**2)[:, None] * vectors], 1)
    row = (row - array(variables["davg"])[centre, 0]) / array(variables["dstd"])[centre, 0]
    size = length(row[:, 1:])
    direction = row[:, 1:] / np.where(size.real > 1e-12, size, COMPLEX(1e-12))
    g = np.concatenate([row[:, :1], TABLE[others], np.repeat(TABLE[centre][None], len(others), 0)], 1)
    for own in DESCRIPTOR["embeddings"]["networks"][0]["layers"]:
        g = layer(own, g)
    for block in DESCRIPTOR["attention_layers"]["attention_layers"]:
        g = attend(block, g, direction)
    moment = row.T @ g / REAL(SEL)
    x = np.concatenate([(moment.T @ moment[:, :DESCRIPTOR["axis_neuron"]]).ravel(), TABLE[centre]])
    for own in FITTING["nets"]["networks"][0]["layers"]:
        x = layer(own, x)
    return x[0]


def edges(coords, box):
    """(centre, neighbours, vectors), nearest first."""
    shifts = np.array(list(np.ndindex(5, 5, 5)), float) @ box - 2 * box.sum(0)
    for i in range(len(coords)):
        vectors = (coords[None] + shifts[:, None] - coords[i]).reshape(-1, 3)
        square = (vectors**2).sum(1)
        near = np.flatnonzero((square < CUTOFF**2) & (square > 1e-9))
        near = near[np.argsort(square[near])][:SEL]
        yield i, near % len(coords), vectors[near]


def main(atoms):
    case = np.load(CASE / "cases.npz")
    coords, types, box = case["slab/in/coord"].reshape(-1, 3), case["slab/in/type"].ravel(), case["slab/in/box"].reshape(3, 3)
    virial, force = np.zeros((len(coords), 3, 3), REAL), np.zeros((len(coords), 3), REAL)
    for i, others, vectors in edges(coords, box):
        for k in np.flatnonzero(np.isin(others, atoms) | (i in atoms)):
            gradient = np.zeros(3, REAL)
            for a in range(3):
                moved = vectors.astype(COMPLEX)
                moved[k, a] += 1j * STEP
                gradient[a] = energy(types[i], moved, types[others]).imag / STEP
            virial[others[k]] -= np.outer(gradient, vectors[k])
            force[others[k]] -= gradient
            force[i] += gradient
    result = dgnn.Model.load(CASE / "model.pt2").compute(coords, types, box, atomic=True)
    for name, truth, ours, theirs in (("atom_virial", virial, result.atom_virial, case["slab/out/atom_virial"]),
                                      ("force", force, result.forces, case["slab/out/force"])):
        for atom in atoms:
            errors = [float(np.abs(np.reshape(x, truth.shape)[atom] - truth[atom]).max()) for x in (ours, theirs)]
            print(f"{name:12} {atom:3}: dgnn {errors[0]:.1e}, deepmd-kit {errors[1]:.1e}")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [66, 80])
