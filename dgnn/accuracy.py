"""How near a model comes to labels: MAE and RMSE, as deepmd-kit's dp test weighs them.

Every quantity is a set of components with a weight each (one, but for forces with atom_pref): MAE is the weighted mean of
their absolute errors, RMSE the root of that of their squares; systems add up in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dgnn.datasets import Frame


class Quantity(NamedTuple):
    """One row of what is reported."""

    key: str  # dp test's: mae_KEY and rmse_KEY
    title: str
    unit: str
    pairs: Callable[[Frame, Any, np.ndarray], tuple | None]  # (reference, prediction[, weights]), or None: no label
    plotted: bool = False
    per_system: bool = False  # not averaged over systems, as in dp test


def _energy(frame, result, magnetic):
    return _labelled(frame, "energy", result.energy)


def _energy_per_atom(frame, result, magnetic):
    return _scaled(_energy(frame, result, magnetic), max(1, frame.natoms))


def _force(frame, result, magnetic):
    return _labelled(frame, "force", result.forces) if result.forces_mag is None else None


def _weighted_force(frame, result, magnetic):
    if result.forces is None or result.forces_mag is not None or "atom_pref" not in frame.labels or "force" not in frame.labels:
        return None
    return (*_labelled(frame, "force", result.forces), np.repeat(frame.labels["atom_pref"], 3))


def _real_force(frame, result, magnetic):
    return _labelled(frame, "force", result.forces) if result.forces_mag is not None else None


def _magnetic_force(frame, result, magnetic):
    if result.forces_mag is None or "force_mag" not in frame.labels:
        return None
    types = np.asarray(frame.arguments["types"])
    chosen = magnetic[types]  # the last one, of NULL atoms, is False
    return np.asarray(frame.labels["force_mag"])[chosen].ravel(), result.forces_mag[chosen].ravel()


def _virial(frame, result, magnetic):
    return _labelled(frame, "virial", result.virial) if frame.periodic else None


def _virial_per_atom(frame, result, magnetic):
    return _scaled(_virial(frame, result, magnetic), max(1, frame.natoms))


def _stress(frame, result, magnetic):
    volume = abs(np.linalg.det(np.asarray(frame.arguments["box"]))) if frame.periodic else 0.0
    return _scaled(_virial(frame, result, magnetic), -volume) if volume else None


def _atom_energy(frame, result, magnetic):
    return _labelled(frame, "atom_ener", result.atom_energy)


def _other(name, by_atoms=False):
    """Pairs of a Result's name, which is also the label's."""
    def pairs(frame, result, magnetic):
        return _scaled(_labelled(frame, name, getattr(result, name)), max(1, frame.natoms) if by_atoms else 1)

    return pairs


def _labelled(frame, name, prediction):
    reference = frame.labels.get(name)
    return None if reference is None or prediction is None else (np.ravel(reference), np.ravel(prediction))


def _scaled(pair, divisor):
    return None if pair is None else (pair[0] / divisor, pair[1] / divisor)


# What dp test reports, in its order; of dipoles and polarisabilities, whose errors it calls rmse and rmse_n, under their own
# names. A further output of a model is a row here, in kinds.SHAPES and, for its detail file, in DETAILS.
QUANTITIES = [
    Quantity("e", "energy", "eV", _energy),
    Quantity("ea", "energy per atom", "eV", _energy_per_atom, plotted=True),
    Quantity("f", "force", "eV/Å", _force, plotted=True),
    Quantity("fw", "weighted force", "eV/Å", _weighted_force),
    Quantity("fr", "force", "eV/Å", _real_force, plotted=True),
    Quantity("fm", "magnetic force", "eV/unit of spin", _magnetic_force, plotted=True),
    Quantity("v", "virial", "eV", _virial),
    Quantity("va", "virial per atom", "eV", _virial_per_atom, plotted=True),
    Quantity("s", "stress", "eV/Å³", _stress),
    Quantity("ae", "atomic energy", "eV", _atom_energy, per_system=True),
    Quantity("dipole", "dipole", "(the label's)", _other("dipole"), plotted=True),
    Quantity("dipole_n", "dipole per atom", "(the label's)", _other("dipole", True), per_system=True),
    Quantity("adipole", "atomic dipole", "(the label's)", _other("atom_dipole"), plotted=True, per_system=True),
    Quantity("polar", "polarisability", "(the label's)", _other("polar"), plotted=True),
    Quantity("polar_n", "polarisability per atom", "(the label's)", _other("polar", True), per_system=True),
    Quantity("apolar", "atomic polarisability", "(the label's)", _other("atom_polar"), plotted=True, per_system=True),
    Quantity("dos", "density of states", "1/eV", _other("dos"), plotted=True),
    Quantity("dosa", "the same per atom", "1/eV", _other("dos", True)),
    Quantity("ados", "atomic density", "1/eV", _other("atom_dos"), plotted=True, per_system=True),
    Quantity("property", "property", "(the label's)", _other("property"), plotted=True),
    Quantity("aproperty", "atomic property", "(the label's)", _other("atom_property"), plotted=True, per_system=True),
]


@dataclass
class Errors:
    """Sums over components: key -> [weighted |error|, weighted error^2, weights]."""

    sums: dict[str, np.ndarray] = field(default_factory=dict)
    frames: int = 0
    atoms: int = 0

    def add(self, key, reference, prediction, weights=None):
        error = np.abs(np.asarray(prediction) - reference)
        weights = np.ones(error.shape) if weights is None else np.asarray(weights)
        row = np.array([np.sum(weights * error), np.sum(weights * error**2), np.sum(weights)])
        self.sums[key] = self.sums.get(key, np.zeros(3)) + row

    def add_frame(self, frame, result, magnetic):
        self.frames += 1
        self.atoms += frame.natoms
        for quantity in QUANTITIES:
            pair = quantity.pairs(frame, result, magnetic)
            if pair is not None:
                self.add(quantity.key, *pair)

    def merge(self, other):
        for quantity in QUANTITIES:
            if quantity.key in other.sums and not quantity.per_system:
                self.sums[quantity.key] = self.sums.get(quantity.key, np.zeros(3)) + other.sums[quantity.key]
        self.frames += other.frames
        self.atoms += other.atoms

    def figures(self):
        """{"mae_e": ..., "rmse_e": ..., ...}, dp test's names."""
        found = {}
        for quantity in QUANTITIES:
            if quantity.key in self.sums:
                absolute, squared, weight = self.sums[quantity.key]
                found[f"mae_{quantity.key}"] = float(absolute / weight) if weight > 0 else 0.0
                found[f"rmse_{quantity.key}"] = float(np.sqrt(squared / weight)) if weight > 0 else 0.0
        return found


