"""A model in LAMMPS through its `fix external`: any LAMMPS that Python can drive, on any number of ranks, no plugin.

    import dgnn.lammps                      # before LAMMPS is started, see below
    from lammps import lammps

    lmp = lammps()
    lmp.file("in.water")                    # box, atoms, masses, thermostats; no pair style is needed
    fix = dgnn.lammps.attach(lmp, "model.pt2", type_map=["O", "H"])
    fix.run(1000)

PyPI's lammps needs the library of an MPI, which it does not bring and does not find: it is there once mpi4py was imported.
This module imports it.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import importlib.util
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    from mpi4py import MPI
except (ImportError, RuntimeError) as error:  # RuntimeError: there is no library of an MPI
    raise ImportError(f"dgnn.lammps needs mpi4py and an MPI, imported before LAMMPS is started: pip install mpi4py mpich "
                      f"({error})") from None

from dgnn import communicators, kinds
from dgnn._core import CommError, Error, InputError, UnsupportedModelError
from dgnn.keywords import suggestion
from dgnn.model import Model

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def _share_library():
    """mpi4py's MPI is the one that libraries loaded from now on find first: wheels of LAMMPS from before 2025 bring one of
    their own, and two in one process do not know each other's ranks."""
    with open("/proc/self/maps") as maps:
        found = re.search(r"/\S.*/libmpi(ch)?\.so[.\d]*$", maps.read(), re.M)
    if found:
        ctypes.CDLL(found.group(), ctypes.RTLD_GLOBAL | os.RTLD_NOLOAD)


def _check_wheel():
    """lammps 2024.8.29.2.0 and 2024.8.29.3.0 bring UCX, which two MPIs in one process do not survive."""
    found = importlib.util.find_spec("lammps")
    folder = os.path.dirname(found.origin) if found and found.origin else ""
    libraries = glob.glob(os.path.join(folder, os.pardir, "lammps.libs", "libucs-*")) if folder else []
    if libraries:
        with open("/proc/self/maps") as maps:
            if "/libucs" in maps.read():
                raise ImportError("this release of lammps brings a second UCX, and crashes beside the one of mpi4py's MPI; take "
                                  "another (pip install 'lammps!=2024.8.29.2.0,!=2024.8.29.3.0')")


_share_library()
_check_wheel()

__all__ = ["Handle", "attach"]

_UNITS = ("metal", "real")
_BOLTZMANN_METAL = 8.617343e-5  # eV/K, LAMMPS's: its boltz over this is the unit of energy, in eV
_VIRIAL_ROW, _VIRIAL_COLUMN = [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]  # xx yy zz xy xz yz
_LOAD_OPTIONS = ("dtype", "threads", "device", "memory", "semantics", "skin")


def attach(lmp: Any, model: str | bytes | os.PathLike | Model, *, type_map: Sequence[str | None],
           fix_id: str | None = None, atomic: bool = True, fparam: ArrayLike | None = None,
           aparam: ArrayLike | None = None, charge_spin: ArrayLike | None = None, **options: Any) -> Handle:
    """Adds a model's energy, forces and virial to a LAMMPS simulation; all ranks of lmp call it.

    lmp: a lammps.lammps in units metal or real whose box exists.
    model: a dgnn.Model, or a path, which rank 0 reads for all. options: those of Model.load, for a path; threads is
    LAMMPS's number (OMP_NUM_THREADS, else 1) where it is not given.
    type_map: for each LAMMPS type a name of the model's type_map; "NULL" or None: its atoms take no part.
    fix_id: of the fix external that is made (None: dgnn, dgnn2, ...).
    atomic: give LAMMPS per-atom virials too; with False, compute stress/atom lacks the model.
    fparam: (dim_fparam,). aparam: (dim_aparam,), the same for all atoms. charge_spin: (2,).

    Several may be attached: what they give adds up. Raises dgnn.InputError where an argument doesn't fit, on all ranks.
    """
    comm = _communicator(lmp)
    path = None if isinstance(model, Model) else model

    def check():
        _check_host(lmp)
        _check_options(options, path)
        if path is not None:
            os.fspath(path)
            options.setdefault("threads", max(1, lmp.extract_setting("nthreads")))

    _together(comm, check)
    if path is not None:
        model = Model.load(path, comm=comm, **options)

    def prepare():
        kinds.needs_energy(model, "attach")
        types = _types_of(model, type_map, lmp.extract_setting("ntypes"))
        inputs = dict(fparam=fparam, aparam=_row("aparam", aparam), charge_spin=charge_spin)
        _check_inputs(model, inputs)
        return types, inputs, _free_id(lmp, fix_id)

    types, inputs, name = _together(comm, prepare)
    _check_same(comm, (types.tolist(), name))
    return Handle(lmp, model, comm, types, inputs, bool(atomic), name)


