"""Makes droplets.npz: eight droplets of ten water molecules, cut out of eight frames of examples/water and brought to
300 K with the trained model; the start of the test that energy is conserved. A droplet has 30 atoms, so that none has
more than a_sel = 30 neighbours. In the liquid one atom in ten has, and there energy jumps a little each time that a
neighbour enters or leaves a list, in deepmd-kit too.

usage: python tests/data/make_droplets.py      (from the repository's root; two minutes)
"""

import itertools

import numpy as np
from ase import Atoms, units
from ase.geometry import find_mic
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from dgnn.calculator import DGNNCalculator

MOLECULES = 10
SPACING = 40.0  # Å between droplets


def droplet(coords, types, box):
    """The molecules around the first oxygen, each with the two hydrogens that are nearest to its oxygen."""
    oxygen, hydrogen = np.flatnonzero(types == 0), np.flatnonzero(types == 1)
    from_first = find_mic(coords[oxygen] - coords[oxygen[0]], box)[0]
    parts = []
    for k in np.argsort(np.linalg.norm(from_first, axis=1))[:MOLECULES]:
        bonds = find_mic(coords[hydrogen] - coords[oxygen[k]], box)[0]
        nearest = np.argsort(np.linalg.norm(bonds, axis=1))[:2]
        parts.append(from_first[k] + np.concatenate([np.zeros((1, 3)), bonds[nearest]]))
    return np.concatenate(parts)


def main():
    frames = np.load("examples/water/frames.npz")
    places = SPACING * np.array(list(itertools.product(range(2), repeat=3)))
    positions = np.concatenate([droplet(frames["coord"][k], frames["type"], frames["box"][k]) + place
                                for k, place in enumerate(places)])
    atoms = Atoms("OHH" * (MOLECULES * len(places)), positions)
    atoms.calc = DGNNCalculator("examples/water/model.pt2", strict=True)
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(1))
    Langevin(atoms, 0.5 * units.fs, temperature_K=300, friction=0.02 / units.fs, rng=np.random.default_rng(2),
             fixcm=False).run(2000)
    np.savez("tests/data/droplets.npz", numbers=atoms.numbers, positions=atoms.positions, velocities=atoms.get_velocities())


if __name__ == "__main__":
    main()
