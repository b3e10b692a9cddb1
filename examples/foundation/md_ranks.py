"""1,000 steps of molecular dynamics with a foundation model, on any number of ranks.

    mpirun -n 4 python md_ranks.py WEIGHTS [STEPS] [PLOT.png]

64 atoms of rock salt at 300 K, velocity Verlet, 2 fs. Each rank runs the same script and computes its part; rank 0 prints.
Needs ase and mpi4py, and matplotlib for the plot.
"""

import sys

import numpy as np
from ase import units
from ase.build import bulk
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from mpi4py import MPI

from dgnn.calculator import DGNNCalculator

world = MPI.COMM_WORLD


def main(weights, steps=1000, plot=None):
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)
    MaxwellBoltzmannDistribution(atoms, temperature_K=600, rng=np.random.default_rng(1))  # half of it goes into positions
    Stationary(atoms)
    atoms.calc = DGNNCalculator(weights, comm=world, threads=1)
    dynamics = VelocityVerlet(atoms, timestep=2 * units.fs)
    told = []

    def tell():
        told.append((2e-3 * dynamics.nsteps, atoms.get_temperature(), atoms.get_total_energy() / len(atoms)))
        if world.rank == 0 and dynamics.nsteps % 100 == 0:
            print("{:6.2f} ps {:7.1f} K   total energy {:.6f} eV an atom".format(*told[-1]), flush=True)

    dynamics.attach(tell, interval=10)
    dynamics.run(int(steps))
    if world.rank:
        return
    time, temperature, energy = np.array(told).T
    drift = np.polyfit(time, energy, 1)[0]
    print(f"{world.size} ranks, {steps} steps: drift {1e3 * drift:+.4f} meV an atom and ps, spread of the total energy "
          f"{1e3 * energy.std():.4f} meV an atom")
    if plot:
        draw(time, temperature, 1e3 * (energy - energy[0]), plot)


def draw(time, temperature, energy, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(2, 1, figsize=(6, 4), sharex=True, layout="constrained")
    top.plot(time, temperature, color="#2b5c8a")
    top.set(ylabel="temperature (K)", title="NaCl, 64 atoms, 2 fs steps")
    bottom.plot(time, energy, color="#2b5c8a")
    bottom.set(xlabel="time (ps)", ylabel="total energy − its start\n(meV per atom)")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(*sys.argv[1:])
