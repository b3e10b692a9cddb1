"""Molecular dynamics with ASE on many ranks: an ordinary script, started by mpirun.

    mpirun -n 4 python md_ranks.py [STEPS [POSITIONS.npy]]

Every rank runs all of it, on the same atoms; the calculator shares the work out. Only output is for rank 0 alone.
"""

import pathlib
import sys

import numpy as np
from ase import Atoms, units
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from mpi4py import MPI

from dgnn.calculator import DGNNCalculator

comm = MPI.COMM_WORLD
folder = pathlib.Path(__file__).resolve().parent
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100

frames = np.load(folder / "frames.npz")
atoms = Atoms(np.array(["O", "H"])[frames["type"]], frames["coord"][0], cell=frames["box"][0], pbc=True)
# The same seed on every rank: random numbers are part of what the ranks must agree on.
MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(7))
atoms.calc = DGNNCalculator(folder / "model.pt2", comm=comm, threads=1)

dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)
for done in range(0, steps, 50):
    dynamics.run(min(50, steps - done))
    total = atoms.get_total_energy()  # collective, so on every rank
    if comm.rank == 0:
        print(f"step {dynamics.nsteps:5d}  total energy {total:.6f} eV  {atoms.get_temperature():.1f} K")

if comm.rank == 0 and len(sys.argv) > 2:
    np.save(sys.argv[2], atoms.positions)
