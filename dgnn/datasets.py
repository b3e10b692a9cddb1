"""Structures with labels: deepmd-kit's data folders (deepmd/npy, mixed types, deepmd/raw, HDF5) and what ASE reads.

Whatever it comes from, a system is a list of frames, and a frame is arguments of Model.compute beside the labels that
were found: energy (eV), force (n, 3), virial (9,), force_mag (n, 3), atom_ener (n,), atom_pref (n,). Of a model that answers
no energy: dipole, polar, dos or property, flat, and each with atom_ before it of atoms, (n, numbers).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dgnn import kinds
from dgnn._core import InputError

# name of a file or column -> (numbers, of each atom?)
LABELS = {"energy": (1, False), "force": (3, True), "virial": (9, False), "force_mag": (3, True), "atom_ener": (1, True),
          "atom_pref": (1, True)}
ALIASES = {"atom_ener": ("atomic_ener",), "atom_pref": ("atomic_pref",), "atom_dipole": ("atomic_dipole",),
           "atom_polarizability": ("atomic_polarizability",)}
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass
class Frame:
    arguments: dict[str, Any]  #: of Model.compute, types as indices into the model's type_map
    labels: dict[str, Any] = field(default_factory=dict)

    @property
    def natoms(self) -> int:
        return len(self.arguments["types"])

    @property
    def periodic(self) -> bool:
        return self.arguments.get("box") is not None and bool(np.all(self.arguments.get("pbc", True)))


@dataclass
class System:
    name: str
    frames: list[Frame]


def is_folder(path: str) -> bool:
    """Is it one of deepmd-kit's folders, a folder that has some below it, or HDF5?"""
    file = path.partition("#")[0]
    if os.path.isdir(file):
        return bool(_folders(file))
    return _is_hdf5(file)


def read(path: str, model: Any, limit: int | None = None, format: str | None = None,
         given: Collection[str] = ()) -> Iterator[System]:
    """The systems at a path: a folder and those below it, an HDF5 file and its groups (FILE#GROUP for one), or a file that
    ASE reads. limit: at most so many frames of each, the first ones. given: parameters that the caller has (fparam, ...);
    those of folders and HDF5 are not read. InputError where something is not as expected.
    """
    file, _, group = path.partition("#")
    if os.path.isdir(path):
        folders = _folders(path)
        if not folders:
            raise InputError(f"{path}: found no type.raw in this folder or below it; expected deepmd-kit's data")
        for folder in folders:
            yield _system(folder, _Directory(folder), model, limit, given)
    elif _is_hdf5(file):
        yield from _hdf5_systems(file, group, model, limit, given)
    else:
        yield _ase_system(path, model, limit, format)


# ---------------------------------------------------------------- folders


def _folders(path):
    found = [folder for folder, _, names in os.walk(path, followlinks=True) if "type.raw" in names]
    return sorted(found)


def _is_hdf5(path):
    try:
        with open(path, "rb") as file:
            return file.read(8) == _HDF5
    except OSError:
        return False


class _Directory:
    """Files of a folder."""

    def __init__(self, path):
        self.path = path

    def has(self, name):
        return os.path.isfile(os.path.join(self.path, name))

    def sets(self):
        return [_Directory(os.path.join(self.path, name)) for name in sorted(os.listdir(self.path))
                if name.startswith("set.") and os.path.isdir(os.path.join(self.path, name))]

    def words(self, name):
        with open(os.path.join(self.path, name), encoding="utf-8") as file:
            return file.read().split()

    def array(self, name):
        path = os.path.join(self.path, name)
        try:
            if name.endswith(".raw"):
                return np.loadtxt(path, ndmin=2)
            return np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            words = error if name.endswith(".raw") else "not an array of numbers as NumPy writes it (.npy)"
            raise InputError(f"{path}: {words}") from None


class _Group:
    """Datasets of an HDF5 group, named like files."""

    def __init__(self, group, path):
        self.group, self.path = group, path

    def has(self, name):
        return name in self.group

    def sets(self):
        return [_Group(self.group[name], f"{self.path}/{name}") for name in sorted(self.group) if name.startswith("set.")]

    def words(self, name):
        values = np.asarray(self.group[name][()]).reshape(-1).tolist()
        return [word for value in values
                for word in (value.decode() if isinstance(value, bytes) else str(value)).split()]

    def array(self, name):
        return np.asarray(self.group[name][()])


def _hdf5_systems(file, group, model, limit, given):
    try:
        import h5py
    except ImportError:
        raise ImportError("reading HDF5 needs h5py: pip install 'dgnn-md[dp]'") from None
    with h5py.File(file, "r") as opened:
        if group and group not in opened:
            raise InputError(f"{file}: no group {group!r}")
        top = opened[group or "/"]
        names = [""] if "type.raw" in top else []
        top.visititems(lambda name, item: names.append(name) if hasattr(item, "keys") and "type.raw" in item else None)
        if not names:
            raise InputError(f"{file}#{group or '/'}: found no group with type.raw; expected deepmd-kit's data")
        for name in sorted(names):
            path = f"{file}#{'/'.join(part for part in (group.strip('/'), name) if part) or '/'}"
            yield _system(path, _Group(top[name] if name else top, path), model, limit, given)


