"""The infrared spectrum of liquid water: forces of one model, dipoles of another, in one calculator.

usage: spectrum.py [--steps N] [--plot spectrum.png] [--save dipoles.npz]

Dynamics at constant energy from a frame of examples/water, with its model; the dipole of the cell at each step comes from
dipole.json beside this file (make_dipole.py). Absorption goes as w^2 times the power spectrum of the dipole, which is that
of its derivative; the harmonic factor of quantum corrections is in it.
"""
import argparse
import pathlib

import ase
import numpy as np
from ase import units
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet

from dgnn.calculator import DGNNCalculator

HERE = pathlib.Path(__file__).resolve().parent
STEP = 0.5  # fs
CM = 33356.40952  # 1/fs in 1/cm


def simulate(steps):
    """Dipoles of the cell, steps x 3, in e Å."""
    with np.load(HERE.parent / "water" / "frames.npz") as frames:
        atoms = ase.Atoms([("O", "H")[t] for t in frames["type"]], frames["coord"][0], cell=frames["box"][0], pbc=True)
    atoms.calc = DGNNCalculator(HERE.parent / "water" / "model.pt2", dipole=HERE / "dipole.json")
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(1))
    Stationary(atoms)
    dynamics, dipoles = VelocityVerlet(atoms, STEP * units.fs), []
    dynamics.attach(lambda: dipoles.append(atoms.get_dipole_moment()))
    dynamics.run(steps)
    return np.array(dipoles)


def spectrum(dipoles, width=40.0):
    """Wavenumbers in 1/cm and absorption, smoothed by a Gaussian of that width in 1/cm; the largest is 1."""
    change = np.gradient(dipoles, axis=0)
    window = np.hanning(len(change))[:, None]
    power = (np.abs(np.fft.rfft(change * window, 8 * len(change), axis=0)) ** 2).sum(axis=1)
    wavenumber = np.fft.rfftfreq(8 * len(change), STEP) * CM
    step = wavenumber[1]
    kernel = np.exp(-0.5 * (np.arange(-int(4 * width / step), int(4 * width / step) + 1) * step / width) ** 2)
    smooth = np.convolve(power, kernel / kernel.sum(), mode="same")
    keep = wavenumber < 4500
    return wavenumber[keep], smooth[keep] / smooth[keep].max()


def plot(path, wavenumber, absorption, picoseconds):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot(wavenumber, absorption, color="tab:blue")
    axes.fill_between(wavenumber, absorption, alpha=0.2, color="tab:blue")
    for place, name in ((600, "librations"), (1640, "bend"), (3400, "O-H stretch")):
        axes.axvline(place, color="0.7", lw=0.8, zorder=0)
        axes.text(place, 1.04, f"{name}\n{place}", ha="center", va="bottom", fontsize=8, color="0.4")
    axes.set(xlabel="wavenumber (1/cm)", ylabel="absorption (arb. units)", xlim=(0, 4500), ylim=(0, 1.25))
    axes.set_title(f"Water, {picoseconds:.2g} ps of dgnn; grey: measured", fontsize=9, loc="left")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--plot", default="spectrum.png")
    parser.add_argument("--save", help="keep the dipoles")
    options = parser.parse_args()
    found = simulate(options.steps)
    if options.save:
        np.savez(options.save, dipoles=found)
    wavenumber, absorption = spectrum(found)
    plot(options.plot, wavenumber, absorption, STEP * options.steps / 1000)
    high = wavenumber > 2500
    print(f"strongest stretch: {wavenumber[high][absorption[high].argmax()]:.0f} 1/cm; {options.plot}")
