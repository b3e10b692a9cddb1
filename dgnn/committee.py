"""Several models on one neighbour list, and how far they are apart.

Definitions are those of deepmd-kit (dp model-devi): with F_k the force of model k on an atom and <> the mean over models,
devi_f = |sqrt(<(F - <F>)^2>)|, the deviation of each component, then the length; of virials V / natoms the same of each of
the nine components, of which max and min are taken, and avg = sqrt(sum of squares) / 3; devi_e is the deviation of the
energy per atom. Relative ones are divided by |<F>| + level, by |<V>| / natoms + level.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dgnn import _core, kinds
from dgnn._core import InputError
from dgnn.keywords import checked_keywords, collective
from dgnn.model import Model, Result, arranged, refuse_load_options, stacked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_AVERAGED = ("energy", "forces", "virial", "atom_energy", "forces_mag", "atom_virial")


class Deviation:
    """What a committee's call gives. With frames, each array has a leading axis, and numbers become arrays."""

    results: list[Result]  #: of each model, in their order
    mean: Result  #: of all models; counts are the first model's
    devi_f: np.ndarray  #: (n,) eV/Å: this rank's atoms
    max_devi_f: float | np.ndarray  #: over all atoms of all ranks, as the next ones
    min_devi_f: float | np.ndarray
    avg_devi_f: float | np.ndarray
    max_devi_v: float | np.ndarray  #: eV per atom
    min_devi_v: float | np.ndarray
    avg_devi_v: float | np.ndarray
    devi_e: float | np.ndarray  #: eV per atom

    def __init__(self, results: list[Result], mean: Result, devi_f: np.ndarray, **numbers: Any) -> None:
        self.results, self.mean, self.devi_f = results, mean, devi_f
        self.__dict__.update(numbers)

    def __repr__(self) -> str:
        return f"Deviation({len(self.results)} models, max_devi_f={self.max_devi_f!r}, max_devi_v={self.max_devi_v!r})"


class Committee:
    """Models that compute together, on one neighbour list. Each gives the bits that it gives alone; families, cutoffs and
    orders of types may differ. Types index the first model's type_map. On ranks those of one architecture share one
    decomposition and plan, which follow from the work that a model counts; others have their own.

    models: dgnn.Models or paths, or both. comm: an mpi4py communicator: rank 0 reads files for all, and a model that one
    rank cannot load is an error on all. Other options: as for Model.load, for paths.

    A committee holds its models: model.close() is refused until committee.close(), or the end of its with block. Threads
    that share a committee compute one after the other.
    """

    @checked_keywords
    def __init__(self, models: Sequence[Model | str | bytes | os.PathLike], *, comm: Any = None, dtype: Any = None,
                 threads: int | None = None, device: str | None = None, memory: str = "fast", semantics: str | None = None,
                 skin: float | None = None, head: str | None = None, radial: str = "exact",
                 compressed: str = "table") -> None:
        if isinstance(models, (str, bytes, os.PathLike, Model)) or not np.iterable(models):
            raise InputError(f"models: expected a list of models or paths, found {models!r}")
        options: dict[str, Any] = dict(dtype=dtype, threads=threads, device=device, memory=memory, semantics=semantics,
                                       skin=skin, head=head, radial=radial, compressed=compressed)
        models = list(models)
        if all(isinstance(model, Model) for model in models):
            refuse_load_options("this committee", options)
        self.models = [model if isinstance(model, Model) else Model.load(model, comm=comm, **options) for model in models]

        def session():
            for model in self.models:
                kinds.needs_energy(model, "a Committee")
            return _core.Session(tuple(model._core for model in self.models))

        if comm is None:
            self._session = session()
        else:
            from dgnn import communicators

            self._session = communicators._together(comm, session)
        self._lock = threading.Lock()
        self._is_rank0 = True

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.models,)

    @property
    def type_map(self) -> list[str]:
        """The first model's; types are indices into it."""
        return self.models[0].type_map

    @property
    def output(self) -> str:
        """Of all models: deviations are of energies and forces."""
        return "energy"

    @property
    def is_spin(self) -> bool:
        return self.models[0].is_spin

    @property
    def digest(self) -> str:
        """Of all models, in their order."""
        return hashlib.sha256("".join(model.digest for model in self.models).encode()).hexdigest()

    def close(self) -> None:
        """Lets go of the models, which stay open."""
        self._session.close()

    def __enter__(self) -> Committee:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.models)

    def __repr__(self) -> str:
        return f"<dgnn.Committee of {len(self.models)}: {' '.join(self.type_map)}>"

    @collective
    def compute(self, coords: ArrayLike, types: ArrayLike, box: ArrayLike | None = None, *,
                pbc: ArrayLike | None = None, spins: ArrayLike | None = None, fparam: ArrayLike | None = None,
                aparam: ArrayLike | None = None, charge_spin: ArrayLike | None = None, atomic: bool = False,
                relative: float | None = None, relative_v: float | None = None, comm: Any = None,
                ids: ArrayLike | None = None, grid: Sequence[int] | None = None, replicated: bool = False) -> Deviation:
        """Results of all models, their mean and their deviations.

        Arguments are those of Model.compute. relative, relative_v: levels in eV/Å and eV, for deviations of forces and of
        virials that are relative to their size (None: they are not).
        """
        levels = _level("relative", relative), _level("relative_v", relative_v)
        communicator, (array, frames, nframes, fixed) = self._join(
            comm, "compute", lambda: arranged(self, comm, coords=coords, types=types, box=box, pbc=pbc, spins=spins,
                                              fparam=fparam, aparam=aparam, charge_spin=charge_spin, atomic=atomic, ids=ids,
                                              grid=grid, replicated=replicated))
        everything: list[list[dict[str, Any]]] = []
        for frame in frames:
            if everything and communicator is not None and (raised := _core.interrupted()):
                communicator.agree("compute", raised)
            everything.append(self._call(communicator, frame, fixed))
        results = [self._result(k, [of_all[k] for of_all in everything], array, nframes, fixed)
                   for k in range(len(self.models))]
        for model, result in zip(self.models, results, strict=True):
            model._warn(result, types, spins, comm is None or self._is_rank0)
        everyone = None if fixed["replicated"] else comm
        return deviation(results, levels, everyone)

    def _call(self, communicator, frame, fixed):
        with self._lock:
            results = self._session.compute(**frame, **fixed, comm=communicator)
        for arrays in results:
            if self.is_spin:
                arrays.setdefault("forces_mag", np.zeros_like(arrays["forces"]))
        return results

    def _result(self, k, dicts, array, nframes, fixed):
        return Result(**dicts[0]) if nframes is None else stacked(dicts, array, self.models[k], fixed)

    def _types(self, types):
        return self.models[0]._types(types)

    def _join(self, comm, name, prepare):
        return Model._join(self, comm, name, prepare)


