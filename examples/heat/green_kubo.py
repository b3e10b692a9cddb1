"""Thermal conductivity by Green and Kubo, from ASE's dynamics on any number of ranks.

    mpirun -n 2 python examples/heat/green_kubo.py --steps 4000 --plot heat.png

Water of 192 atoms is brought to a temperature by Langevin's thermostat, then moves freely; every few steps the heat flux J is taken
from a call with atomic=True. Then, with J not over the volume V,

    kappa = 1 / (3 V kB T^2) integral of <J(0) . J(t)> dt

The energies of a type's atoms have a part that is the same for all of them, by which the flux gets a share of the type's total
velocity. In molecules it is the rate of something bounded, which no conductivity holds, but large: it is taken off with the type's
mean energy at the start. The trajectory is cut into blocks, whose spread is the error of autocorrelation and running integral. The model is a small one
(examples/water), and runs of picoseconds are short: this shows how it is done, not what water's conductivity is."""

import argparse
import pathlib

import dgnn
import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from dgnn.calculator import DGNNCalculator

WATER = pathlib.Path(__file__).resolve().parent.parent / "water"


def autocorrelation(flux, length):
    """<J(0) . J(t)> at t = 0 ... length - 1 samples, of one block (n, 3)."""
    n = len(flux)
    return np.array([np.einsum("ia,ia->", flux[: n - lag], flux[lag:]) / (n - lag) for lag in range(length)])


def conductivity(flux, step, volume, temperature, blocks):
    """(times, autocorrelation and its error, running integral in W/(m K) and its error). step: ASE's time between samples."""
    parts = np.array_split(flux - flux.mean(axis=0), blocks)  # less the whole run's mean: a block's own would bend its integral
    length = min(map(len, parts)) // 2
    each = np.array([autocorrelation(part, length) for part in parts])
    running = np.cumsum(each, axis=1) - 0.5 * (each + each[:, :1])  # trapezoids
    factor = step / (3 * volume * units.kB * temperature**2) * (units._e * 1e10 * units.s)  # eV/(Å time K) to W/(m K)
    spread = 1 / np.sqrt(max(1, blocks - 1))
    return (np.arange(length) * step / units.fs, each.mean(axis=0), each.std(axis=0) * spread, factor * running.mean(axis=0),
            factor * running.std(axis=0) * spread)


def draw(path, times, correlation, error, running, running_error):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(6, 6), sharex=True, layout="constrained")
    scale = correlation[0]
    for axis, values, width, label in ((above, correlation / scale, error / scale, "⟨J(0)·J(t)⟩ / ⟨J·J⟩"),
                                       (below, running, running_error, "running integral, W/(m K)")):
        axis.fill_between(times, values - width, values + width, alpha=0.3, lw=0)
        axis.plot(times, values)
        axis.axhline(0, color="0.6", lw=0.8)
        axis.set_ylabel(label)
    below.set_xlabel("t, fs")
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="of 0.5 fs, after the thermostat's")
    parser.add_argument("--warm-up", type=int, default=400)
    parser.add_argument("--every", type=int, default=4, help="steps between two samples of the flux")
    parser.add_argument("--temperature", type=float, default=300.0)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--plot", metavar="PNG")
    parser.add_argument("--save", metavar="NPZ", help="times and fluxes")
    arguments = parser.parse_args()
    from mpi4py import MPI

    comm, rng = MPI.COMM_WORLD, np.random.default_rng(0)  # the same on all ranks, which move the same atoms
    calculator = DGNNCalculator(WATER / "model.pt2", comm=comm, threads=1)
    with np.load(WATER / "frames.npz") as frames:
        symbols = [calculator.model.type_map[t] for t in frames["type"]]
        atoms = Atoms(symbols, frames["coord"][0], cell=frames["box"][0], pbc=True, calculator=calculator)
    MaxwellBoltzmannDistribution(atoms, temperature_K=arguments.temperature, rng=rng)
    Stationary(atoms)
    Langevin(atoms, 0.5 * units.fs, temperature_K=arguments.temperature, friction=0.02 / units.fs, rng=rng).run(
        arguments.warm_up)
    Stationary(atoms)
    fluxes, temperatures, kinds = [], [], np.array(symbols)
    whole = calculator.model.compute(atoms.positions, symbols, atoms.cell.array, comm=comm, replicated=True)
    mean = {kind: whole.atom_energy[kinds == kind].mean() for kind in set(symbols)}

    def sample():
        result = calculator.model.compute(atoms.positions, symbols, atoms.cell.array, comm=comm, replicated=True, atomic=True)
        velocities = atoms.get_velocities()
        convective, virial = dgnn.heat_flux(result, velocities, atoms.get_masses(), parts=True)
        convective = convective - sum(mean[kind] * velocities[kinds == kind].sum(axis=0) for kind in sorted(mean))
        fluxes.append((convective, virial))
        temperatures.append(atoms.get_temperature())

    dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
    dynamics.attach(sample, interval=arguments.every)
    dynamics.run(arguments.steps)
    if comm.rank:
        return
    parts = np.array(fluxes)  # samples, convective and virial, xyz
    temperature, step = float(np.mean(temperatures)), arguments.every * 0.5 * units.fs
    found = conductivity(parts.sum(axis=1), step, atoms.get_volume(), temperature, arguments.blocks)
    times, correlation, _, running, error = found
    print(f"{len(parts)} samples on {comm.size} ranks at {temperature:.0f} K; J: convective {parts[:, 0].std():.3g}, virial "
          f"{parts[:, 1].std():.3g} (root mean square, eV times ASE's velocity)")
    for k in range(0, len(times), max(1, len(times) // 8)):
        print(f"t {times[k]:7.1f} fs   autocorrelation {correlation[k] / correlation[0]:7.3f}   "
              f"kappa {running[k]:7.3f} +- {error[k]:.3f} W/(m K)")
    if arguments.save:
        np.savez(arguments.save, time_fs=np.arange(len(parts)) * arguments.every * 0.5, flux=parts)
    if arguments.plot:
        draw(arguments.plot, *found)


if __name__ == "__main__":
    main()
