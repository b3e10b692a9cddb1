"""The trained water model beside deepmd-kit's own numbers, on one rank and two, and 100 fs of dynamics.

    make demo                                 from the repository's root
    python examples/water/demo.py [FOLDER]    results go to FOLDER (build/demo)

The model is a small DPA3 that deepmd-kit 3.2.0 trained on its water example; frames.npz has 20 frames of 192 atoms that
it never saw, with deepmd-kit's energies, forces and virials for this model.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import warnings

import dgnn
import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from dgnn.calculator import DGNNCalculator

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE / "model.pt2"
STEP, STEPS = 0.5, 200  # fs
EV_PER_A3_IN_GPA = 160.21766208


def load_frames():
    with np.load(HERE / "frames.npz") as file:
        return dict(file)


def atoms_of(frames, k):
    symbols = np.array(["O", "H"])[frames["type"]]
    return Atoms(symbols, positions=frames["coord"][k], cell=frames["box"][k], pbc=True)


def milliseconds_per_atom(compute, natoms):
    """The best of several calls, each on positions that moved."""
    best = np.inf
    for call in range(8):
        start = time.perf_counter()
        compute(call)
        best = min(best, time.perf_counter() - start)
    return 1e3 * best / natoms


def time_one(frames, threads):
    model = dgnn.Model.load(MODEL, threads=threads)
    return milliseconds_per_atom(
        lambda call: model.compute(frames["coord"][0] + 1e-3 * call, frames["type"], frames["box"][0]),
        len(frames["type"]))


# ---------------------------------------------------------------- two ranks


def run_rank():
    """What each rank of mpirun does: every second atom is its own. Rank 0 prints JSON."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    frames = load_frames()
    model = dgnn.Model.load(MODEL, threads=1)
    mine = slice(comm.rank, None, comm.size)
    ids = np.arange(len(frames["type"]))[mine]

    def compute(call):
        return model.compute(frames["coord"][0][mine] + 1e-3 * call, frames["type"][mine], frames["box"][0], comm=comm,
                             ids=ids)

    result = compute(0)
    difference = comm.allreduce(np.abs(result.forces - frames["force"][0][mine]).max(), MPI.MAX)
    comm.Barrier()
    duration = milliseconds_per_atom(compute, len(frames["type"]))
    if comm.rank == 0:
        print(json.dumps({"ranks": comm.size, "energy": result.energy, "difference": difference, "time": duration}))


def two_ranks():
    """The JSON of two ranks, or a line that says why there is none."""
    try:
        import mpi4py  # noqa: F401
    except ImportError:
        return "mpi4py is not installed (pip install 'dgnn-md[mpi]' mpich)"
    beside = pathlib.Path(sys.executable).with_name("mpirun")
    launcher = str(beside) if beside.exists() else shutil.which("mpirun")
    if not launcher:
        return "no mpirun was found (pip install mpich)"
    done = subprocess.run([launcher, "-n", "2", sys.executable, __file__, "--rank"], capture_output=True, text=True,
                          env=dict(os.environ, OMP_NUM_THREADS="1"), timeout=300)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        return f"{launcher} ended with {done.returncode}: {last}"
    return json.loads(done.stdout.splitlines()[-1])


# ---------------------------------------------------------------- dynamics and pictures