def _level(name, value):
    if value is None:
        return None
    try:
        level = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected a number or None, found {value!r}") from None
    if not level >= 0:
        raise InputError(f"{name}: expected 0 or more, found {value!r}")
    return level


def mean(results):
    """A Result: averages; counts are those of the first."""
    found = dict(vars(results[0]))
    for name in _AVERAGED:
        if found[name] is not None:
            found[name] = np.mean([getattr(result, name) for result in results], axis=0)
            if np.ndim(found[name]) == 0:
                found[name] = float(found[name])
    return Result(**found)


def apart(values, real=None):
    """Of the models, the first axis: from real, or from their mean."""
    return np.std(values, axis=0) if real is None else np.sqrt(np.mean(np.square(values - real), axis=0))


def _size(values, real):
    """What deviations are relative to."""
    return np.linalg.norm(np.mean(values, axis=0) if real is None else real, axis=-1)


def of_forces(forces, relative=None, real=None):
    """forces: (models, ..., n, 3). real: (..., n, 3), from which deviations are then taken. (..., n)"""
    found = np.linalg.norm(apart(forces, real), axis=-1)
    return found if relative is None else found / (_size(forces, real) + relative)


def of_virials(virials, relative=None, real=None):
    """virials: (models, ..., 9), per atom. real: (..., 9). (max, min, avg), each (...)"""
    found = apart(virials, real)
    if relative is not None:
        found = found / (_size(virials, real)[..., None] + relative)
    return found.max(axis=-1), found.min(axis=-1), np.linalg.norm(found, axis=-1) / 3


def of_atoms(devi_f, everyone=None):
    """(number of atoms, max, min, avg) over the atoms of all ranks of a communicator, of this one without."""
    n = devi_f.shape[-1]
    few = [np.zeros(devi_f.shape[:-1])] * 3
    own = np.stack([devi_f.max(axis=-1), devi_f.min(axis=-1), devi_f.sum(axis=-1)] if n else few)
    if everyone is None:
        return n, own[0], own[1], devi_f.mean(axis=-1) if n else own[2]
    from dgnn import communicators

    parts = communicators.gathered(everyone, "deviations", lambda rank, nrank: np.append(own.ravel(), n).tobytes())
    numbers = [np.frombuffer(part) for part in parts]
    counts = [int(part[-1]) for part in numbers]
    filled = [part[:-1].reshape(own.shape) for part, count in zip(numbers, counts, strict=True) if count] or [own]
    return (sum(counts), np.max([part[0] for part in filled], axis=0), np.min([part[1] for part in filled], axis=0),
            np.sum([part[2] for part in filled], axis=0) / max(1, sum(counts)))


def deviation(results, levels=(None, None), everyone=None):
    """The Deviation of results of several models."""
    forces = np.array([result.forces for result in results])
    devi_f = of_forces(forces, levels[0])
    n, most, least, average = of_atoms(devi_f, everyone)
    virials = np.array([result.virial for result in results]) / max(1, n)
    of_v = of_virials(virials.reshape(*virials.shape[:-2], 9), levels[1])
    of_e = apart(np.array([result.energy for result in results])) / max(1, n)
    names = ("max_devi_f", "min_devi_f", "avg_devi_f", "max_devi_v", "min_devi_v", "avg_devi_v", "devi_e")
    values = (most, least, average, *of_v, of_e)
    numbers = {name: float(value) if np.ndim(value) == 0 else value for name, value in zip(names, values, strict=True)}
    return Deviation(results, mean(results), devi_f, **numbers)