class Handle:
    """A model in a LAMMPS simulation; made by attach. What goes wrong in a run is raised by run, minimize and command, on
    all ranks, and ends that run at its step."""

    def __init__(self, lmp, model, comm, types, inputs, atomic, fix_id):
        self.model = model  #: dgnn.Model
        self.fix_id = fix_id  #: of the fix external in LAMMPS
        self._lmp = lmp
        self._comm = comm
        self._types = types  # LAMMPS type -> the model's; types count from 1
        self._inputs = inputs
        self._atomic = atomic
        self._factor = lmp.extract_global("boltz") / _BOLTZMANN_METAL
        self._calls = 0
        self._host = lmp.__dict__.setdefault("_dgnn", _Host())
        lmp.command(f"fix {fix_id} all external pf/callback 1 1")
        lmp.command(f"fix_modify {fix_id} energy yes virial yes")
        lmp.set_fix_external_callback(fix_id, self._callback, None)

    def __repr__(self):
        return f"<dgnn.lammps.Handle fix {self.fix_id}: {self.model!r}>"

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def run(self, steps: int, options: str = "") -> None:
        """LAMMPS's run. options: what may follow in its command, such as "post no" or "upto"."""
        self._running(f"run {steps} {options}")

    def minimize(self, etol: float = 0.0, ftol: float = 1e-4, maxiter: int = 1000, maxeval: int = 10000) -> None:
        """LAMMPS's minimize, with its stopping tolerances in its own units; "min_style" and such are commands of lmp."""
        self._running(f"minimize {etol!r} {ftol!r} {maxiter} {maxeval}")

    def command(self, line: str) -> None:
        """Any other command that makes steps: "temper ...", "rerun ...", "include in.production"."""
        self._check_there()
        host, lmp = self._host, self._lmp
        host.raise_failure(lmp)  # of a run that lmp.command started
        failure = None
        with host.running():
            try:
                lmp.command(line)
            except Exception as error:  # LAMMPS's own; what went wrong in a call before it says more
                failure = error
        host.raise_failure(lmp)
        if failure is not None:
            raise failure

    def detach(self) -> None:
        """Removes the fix from LAMMPS; once more, or after lmp.close(), does nothing."""
        lmp, self._lmp = self._lmp, None
        if lmp is None:
            return
        if lmp.lmp:
            if lmp.has_id("fix", self.fix_id):
                lmp.command(f"unfix {self.fix_id}")
            lmp.callback.pop(self.fix_id, None)  # which would keep the model

    # ------------------------------------------------------------ runs

    def _running(self, line):
        self._check_there()
        if self._lmp.extract_global("respa_levels"):
            raise InputError("run_style respa: LAMMPS calls no fix external in it; use run_style verlet")
        calls = self._calls
        self.command(line)
        if self._calls == calls:
            raise Error(f"LAMMPS did not ask for forces in {line.strip()!r}; is the time of a timer timeout over?")

    def _check_there(self):
        if self._lmp is None:
            raise InputError(f"{self!r} was detached")
        if not self._lmp.lmp:
            raise InputError("this LAMMPS was closed")
        if not self._lmp.has_id("fix", self.fix_id):
            raise InputError(f"fix {self.fix_id} is no longer in LAMMPS (unfix or clear removed it); attach again")

    # ------------------------------------------------------------ what LAMMPS calls

    def _callback(self, caller, step, nlocal, ids, positions, forces):
        """ctypes would print an exception, and LAMMPS go on with the forces of the step before."""
        host = self._host
        self._calls += 1
        if host.failure is None:
            try:
                self._step(nlocal, ids, positions, forces)
            except BaseException as error:
                host.fail(error)
        if host.failure is not None:
            if nlocal:
                forces[:] = 0.0
            self._lmp.force_timeout()  # on all ranks, which agreed on the failure: LAMMPS ends the run at this step

    def _step(self, nlocal, ids, positions, forces):
        communicator, inputs = self.model._join(
            self._comm, "LAMMPS's call", lambda: (1, self._from_lammps(nlocal, ids, positions)))
        failure = None
        try:
            result = self.model.compute(**inputs, atomic=self._atomic, comm=communicator)
            self._to_lammps(result, nlocal, forces)
        except Error:  # dgnn's come on all ranks
            raise
        except BaseException as error:
            failure = error
        self.model._join(self._comm, "the end of LAMMPS's call", lambda: (1, _raise(failure)))

    def _from_lammps(self, nlocal, ids, positions):
        """Arguments of compute, copied: LAMMPS's arrays may be elsewhere at the next step."""
        if self._host.interrupted:
            raise KeyboardInterrupt
        low, high, xy, yz, xz, periodic, _ = self._lmp.extract_box()
        box = np.array([[high[0] - low[0], 0.0, 0.0], [xy, high[1] - low[1], 0.0], [xz, yz, high[2] - low[2]]])
        inputs = dict(self._inputs, box=box, pbc=[bool(along) for along in periodic])
        if nlocal:
            if ids is None or not np.all(ids):
                raise InputError("atom_modify id no: dgnn needs the atoms' ids")
            types = np.array(self._lmp.numpy.extract_atom("type")).ravel()[:nlocal]
            inputs.update(coords=np.array(positions).reshape(nlocal, 3) - np.array(low), types=self._types[types],
                          ids=np.array(ids, np.int64).reshape(nlocal))
        else:
            inputs.update(coords=np.zeros((0, 3)), types=np.zeros(0, np.int32), ids=np.zeros(0, np.int64))
        if inputs["aparam"] is not None:
            inputs["aparam"] = np.tile(inputs["aparam"], (nlocal, 1))
        return inputs

    def _to_lammps(self, result, nlocal, forces):
        """Each rank gives the total of energy and virial; LAMMPS takes its share of the virial."""
        lmp, virial = self._lmp, self._factor * result.virial
        lmp.fix_external_set_energy_global(self.fix_id, self._factor * result.energy)
        lmp.fix_external_set_virial_global(self.fix_id, virial[_VIRIAL_ROW, _VIRIAL_COLUMN].tolist())
        if not nlocal:
            return
        forces[:] = self._factor * result.forces
        lmp.numpy.fix_external_set_energy_peratom(self.fix_id, self._factor * result.atom_energy)
        if result.atom_virial is not None:
            symmetric = 0.5 * self._factor * (result.atom_virial + result.atom_virial.transpose(0, 2, 1))
            rows = np.ascontiguousarray(symmetric[:, _VIRIAL_ROW, _VIRIAL_COLUMN])
            lmp.numpy.fix_external_set_virial_peratom(self.fix_id, rows)


