"""What models answer that is no energy: the names and shapes of their results."""

from __future__ import annotations

from typing import Any

import numpy as np

from dgnn._core import InputError

SHAPES: dict[str, tuple[int, ...]] = {"dipole": (3,), "polar": (3, 3), "dos": (-1,), "property": (-1,)}
OUTPUTS = ("energy", *SHAPES)
LABELS = {"polar": "polarizability"}  # where files of labels have another name than a Result


def labels(info: dict[str, Any]) -> dict[str, tuple[int, bool]]:
    """Of files of labels for a model that answers no energy: name -> (numbers, of each atom?)."""
    if info["output"] == "energy":
        return {}
    name = label_name(info)
    return {name: (info["output_width"], False), f"atom_{name}": (info["output_width"], True)}


def label_name(info: dict[str, Any]) -> str:
    return info["output_name"] if info["output"] == "property" else LABELS.get(info["output"], info["output"])


def named(arrays: dict[str, Any], output: str) -> dict[str, Any]:
    """The core's arrays under the names of a Result."""
    if output == "energy":
        return arrays
    whole, atoms = arrays.pop("output"), arrays.pop("atom_output")
    whole = whole.reshape(SHAPES[output])
    found = {output: whole, f"atom_{output}": atoms.reshape(len(atoms), *whole.shape)}
    if "output_forces" in arrays:
        found.update(dipole_force=arrays.pop("output_forces"), dipole_virial=arrays.pop("output_virial"))
    return {**arrays, **found}


def nothing(n: int, info: dict[str, Any], atomic: bool, derivatives: bool) -> dict[str, Any]:
    """Results of no frames of n atoms."""
    output = info["output"]
    if output == "energy":
        found = dict(energy=np.zeros(0), forces=np.zeros((0, n, 3)), virial=np.zeros((0, 3, 3)), atom_energy=np.zeros((0, n)))
        if info["is_spin"]:
            found["forces_mag"] = np.zeros((0, n, 3))
        if atomic:
            found["atom_virial"] = np.zeros((0, n, 3, 3))
        return found
    shape = SHAPES[output] if SHAPES[output] != (-1,) else (info["output_width"],)
    found = {output: np.zeros((0, *shape)), f"atom_{output}": np.zeros((0, n, *shape))}
    if derivatives:
        found.update(dipole_force=np.zeros((0, n, 3, 3)), dipole_virial=np.zeros((0, 3, 3, 3)))
    return found


def check(output: str, atomic: bool, derivatives: bool) -> None:
    """Refuses what the model's kind does not have."""
    if derivatives and output != "dipole":
        raise InputError(f"derivatives: found True, and this model's output is {output!r}; only dipoles have them"
                         + (" (an energy's are always there: forces and virial)" if output == "energy" else ""))
    if atomic and output != "energy":
        raise InputError(f"atomic: found True, and this model's output is {output!r}; only energies have virials of atoms "
                         f"(atom_{output} is always there)")


def needs_energy(model: Any, what: str) -> None:
    """Refuses a model of something else where forces are needed."""
    if model.output != "energy":
        raise InputError(f"{what} needs a model of energies and forces; the output of {model.path} is {model.output!r}")