def magnetic_types(model) -> np.ndarray:
    """Of each type, and of NULL atoms at the end: do spins of it count?"""
    info = model.info()
    scale = info.get("virtual_scale")
    use = info.get("descriptor", {}).get("use_spin") if isinstance(info.get("descriptor"), dict) else None
    if use is not None:
        return np.append(np.array(use, bool), False)
    flags = np.ones(len(model.type_map), bool) if scale is None or not np.any(scale) else np.array(scale) != 0
    return np.append(flags, False)


class Points:
    """Pairs for parity plots, at most so many of each quantity: a fair choice of all."""

    def __init__(self, most: int = 20000) -> None:
        self.most = most
        self.pairs: dict[str, np.ndarray] = {}
        self.seen: dict[str, np.ndarray] = {}
        self.random = np.random.default_rng(0)

    def add_frame(self, frame, result, magnetic):
        for quantity in QUANTITIES:
            pair = quantity.pairs(frame, result, magnetic) if quantity.plotted else None
            if pair is not None:
                self.add(quantity.key, np.stack(pair[:2]))

    def add(self, key, pairs):
        kept = np.concatenate([self.pairs.get(key, np.zeros((2, 0))), pairs], axis=1)
        marks = np.concatenate([self.seen.get(key, np.zeros(0)), self.random.random(pairs.shape[1])])
        if len(marks) > 2 * self.most:
            chosen = np.argsort(marks)[: self.most]
            kept, marks = kept[:, chosen], marks[chosen]
        self.pairs[key], self.seen[key] = kept, marks


