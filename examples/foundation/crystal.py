"""A foundation model on a crystal: relaxation with its cell, equation of state, phonons.

    python crystal.py WEIGHTS [FOLDER]

WEIGHTS: DPA4C with all elements, such as DPA4C-Air-OMat24, as a file that dgnn reads. Writes equation_of_state.png,
phonons.png and relaxed.extxyz into FOLDER (this one). Needs ase and matplotlib.
"""

import pathlib
import sys
import tempfile

import matplotlib
import numpy as np
from ase.build import bulk
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.io import write
from ase.optimize import BFGS
from ase.phonons import Phonons
from ase.units import GPa

from dgnn.calculator import DGNNCalculator

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

BLUE, GREY = "#2b5c8a", "#666666"


def relaxed(calculator):
    """Silicon, started with a cell that is 3 % too large and atoms off their places."""
    atoms = bulk("Si", "diamond", a=5.43 * 1.03)
    atoms.positions[1] += (0.05, -0.03, 0.02)
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    optimiser = BFGS(FrechetCellFilter(atoms), logfile=None)
    optimiser.run(fmax=1e-4, steps=200)
    side = (4 * atoms.get_volume()) ** (1 / 3)
    print(f"relaxed in {optimiser.get_number_of_steps()} steps: energy {before:.5f} to {atoms.get_potential_energy():.5f} eV, "
          f"largest force {np.abs(atoms.get_forces()).max():.1e} eV/Å, lattice constant {side:.4f} Å")
    return atoms


def equation_of_state(atoms, path):
    """Energies of cells from 94 to 106 % of the length, and the Birch-Murnaghan curve through them."""
    volumes, energies = [], []
    for scale in np.linspace(0.94, 1.06, 13):
        cell = atoms.copy()
        cell.set_cell(atoms.cell * scale, scale_atoms=True)
        cell.calc = atoms.calc
        volumes.append(cell.get_volume())
        energies.append(cell.get_potential_energy())
    fit = EquationOfState(volumes, energies, eos="birchmurnaghan")
    volume, energy, modulus = fit.fit()
    print(f"equation of state: {volume / len(atoms):.3f} Å^3 and {energy / len(atoms):.4f} eV an atom, bulk modulus "
          f"{modulus / GPa:.1f} GPa")
    fine = np.linspace(min(volumes), max(volumes), 200)
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    axes.plot(fine / len(atoms), (fit.func(fine, *fit.eos_parameters) - energy) / len(atoms), color=BLUE,
              label=f"Birch-Murnaghan, {modulus / GPa:.1f} GPa")
    axes.plot(np.array(volumes) / len(atoms), (np.array(energies) - energy) / len(atoms), "o", color=GREY, label="dgnn")
    axes.set(xlabel="volume (Å³ per atom)", ylabel="energy above the minimum (eV per atom)", title="Silicon")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def phonons(atoms, path):
    """Finite displacements in a supercell of 6 x 6 x 6, bands and density of states."""
    with tempfile.TemporaryDirectory() as folder:
        displaced = Phonons(atoms, atoms.calc, supercell=(6, 6, 6), delta=0.02, name=str(pathlib.Path(folder) / "phonon"))
        displaced.run()
        displaced.read(acoustic=True)
        bands = displaced.get_band_structure(atoms.cell.bandpath("GXU,KGLW", npoints=160), verbose=False)
        states = displaced.get_dos(kpts=(16, 16, 16), verbose=False).sample_grid(npts=300, width=2e-3)
    milli = 1e3 * bands.energies[0]
    print(f"phonons: highest {milli.max():.1f} meV, lowest {milli.min():.2f} meV (negative: imaginary)")
    x, ticks, labels = bands.get_labels()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.8), width_ratios=(3, 1), sharey=True, layout="constrained")
    left.plot(x, milli, color=BLUE, linewidth=1)
    left.set(xticks=ticks, xticklabels=["Γ" if label == "G" else label for label in labels], xlim=(x[0], x[-1]),
             ylabel="frequency (meV)", title="Silicon, phonons")
    for tick in ticks:
        left.axvline(tick, color=GREY, linewidth=0.5)
    left.axhline(0, color=GREY, linewidth=0.5)
    right.fill_betweenx(1e3 * states.get_energies(), states.get_weights(), color=BLUE, alpha=0.5)
    right.set(xticks=[], xlabel="states", xlim=(0, None))
    figure.savefig(path, dpi=150)


def main(weights, folder=pathlib.Path(__file__).parent):
    folder = pathlib.Path(folder)
    atoms = relaxed(DGNNCalculator(weights, dtype="float64"))
    write(folder / "relaxed.extxyz", atoms)
    equation_of_state(atoms, folder / "equation_of_state.png")
    phonons(atoms, folder / "phonons.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
