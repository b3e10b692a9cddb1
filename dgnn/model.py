"""The public face of the core: defaults, symbols, frames and communicators. Arrays are checked in C."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dgnn import _core, kinds
from dgnn._core import InputError
from dgnn.arguments import (
    as_array,
    as_column,
    as_list,
    as_row,
    choice,
    csr_neighbours,
    flag,
    integer,
    load_options,
    periodic_axes,
    rank_grid,
    split_frames,
)
from dgnn.keywords import checked_keywords, collective, outside

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

_SMALL_DISPLACEMENT = 0.05  # Å
DESCRIPTOR, LAST_LAYER, NO_FORCES, ALONE = 1, 2, 4, 8  # enum dgnn_request
_OTHERS = ("descriptor", "last_layer", "dipole", "atom_dipole", "dipole_force", "dipole_virial", "polar", "atom_polar",
           "dos", "atom_dos", "property", "atom_property")


class TruncationWarning(UserWarning):
    """Some atoms have more neighbours than the model's sel; the farthest ones are left out, as deepmd-kit does."""


class UntrainedElementWarning(UserWarning):
    """A structure has an element that the model, or the chosen head of it, never saw in training."""


class SmallSpinWarning(UserWarning):
    """A magnetic atom has nearly no spin: its virtual atom is nearly at its own place, where the model is singular."""


class Result:
    """What a call computed: NumPy float64 arrays in eV and Angstrom. With frames, each has a leading axis. Read only.
    What is not the model's is None: a model of dipoles has no energy, and one of energies no dipole.

    A class by hand, as dataclasses takes half as long to import as the core.
    """

    energy: float | np.ndarray | None  #: eV; the total, on every rank
    forces: np.ndarray | None  #: (n, 3) eV/Å
    virial: np.ndarray | None  #: (3, 3) eV; stress = -virial / volume
    atom_energy: np.ndarray | None  #: (n,) eV
    forces_mag: np.ndarray | None  #: (n, 3), spin models only
    atom_virial: np.ndarray | None  #: (n, 3, 3) eV, with atomic=True
    nedges: int | np.ndarray  #: edges of this rank's atoms
    ntruncated: int | np.ndarray  #: atoms (compute: of all ranks) with more than sel neighbours
    nghosts: int | np.ndarray  #: remote rows on this rank
    nangle_truncated: int | np.ndarray  #: as ntruncated, of a_sel inside a_rcut
    list_reused: bool | np.ndarray  #: was an earlier call's neighbour list good enough?
    descriptor: np.ndarray | None  #: (n, dim), where it was asked for
    last_layer: np.ndarray | None  #: (n, dim), where it was asked for
    dipole: np.ndarray | None  #: (3,), in the unit of the training data; the total, on every rank
    atom_dipole: np.ndarray | None  #: (n, 3)
    dipole_force: np.ndarray | None  #: (n, 3, 3), with derivatives=True: -d dipole[k] / dr as [atom][k][xyz]
    dipole_virial: np.ndarray | None  #: (3, 3, 3), with derivatives=True: of each dipole[k], as virial
    polar: np.ndarray | None  #: (3, 3), the total
    atom_polar: np.ndarray | None  #: (n, 3, 3)
    dos: np.ndarray | None  #: (m,), the total; the model does not know the grid
    atom_dos: np.ndarray | None  #: (n, m)
    property: np.ndarray | None  #: (m,), the total, or of an intensive property the mean over the atoms that count
    atom_property: np.ndarray | None  #: (n, m)

    def __init__(self, energy: float | np.ndarray | None = None, forces: np.ndarray | None = None,
                 virial: np.ndarray | None = None, atom_energy: np.ndarray | None = None,
                 forces_mag: np.ndarray | None = None, atom_virial: np.ndarray | None = None,
                 nedges: int | np.ndarray = 0, ntruncated: int | np.ndarray = 0, nghosts: int | np.ndarray = 0,
                 nangle_truncated: int | np.ndarray = 0, list_reused: bool | np.ndarray = False,
                 **others: np.ndarray | None) -> None:
        self.__dict__.update(energy=energy, forces=forces, virial=virial, atom_energy=atom_energy, forces_mag=forces_mag,
                             atom_virial=atom_virial, nedges=nedges, ntruncated=ntruncated, nghosts=nghosts,
                             nangle_truncated=nangle_truncated, list_reused=list_reused)
        unknown = set(others) - set(_OTHERS)
        if unknown:
            raise TypeError(f"a Result has no {sorted(unknown)[0]!r}")
        self.__dict__.update({name: others.get(name) for name in _OTHERS})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Result is read only; cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Result is read only; cannot delete {name!r}")

    def __repr__(self):
        shapes = [f"{name}{list(value.shape)}" for name, value in vars(self).items() if isinstance(value, np.ndarray)]
        energy = f"energy={self.energy!r}, " if self.energy is not None and np.ndim(self.energy) == 0 else ""
        return f"Result({energy}{', '.join(shapes)})"


