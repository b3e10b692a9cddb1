"""ASE's face of a model.

    from dgnn.calculator import DGNNCalculator
    atoms.calc = DGNNCalculator("model.pt2")
"""

from __future__ import annotations

import copy
import functools
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from ase.calculators import calculator as ase_calculator
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes, compare_atoms
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress

from dgnn._core import InputError, Uninterrupted
from dgnn.committee import Committee
from dgnn.keywords import checked_keywords
from dgnn.model import Model, refuse_load_options

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

class Parameter(NamedTuple):
    """What a model takes beside atoms, and where the calculator finds it."""

    width: str  # the key of Model.info() with how many numbers it is (for each atom, where per_atom)
    default: str | None  # the key of Model.info() that says whether the model has a default
    per_atom: bool
    place: str  # for messages
    on_command_line: str


PARAMETERS = {
    "fparam": Parameter("dim_fparam", "has_default_fparam", False, 'atoms.info["fparam"]', "dgnn eval: --fparam"),
    "aparam": Parameter("dim_aparam", None, True, 'atoms.arrays["aparam"] (or atoms.info["aparam"])',
                        "in extxyz a column aparam:R:{width}"),
    "charge_spin": Parameter("dim_charge_spin", "has_default_charge_spin", False, 'atoms.info["charge_spin"]',
                             "dgnn eval: --charge-spin"),
}  # of atoms.info, as deepmd-kit's calculator reads them; what belongs to atoms also of atoms.arrays, which slices take along
COMMITTEE = ("energies_comm", "forces_comm", "energy_var", "forces_var", "max_devi_f")  # of several models
TYPE_COLUMN = "type"  # of atoms.arrays, where ASE's readers keep the types of LAMMPS


class Stored(NamedTuple):
    """A calculation and the atoms that it belongs to: kept and replaced in one piece, as threads may share a calculator."""

    atoms: Any  # a copy; None: nothing was calculated
    parameters: dict[str, Any]  # copies
    results: dict[str, Any]

    @classmethod
    def nothing(cls):
        return cls(None, {}, {})


def uninterrupted(method):
    """With a communicator, handlers of signals run when it is over: a rank that left would be out of step."""
    return functools.update_wrapper(Uninterrupted(method, attribute="comm"), method)


def together(method):
    """With a communicator, a call of all ranks: what one raises before they agreed is raised on all."""
    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        if self.comm is None:
            return method(self, *args, **kwargs)
        from dgnn import communicators

        return communicators.together(self.comm, method.__name__, lambda: method(self, *args, **kwargs))

    return uninterrupted(wrapper)


