"""From an mpi4py communicator to the core's: made once for each model and communicator, collectively."""

import weakref

from dgnn import _core
from dgnn._core import InputError

_keyval = None


def bind(model, comm):
    """The core's communicator for comm. It lives as long as model and comm do."""
    from mpi4py import MPI

    if not isinstance(comm, MPI.Comm):
        raise InputError(f"comm: expected an mpi4py communicator, found {type(comm).__name__}")
    if not MPI.Is_initialized() or MPI.Is_finalized():
        raise InputError("comm: MPI is not initialised, or finalised already")
    if comm == MPI.COMM_NULL:
        raise InputError("comm: found a null communicator (freed, or this rank is not a member)")
    if comm.Is_inter():
        raise InputError("comm: expected an intra-communicator, found an inter-communicator")
    bound = _bound_to(MPI, comm)
    if model not in bound:
        from dgnn import mpi

        bound[model] = _core.Comm(mpi.transport(comm))
    return bound[model]


def _bound_to(MPI, comm):
    """What was bound to this communicator: an attribute of it, as its handle may be used again once it is freed."""
    global _keyval
    if _keyval is None:
        _keyval = MPI.Comm.Create_keyval()
    bound = comm.Get_attr(_keyval)
    if bound is None:
        bound = weakref.WeakKeyDictionary()
        comm.Set_attr(_keyval, bound)
    return bound