class _Host:
    """What the handles of one LAMMPS share: the failure that ended its run, and whether Ctrl-C was pressed."""

    def __init__(self):
        self.failure = None
        self.interrupted = False
        self._depth = 0

    def fail(self, error):
        self.failure = error
        if not self._depth and (MPI.COMM_WORLD.Get_rank() == 0 or isinstance(error, CommError)):
            # In lmp.command("run ..."): nobody is there to raise it.
            traceback.print_exception(type(error), error, error.__traceback__)
            print("dgnn.lammps ends this run; with run, minimize and command of the handle such an error is raised",
                  file=sys.stderr, flush=True)

    def raise_failure(self, lmp):
        failure, self.failure = self.failure, None
        if failure is not None:
            lmp.command("timer timeout off")  # else LAMMPS skips all later runs
            raise failure

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Ctrl-C is noted, and raised in the next call, on all ranks: anywhere else ctypes might swallow it, or one rank
        leave the others. The second is what it always was."""
        def note(number, frame):
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        self._depth += 1
        main = threading.current_thread() is threading.main_thread()
        ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if ours:
            signal.signal(signal.SIGINT, note)
        try:
            yield
            if self.interrupted and self.failure is None:
                self.failure = KeyboardInterrupt()
        finally:
            self._depth -= 1
            self.interrupted = False
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)


def _raise(failure):
    if failure is not None:
        raise failure


# ---------------------------------------------------------------- what attach checks


def _communicator(lmp):
    """LAMMPS's own, a partition's where there are several; None for one rank."""
    if not hasattr(lmp, "set_fix_external_callback"):
        raise InputError(f"lmp: expected a lammps.lammps of 2022 or later, found {type(lmp).__name__}")
    if not lmp.lmp:
        raise InputError("lmp: this LAMMPS was closed")
    size, world = lmp.extract_setting("world_size"), MPI.COMM_WORLD
    if size == 1:
        if world.Get_size() > 1 and not lmp.has_mpi_support and world.Get_rank() == 0:
            warnings.warn(f"this LAMMPS was built without MPI: each of {world.Get_size()} processes simulates the whole alone",
                          stacklevel=3)
        return None
    comm = None
    if world.Get_size() >= size:  # else it is another MPI's handle. A LAMMPS of 2023 knows no mpi4py 4, and says None
        comm = lmp.get_mpi_comm() or MPI.Comm.f2py(lmp.lib.lammps_get_mpi_comm(lmp.lmp))
    if comm is None or comm.Get_size() != size:
        raise InputError(f"lmp: LAMMPS runs on {size} ranks, and mpi4py ({MPI.get_vendor()[0]}) does not know them; LAMMPS and "
                         "mpi4py must use one MPI: import dgnn.lammps (or mpi4py) before LAMMPS is started, under that MPI's "
                         "mpirun")
    return comm


def _together(comm, work):
    return work() if comm is None else communicators._together(comm, work)


def _check_same(comm, mine):
    if comm is None:
        return
    first = communicators._broadcast(comm, mine, 0)

    def check():
        if mine != first:
            raise InputError(f"attach: rank {comm.Get_rank()} has another type_map or fix_id than rank 0")

    communicators._together(comm, check)


def _check_host(lmp):
    units = lmp.extract_global("units")
    if units not in _UNITS:
        raise InputError(f"units {units}: expected metal or real")
    if not lmp.extract_setting("box_exist"):
        raise InputError("attach: LAMMPS has no simulation box yet; read or create it first")


def _check_options(options, path):
    """Model.load knows them; a misspelled name of attach's own is told here."""
    names = ["type_map", "fix_id", "atomic", "fparam", "aparam", "charge_spin"]
    if path is None and options:
        raise InputError(f"{next(iter(options))}: belongs to Model.load; attach was given a loaded model")
    if "comm" in options:
        raise InputError("comm: attach takes LAMMPS's own")
    for option in options:
        close = suggestion(option, names)
        if "did you mean" in close and "did you mean" not in suggestion(option, _LOAD_OPTIONS):
            raise TypeError(f"attach() has no keyword {option!r}{close}")


