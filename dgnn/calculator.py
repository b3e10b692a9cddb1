"""ASE's face of a model.

    from dgnn.calculator import DGNNCalculator
    atoms.calc = DGNNCalculator("model.pt2")
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators import calculator as ase_calculator
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress

from dgnn._core import InputError
from dgnn.keywords import checked_keywords
from dgnn.model import Model

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

INFO_KEYS = ("fparam", "aparam", "charge_spin")  # of atoms.info, as deepmd-kit's calculator reads them


class DGNNCalculator(Calculator):
    """Energy, forces and stress of a model, for ASE.

    model: a path or a dgnn.Model.
    comm: an mpi4py communicator; every rank then holds the same atoms, which is checked, and gets all results.
    type_map: element -> name in the model's type_map, index into it, or None for an atom that takes no part
    (no energy, no force); or a list of elements in the order of the model's types. None: by name.
    strict: raise, rather than warn, where an atom has more neighbours than the model takes.
    dtype, threads, device, memory, semantics, skin, radial: as for Model.load, where model is a path.

    fparam, aparam and charge_spin are read from atoms.info. A spin model reads atoms.arrays["spins"], else the initial
    magnetic moments (vectors, or numbers along z), and gives results["magforces"]. results["virial"] is deepmd-kit's.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "stresses", "virial"]
    ignored_changes = {"initial_charges"}
    name = "dgnn"

    @checked_keywords
    def __init__(self, model: str | bytes | os.PathLike | Model, *, comm: Any = None, dtype: DTypeLike | None = None,
                 threads: int | None = None, device: str = "cpu", memory: str = "fast", semantics: str | None = None,
                 skin: float | None = None, radial: str = "exact",
                 type_map: Mapping[str, str | int | None] | Sequence[str | None] | None = None,
                 strict: bool = False) -> None:
        super().__init__()
        options: dict[str, Any] = dict(dtype=dtype, threads=threads, device=device, memory=memory, semantics=semantics,
                                       skin=skin, radial=radial)
        if isinstance(model, Model):
            given = [name for name, value in options.items() if value not in (None, "cpu", "fast", "exact")]
            if given:
                raise InputError(f"{given[0]}: belongs to Model.load; this calculator was given a loaded model")
            self.model = model
        else:
            self.model = Model.load(model, **options)
        if self.model.is_spin:
            self.implemented_properties = [*self.implemented_properties, "magforces"]
        self.comm = comm
        self.strict = strict
        self._options = {name: value for name, value in options.items() if value is not None}
        self._type_of = element_types(self.model.type_map, type_map)
        self._given_type_map = type_map
        self._warned_of_moments = False
        self._info: dict[str, Any] = {}  # of the last calculation

    # ------------------------------------------------------------ what ASE asks

    def check_state(self, atoms, tol=1e-15):
        changes = super().check_state(atoms, tol=tol)
        if self.atoms is None:
            return changes
        for key in INFO_KEYS:
            if not same(self._info.get(key), atoms.info.get(key)):
                changes.append(key)
        if not same(self.atoms.arrays.get("spins"), atoms.arrays.get("spins")):
            changes.append("spins")
        return changes

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        self._info = copy.deepcopy({key: atoms.info.get(key) for key in INFO_KEYS})  # ASE's copy holds the same arrays
        has_stress = bool(atoms.pbc.all())
        asked = {"stress", "stresses"}.intersection(properties)
        if asked and not has_stress:
            raise PropertyNotImplementedError(
                f"{asked.pop()} needs a cell that is periodic in all three directions, found pbc = "
                f"{atoms.pbc.tolist()}; set atoms.pbc = True, or don't ask for it")
        # The core compares what the ranks pass: replicas that drifted apart are an error on all of them.
        communicator, inputs = self.model._join(self.comm, "compute", lambda: (1, self._inputs(atoms)))
        result = self.model.compute(**inputs, atomic="stresses" in properties, comm=communicator,
                                    replicated=self.comm is not None)
        for count, name in ((result.ntruncated, "sel"), (result.nangle_truncated, "a_sel")):
            if self.strict and count:
                raise InputError(f"{count} atoms have more neighbours than the model's {name}, and strict=True; load "
                                 "without strict to leave out the farthest, as deepmd-kit does")
        self.results = {"energy": result.energy, "free_energy": result.energy, "energies": result.atom_energy,
                        "forces": result.forces, "virial": result.virial}
        if result.forces_mag is not None:
            self.results["magforces"] = result.forces_mag
        if has_stress:
            volume = atoms.get_volume()
            self.results["stress"] = voigt(result.virial, volume)
            if result.atom_virial is not None:
                self.results["stresses"] = voigt(result.atom_virial, volume)

    def todict(self, skip_default=True):
        """What a trajectory stores: which model this was, not the model."""
        stored = {"model": os.fsdecode(self.model.path), "digest": self.model.digest, "strict": bool(self.strict)}
        stored.update({name: str(value) if name == "dtype" else value for name, value in self._options.items()})
        if self._given_type_map is not None:
            given = self._given_type_map
            stored["type_map"] = dict(given) if hasattr(given, "items") else list(given)
        return stored

    def export_properties(self):
        """Those that ASE knows, which stumbles over others."""
        return Properties({name: value for name, value in self.results.items() if name in all_outputs})

    def set(self, **kwargs):
        """Refuses: ASE would keep an option that nobody reads."""
        for name in kwargs:
            raise InputError(f"{name}: set when a calculator is made, as in DGNNCalculator(model, {name}=...)")
        return {}

    # ------------------------------------------------------------ from atoms to arguments

    def _inputs(self, atoms):
        for k in np.flatnonzero(atoms.pbc & ~atoms.cell.any(axis=1)):  # complete() would make it one of 1 Å
            raise InputError(f"atoms.pbc = {atoms.pbc.tolist()}, and cell vector {k} is zero; expected a vector for "
                             "each periodic direction")
        any_pbc = bool(atoms.pbc.any())
        box = np.asarray(atoms.cell.complete()) if any_pbc else None
        inputs = dict(coords=atoms.positions, types=self._types(atoms), box=box,
                      pbc=tuple(bool(along) for along in atoms.pbc) if any_pbc else None, spins=self._spins(atoms))
        for key in INFO_KEYS:
            value = atoms.info.get(key)
            if value is not None:
                inputs[key] = numbers(key, value)
        aparam = inputs.get("aparam")
        if aparam is not None and aparam.ndim == 1 and len(atoms) and aparam.size % len(atoms) == 0:
            inputs["aparam"] = aparam.reshape(len(atoms), -1)
        return inputs

    def _types(self, atoms):
        symbols = atoms.get_chemical_symbols()
        unknown = sorted(set(symbols).difference(self._type_of))
        if unknown:
            raise InputError(f"the model knows {', '.join(self._type_of)}; the structure also has "
                             f"{', '.join(unknown)}; pass type_map={{{unknown[0]!r}: NAME}}, or None: no part in it (dgnn "
                             f"eval: --type-map {unknown[0]}=NAME or NULL)")
        return np.array([self._type_of[symbol] for symbol in symbols], np.int32)

    def _spins(self, atoms):
        spins = atoms.arrays.get("spins")
        if spins is None and atoms.has("initial_magmoms"):
            moments = atoms.get_initial_magnetic_moments()
            if self.model.is_spin:
                spins = moments if moments.ndim == 2 else np.outer(moments, (0.0, 0.0, 1.0))
            elif np.any(moments) and not self._warned_of_moments:
                self._warned_of_moments = True
                warnings.warn("the atoms have initial magnetic moments, and this model takes no spins; they have no "
                              "effect", stacklevel=4)
        if spins is not None and not self.model.is_spin:
            raise InputError('atoms.arrays["spins"]: this model takes no spins')
        if spins is None and self.model.is_spin:
            raise InputError('this model needs spins: set atoms.arrays["spins"], shape (natoms, 3) (in extxyz the column '
                             "spins:R:3), or initial magnetic moments")
        return spins