class DGNNCalculator(Calculator):
    """Energy, forces and stress of a model, for ASE.

    model: a path or a dgnn.Model; or a list of them, or a dgnn.Committee: results are then the mean, beside energies_comm (of
    each model), forces_comm, energy_var and forces_var (variances over models) and max_devi_f, which is deepmd-kit's.
    comm: an mpi4py communicator; every rank then holds the same atoms, which is checked, and gets all results.
    type_map: element -> name in the model's type_map, index into it, or None for an atom that takes no part
    (no energy, no force); or a list of elements in the order of the model's types. None: by name. Numbers instead of
    elements are types of LAMMPS, which ASE keeps in atoms.arrays["type"]: {1: "O", 2: "H"}; they then decide.
    strict: raise, rather than warn, where an atom has more neighbours than the model takes.
    dtype, threads, device, memory, semantics, skin, head, radial, compressed: as for Model.load, where model is a path.
    dipole: beside a model of energies a second one, of dipoles (a path or a dgnn.Model): it gives results["dipole"], as for
    infrared spectra. A path is loaded as model's.

    A model whose output is no energy gives that alone: results["dipole"] and results["atom_dipole"], or of another name.

    fparam, aparam and charge_spin are read from atoms.info, aparam from atoms.arrays too. A spin model reads
    atoms.arrays["spins"], else the initial magnetic moments (vectors, or numbers along z), and gives
    results["magforces"]. results["virial"] is deepmd-kit's, and get_property("atom_virial", atoms) are the atoms' shares of it,
    shape (n, 3, 3) in eV, with or without a cell; stresses are these over minus the volume, symmetrised, as ASE has them.

    Threads may share a calculator, and calculators a model: each call gives the results of its own atoms. calc.results and
    calc.atoms are those of the call that ended last.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "stresses", "virial", "atom_virial"]
    ignored_changes = {"initial_charges"}
    name = "dgnn"

    @checked_keywords
    def __init__(self, model: str | bytes | os.PathLike | Model | Committee | Sequence[Any], *, comm: Any = None,
                 dtype: DTypeLike | None = None, threads: int | None = None, device: str | None = None, memory: str = "fast",
                 semantics: str | None = None, skin: float | None = None,
                 type_map: Mapping[str | int, str | int | None] | Sequence[str | None] | None = None, strict: bool = False,
                 head: str | None = None, radial: str = "exact", compressed: str = "table",
                 dipole: str | bytes | os.PathLike | Model | None = None) -> None:
        super().__init__()
        options: dict[str, Any] = dict(dtype=dtype, threads=threads, device=device, memory=memory, semantics=semantics,
                                       skin=skin, head=head, radial=radial, compressed=compressed)
        self._committee: Committee | None = None
        if isinstance(model, (list, tuple)):
            loaded = Committee(model, comm=comm, **options)
            self._committee, self.model = loaded, loaded.models[0]
        elif isinstance(model, (Model, Committee)):
            refuse_load_options("this calculator", options)
            self._committee = model if isinstance(model, Committee) else None
            self.model = model.models[0] if isinstance(model, Committee) else model
        else:
            self.model = Model.load(cast(Any, model), **options)
        if self.model.is_spin:
            self.implemented_properties = [*self.implemented_properties, "magforces"]
        if self.model.output != "energy":
            self.implemented_properties = [self.model.output, f"atom_{self.model.output}"]
        if self._committee is not None:
            self.implemented_properties = [*self.implemented_properties, *COMMITTEE]
        self.comm = comm
        self.strict = strict
        self._beside = None if dipole is None else self._dipoles(dipole, options, type_map)
        self._options = {name: value for name, value in options.items() if value is not None}
        self._type_of = element_types(self.model.type_map, type_map)
        self._by_number = any(not isinstance(element, str) for element in self._type_of)
        self._given_type_map = type_map
        self._warned_of_moments = False

    def _dipoles(self, dipole, options, type_map):
        """The calculator of the model beside."""
        own = {} if isinstance(dipole, Model) else {**options, "head": None}
        beside = DGNNCalculator(dipole, comm=self.comm, type_map=type_map, strict=self.strict, **own)
        if self.model.output != "energy" or beside.model.output != "dipole":
            raise InputError(f"dipole: expected a model of dipoles beside one of energies, found one of {beside.model.output!r} "
                             f"beside one of {self.model.output!r}")
        self.implemented_properties = [*self.implemented_properties, *beside.implemented_properties]
        return beside

    # ------------------------------------------------------------ what ASE asks

    _stored = Stored.nothing()

    @property
    def atoms(self):
        return self._stored.atoms

    @atoms.setter
    def atoms(self, atoms):
        self._stored = Stored(atoms, {}, {})

    @property
    def results(self):
        return self._stored.results

    @results.setter
    def results(self, results):
        self._stored = self._stored._replace(results=results)

    def check_state(self, atoms, tol=1e-15):
        return self._changes(self._stored, atoms, tol)

    def _changes(self, stored, atoms, tol=1e-15):
        """What differs from the atoms of a calculation: names as ASE's, and those of parameters."""
        changes = compare_atoms(stored.atoms, atoms, tol=tol, excluded_properties=set(self.ignored_changes))
        if stored.atoms is None:
            return changes
        changes += [key for key in PARAMETERS
                    if given_twice(atoms, key) or not same(stored.parameters.get(key), given(atoms, key))]
        columns = ["spins", TYPE_COLUMN] if self._by_number else ["spins"]
        return changes + [key for key in columns if not same(stored.atoms.arrays.get(key), atoms.arrays.get(key))]

    def _own_property(self, name, atoms, allow_calculation=True):
        """On this rank, from one calculation whatever other threads do."""
        if name not in self.implemented_properties:
            raise PropertyNotImplementedError(f"{name} property not implemented")
        stored = self._stored
        if atoms is None:
            atoms = stored.atoms
        elif self._changes(stored, atoms):
            stored = self._stored = Stored.nothing()
        if name not in stored.results:
            if not allow_calculation:
                return None
            stored = self._calculate(atoms, [name])
        if name not in stored.results:
            raise PropertyNotImplementedError(f"{name} not present in this calculation")
        result = stored.results[name]
        return result.copy() if isinstance(result, np.ndarray) else result

    @uninterrupted
    def get_property(self, name, atoms=None, allow_calculation=True):
        """As ASE's. With a communicator it is for all ranks, also where results are there: what one rank must compute,
        all compute, and atoms that changed on one of them alone are an error on all. (allow_calculation=False, with which
        files are written, is for this rank.)"""
        if self.comm is None or not allow_calculation:
            return self._own_property(name, atoms, allow_calculation)
        return self._agreed_property(name, atoms)

    @together
    def _agreed_property(self, name, atoms):
        from dgnn import communicators

        atoms = self.atoms if atoms is None else atoms
        if name in self.implemented_properties and communicators.vote(
                self.comm, f"get_property {name}", self.calculation_required(atoms, [name])):
            self.reset()
        return self._own_property(name, atoms)

    @together
    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        stored = self._stored
        if atoms is not None and self._changes(stored, atoms):
            self._stored = Stored.nothing()
        self._calculate(stored.atoms if atoms is None else atoms, properties)

    def _calculate(self, atoms, properties):
        """What is then stored, too; nothing is after an error: no atoms beside results that aren't theirs."""
        if atoms is None:
            raise InputError("atoms: found none, and there is no calculation whose atoms could be meant")
        parameters = copy.deepcopy({key: given(atoms, key) for key in PARAMETERS})  # ASE's copy holds the same arrays
        atoms = atoms.copy()
        stored = self._stored = Stored(atoms, parameters, self._results(atoms, properties))
        return stored

    def _results(self, atoms, properties):
        has_stress = bool(atoms.pbc.all())
        asked = {"stress", "stresses"}.intersection(properties)
        if asked and not has_stress:
            raise PropertyNotImplementedError(
                f"{asked.pop()} needs a cell that is periodic in all three directions, found pbc = "
                f"{atoms.pbc.tolist()}; set atoms.pbc = True, or don't ask for it")
        # The core compares what the ranks pass: replicas that drifted apart are an error on all of them.
        evaluator = self._committee or self.model
        communicator, inputs = evaluator._join(self.comm, "compute", lambda: (1, self._inputs(atoms)))
        answer = evaluator.compute(**inputs, atomic=not {"stresses", "atom_virial"}.isdisjoint(properties), comm=communicator,
                                   replicated=self.comm is not None)
        result = answer if self._committee is None else answer.mean
        for count, name in ((result.ntruncated, "sel"), (result.nangle_truncated, "a_sel")):
            if self.strict and count:
                raise InputError(f"{count} atoms have more neighbours than the model's {name}, and strict=True; load "
                                 "without strict to leave out the farthest, as deepmd-kit does")
        if self.model.output != "energy":
            return {name: getattr(result, name) for name in (self.model.output, f"atom_{self.model.output}")}
        results = {"energy": result.energy, "free_energy": result.energy, "energies": result.atom_energy,
                   "forces": result.forces, "virial": result.virial}
        if result.atom_virial is not None:
            results["atom_virial"] = result.atom_virial
        if result.forces_mag is not None:
            results["magforces"] = result.forces_mag
        if self._committee is not None:
            energies, forces = ([getattr(one, name) for one in answer.results] for name in ("energy", "forces"))
            results |= {"energies_comm": np.array(energies), "forces_comm": np.array(forces),
                        "energy_var": float(np.var(energies)), "forces_var": np.var(forces, axis=0),
                        "max_devi_f": answer.max_devi_f}
        if has_stress:
            volume = atoms.get_volume()
            results["stress"] = voigt(result.virial, volume)
            if result.atom_virial is not None:
                results["stresses"] = voigt(result.atom_virial, volume)
        if self._beside is not None:
            results.update(self._beside._results(atoms, ("dipole",)))
        return results

    def __deepcopy__(self, memo):
        """A model of its own; the communicator is shared, which only its owner may duplicate."""
        memo[id(self.comm)] = self.comm
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other

    def todict(self, skip_default=True):
        """What a trajectory stores: which model this was, not the model."""
        stored = {"model": os.fsdecode(self.model.path), "digest": self.model.digest, "strict": bool(self.strict)}
        if self._beside is not None:
            stored["dipole"] = os.fsdecode(self._beside.model.path)
        if self._committee is not None:
            stored["models"] = [os.fsdecode(model.path) for model in self._committee.models]
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
        return {**inputs, **self._parameters(atoms)}

    def _parameters(self, atoms):
        """The arguments among fparam, aparam and charge_spin."""
        found, info = {}, self.model._info
        for key, parameter in PARAMETERS.items():
            value, width = given(atoms, key), info[parameter.width]
            if given_twice(atoms, key):
                raise InputError(f"{key}: found in atoms.info and in atoms.arrays; remove one")
            count = len(atoms) if parameter.per_atom else 1
            if value is not None:
                found[key] = numbers(key, value)
                if not parameter.per_atom and found[key].ndim == 0:
                    found[key] = found[key].reshape(1)
                if parameter.per_atom and found[key].ndim == 1 and count and found[key].size % count == 0:
                    found[key] = found[key].reshape(count, -1)
            elif width and count and not (parameter.default and info[parameter.default]):
                raise InputError(f"this model needs {key}: set {parameter.place}, {width} number{'s' * (width > 1)}"
                                 f"{' for each atom' * parameter.per_atom} ({parameter.on_command_line.format(width=width)})")
            if value is not None and found[key].size != width * count:
                raise InputError(f"{key}: found {found[key].size} numbers in {parameter.place}; this model takes "
                                 f"{f'{width} for each of {count} atoms' if parameter.per_atom and width else width or 'none'}")
        return found

    def _types(self, atoms):
        if self._by_number:
            return self._types_of_numbers(atoms)
        symbols = atoms.get_chemical_symbols()
        unknown = sorted(set(symbols).difference(self._type_of))
        if unknown:
            raise InputError(f"the model knows {', '.join(self._type_of)}; the structure also has "
                             f"{', '.join(unknown)}; pass type_map={{{unknown[0]!r}: NAME}}, or None: no part in it (dgnn "
                             f"eval: --type-map {unknown[0]}=NAME or NULL)")
        return np.array([self._type_of[symbol] for symbol in symbols], np.int32)

    def _types_of_numbers(self, atoms):
        numbers = atoms.arrays.get(TYPE_COLUMN)
        if numbers is None:
            raise InputError(f'type_map: its numbers are types of LAMMPS, which ASE keeps in atoms.arrays["{TYPE_COLUMN}"]; '
                             "these atoms have none. Pass elements")
        unknown = sorted({str(number) for number in np.unique(numbers) if number not in self._type_of})
        if unknown:
            raise InputError(f"type_map: has types {', '.join(map(str, self._type_of))}; the structure also has "
                             f"{', '.join(unknown)} (dgnn eval: --type-map {unknown[0]}=NAME or NULL)")
        return np.array([self._type_of[number] for number in numbers.tolist()], np.int32)

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
    """element (or number of a LAMMPS type) -> index into names, -1 for None."""
    index = {name: k for k, name in enumerate(names)}
    if type_map is None:
        return index
    if not hasattr(type_map, "items"):
        return listed_types(names, type_map, index)
    types = {}
    for element, target in type_map.items():
        if target is None:
            types[element] = -1
        elif isinstance(target, str) and target in index:
            types[element] = index[target]
        elif isinstance(target, (int, np.integer)) and 0 <= target < len(names):
            types[element] = int(target)
        else:
            raise InputError(f"type_map: {element!r} is mapped to {target!r}; the model knows {', '.join(names)}")
    if types and all(isinstance(key, (int, np.integer)) and not isinstance(key, bool) and key > 0 for key in types):
        return {int(key): k for key, k in types.items()}
    check_elements(type_map)
    return {**index, **types}


