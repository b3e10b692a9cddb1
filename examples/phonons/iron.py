"""Phonons with phonopy: the band structure of ferromagnetic iron from one Hessian.

    pip install phonopy matplotlib
    python iron.py [BANDS.png]

model.hessian gives all force constants of a supercell at once, so phonopy has no displaced cells to hand out. The model is
the small one of examples/iron, trained on an energy that is known to show how it is done: it says little of iron.
"""

import pathlib
import sys

import numpy as np
from ase.build import bulk
from phonopy import Phonopy
from phonopy.phonon.band_structure import get_band_qpoints
from phonopy.structure.atoms import PhonopyAtoms

import dgnn

SPIN = 2.2  # of each atom, along z, in the unit that the model was trained with
REPEAT = 3
PATH = {"Γ": (0, 0, 0), "H": (0.5, -0.5, 0.5), "N": (0, 0, 0.5), "P": (0.25, 0.25, 0.25)}  # of the primitive bcc cell
TOUR = ["Γ", "H", "N", "Γ", "P", "H"]


def arguments(atoms):
    return dict(coords=atoms.positions, types=atoms.get_chemical_symbols(), box=np.asarray(atoms.cell),
                spins=np.tile([0.0, 0.0, SPIN], (len(atoms), 1)))


def lattice_constant(model):
    """Å, where the energy is lowest: three points of a parabola, closer and closer."""
    a, step = 2.87, 0.05
    for _ in range(6):
        x = np.array([a - step, a, a + step])
        y = [model.compute(**arguments(bulk("Fe", "bcc", a=length, cubic=True).repeat(3))).energy for length in x]
        curve = np.polyfit(x - a, y, 2)
        a, step = a - np.clip(curve[1] / (2 * curve[0]), -2 * step, 2 * step), 0.5 * step
    return a


def phonons(model, a):
    unit = bulk("Fe", "bcc", a=a, cubic=True)
    cell = PhonopyAtoms(symbols=unit.get_chemical_symbols(), cell=np.asarray(unit.cell), scaled_positions=unit.get_scaled_positions())
    phonon = Phonopy(cell, supercell_matrix=np.diag([REPEAT] * 3), primitive_matrix="I")
    supercell = phonon.supercell  # phonopy's order of atoms
    atoms = bulk("Fe", "bcc", a=a, cubic=True).repeat(REPEAT)
    atoms.positions[:] = supercell.positions
    h, error = model.hessian(**arguments(atoms), progress=sys.stderr.isatty())
    print(f"Hessian of {len(atoms)} atoms, largest element {np.abs(h).max():.4f} eV/Å^2, error at most {error:.1e}")
    phonon.force_constants = h.transpose(0, 2, 1, 3)
    return phonon


def plot(phonon, path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    legs = get_band_qpoints([[PATH[name] for name in TOUR]], npoints=61)
    phonon.run_band_structure(legs)
    bands = phonon.band_structure
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for distance, frequencies in zip(bands.distances, bands.frequencies, strict=True):
        axes.plot(distance, frequencies, color="tab:blue", linewidth=1.2)
    ticks = [bands.distances[0][0], *(distance[-1] for distance in bands.distances)]
    for tick in ticks:
        axes.axvline(tick, color="0.8", linewidth=0.8, zorder=0)
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.set_xticks(ticks, TOUR)
    axes.set(xlim=(ticks[0], ticks[-1]), ylabel="frequency (THz)", title="bcc iron, ferromagnetic (a toy model)")
    figure.savefig(path, dpi=150)
    print(f"largest frequency {max(f.max() for f in bands.frequencies):.3f} THz, "
          f"lowest {min(f.min() for f in bands.frequencies):.4f} THz; {path}")


if __name__ == "__main__":
    iron = dgnn.Model.load(pathlib.Path(__file__).parents[1] / "iron" / "model.pt2")
    a = lattice_constant(iron)
    print(f"lattice constant {a:.4f} Å")
    plot(phonons(iron, a), sys.argv[1] if len(sys.argv) > 1 else "bands.png")