def dynamics(atoms):
    """Time in fs, potential and kinetic energy per atom in meV, and every tenth frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # ASE's newer name for it is not in older ones
        MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(5))
    Stationary(atoms)
    run = VelocityVerlet(atoms, STEP * units.fs)
    rows, frames = [], []

    def look():
        rows.append((run.nsteps * STEP, atoms.get_potential_energy(), atoms.get_kinetic_energy()))
        if run.nsteps % 10 == 0:
            copy = atoms.copy()
            results = {key: atoms.calc.results[key] for key in ("energy", "forces", "stress", "energies")}
            copy.calc = SinglePointCalculator(copy, **results)
            frames.append(copy)

    run.attach(look)
    run.run(STEPS)
    rows = np.array(rows)
    rows[:, 1:] *= 1e3 / len(atoms)
    return rows, frames


def plot(path, rows, frames, forces):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
                         "grid.alpha": 0.25, "axes.axisbelow": True})
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), constrained_layout=True)
    plot_energies(left, rows)
    plot_forces(right, frames["force"].ravel(), forces.ravel())
    figure.suptitle("A DPA3 model of water, 192 atoms, evaluated by dgnn", fontsize=12)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def plot_energies(axes, rows):
    change = rows - rows[0]
    total = change[:, 1] + change[:, 2]
    axes.plot(rows[:, 0], change[:, 1], color="#c44e52", lw=1.4, label="potential")
    axes.plot(rows[:, 0], change[:, 2], color="#4c72b0", lw=1.4, label="kinetic")
    axes.plot(rows[:, 0], total, color="black", lw=2, label="total")
    axes.set(xlabel="time / fs", ylabel="change of energy / (meV per atom)",
             title=f"NVE, step {STEP} fs: the total fluctuates by {total.std():.3f} meV per atom")
    axes.title.set_fontsize(10)
    axes.legend(loc="upper left", frameon=False, ncols=3)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.9 * (high - low))
    small = axes.inset_axes([0.14, 0.56, 0.82, 0.27])
    small.plot(rows[:, 0], total, color="black", lw=1)
    small.set_ylabel("total, enlarged", fontsize=8)
    small.tick_params(labelsize=8)


def plot_forces(axes, peer, ours):
    axes.plot(peer, ours, ".", ms=3, color="#4c72b0", alpha=0.5, rasterized=True)
    limit = 1.05 * np.abs(peer).max()
    axes.plot([-limit, limit], [-limit, limit], color="black", lw=0.8)
    axes.set(xlabel="deepmd-kit's force / (eV/Å)", ylabel="dgnn's force / (eV/Å)", xlim=(-limit, limit),
             ylim=(-limit, limit), aspect="equal",
             title=f"{len(peer):,} components of 20 frames: largest difference {np.abs(ours - peer).max():.0e} eV/Å")
    axes.title.set_fontsize(10)
    small = axes.inset_axes([0.62, 0.13, 0.34, 0.26])
    small.hist((ours - peer) * 1e13, bins=60, color="#4c72b0")
    small.set_xlabel("difference / $10^{-13}$ eV/Å", fontsize=8)
    small.set_yticks([])
    small.tick_params(labelsize=8)


# ---------------------------------------------------------------- the whole


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    frames = load_frames()
    model = dgnn.Model.load(MODEL)
    results = model.compute(frames["coord"], frames["type"], frames["box"])
    natoms = len(frames["type"])
    information = model.info()
    print(f"{model!r}: {information['parameters']} parameters, {information['instruction_set']}, "
          f"{information['threads']} threads")
    print(f"frame 0, {natoms} atoms of water:")
    print(f"  energy          {results.energy[0]:18.10f} eV")
    print(f"  largest force   {np.linalg.norm(results.forces[0], axis=1).max():18.10f} eV/Å")
    pressure = np.trace(results.virial[0]) / 3 / abs(np.linalg.det(frames["box"][0])) * EV_PER_A3_IN_GPA
    print(f"  pressure        {pressure:18.10f} GPa (of the potential, without the kinetic part)")
    print("largest difference from deepmd-kit's own answers, 20 frames:")
    virial = frames["virial"].reshape(-1, 3, 3)
    for name, ours, peer, unit in (("energy", results.energy, np.ravel(frames["energy"]), "eV"),
                                   ("force", results.forces, frames["force"], "eV/Å"),
                                   ("virial", results.virial, virial, "eV")):
        print(f"  {name:15} {np.abs(ours - peer).max():18.1e} {unit:5} (largest: {np.abs(peer).max():.6g})")

    print("time for energy, forces and virial, best of 8 calls:")
    for threads in sorted({1, information["threads"]}):
        duration = time_one(frames, threads)
        print(f"  1 rank, {threads} thread{'s' if threads > 1 else ''}:{'' if threads > 1 else ' '}  {duration:8.4f} ms per atom")
    pair = two_ranks()
    if isinstance(pair, str):
        print(f"  2 ranks: not run: {pair}")
    else:
        print(f"  2 ranks of 1 thread: {pair['time']:6.4f} ms per atom; energy {pair['energy']:.10f} eV, largest "
              f"difference of a force from deepmd-kit {pair['difference']:.1e} eV/Å")

    print(f"{STEPS} steps of {STEP} fs at constant energy, from 300 K:")
    atoms = atoms_of(frames, 0)
    atoms.calc = DGNNCalculator(model)
    rows, written = dynamics(atoms)
    total = rows[:, 1] + rows[:, 2]
    print(f"  total energy fluctuates by {total.std():.4f} meV per atom while potential and kinetic energy exchange "
          f"{np.ptp(rows[:, 2]):.1f} meV per atom")
    write(folder / "water.extxyz", written)
    plot(folder / "water.png", rows, frames, results.forces)
    print(f"written: {folder / 'water.extxyz'} ({len(written)} frames), {folder / 'water.png'}")


if __name__ == "__main__":
    # An atom with more than a_sel neighbours is usual for this model; examples/water and docs say what that means.
    warnings.simplefilter("ignore", dgnn.TruncationWarning)
    if "--rank" in sys.argv:
        run_rank()
    else:
        main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/demo"))