def listed_types(names, type_map, index):
    """Of a list of elements. One that has the model's own names in another order is likely meant as names."""
    elements = list(type_map) if np.iterable(type_map) else []
    check_elements(elements)
    if len(elements) != len(names):
        raise InputError(f"type_map: expected an element for each of the model's types {', '.join(names)}, found "
                         f"{len(elements)}")
    moved = [f"{element} is computed as {names[k]}" for k, element in enumerate(elements)
             if element is not None and index.get(element, k) != k]
    if moved:
        warnings.warn(f"type_map: {', '.join(moved)}: a list has an element for each of the model's types "
                      f"{', '.join(names)}, in their order. Without type_map, elements go by name; a dict says so in silence",
                      stacklevel=5)
    return {element: k for k, element in enumerate(elements) if element is not None}


def check_elements(elements):
    for element in elements:
        if not isinstance(element, str | None):
            raise InputError(f"type_map: expected symbols of elements (or numbers of LAMMPS types alone), found {element!r}")


def voigt(virial, volume):
    """-virial/volume, symmetrised: xx, yy, zz, yz, xz, xy in eV/Å^3."""
    stress = -0.5 * (virial + np.swapaxes(virial, -1, -2)) / volume
    return full_3x3_to_voigt_6_stress(stress)


def given(atoms, key):
    """The value of one of PARAMETERS, or None."""
    column = atoms.arrays.get(key) if PARAMETERS[key].per_atom else None
    return atoms.info.get(key) if column is None else column


def given_twice(atoms, key):
    return PARAMETERS[key].per_atom and key in atoms.arrays and atoms.info.get(key) is not None


def numbers(key, value):
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        raise InputError(f"{key}: expected numbers in {PARAMETERS[key].place}, found {value!r}") from None


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