def _types_of(model, names, ntypes):
    """(ntypes + 1,): the model's type of each LAMMPS type, -1 for NULL; entry 0 is not used."""
    if model.is_spin:
        raise UnsupportedModelError(
            "a spin model: fix external adds forces to atoms and has no way for magnetic forces, without which spins would not "
            "move as they should; dgnn's pair style for LAMMPS has them")
    known = model.type_map
    if isinstance(names, (str, bytes)) or not np.iterable(names):
        raise InputError(f"type_map: expected a name for each LAMMPS type, as in type_map={known!r}, found {names!r}")
    names = list(names)
    if len(names) != ntypes:
        raise InputError(f"type_map: LAMMPS has {ntypes} atom types, found {len(names)} names")
    index = {**{name: k for k, name in enumerate(known)}, "NULL": -1, None: -1}
    for name in names:
        if not isinstance(name, str | None) or name not in index:
            raise InputError(f"type_map: the model knows {', '.join(known)} (and NULL: no part in it), found {name!r}")
    return np.array([-1, *(index[name] for name in names)], np.int32)


def _row(name, value):
    if value is None:
        return None
    try:
        row = np.atleast_1d(np.asarray(value, float))
    except (TypeError, ValueError):
        row = np.zeros((0, 0))
    if row.ndim != 1:
        raise InputError(f"{name}: expected numbers, the same for all atoms, found {value!r}")
    return row


def _check_inputs(model, inputs):
    """Now rather than in a run: a system without atoms is told what is wrong with them."""
    row = inputs["aparam"]
    if row is None and model.info()["dim_aparam"]:
        raise InputError(f"aparam: this model takes {model.info()['dim_aparam']} numbers per atom")
    rows = None if row is None else np.zeros((0, len(row)))
    model.compute(np.zeros((0, 3)), np.zeros(0, np.int32), **{**inputs, "aparam": rows})


def _free_id(lmp, wanted):
    if wanted is None:
        number = 1
        while lmp.has_id("fix", name := f"dgnn{number if number > 1 else ''}"):
            number += 1
        return name
    if not isinstance(wanted, str) or not wanted.replace("_", "").isalnum():
        raise InputError(f"fix_id: expected letters, digits and underscores, found {wanted!r}")
    if lmp.has_id("fix", wanted):
        raise InputError(f"fix_id: LAMMPS has a fix {wanted} already")
    return wanted