# ---------------------------------------------------------------- detail files

_NINE = [a + b for a in "xyz" for b in "xyz"]


def _header(prefix, names):
    return " ".join([f"data_{prefix}{name}" for name in names] + [f"pred_{prefix}{name}" for name in names])


class Detail(NamedTuple):
    """One of dp test's detail files: PREFIX.SUFFIX.out."""

    suffix: str
    label: str
    width: int
    header: str
    divisor: Callable[[Frame], float] | None  # None: as it is
    others: bool = False  # of a model that answers no energy


def _by_atoms(frame):
    return max(1, frame.natoms)


DETAILS = [
    Detail("e", "energy", 1, "data_e pred_e", None),
    Detail("e_peratom", "energy", 1, "data_e pred_e", _by_atoms),
    Detail("f", "force", 3, _header("f", "xyz"), None),
    Detail("fr", "force", 3, _header("f", "xyz"), None),
    Detail("fm", "force_mag", 3, _header("fm", "xyz"), None),
    Detail("v", "virial", 9, _header("v", _NINE), None),
    Detail("v_peratom", "virial", 9, _header("v", _NINE), _by_atoms),
    Detail("s", "virial", 9, _header("s", _NINE), lambda frame: -abs(np.linalg.det(np.asarray(frame.arguments["box"])))),
    Detail("dipole", "dipole", 3, _header("", "xyz"), None, True),
    Detail("adipole", "atom_dipole", 3, _header("", "xyz"), None, True),
    Detail("polar", "polar", 9, _header("p", _NINE), None, True),
    Detail("apolar", "atom_polar", 9, _header("p", _NINE), None, True),
    Detail("dos", "dos", 1, "data_dos pred_dos", None, True),
    Detail("ados", "atom_dos", 1, "data_ados pred_ados", None, True),
    Detail("property", "property", 1, "data_property pred_property", None, True),
    Detail("aproperty", "atom_property", 1, "data_aproperty pred_aproperty", None, True),
]


class Details:
    """Writes detail files as dp test -d does: one table for each quantity, the label first, then the prediction. Frames
    without a label have no rows, and a quantity without labels no file; dp test writes zeros for most of them, which a plot
    takes for labels. Of densities of states and properties dp test writes a file for each frame; here their numbers are rows
    of one."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.written: set[str] = set()

    def path(self, suffix: str) -> str:
        from pathlib import Path

        return str(Path(self.prefix).with_suffix(f".{suffix}.out"))

    def add_system(self, name: str, frames: list[Frame], results: Iterable[Any], magnetic: np.ndarray) -> None:
        results = list(results)
        is_spin = bool(results) and results[0].forces_mag is not None
        for detail in DETAILS:
            if detail.suffix == "f" if is_spin else detail.suffix in ("fr", "fm"):
                continue
            rows = [_detail_rows(detail, frame, result, magnetic) for frame, result in zip(frames, results, strict=True)]
            rows = [row for row in rows if row is not None]
            if rows:
                self.write(detail, name, np.concatenate(rows))

    def write(self, detail, name, rows):
        path = self.path(detail.suffix)
        fresh = path not in self.written
        title = f"{name} (eV/Å³)" if detail.suffix == "s" else name
        with open(path, "w" if fresh else "a", encoding="utf-8") as file:
            np.savetxt(file, rows, header=f"{title}: {detail.header}" if fresh else "")
        self.written.add(path)


def _detail_rows(detail, frame, result, magnetic):
    name = {"force": "forces", "force_mag": "forces_mag"}.get(detail.label, detail.label)
    label, prediction = frame.labels.get(detail.label), getattr(result, name, None)
    if label is None or prediction is None or detail.others != (result.energy is None):
        return None
    if detail.suffix == "s" and not frame.periodic:
        return None
    if detail.suffix == "fm":
        chosen = magnetic[np.asarray(frame.arguments["types"])]
        label, prediction = np.asarray(label)[chosen], prediction[chosen]
    rows = np.hstack([np.reshape(label, (-1, detail.width)), np.reshape(prediction, (-1, detail.width))])
    return rows if detail.divisor is None else rows / detail.divisor(frame)