class Border:
    """A host code's swap sequence (LAMMPS's, say): for each swap, the rows to send, to and from whom, how many.

    sendlists: one list of rows per swap; sendproc, recvproc, sendnum, recvnum: one number per swap; firstrecv: the
    first row that each swap fills, checked against the counts.
    """

    def __init__(self, sendlists: Sequence[ArrayLike], sendproc: ArrayLike, recvproc: ArrayLike, sendnum: ArrayLike,
                 recvnum: ArrayLike, firstrecv: ArrayLike | None = None) -> None:
        self.sendlists = as_list("sendlists", sendlists)
        self.sendproc = sendproc
        self.recvproc = recvproc
        self.sendnum = sendnum
        self.recvnum = recvnum
        self.firstrecv = firstrecv

    def _arguments(self):
        return self.sendlists, self.sendproc, self.recvproc, self.sendnum, self.recvnum, self.firstrecv


class Direct:
    """A host code's direct plan: one message to and from each neighbouring rank, its rows as CSR arrays."""

    def __init__(self, rank: ArrayLike, send_first: ArrayLike, send_row: ArrayLike, recv_first: ArrayLike,
                 recv_row: ArrayLike) -> None:
        self.rank = rank
        self.send_first = send_first
        self.send_row = send_row
        self.recv_first = recv_first
        self.recv_row = recv_row

    def _arguments(self):
        return self.rank, self.send_first, self.send_row, self.recv_first, self.recv_row


def _described(core):
    import json  # slow to import, and needed once a model is there

    return json.loads(core.describe())


def _untrained_types(info):
    """index -> element, of types that training never saw; empty where the file doesn't tell."""
    seen = info.get("elements")
    return {} if seen is None else {k: name for k, name in enumerate(info["type_map"]) if name not in seen}


def heads(path: str | bytes | os.PathLike) -> dict[str, Any]:
    """The tasks of a model that was trained for several: name -> {"type_map": its types, "elements": those of them that
    its training data had (None: the file doesn't tell), "alias_of": None, or the head that this is another name of}.
    Empty for a model of one task.
    """
    from dgnn import files

    return files.heads(os.fspath(path))


_LOAD_DEFAULTS = dict(dtype=None, threads=None, device=None, memory="fast", semantics=None, skin=None, head=None, radial="exact",
                      compressed="table")


def refuse_load_options(what: str, options: dict[str, Any]) -> None:
    """Where what was given a loaded model: its options are settled, and one that is given beside it would be ignored."""
    for name, value in options.items():
        if name not in _LOAD_DEFAULTS:
            raise InputError(f"{name}: {what} does not know this keyword")
        if value != _LOAD_DEFAULTS[name]:
            raise InputError(f"{name}: belongs to Model.load; {what} was given a loaded model")


