"""Relaxation of spins with ASE: directions turn, at fixed lengths, until there is no torque left.

    python relax_spins.py [RELAXED.extxyz]

54 atoms of iron start with spins in random directions and end as a ferromagnet. The model is a small one, trained on
an energy that is known (tests/data/make_iron.py) to show how it is done: it says little of iron.
"""

import pathlib
import sys

import numpy as np
from ase.build import bulk
from ase.io import write

from dgnn.calculator import DGNNCalculator

LENGTH = 2.2  # of each spin, in the unit that the model was trained with


def pulls_across(atoms):
    """Magnetic forces, eV for a unit of spin, without their part along the spins: that would only change lengths."""
    along = atoms.arrays["spins"] / LENGTH
    pulls = atoms.calc.get_property("magforces", atoms)
    return pulls - np.sum(pulls * along, axis=1)[:, None] * along


def relax(atoms, largest=1e-4, steps=1000):
    """Steepest descent: a turn that lowers the energy is kept, and the next is larger; else the next is half of it."""
    rate, energy, across = 1.0, atoms.get_potential_energy(), pulls_across(atoms)
    for step in range(steps):
        if step % 50 == 0 or np.abs(across).max() < largest:
            mean = np.linalg.norm(atoms.arrays["spins"].mean(axis=0))
            print(f"step {step:4d}   energy {energy:11.6f} eV   magnetisation {mean / LENGTH:.4f}   "
                  f"largest torque {LENGTH * np.linalg.norm(across, axis=1).max():.1e} eV")
        if np.abs(across).max() < largest:
            return
        before = atoms.arrays["spins"]
        turned = before + rate * across
        atoms.arrays["spins"] = LENGTH * turned / np.linalg.norm(turned, axis=1)[:, None]
        if atoms.get_potential_energy() < energy:  # the calculator sees that spins are others
            rate, energy, across = 1.3 * rate, atoms.get_potential_energy(), pulls_across(atoms)
        else:
            rate, atoms.arrays["spins"] = 0.5 * rate, before


atoms = bulk("Fe", "bcc", a=2.87, cubic=True).repeat(3)
atoms.set_initial_magnetic_moments(None)  # bulk() sets some; where there are spins, nobody looks at them
directions = np.random.default_rng(0).normal(size=(len(atoms), 3))
atoms.set_array("spins", LENGTH * directions / np.linalg.norm(directions, axis=1)[:, None])
atoms.calc = DGNNCalculator(pathlib.Path(__file__).with_name("model.pt2"))
relax(atoms)

if len(sys.argv) > 1:
    atoms.set_array("magforces", atoms.calc.get_property("magforces", atoms))
    write(sys.argv[1], atoms)  # extxyz keeps spins and magnetic forces as columns
