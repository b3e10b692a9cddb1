"""From an mpi4py communicator to the core's: made once for each model and communicator, collectively. And loading and
saving by rank 0 for all."""

import pickle
import time

import numpy as np

from dgnn import _core, files
from dgnn._core import CommError, Error, InputError

DEADLINE = 300.0  #: seconds that other ranks may take, of communicators first used from now on
_CHUNK = 1 << 30  # bytes of one broadcast: counts are 32-bit
_KEPT = 64  # duplicates of one communicator
_keyval = None


class _Bound:
    """What belongs to one communicator: a duplicate on which ranks agree on each call before it, and one for each model."""

    def __init__(self, comm):
        self.agreement_comm = _duplicate(comm)
        self.models = {}  # digest -> its duplicate; the last used comes last


def agreement_comm(comm):
    """The core's communicator on which ranks agree before a call."""
    return comm if isinstance(comm, _core.Comm) else _bound_to(_checked(comm), comm).agreement_comm


def together(comm, name, call):
    """What call() gives, which all ranks make; counted, so that ranks in different calls are told. What it raises before
    the ranks agreed (in join, vote or load) is raised on all."""
    own = agreement_comm(comm)
    own.begin()
    try:
        return call()
    except BaseException as error:
        if own.is_open():
            try:
                own.agree(name, error)
            except Error:
                if not isinstance(error, NotImplementedError):  # ASE looks for that class
                    raise
        raise


def vote(comm, name, wish):
    """Does any rank wish it? Collective."""
    return bool(agreement_comm(comm).agree(name, None, int(wish)))


def total(comm, name, prepare):
    """The sum over the ranks, in their order, of the arrays that prepare gives; collective. What it raises on one is raised
    on all."""
    found = {}

    def work(rank, nrank):
        found["own"] = np.ascontiguousarray(prepare(), float)
        return found["own"].tobytes()

    shares = [np.frombuffer(share) for share in gathered(comm, name, work)]
    if len({share.size for share in shares}) > 1:
        raise InputError(f"{name}: ranks have {', '.join(str(share.size) for share in shares)} numbers; expected as many each")
    return sum(shares).reshape(found["own"].shape)


def gathered(comm, name, work):
    """The bytes that work(rank, number of ranks) gives on each rank, in their order; collective. What it raises on one is
    raised on all."""
    own = agreement_comm(comm)
    try:
        rank, nrank = own.place()
        data = work(rank, nrank)
    except BaseException as error:
        own.agree(name, error)
        raise
    unit = 1 << 10  # a vote has 31 bits
    longest = unit * own.agree(name, None, -(-(len(data) + 8) // unit))
    everything = own.allgather((len(data).to_bytes(8, "little") + data).ljust(longest, b"\0"))
    parts = [everything[r * longest : (r + 1) * longest] for r in range(nrank)]
    return [part[8 : 8 + int.from_bytes(part[:8], "little")] for part in parts]


def join(model, comm, name, prepare):
    """(the core's communicator for model and comm, the arguments), for a call that all ranks make; collective.

    prepare: gives (number of frames, arguments). Raises on all ranks what it raises on one (of several, the lowest),
    and an InputError that names two ranks where they are about to do different things.
    """
    own = agreement_comm(comm)
    try:
        nframes, arguments = prepare()
    except BaseException as error:
        own.agree(name, error)
        raise
    words = name + (f" of {nframes} frames" if nframes != 1 else "")
    if own is comm:
        own.agree(words)
        return comm, arguments
    digest, bound = model.digest, _bound_to(_checked(comm), comm)
    model._is_rank0 = comm.Get_rank() == 0
    own.agree(f"{words} with model {digest[:16]}")
    duplicate = bound.models.pop(digest, None) or _duplicate(comm)  # on all ranks or on none, as they agreed on the digest
    bound.models[digest] = duplicate
    if len(bound.models) > _KEPT:
        del bound.models[next(iter(bound.models))]  # a model that still has a plan keeps it
    return duplicate, arguments


def _duplicate(comm):
    from dgnn import mpi

    return _core.Comm(mpi.transport(comm, DEADLINE), DEADLINE)


def _checked(comm):
    """The module MPI, where comm may be used."""
    from mpi4py import MPI

    if not isinstance(comm, MPI.Comm):
        raise InputError(f"comm: expected an mpi4py communicator, found {type(comm).__name__}")
    if not MPI.Is_initialized() or MPI.Is_finalized():
        raise InputError("comm: MPI is not initialised, or finalised already")
    if comm == MPI.COMM_NULL:
        raise InputError("comm: found a null communicator (freed, or this rank is not a member)")
    if comm.Is_inter():
        raise InputError("comm: expected an intra-communicator, found an inter-communicator")
    return MPI


def _bound_to(MPI, comm):
    """What was bound to this communicator: an attribute of it, as its handle may be used again once it is freed."""
    global _keyval
    if _keyval is None:
        _keyval = MPI.Comm.Create_keyval()
    bound = comm.Get_attr(_keyval)
    if bound is None:
        bound = _Bound(comm)
        comm.Set_attr(_keyval, bound)
    return bound


# ---------------------------------------------------------------- rank 0 for all


def load(path, make_options, comm):
    """A _core.Model on each rank from the file that rank 0 reads; collective."""
    _checked(comm)
    agreement_comm(comm).agree("load")
    found = _together(comm, lambda: (make_options(), files.read(path) if comm.Get_rank() == 0 else None))
    source = _broadcast(comm, found[1], 0)
    return _together(comm, lambda: files.make(source, found[0]))


def save(core, path, digest, comm):
    """Rank 0 writes; collective."""
    _checked(comm)
    agreement_comm(comm).agree("save")
    expected = _broadcast(comm, digest, 0)

    def check():
        if digest != expected:
            raise InputError(f"save: rank {comm.Get_rank()} has another model than rank 0")

    _together(comm, check)
    _together(comm, lambda: files.save(core, path) if comm.Get_rank() == 0 else None)


def _together(comm, work):
    """What work gives on this rank; where it failed on any, the error of the lowest such rank on all."""
    result, failure = None, None
    try:
        result = work()
    except Exception as error:
        failure = error
    mine, flags = np.array([failure is not None], np.int32), np.zeros(comm.Get_size(), np.int32)
    _wait(comm.Iallgather(mine, flags))
    if flags.any():
        raise _broadcast(comm, _portable(failure), int(np.flatnonzero(flags)[0]))
    return result


def _portable(error):
    """The error, or its text where it cannot travel."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return Error(str(error))
    return error


def _broadcast(comm, value, root):
    data = np.frombuffer(pickle.dumps(value, protocol=5), np.uint8) if comm.Get_rank() == root else None
    length = np.array([0 if data is None else len(data)], np.int64)
    _wait(comm.Ibcast(length, root))
    data = np.empty(length[0], np.uint8) if data is None else data
    for start in range(0, len(data), _CHUNK):
        _wait(comm.Ibcast(data[start : start + _CHUNK], root))
    return value if comm.Get_rank() == root else pickle.loads(data)


def _wait(request):
    end = time.monotonic() + DEADLINE
    while not request.Test():
        if time.monotonic() > end:
            raise CommError(f"a rank did not join in within {DEADLINE:g} s; the communicator is not used again")
        time.sleep(0.0005)