class Model:
    """A loaded model. Made by Model.load. Threads may share it and compute at the same time; with a communicator they take
    one each (comm.Dup()), as a busy one raises BusyError on all ranks."""

    def __init__(self, core: _core.Model, path: str | bytes = "", options: dict[str, Any] | None = None) -> None:
        if not isinstance(core, _core.Model):
            raise TypeError(f"a model is made by Model.load(path), found Model({core!r})")
        self._core = core
        self._options = options
        self._info = _described(core)
        self._warned: set[Any] = set()
        self._rates: list[tuple[float, float]] = []  # of estimate: edges of an atom, seconds for a unit of cost
        self._untrained = _untrained_types(self._info)
        self._is_rank0 = True  # for all ranks of the communicator that it last used
        self.path = os.path.abspath(path)  #: where it was loaded from

    @classmethod
    @collective
    def load(cls, path: str | bytes | os.PathLike, dtype: DTypeLike | None = None, threads: int | None = None,
             device: str | None = None, memory: str = "fast", semantics: str | None = None, skin: float | None = None,
             comm: Any = None, head: str | None = None, radial: str = "exact", compressed: str = "table") -> Model:
        """Reads a model from a .pt, .pth, .pt2, .pte, .json, .dgnn, .dp, .hlo or .yaml file. Nothing in it is executed.

        dtype: "float32" or "float64", what the network computes in (None: as the archive says).
        threads: worker threads (None: OMP_NUM_THREADS, else the cores that this process may use).
        device: "cpu"; "cuda" (the first device, or with MPI each rank's own); "cuda:1"; "auto" (a device where there is
        one and the model runs on it, else the CPU); None: the variable DGNN_DEVICE, else "cpu".
        memory: "fast" keeps intermediate results, "small" computes them again.
        semantics: "dense" or "graph", where the model has both kinds of neighbour list.
        skin: Å by which neighbour lists outlive motion (None: 0.5; 0: a new list at each call).
        comm: an mpi4py communicator: rank 0 reads the file and sends it to the others; an error is raised on all.
        head: the task, or an alias of it, of a model that was trained for several; dgnn.heads(path) names them.
        radial: "exact", or "table": of DPA4C the network of the distance is interpolated, which is faster and changes
        forces by less than 1e-6 of the largest; other families have none, and it makes no difference.
        compressed: "table": a compressed model's tables, which is deepmd-kit's answer; "net": the networks that stand beside
        them; "compare": tables, and info()["descriptor"]["compressed_difference"] is how far they are from the networks.
        """
        from dgnn import files

        path = os.fspath(path)
        options = dict(dtype=dtype, threads=threads, device=device, memory=memory, semantics=semantics, skin=skin, head=head,
                       radial=radial, compressed=compressed)
        if comm is None:
            return cls(files.load(path, load_options(**options)), path, options)
        from dgnn import communicators

        return cls(communicators.load(path, lambda: load_options(**options), comm), path, options)

    @collective
    def save(self, path: str | bytes | os.PathLike, *, comm: Any = None) -> None:
        """Writes the model as it was read: .dgnn (loads fastest), or .dp or .yaml, which deepmd-kit reads.

        The file is afterwards the old one or the new one, whole, whatever happens. .dp and .yaml hold no metadata:
        such a model has dense semantics unless semantics="graph" is given when it is loaded.
        comm: an mpi4py communicator: rank 0 writes, and an error is raised on all ranks.
        """
        from dgnn import files

        path = os.fspath(path)
        if comm is None:
            files.save(self._core, path)
            return
        from dgnn import communicators

        communicators.save(self._core, path, self.digest, comm)

    def __reduce__(self):
        return _reload, (self.path, self._options, self.digest)

    def __repr__(self):
        return f"<dgnn.Model {os.path.basename(os.fsdecode(self.path))}: {' '.join(self.type_map)}, {self.dtype}>"

    @property
    def type_map(self) -> list[str]:
        """Names of the atom types; a type is an index into it."""
        return list(self._info["type_map"])

    @property
    def cutoff(self) -> float:
        """Å"""
        return self._info["cutoff"]

    @property
    def dtype(self) -> str:
        """What the network computes in: "float32" or "float64"."""
        return self._info["dtype"]

    @property
    def device(self) -> str:
        """Where it computes: "cpu" or "cuda:N"."""
        return self._info["device"]

    @property
    def digest(self) -> str:
        """Of the model and its metadata, the same in whatever kind of file."""
        return self._info["archive"]["digest"]

    @property
    def has_message_passing(self) -> bool:
        return self._info["has_message_passing"]

    @property
    def has_message_passing_across_ranks(self) -> bool:
        return self._info["has_message_passing_across_ranks"]

    @property
    def output(self) -> str:
        """What it answers: "energy" (with forces), "dipole", "polar", "dos" or "property"."""
        return self._info["output"]

    @property
    def is_spin(self) -> bool:
        """Does it take spins and give magnetic forces?"""
        return self._info["is_spin"]

    def info(self) -> dict[str, Any]:
        """All that is known of the model: hyper-parameters, archive, instruction set, notes."""
        return _described(self._core)

    def close(self) -> None:
        """Frees the memory now rather than when the last reference goes; so does the end of a with block."""
        self._core.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @collective
    def compute(self, coords: ArrayLike, types: ArrayLike, box: ArrayLike | None = None, *,
                pbc: ArrayLike | None = None, spins: ArrayLike | None = None, fparam: ArrayLike | None = None,
                aparam: ArrayLike | None = None, charge_spin: ArrayLike | None = None, atomic: bool = False,
                comm: Any = None, ids: ArrayLike | None = None, grid: Sequence[int] | None = None,
                replicated: bool = False, derivatives: bool = False) -> Result:
        """Energy, forces and virial; or what else the model answers (output).

        coords: (n, 3) Å, or (nframes, n, 3). types: (n,) indices into type_map (-1: a NULL atom), or symbols.
        box: (3, 3), lattice vectors as rows, or None. pbc: periodic along each of them (default: all).
        spins: (n, 3), for spin models, in the unit that the model was trained with; those of types without spin count
        for nothing (a rank without atoms may pass none). fparam: (dim_fparam,). aparam: (n, dim_aparam).
        charge_spin: (2,). atomic: also the per-atom virial. box, spins, fparam, aparam and charge_spin may have the
        axis of frames too.

        comm: an mpi4py communicator. Then the call is collective: each rank passes the atoms it owns (any split) and
        gets results for those, and totals for energy and virial. ids: (n,) distinct over all ranks, they decide ties.
        grid: ranks along each lattice vector. replicated: every rank passes the same whole system.
        derivatives: of a model of dipoles, also dipole_force and dipole_virial (three times backward, and
        with DPA3 forward).
        """
        result = self._evaluate(0, coords=coords, types=types, box=box, pbc=pbc, spins=spins, fparam=fparam, aparam=aparam,
                                charge_spin=charge_spin, atomic=atomic, comm=comm, ids=ids, grid=grid, replicated=replicated,
                                derivatives=derivatives)
        self._warn(result, types, spins, comm is None or self._is_rank0)
        return result

    @collective
    def descriptor(self, coords: ArrayLike, types: ArrayLike, box: ArrayLike | None = None, *,
                   pbc: ArrayLike | None = None, spins: ArrayLike | None = None, fparam: ArrayLike | None = None,
                   aparam: ArrayLike | None = None, charge_spin: ArrayLike | None = None, comm: Any = None,
                   ids: ArrayLike | None = None, grid: Sequence[int] | None = None, replicated: bool = False) -> np.ndarray:
        """What the descriptor gives for each atom: (n, dim), as deepmd-kit's eval_descriptor. Zeros for NULL atoms.

        Arguments are those of compute; no forces are computed. dim: info()["dim_descriptor"]; sums of models have none.
        """
        return self._feature("descriptor", DESCRIPTOR, coords=coords, types=types, box=box, pbc=pbc, spins=spins, fparam=fparam,
                             aparam=aparam, charge_spin=charge_spin, comm=comm, ids=ids, grid=grid, replicated=replicated)

    @collective
    def last_layer(self, coords: ArrayLike, types: ArrayLike, box: ArrayLike | None = None, *,
                   pbc: ArrayLike | None = None, spins: ArrayLike | None = None, fparam: ArrayLike | None = None,
                   aparam: ArrayLike | None = None, charge_spin: ArrayLike | None = None, comm: Any = None,
                   ids: ArrayLike | None = None, grid: Sequence[int] | None = None, replicated: bool = False) -> np.ndarray:
        """What the fitting net's last hidden layer gives for each atom: (n, dim), as deepmd-kit's eval_fitting_last_layer.

        Arguments are those of compute; no forces are computed. dim: info()["dim_last_layer"].
        """
        return self._feature("last_layer", LAST_LAYER, coords=coords, types=types, box=box, pbc=pbc, spins=spins, fparam=fparam,
                             aparam=aparam, charge_spin=charge_spin, comm=comm, ids=ids, grid=grid, replicated=replicated)

    @checked_keywords
    def compute_many(self, structures: Iterable[Any], threads: int | None = None, progress: bool = False,
                     errors: str = "raise") -> list[Any]:
        """Results of many structures, in their order.

        structures: ASE's Atoms, or dicts of compute's arguments; any mixture of sizes, compositions and boxes.
        threads: at work at a time (None: the model's); small structures take one thread each, large ones all.
        progress: a bar on stderr; it needs tqdm.
        errors: "raise" the first one, or "return" them in the places of their results.
        """
        from dgnn import many

        return many.compute_many(self, structures, threads, progress, errors)

    @checked_keywords
    def estimate(self, structure: Any, ranks: int = 1) -> dict[str, Any]:
        """What a call would take, before it is made.

        structure: ASE's Atoms, or a dict of compute's arguments. ranks: over how many the atoms are spread.
        Returns natoms, ranks, nedges and nangles (of DPA3) of all ranks, nghosts and bytes of the rank that has most,
        total_bytes, flop (of DPA3), seconds and ms_per_atom. Counts are those of a call, and bytes those of its arrays: the
        core lays them out without touching memory, so a system may be larger than the machine's. Time is at a rate that is
        measured once on a small system of the same density, on this machine with this model's threads; of several ranks it
        is that of the slowest, with a core of this kind for each thread and no time for messages.
        """
        from dgnn import estimate

        return estimate.estimate(self, structure, ranks)

    @collective
    def hessian(self, coords: ArrayLike, types: ArrayLike, box: ArrayLike | None = None, *,
                pbc: ArrayLike | None = None, spins: ArrayLike | None = None, fparam: ArrayLike | None = None,
                aparam: ArrayLike | None = None, charge_spin: ArrayLike | None = None, step: float | None = None,
                threads: int | None = None, progress: bool = False, comm: Any = None) -> tuple[np.ndarray, float]:
        """(H, error): second derivatives of the energy, H[i, a, j, b] = d2E / dr_ia dr_jb, (n, 3, n, 3) eV/Å^2.

        By central differences of the forces at step and half of it, extrapolated; symmetric, and its rows sum to zero, as
        the energy does not change when all atoms move. error: what the extrapolation changed, at most; the result is
        nearer to the truth than that, unless a neighbour list is cut. Spins are held fixed. NULL atoms: zeros.

        step: Å (None: 0.01, of a float32 model 0.05). threads: as in compute_many. comm: an mpi4py communicator; each
        rank passes the same whole system, displaces its part of the atoms and gets all of H.
        """
        from dgnn import hessian

        arguments = dict(coords=coords, types=types, box=box, pbc=pbc, spins=spins, fparam=fparam, aparam=aparam,
                         charge_spin=charge_spin)
        return hessian.hessian(self, arguments, step=step, threads=threads, progress=progress, comm=comm)

    @collective
    def compute_ghosted(self, coords: ArrayLike, types: ArrayLike, nlocal: int, *,
                        border: Border | Direct | None = None, mapping: ArrayLike | None = None,
                        neighbours: Sequence[ArrayLike] | None = None, spins: ArrayLike | None = None,
                        fparam: ArrayLike | None = None, aparam: ArrayLike | None = None,
                        charge_spin: ArrayLike | None = None, ghost_forces: str = "return", atomic: bool = False,
                        same_list: bool = False, features: bool = False, comm: Any = None,
                        derivatives: bool = False) -> Result:
        """For a host code that has its own ghost atoms: rows 0 to nlocal - 1 are owned, the rest ghosts.

        coords, types, spins: all rows; aparam: owned rows. border: a Border or a Direct; mapping: the row that
        stands for each row's atom: alone, an owned row, where all owners are on this rank; with a Direct, an owned row or the
        one ghost of a remote atom that the plan brings. neighbours: a list of rows for each owned row, or a tuple
        (first, rows) of CSR arrays (None: dgnn searches). Energy and virial are this rank's share.
        ghost_forces: "return" gives forces for all rows, "add" sends those of ghosts home. same_list: promises that
        ghosts, lists and border are those of the last call, and only positions and spins moved.
        features: also result.descriptor and result.last_layer (where the model has one), of owned rows.
        derivatives: as in compute; dipole_force has the rows that forces have.
        """
        def prepare():
            add = choice("ghost_forces", ghost_forces, {"return": 0, "add": 1})
            swaps, direct = _border(border)
            kinds.check(self.output, flag("atomic", atomic), flag("derivatives", derivatives))
            return 1, dict(
                coords=coords, types=self._types(types), nlocal=integer("nlocal", nlocal), spins=spins,
                fparam=as_row(fparam), aparam=as_column(aparam), charge_spin=charge_spin, border=swaps, direct=direct,
                mapping=mapping, neighbours=csr_neighbours(neighbours), add_ghost_forces=bool(add),
                same_list=flag("same_list", same_list), atomic=flag("atomic", atomic),
                request=self._all_features() if flag("features", features) else 0,
                derivatives=flag("derivatives", derivatives))

        communicator, arguments = self._join(comm, "compute_ghosted", prepare)
        result = Result(**self._call(self._core.compute_ghosted, communicator, **arguments))
        self._warn(result, types, spins, True)
        return result

    def _feature(self, name, request, *, types, spins, comm, **others):
        result = self._evaluate(request | NO_FORCES, types=types, spins=spins, comm=comm, **others)
        self._warn(result, types, spins, comm is None or self._is_rank0)
        return getattr(result, name)

    def _all_features(self):
        """Bits of those that the model has."""
        return DESCRIPTOR | (LAST_LAYER if self._info["dim_last_layer"] else 0)

    def _evaluate(self, request, *, comm=None, **arguments):
        """compute's Result without its warnings, with what bits of request ask for."""
        communicator, (array, frames, nframes, fixed) = self._join(comm, "compute", lambda: arranged(self, comm, **arguments))
        results: list[dict[str, Any]] = []
        for frame in frames:
            if results and communicator is not None and (raised := _core.interrupted()):
                communicator.agree("compute", raised)  # where the others begin this frame
            results.append(self._call(self._core.compute, communicator, **frame, **fixed, request=request))
        if nframes is None:
            return Result(**results[0])
        return stacked(results, array, self, fixed, request)

    def _warn(self, result, types, spins, speaks):
        if speaks:
            self._warn_of_truncation(result)
        self._warn_of_untrained(types)
        self._warn_of_small_spins(types, spins)

    def _types(self, types):
        if isinstance(types, str):
            raise InputError(f"types: expected one for each atom, found the string {types!r}")
        array = as_array("types", types)
        if array.dtype.kind == "O" and all(isinstance(symbol, str) for symbol in array.flat):
            array = array.astype(str)
        if array.dtype.kind != "U":
            return array
        index = {symbol: k for k, symbol in enumerate(self._info["type_map"])}
        unknown = sorted({str(symbol) for symbol in array.flat if symbol not in index})
        if unknown:
            raise InputError(f"types: the model knows {', '.join(index)}; found {', '.join(unknown)}")
        return np.array([index[symbol] for symbol in array.flat], np.int32).reshape(array.shape)

    def _join(self, comm, name, prepare):
        """(the core's communicator or None, the arguments). prepare gives (number of frames, arguments); where it fails
        on one rank, or ranks are about to do different things, all raise."""
        if comm is None:
            return None, prepare()[1]
        from dgnn import communicators

        return communicators.join(self, comm, name, prepare)

    def _call(self, function, comm, **arguments):
        """The core's arrays. A rank without atoms may pass no spins."""
        try:
            arrays = function(**arguments, comm=comm)
        except MemoryError as error:
            raise MemoryError(f"{str(error) or 'out of memory'}; {self._less_memory()}") from None
        if self.is_spin:
            arrays.setdefault("forces_mag", np.zeros_like(arrays["forces"]))
        return kinds.named(arrays, self.output)

    def _less_memory(self):
        ways = ['memory="small"'] if self._info["memory"] == "fast" else []
        ways += ['dtype="float32"'] if self.dtype == "float64" else []
        return f"{', '.join([*ways, 'more ranks'])}: each needs less"

    def _warn_of_truncation(self, result):
        """Once for each model, on rank 0 where the count is that of all. Where a list is cut, energy is not continuous:
        deepmd-kit's numbers, but NVE drifts."""
        for count, what in ((result.ntruncated, "sel; the farthest are left out"),
                            (result.nangle_truncated, "a_sel inside a_rcut; the farthest form no angles")):
            count = int(np.sum(count))
            if count and what not in self._warned:
                self._warned.add(what)
                warnings.warn(f"{count} atoms have more neighbours than the model's {what}, as in deepmd-kit. Energy "
                              "jumps a little where a neighbour enters or leaves such a list (said once for each model)",
                              TruncationWarning, stacklevel=outside())

    def _warn_of_untrained(self, types):
        """Once for each model, of what it first meets. Each rank looks at its own atoms."""
        if not self._untrained or UntrainedElementWarning in self._warned:
            return
        present = np.unique(self._types(types))
        found = [name for k, name in self._untrained.items() if k in present]
        if found:
            self._warned.add(UntrainedElementWarning)
            head = (self._options or {}).get("head")
            trained = f"the head {head!r}" if head else "this model"
            warnings.warn(f"the training data of {trained} had no {', '.join(found)}; for these atoms "
                          "its numbers mean nothing (said once for each model)", UntrainedElementWarning, stacklevel=outside())

    def _warn_of_small_spins(self, types, spins):
        if spins is None or SmallSpinWarning in self._warned or self._info["virtual_scale"] is None:
            return
        scale = np.array(self._info["virtual_scale"])
        types = self._types(types)
        scale = np.where(types >= 0, scale[types], 0.0) * np.ones(np.shape(spins)[:-1])
        away = np.linalg.norm(np.where(scale[..., None] != 0, spins, 0.0), axis=-1) * scale
        small = np.count_nonzero((scale != 0) & (away < _SMALL_DISPLACEMENT))
        if small:
            self._warned.add(SmallSpinWarning)
            warnings.warn(f"{small} magnetic atoms have spins that put their virtual atoms less than "
                          f"{_SMALL_DISPLACEMENT} Å away; the model is nearly singular there, and magnetic forces are huge "
                          "(said once for each model)", SmallSpinWarning, stacklevel=outside())