def element_types(names, type_map):
    """element -> index into names, -1 for None."""
    index = {name: k for k, name in enumerate(names)}
    if type_map is None:
        return index
    if not hasattr(type_map, "items"):
        elements = list(type_map) if np.iterable(type_map) else []
        check_elements(elements)
        if len(elements) != len(names):
            raise InputError(f"type_map: expected an element for each of the model's types {', '.join(names)}, found "
                             f"{len(elements)}")
        return {element: k for k, element in enumerate(elements) if element is not None}
    types = {}
    check_elements(type_map)
    for element, target in type_map.items():
        if target is None:
            types[element] = -1
        elif isinstance(target, str) and target in index:
            types[element] = index[target]
        elif isinstance(target, (int, np.integer)) and 0 <= target < len(names):
            types[element] = int(target)
        else:
            raise InputError(f"type_map: {element!r} is mapped to {target!r}; the model knows {', '.join(names)}")
    return {**index, **types}


def check_elements(elements):
    for element in elements:
        if not isinstance(element, str | None):
            raise InputError(f"type_map: expected symbols of elements, found {element!r}")


def voigt(virial, volume):
    """-virial/volume, symmetrised: xx, yy, zz, yz, xz, xy in eV/Å^3."""
    stress = -0.5 * (virial + np.swapaxes(virial, -1, -2)) / volume
    return full_3x3_to_voigt_6_stress(stress)


def numbers(key, value):
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        raise InputError(f"atoms.info[{key!r}]: expected numbers, found {value!r}") from None


def same(one, other):
    if one is None or other is None:
        return one is other
    try:
        one, other = np.asarray(one), np.asarray(other)
    except ValueError:  # which calculate has a word on
        return False
    return one.shape == other.shape and bool(np.all(one == other))


# The way that every ASE knows: get_calculator_class("dgnn"). Newer ones also look for plugins, see ase_plugin.py.
if "dgnn" not in ase_calculator.external_calculators:
    ase_calculator.register_calculator_class("dgnn", DGNNCalculator)
