"""Several ranks against one: what `dgnn parity` compares, on each rank.

The one-rank results come from a call without a communicator. With several ranks, atoms are dealt to the ranks at
random, whatever their place, so that dgnn moves them; results are gathered on rank 0, which compares.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

PARTS = {"energy": "energy", "forces": "forces", "forces_mag": "magnetic", "virial": "virial",
         "atom_energy": "atom energy", "atom_virial": "atom virial"}  # of a Result -> title
TOLERANCE = {"float64": 1e-11, "float32": 1e-5}
TRAJECTORY = 100  # energies along two trajectories may differ by so many tolerances in eV/atom, or twins' differences


@dataclass
class Motion:
    """Newton's motion without a thermostat, on all ranks alike."""

    steps: int
    timestep_fs: float = 0.5
    temperature: float = 300.0
    every: int = 0  #: compare at each multiple of it (0: ten times)
    deal_every: int = 0  #: deal the atoms to the ranks anew, so that everything is built again (0: never)
    null_velocity: float = 0.0  #: Å/fs, of NULL atoms, which feel no force
    seed: int = 0

    def compared(self, step):
        return step % (self.every or max(1, self.steps // 10)) == 0 or step == self.steps

    def dealt(self, step):
        return self.deal_every > 0 and step > 0 and step % self.deal_every == 0


@dataclass
class System:
    """All atoms; the same on every rank."""

    inputs: dict  #: arguments of Model.compute
    masses: np.ndarray  #: amu

    @property
    def natoms(self):
        return len(self.inputs["coords"])

    def moved(self, coords):
        return replace(self, inputs={**self.inputs, "coords": coords})

    def part(self, rows):
        """Arguments for these atoms only. Their places in the whole are their ids."""
        part = {**self.inputs, "ids": np.asarray(rows)}
        for name in ("coords", "types", "spins", "aparam"):
            if part.get(name) is not None:
                part[name] = np.asarray(part[name])[rows]
        return part


# ---------------------------------------------------------------- one rank


def whole(model, system):
    return model.compute(**system.inputs, atomic=True)


def parts(result):
    return {name: np.asarray(getattr(result, name)) for name in PARTS if getattr(result, name) is not None}


def best_time(call, repeats=3):
    """Seconds of the fastest; the first of all, which builds lists, is not counted."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def reference(model, system, motion):
    """Arrays by name: the results, the seconds, and the trajectory where there is motion."""
    found = parts(whole(model, system))
    found["time"] = np.array(best_time(lambda: whole(model, system)))
    if motion:
        steps, positions, energies = trajectory(model, system, motion)
        twin = trajectory(model, system.moved(roundings_away(system.inputs["coords"], model.dtype)), motion)
        found.update(md_steps=steps, md_positions=positions, md_energies=energies,
                     md_twin_positions=np.abs(twin[1] - positions).max(axis=(1, 2), initial=0),
                     md_twin_energies=np.abs(twin[2][:, 0] - energies[:, 0]))
    return found


def roundings_away(coords, dtype):
    """Atoms move chaotically: differences of rounding grow without bound. A trajectory that starts so far away shows
    how much of the ranks' distance from one rank's is that."""
    width = np.finfo(dtype).eps * np.abs(coords).max(initial=1)
    return coords + width * np.random.default_rng(0).choice([-1, 1], np.shape(coords))


def trajectory(model, system, motion):
    """On one rank: steps compared, positions, and (potential, kinetic) energies there."""
    steps, positions, energies = [], [], []

    def look(step, coords, result, kinetic):
        steps.append(step)
        positions.append(coords.copy())
        energies.append((result.energy, kinetic))

    run(system, motion, np.arange(system.natoms), lambda rows, coords: model.compute(**system.moved(coords).part(rows)), look)
    return np.array(steps), np.array(positions), np.array(energies)


# ---------------------------------------------------------------- motion


def velocities(system, motion):
    """(n, 3) Å/fs: thermal, without drift; NULL atoms fly in any direction."""
    from ase import units

    rng = np.random.default_rng(motion.seed)
    width = np.sqrt(units.kB * motion.temperature / system.masses)[:, None] * units.fs
    v = width * rng.normal(size=(system.natoms, 3))
    null = np.asarray(system.inputs["types"]) < 0
    if not null.all():
        v[~null] -= np.average(v[~null], axis=0, weights=system.masses[~null])
    direction = rng.normal(size=(system.natoms, 3))
    v[null] = motion.null_velocity * (direction / np.linalg.norm(direction, axis=1)[:, None])[null]
    return v


def run(system, motion, rows, compute, look, deal=None):
    """Velocity Verlet of these rows. compute(rows, coords): a Result, coords being valid in these rows only;
    look(step, coords, result, kinetic energy of the rows); deal(step, rows, coords, velocities): new rows."""
    from ase import units

    rate = 1.0 / system.masses[:, None] * units.fs**2  # eV/Å to Å/fs^2
    coords, v = np.array(system.inputs["coords"], float), velocities(system, motion)
    result = compute(rows, coords)
    for step in range(motion.steps + 1):
        if motion.compared(step):
            kinetic = 0.5 * float(np.sum(v[rows] ** 2 / rate[rows]))
            look(step, coords, result, kinetic)
        if step == motion.steps:
            return
        v[rows] += 0.5 * motion.timestep_fs * result.forces * rate[rows]
        coords[rows] += motion.timestep_fs * v[rows]
        if deal and motion.dealt(step + 1):
            rows = deal(step + 1, rows, coords, v)
        result = compute(rows, coords)
        v[rows] += 0.5 * motion.timestep_fs * result.forces * rate[rows]


# ---------------------------------------------------------------- several ranks


def owned(natoms, comm, seed):
    """This rank's atoms, in any order."""
    rng = np.random.default_rng([seed, comm.size])
    order, owner = rng.permutation(natoms), rng.integers(0, comm.size, natoms)
    return order[owner[order] == comm.rank]


def quietly(comm, call):
    """call() on rank 0 while the others sleep, rather than spin on cores that it needs."""
    try:
        return call() if comm.rank == 0 else None
    finally:
        request = comm.Ibarrier()
        while not request.Test():
            time.sleep(0.002)


def gathered(comm, natoms, rows, result):
    """parts() of all atoms, on rank 0; of other ranks None."""
    mine = parts(result)
    shares = comm.gather((rows, mine))
    if shares is None:
        return None
    everything = {name: array for name, array in mine.items() if name in ("energy", "virial")}
    for name in mine.keys() - everything.keys():
        everything[name] = np.full((natoms, *mine[name].shape[1:]), np.nan)
        for rows, share in shares:
            everything[name][rows] = share[name]
    return everything


def differences(got, want):
    """By quantity: the largest difference over the largest component, or 1; for the energy, the sum of parts."""
    found = {}
    for name in PARTS:
        if name in want and name in got:
            scale = np.abs(want["atom_energy"]).sum() if name == "energy" else np.abs(want[name]).max(initial=0)
            value = float(np.abs(got[name] - want[name]).max(initial=0) / max(1.0, float(scale)))
            found[name] = value if np.isfinite(value) else float("inf")
    return found


def worst(one, other):
    return {name: max(one.get(name, 0.0), other.get(name, 0.0)) for name in {**one, **other}}


class Ranks:
    """One comparison of the ranks of a communicator with one rank."""

    def __init__(self, model, fresh, system, comm, grid, seed):
        """fresh: on rank 0, the model with no list kept, for results at other places than the reference's."""
        self.model, self.fresh, self.system, self.comm, self.grid, self.seed = model, fresh, system, comm, grid, seed
        self.rows = owned(system.natoms, comm, seed)

    def compute(self, rows, coords, atomic=False):
        part = self.system.moved(coords).part(rows)
        return self.model.compute(**part, comm=self.comm, grid=self.grid, atomic=atomic)

    def still(self, want):
        """(on rank 0: what to report) of the positions as they are."""
        coords, comm = self.system.inputs["coords"], self.comm
        result = self.compute(self.rows, coords, atomic=True)
        got = gathered(comm, self.system.natoms, self.rows, result)
        counter, _ = self.model._join(comm, "parity", lambda: (1, None))
        counter.counts(True)
        self.compute(self.rows, coords, atomic=True)
        traffic = comm.gather(self.traffic(result, counter.counts(True)))
        seconds = comm.gather(best_time(lambda: (comm.Barrier(), self.compute(self.rows, coords, atomic=True))))
        if comm.rank == 0:
            return {"ranks": comm.size, "grid": list(self.grid) if self.grid else None,
                    "differences": differences(got, want), "per_rank": traffic, "time_s": max(seconds),
                    "efficiency": float(want["time"]) / (comm.size * max(seconds))}
        return None

    def traffic(self, result, counts):
        """Of a call that builds nothing: each neighbour gets one message of positions and one for each exchange."""
        neighbours = counts["position_messages"]
        exchanges = counts["forward_messages"] // neighbours if neighbours else 0
        bytes_ = counts["feature_bytes"] / (2 * exchanges) if exchanges else 0
        return {"atoms": len(self.rows), "edges": int(result.nedges), "ghosts": int(result.nghosts),
                "exchanges": exchanges, "messages_per_exchange": neighbours, "bytes_per_exchange": bytes_, **counts}

    def moving(self, want, motion):
        """On rank 0: the largest differences from one rank at the same places, and from its own trajectory."""
        samples, rebuilt = [], [0]
        expected = zip(*(want[f"md_{name}"] for name in ("steps", "positions", "energies", "twin_positions",
                                                         "twin_energies")),
                       strict=True) if self.comm.rank == 0 else None

        def compute(rows, coords):
            result = self.compute(rows, coords)
            rebuilt[0] += not result.list_reused
            return result

        def look(step, coords, result, kinetic):
            everywhere = self.together(self.rows, coords)
            result = self.compute(self.rows, coords, atomic=True)
            got = gathered(self.comm, self.system.natoms, self.rows, result)
            kinetic = self.comm.reduce(kinetic)
            at = quietly(self.comm, lambda: parts(whole(self.fresh, self.system.moved(everywhere))))
            if self.comm.rank == 0:
                its_step, positions, (energy, its_kinetic), twin_apart, twin_energy = next(expected)
                assert its_step == step
                natoms = max(1, self.system.natoms)
                samples.append({
                    "step": step, "differences": differences(got, at),
                    "energy_per_atom": abs(result.energy - energy) / natoms,
                    "total_energy_per_atom": (result.energy + kinetic) / natoms,
                    "kinetic_per_atom": abs(kinetic - its_kinetic) / natoms,
                    "positions": float(np.abs(everywhere - positions).max(initial=0)),
                    "twin_positions": float(twin_apart), "twin_energy_per_atom": float(twin_energy) / natoms})

        def deal(step, rows, coords, v):
            coords[:], v[:] = self.together(rows, coords), self.together(rows, v)
            self.rows = owned(self.system.natoms, self.comm, self.seed + step)
            return self.rows

        run(self.system, motion, self.rows, compute, look, deal)
        return {"steps": motion.steps, "built": rebuilt[0], "samples": samples} if self.comm.rank == 0 else None

    def together(self, rows, values):
        """Everyone's rows of values, on all ranks."""
        whole_ = np.empty_like(values)
        for theirs, share in self.comm.allgather((rows, values[rows])):
            whole_[theirs] = share
        return whole_


def judged(row, tolerance):
    """The row with the worst of its differences and whether all are within the tolerance."""
    row["worst"] = row["differences"]
    good, twin = True, 0.0
    if "md" in row:
        for sample in row["md"]["samples"]:
            row["worst"] = worst(row["worst"], sample["differences"])
            twin = max(twin, sample["twin_energy_per_atom"])
            good = good and sample["energy_per_atom"] <= TRAJECTORY * max(tolerance, twin)
    row["within"] = bool(good and all(value <= tolerance for value in row["worst"].values()))
    return row