def _reload(path, options, digest):
    model = Model.load(path, **options)
    if model.digest != digest:
        raise InputError(f"{os.fsdecode(path)}: holds another model than when this one was pickled or copied")
    return model


def arranged(model, comm, *, coords, types, box=None, pbc=None, spins=None, fparam=None, aparam=None, charge_spin=None,
             atomic=False, ids=None, grid=None, replicated=False, derivatives=False):
    """compute's arguments as the core takes them: (number of frames, (coords, arguments of each frame, number of frames or
    None, arguments of all))."""
    array = as_array("coords", coords)
    frames, nframes = split_frames(array, box=(box, 2), spins=(spins, 2), fparam=(fparam, 1), aparam=(aparam, 2),
                                   charge_spin=(charge_spin, 1), types=(model._types(types), 1))
    fixed = dict(pbc=periodic_axes(pbc, box), ids=ids, grid=rank_grid(grid, comm), replicated=flag("replicated", replicated),
                 atomic=flag("atomic", atomic), derivatives=flag("derivatives", derivatives))
    kinds.check(model.output, fixed["atomic"], fixed["derivatives"])
    return len(frames), (array, frames, nframes, fixed)


def stacked(results, coords, model, fixed, request=0):
    """A Result with an axis of frames, from the core's dicts. fixed: as of arranged."""
    if results:
        return Result(**{name: np.stack([result[name] for result in results]) for name in results[0]})
    n, info = coords.shape[1], model._info
    return Result(**kinds.nothing(n, info, fixed["atomic"], fixed["derivatives"]),
                  descriptor=np.zeros((0, n, info["dim_descriptor"])) if request & DESCRIPTOR else None,
                  last_layer=np.zeros((0, n, info["dim_last_layer"])) if request & LAST_LAYER else None)


def _border(border):
    """(border, direct) for the core."""
    if border is None:
        return None, None
    if isinstance(border, Border):
        return border._arguments(), None
    if isinstance(border, Direct):
        return None, border._arguments()
    raise InputError(f"border: expected a dgnn.Border or a dgnn.Direct, found {type(border).__name__}")
