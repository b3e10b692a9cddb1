"""deepmd-kit's Python interface on dgnn: a script changes its import.

    from dgnn.deepmd import DeepPot, calc_model_devi      # was: from deepmd.infer import DeepPot, calc_model_devi

Argument order, shapes and units are deepmd-kit's. Types outside the type map, which deepmd-kit takes for NULL atoms, are
an error, but for negative ones.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dgnn import committee, many
from dgnn._core import InputError
from dgnn.accuracy import magnetic_types
from dgnn.kinds import needs_energy
from dgnn.model import DESCRIPTOR, LAST_LAYER, NO_FORCES, Model, refuse_load_options

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["DeepPot", "calc_model_devi", "calc_model_devi_e", "calc_model_devi_f", "calc_model_devi_v",
           "write_model_devi_out"]


class DeepPot:
    """A potential, as deepmd-kit's DeepPot.

    model_file: whatever dgnn.Model.load reads. head: the task, of a model that was trained for several. auto_batch_size
    is taken and has no effect, since frames are spread over threads; neighbor_list is refused, since lists are dgnn's.
    Further keywords are those of Model.load (dtype, threads, memory, ...).
    """

    def __init__(self, model_file: str | bytes | os.PathLike | Model, *args: Any, auto_batch_size: Any = True,
                 neighbor_list: Any = None, head: str | None = None, **options: Any) -> None:
        if args:
            raise InputError(f"DeepPot: expected one positional argument, found {1 + len(args)}")
        if neighbor_list is not None:
            raise InputError("neighbor_list: dgnn makes its own lists; leave it out")
        if isinstance(model_file, Model):
            refuse_load_options("this DeepPot", {"head": head, **options})
            self.model = model_file
        else:
            self.model = Model.load(model_file, head=head, **options)
        needs_energy(self.model, "DeepPot")
        self.model_file = model_file
        self._info = self.model.info()

    def eval(self, coords: ArrayLike, cells: ArrayLike | None, atom_types: ArrayLike, atomic: bool = False,
             fparam: ArrayLike | None = None, aparam: ArrayLike | None = None, mixed_type: bool = False,
             **kwargs: Any) -> tuple[np.ndarray, ...]:
        """(energy (nframes, 1), force (nframes, natoms, 3), virial (nframes, 9)); with atomic also atomic energy (nframes,
        natoms, 1) and virial (nframes, natoms, 9); of a spin model then magnetic force (nframes, natoms, 3) and which atoms
        have one (nframes, natoms, 1).

        coords: (nframes, natoms * 3) or (nframes, natoms, 3). cells: (nframes, 9), or None. atom_types: (natoms,), or with
        mixed_type (nframes, natoms). fparam: (nframes, dim) or (dim,). aparam: (nframes, natoms * dim), (natoms * dim,) or
        (dim,). Keywords: spin (nframes, natoms * 3), charge_spin (nframes, 2) or (2,).
        """
        results, types = self._run(0, coords, cells, atom_types, fparam, aparam, mixed_type, kwargs, atomic=bool(atomic))
        nframes, natoms = types.shape

        def joined(name, *shape):
            return np.array([getattr(result, name) for result in results]).reshape(nframes, *shape)

        found = [joined("energy", 1), joined("forces", natoms, 3), joined("virial", 9)]
        if atomic:
            found += [joined("atom_energy", natoms, 1), joined("atom_virial", natoms, 9)]
        if self.model.is_spin:
            found += [joined("forces_mag", natoms, 3), magnetic_types(self.model)[types][..., None]]
        return tuple(found)

    def eval_descriptor(self, coords: ArrayLike, cells: ArrayLike | None, atom_types: ArrayLike,
                        fparam: ArrayLike | None = None, aparam: ArrayLike | None = None, mixed_type: bool = False,
                        dtype: str = "native", **kwargs: Any) -> np.ndarray:
        """(nframes, natoms, dim). dtype: "fp32", "fp64" or "native" (the network's)."""
        return self._features("descriptor", coords, cells, atom_types, fparam, aparam, mixed_type, dtype, kwargs)

    def eval_fitting_last_layer(self, coords: ArrayLike, cells: ArrayLike | None, atom_types: ArrayLike,
                                fparam: ArrayLike | None = None, aparam: ArrayLike | None = None, mixed_type: bool = False,
                                dtype: str = "native", **kwargs: Any) -> np.ndarray:
        """(nframes, natoms, dim), of the fitting net's last hidden layer."""
        return self._features("last_layer", coords, cells, atom_types, fparam, aparam, mixed_type, dtype, kwargs)

    def get_type_map(self) -> list[str]:
        return self.model.type_map

    def get_ntypes(self) -> int:
        return len(self.model.type_map)

    def get_rcut(self) -> float:
        return self.model.cutoff

    def get_dim_fparam(self) -> int:
        return self._info["dim_fparam"]

    def get_dim_aparam(self) -> int:
        return self._info["dim_aparam"]

    def has_default_fparam(self) -> bool:
        return bool(self._info["has_default_fparam"])

    def has_chg_spin_ebd(self) -> bool:
        return self._info["dim_charge_spin"] > 0

    def has_default_chg_spin(self) -> bool:
        return bool(self._info["has_default_charge_spin"])

    def get_sel_type(self) -> list[int]:
        """None is selected: all types have energies."""
        return []

    def get_ntypes_spin(self) -> int:
        """Of deepmd-kit's first scheme for spins, which dgnn has not."""
        return 0

    @property
    def has_spin(self) -> bool:
        return self.model.is_spin

    @property
    def has_efield(self) -> bool:
        return False

    @property
    def has_hessian(self) -> bool:
        return False

    def close(self) -> None:
        self.model.close()

    def __enter__(self) -> DeepPot:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _features(self, name, coords, cells, atom_types, fparam, aparam, mixed_type, dtype, kwargs):
        kinds = {"fp32": np.float32, "fp64": np.float64, "native": np.dtype(self.model.dtype)}
        if dtype not in kinds:
            raise InputError(f"dtype: expected 'fp32', 'fp64' or 'native', found {dtype!r}")
        request = (DESCRIPTOR if name == "descriptor" else LAST_LAYER) | NO_FORCES
        results, types = self._run(request, coords, cells, atom_types, fparam, aparam, mixed_type, kwargs)
        dim = self._info[f"dim_{name}"]
        return np.array([getattr(result, name) for result in results]).reshape(*types.shape, dim).astype(kinds[dtype])

    def _run(self, request, coords, cells, atom_types, fparam, aparam, mixed_type, others, atomic=False):
        """(Results of all frames, types (nframes, natoms))."""
        spin, charge_spin = others.pop("spin", None), others.pop("charge_spin", None)
        unknown = [name for name, value in others.items() if value is not None]
        if unknown:
            raise InputError(f"{unknown[0]}: dgnn's DeepPot has no such argument; expected spin or charge_spin")
        columns, types = self._frames(coords, cells, atom_types, mixed_type)
        nframes, natoms = types.shape
        dims = {"fparam": (fparam, self.get_dim_fparam(), 1), "aparam": (aparam, self.get_dim_aparam(), natoms),
                "spins": (spin, 3, natoms), "charge_spin": (charge_spin, self._info["dim_charge_spin"], 1)}
        for name, (value, dim, count) in dims.items():
            if value is not None and (name != "charge_spin" or dim):
                columns[name] = _spread(name, value, nframes, count, dim)
        frames = [{name: column[k] for name, column in columns.items()} for k in range(nframes)]
        if atomic:
            frames = [{**frame, "atomic": True} for frame in frames]
        return many.compute_many(self.model, frames, request=request), types

    def _frames(self, coords, cells, atom_types, mixed_type):
        types = np.array(atom_types, np.int32)
        natoms = types.shape[-1] if types.ndim else 0
        coords = np.array(coords, float)
        if natoms == 0 or coords.size % (3 * natoms):
            raise InputError(f"coords: found {coords.size} numbers, atom_types of {natoms} atoms; expected nframes x natoms x 3")
        coords = coords.reshape(-1, natoms, 3)
        if not (mixed_type or types.ndim > 1):
            types = np.tile(types.reshape(1, -1), (len(coords), 1))
        if types.shape != (len(coords), natoms):
            raise InputError(f"atom_types: found shape {types.shape}; expected {(len(coords), natoms)}")
        types = np.where(types < 0, -1, types)
        columns = {"coords": coords, "types": types}
        if cells is not None:
            cells = np.array(cells, float)
            if cells.size != 9 * len(coords):
                raise InputError(f"cells: found {cells.size} numbers; expected {len(coords)} frames of 9")
            columns["box"] = cells.reshape(-1, 3, 3)
        return columns, types


def _spread(name, value, nframes, count, dim):
    """One value, or one for each atom, stands for all frames, as in deepmd-kit. count: 1, or atoms."""
    array = np.array(value, float)
    shape = (nframes, count, dim) if name in ("aparam", "spins") else (nframes, dim)
    for size in (nframes * count * dim, count * dim, dim):
        if size and array.size == size:
            repeats = nframes * count * dim // size
            return np.tile(array.ravel(), repeats).reshape(shape)
    raise InputError(f"{name}: found {array.size} numbers; expected {nframes} x {count} x {dim}, {count} x {dim} or {dim}")


# ---------------------------------------------------------------- deviations of models


def calc_model_devi_f(fs: np.ndarray, real_f: np.ndarray | None = None, relative: float | None = None,
                      atomic: bool = False) -> tuple[np.ndarray, ...]:
    """(max, min, avg), each (nframes,); with atomic also (nframes, natoms). fs: (nmodels, nframes, natoms, 3);
    real_f: (nframes, natoms, 3), from which deviations are then taken."""
    apart = committee.of_forces(fs, relative, real_f)
    found = apart.max(axis=-1), apart.min(axis=-1), apart.mean(axis=-1)
    return (*found, apart) if atomic else found


def calc_model_devi_v(vs: np.ndarray, real_v: np.ndarray | None = None,
                      relative: float | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(max, min, avg), each (nframes,). vs: (nmodels, nframes, 9); real_v: (nframes, 9). eV per atom."""
    return committee.of_virials(vs, relative, real_v)


def calc_model_devi_e(es: np.ndarray, real_e: np.ndarray | None = None) -> np.ndarray:
    """(nframes,). es: (nmodels, nframes, 1); real_e: (nframes, 1). eV per atom."""
    return np.squeeze(committee.apart(es, real_e), axis=-1)


def calc_model_devi(coord: ArrayLike, box: ArrayLike | None, atype: ArrayLike, models: Sequence[DeepPot],
                    fname: str | None = None, frequency: int = 1, mixed_type: bool = False,
                    fparam: ArrayLike | None = None, aparam: ArrayLike | None = None,
                    real_data: dict[str, np.ndarray] | None = None, atomic: bool = False, relative: float | None = None,
                    relative_v: float | None = None) -> np.ndarray:
    """(nframes, 8): step, max, min and avg deviation of virials, those of forces, that of the energy per atom; with atomic
    also each atom's of forces. As deepmd-kit's; real_data: energy and virial per atom, force, from which deviations are
    then taken. fname: a file to which they are added."""
    natoms = np.array(atype).shape[-1]
    coord = np.array(coord, float)
    answers = [model.eval(coord, box, atype, fparam=fparam, aparam=aparam, mixed_type=mixed_type) for model in models]
    energies = np.array([answer[0] for answer in answers]) / natoms
    forces = np.array([answer[1] for answer in answers])
    virials = np.array([answer[2] for answer in answers]) / natoms
    real = real_data or {}
    steps = np.arange(energies.shape[1], dtype=np.int64) * frequency
    of_f = calc_model_devi_f(forces, real.get("force"), relative, atomic=True)
    table = np.vstack([steps, *calc_model_devi_v(virials, real.get("virial"), relative_v), *of_f[:3],
                       calc_model_devi_e(energies, real.get("energy"))]).T
    if atomic:
        table = np.concatenate([table, of_f[3]], axis=1)
    if fname:
        write_model_devi_out(table, fname, atomic=atomic)
    return table


def deviation_row(result: committee.Deviation, natoms: int, real: dict[str, np.ndarray] | None, atomic: bool,
                  relative: float | None = None, relative_v: float | None = None) -> np.ndarray:
    """The row of one frame, from a committee's answer; step is 0. real: as real_data."""
    if real is None:
        numbers = [0, result.max_devi_v, result.min_devi_v, result.avg_devi_v, result.max_devi_f, result.min_devi_f,
                   result.avg_devi_f, result.devi_e]
        return np.array([*numbers, *(result.devi_f if atomic else ())])
    n = max(1, natoms)
    answers: list[Any] = result.results  # of energies, all of them
    forces = np.array([[one.forces] for one in answers])
    virials = np.array([[one.virial.ravel() / n] for one in answers])
    energies = np.array([[[one.energy / n]] for one in answers])
    of_f = calc_model_devi_f(forces, real["force"], relative, atomic=True)
    row = [0, *(value[0] for value in calc_model_devi_v(virials, real["virial"], relative_v)),
           *(value[0] for value in of_f[:3]), calc_model_devi_e(energies, real["energy"])[0]]
    return np.array([*row, *(of_f[3][0] if atomic else ())])


def write_model_devi_out(devi: np.ndarray, fname: str, header: str = "", atomic: bool = False) -> np.ndarray:
    """Adds the table to a file, in deepmd-kit's columns. Returns it."""
    names = [f"{kind}_devi_{what}" for what in "vf" for kind in ("max", "min", "avg")]
    title = f"{header}\n{'step':10s}" + "".join(f"{name:19s}" for name in [*names, "devi_e"])
    title += f"{'atm_devi_f(N)':19s}" if atomic else ""
    if devi.ndim != 2 or (devi.shape[1] <= 8 if atomic else devi.shape[1] != 8):
        raise InputError(f"devi: expected {'more than ' * atomic}8 columns, found shape {devi.shape}")
    with open(fname, "ab") as file:
        np.savetxt(file, devi, fmt=["%12d"] + ["%19.6e"] * (devi.shape[1] - 1), delimiter="", header=title)
    return devi