def _system(name, folder, model, limit, given):
    types = np.array([_integer(folder, word) for word in folder.words("type.raw")], np.int64)
    names = folder.words("type_map.raw") if folder.has("type_map.raw") else None
    index = _type_index(name, names, model.type_map)
    periodic = not folder.has("nopbc")
    sets = folder.sets()
    raw = not sets
    frames: list[Frame] = []
    for part in sets or [folder]:
        if limit is not None and len(frames) >= limit:
            break
        frames += _read_set(part, _Shape(types, index, periodic, raw, model, given))
    if not frames:
        raise InputError(f"{name}: has no frames; expected set.*/coord.npy, or coord.raw")
    return System(name, frames[:limit])


def _integer(folder, word):
    try:
        return int(float(word))
    except ValueError:
        raise InputError(f"{folder.path}/type.raw: expected numbers of types, found {word!r}") from None


def _type_index(name, names, known):
    """The model's type of each of the folder's; -1, the last one, of NULL atoms."""
    if names is None:
        return np.append(np.arange(len(known)), -1)
    missing = [element for element in names if element not in known]
    if missing:
        raise InputError(f"{name}: type_map.raw has {', '.join(missing)}; the model knows {', '.join(known)}")
    return np.array([*map(known.index, names), -1])


@dataclass
class _Shape:
    """What the sets of a system have in common."""

    types: np.ndarray
    index: np.ndarray
    periodic: bool
    raw: bool
    model: Any
    given: Collection[str]

    def file(self, key):
        return f"{key}.raw" if self.raw else f"{key}.npy"


def _read_set(folder, shape):
    n = len(shape.types)
    coords = _numbers(folder, shape, "coord", None, 3 * n)
    if coords is None:
        raise InputError(f"{folder.path}: no {shape.file('coord')}")
    nframes = len(coords)
    boxes = _numbers(folder, shape, "box", nframes, 9) if shape.periodic else None
    if shape.periodic and boxes is None:
        raise InputError(f"{folder.path}: no {shape.file('box')}, and the system has no file nopbc")
    types = _types(folder, shape, nframes)
    columns = {"coords": coords.reshape(nframes, n, 3), "types": types,
               "box": None if boxes is None else boxes.reshape(nframes, 3, 3), **_parameters(folder, shape, nframes)}
    labels = {}
    for name, key, width, atomic in wanted_labels(shape.model):
        values = _numbers(folder, shape, name, nframes, width * n if atomic else width)
        if values is not None:
            labels[key] = values.reshape(nframes, n, width) if atomic and width > 1 else values
    return [Frame({key: column[k] for key, column in columns.items() if column is not None},
                  {key: float(column[k, 0]) if key == "energy" else column[k] for key, column in labels.items()})
            for k in range(nframes)]


def wanted_labels(model: Any) -> list[tuple[str, str, int, bool]]:
    """(name of a file or column, key of Frame.labels, numbers, of each atom?) of what the model answers."""
    info = model.info()
    if info["output"] == "energy":
        return [(name, name, *kind) for name, kind in LABELS.items()]
    keys = (info["output"], f"atom_{info['output']}")
    return [(name, key, *kind) for key, (name, kind) in zip(keys, kinds.labels(info).items(), strict=True)]


def _types(folder, shape, nframes):
    """(nframes, n), the model's."""
    if folder.has("real_atom_types.npy"):
        own = np.asarray(folder.array("real_atom_types.npy")).reshape(nframes, -1).astype(np.int64)
    else:
        own = np.tile(shape.types, (nframes, 1))
    least = -1 if folder.has("real_atom_types.npy") else 0
    if own.shape[1] != len(shape.types) or own.min(initial=0) < least or own.max(initial=-1) >= len(shape.index) - 1:
        raise InputError(f"{folder.path}: types from {own.min(initial=0)} to {own.max(initial=0)} of {own.shape[1]} atoms; "
                         f"expected {least} to {len(shape.index) - 2} of {len(shape.types)}")
    return shape.index[own].astype(np.int32)


def _numbers(folder, shape, key, nframes, width):
    """(nframes, width) float64, or None where there is no such file. nframes None: any."""
    for name in (key, *ALIASES.get(key, ())):
        if folder.has(shape.file(name)):
            values = np.asarray(folder.array(shape.file(name)), float)
            if nframes is None:
                nframes = values.size // width if width else len(values)
            if values.size != nframes * width:
                raise InputError(f"{folder.path}/{shape.file(name)}: found shape {values.shape}; expected {nframes} frames of "
                                 f"{width} numbers")
            return values.reshape(nframes, width)
    return None


