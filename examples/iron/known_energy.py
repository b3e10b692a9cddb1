"""The energy that the model of examples/iron was trained on, with its forces: labels for tutorials.

    E = sum over pairs of  w(r) (stiffness (r - r0)^2 - J exp((r0 - r) / length) S_i . S_j)

w goes smoothly from 1 to 0 at the cutoff. tests/data/make_iron.py has the same, for training.
"""

import numpy as np

LATTICE, LENGTH, CUTOFF, SPIN = 2.87, 1.0, 3.8, 2.2  # Å, Å, Å, Bohr magnetons
STIFFNESS, COUPLING = 5.0, 0.03  # eV/Å^2, eV
NEAREST = LATTICE * 3**0.5 / 2
IMAGES = np.array(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij")).reshape(3, -1).T


def frames(count, rng, largest=0.06, disorder=1.2):
    """Distorted cells of 16 atoms: coord (count, 16, 3) in Å, box (count, 3, 3), spin (count, 16, 3).

    largest: standard deviation of displacements, Å. disorder: how far spins are from aligned, in the mean.
    """
    sites = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = np.concatenate([sites, sites + 0.5]) * LATTICE
    box = 2 * LATTICE * (np.eye(3) + rng.normal(0, 0.015, (count, 3, 3)))
    coord = (sites / (2 * LATTICE)) @ box + rng.normal(0, largest, (count, 16, 3))
    common = rng.normal(size=(count, 1, 3))
    common /= np.linalg.norm(common, axis=2, keepdims=True)
    spin = common + rng.exponential(disorder, (count, 1, 1)) * rng.normal(size=(count, 16, 3))
    spin *= SPIN * rng.normal(1, 0.04, (count, 16, 1)) / np.linalg.norm(spin, axis=2, keepdims=True)
    return {"coord": coord, "box": box, "spin": spin}


def compute(frames):
    """energy (count,), force (count, 16, 3) and force_mag (count, 16, 3) of frames, eV and Å."""
    coord, box, spin = frames["coord"], frames["box"], frames["spin"]
    d = (coord[:, None] - coord[:, :, None])[:, :, :, None] + (IMAGES @ box)[:, None, None]  # from i to j and its images
    square = np.square(d).sum(-1)
    near = (square > 1e-6) & (square < CUTOFF**2)
    r = np.sqrt(np.where(near, square, 1.0))
    weight = np.where(near, 0.5 * (1 + np.cos(np.pi * r / CUTOFF)), 0)
    weight_slope = np.where(near, -0.5 * np.pi / CUTOFF * np.sin(np.pi * r / CUTOFF), 0)
    dots = np.einsum("fia,fja->fij", spin, spin)[..., None]
    exchange = COUPLING * np.exp((NEAREST - r) / LENGTH)
    pair = STIFFNESS * (r - NEAREST) ** 2 - exchange * dots
    slope = weight_slope * pair + weight * (2 * STIFFNESS * (r - NEAREST) + exchange * dots / LENGTH)
    return {"energy": 0.5 * (weight * pair).sum((1, 2, 3)),
            "force": np.einsum("fijk,fijka->fia", slope / r, d),
            "force_mag": np.einsum("fijk,fja->fia", weight * exchange, spin)}