def _parameters(folder, shape, nframes):
    """Arguments that the model takes beside atoms; where it has no default and nobody gave them, they must be there."""
    info, n = shape.model.info(), len(shape.types)
    wanted = {"fparam": (info["dim_fparam"], False, info["has_default_fparam"]),
              "aparam": (info["dim_aparam"], True, False),
              "charge_spin": (info["dim_charge_spin"], False, info["has_default_charge_spin"]),
              "spins": (3 if shape.model.is_spin else 0, True, False)}
    found = {}
    for key in shape.given:
        wanted.pop(key)
    for key, (width, atomic, optional) in wanted.items():
        file = "spin" if key == "spins" else key
        values = _numbers(folder, shape, file, nframes, width * n if atomic else width) if width else None
        if values is not None:
            found[key] = values.reshape(nframes, n, width) if atomic else values
        elif width and not optional:
            raise InputError(f"{folder.path}: no {shape.file(file)}, which this model needs")
    return found


# ---------------------------------------------------------------- what ASE reads


def _ase_system(path, model, limit, format):
    from dgnn.calculator import DGNNCalculator
    from dgnn.cli_common import read_frames

    calculator = DGNNCalculator(model)
    frames = []
    for _, number, atoms in read_frames([path], format):
        if limit is not None and number >= limit:
            break
        try:
            frames.append(Frame(calculator._inputs(atoms), ase_labels(atoms, model)))
        except InputError as error:
            raise InputError(f"{path}, frame {number}: {error}") from None
    return System(path, frames)


def ase_labels(atoms: Any, model: Any = None) -> dict[str, Any]:
    """Labels of ASE's Atoms: of a calculator that holds results, else of info and arrays. model: whose answers they are
    of; None: one of energies."""
    if model is not None and model.output != "energy":
        return _other_ase_labels(atoms, model)
    stored = dict(atoms.calc.results) if atoms.calc is not None else {}
    energy = _first(stored, atoms.info, "energy")
    forces = _first(stored, atoms.arrays, "forces", "force")
    virial = atoms.info.get("virial")
    if virial is None and stored.get("stress") is not None and atoms.cell.rank == 3:
        from ase.stress import voigt_6_to_full_3x3_stress

        stress = np.asarray(stored["stress"], float)
        virial = -atoms.get_volume() * (voigt_6_to_full_3x3_stress(stress) if stress.size == 6 else stress)
    found = {"energy": None if energy is None else float(energy), "force": forces, "virial": virial,
             "force_mag": _first({}, atoms.arrays, "force_mag", "magforces"), "atom_ener": stored.get("energies"),
             "atom_pref": atoms.arrays.get("atom_pref")}
    shapes = {"energy": (), "force": (len(atoms), 3), "virial": (9,), "force_mag": (len(atoms), 3),
              "atom_ener": (len(atoms),), "atom_pref": (len(atoms),)}
    labels = {}
    for key, value in found.items():
        if value is not None:
            try:
                labels[key] = value if key == "energy" else np.asarray(value, float).reshape(shapes[key])
            except ValueError:
                raise InputError(f"{key}: expected {shapes[key]} numbers, found shape {np.shape(value)}") from None
    return labels


def _other_ase_labels(atoms, model):
    stored = dict(atoms.calc.results) if atoms.calc is not None else {}
    labels = {}
    for name, key, width, atomic in wanted_labels(model):
        value = _first(stored, atoms.arrays if atomic else atoms.info, name, key)
        if value is not None:
            count = width * len(atoms) if atomic else width
            if np.size(value) != count:
                raise InputError(f"{name}: expected {count} numbers, found shape {np.shape(value)}")
            labels[key] = np.asarray(value, float).reshape((len(atoms), width) if atomic else width)
    return labels


def _first(stored, others, *names):
    for name in names:
        for place in (stored, others):
            if place.get(name) is not None:
                return place[name]
    return None


def as_atoms(frame: Frame, names: list[str]) -> Any:
    """ASE's Atoms with a column "type" (1 for the first of names; one more than there are for NULL): for the calculator."""
    from ase import Atoms
    from ase.data import atomic_numbers

    arguments = frame.arguments
    types = np.asarray(arguments["types"])
    numbers = np.array([*(atomic_numbers.get(name, 0) for name in names), 0])[types]
    atoms = Atoms(numbers, positions=arguments["coords"], cell=arguments.get("box"), pbc=arguments.get("box") is not None)
    atoms.arrays["type"] = np.where(types < 0, len(names), types) + 1
    if arguments.get("spins") is not None:
        atoms.arrays["spins"] = np.asarray(arguments["spins"])
    if arguments.get("aparam") is not None:
        atoms.arrays["aparam"] = np.asarray(arguments["aparam"])
    for key in ("fparam", "charge_spin"):
        if arguments.get(key) is not None:
            atoms.info[key] = np.asarray(arguments[key])
    return atoms
