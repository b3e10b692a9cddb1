"""From an mpi4py communicator to a transport for the core, over the MPI that mpi4py loaded.

There is one extension module per MPI, as their binary interfaces differ. Nothing here is imported before a
communicator is used.
"""

import functools
import importlib
import os

_LAUNCHED = {"mpich": "PMI_SIZE", "openmpi": "OMPI_COMM_WORLD_SIZE"}  # how many processes mpirun started
_FAMILIES = {  # what MPI.get_vendor() says -> the module of that binary interface
    "MPICH": "mpich",
    "Intel MPI": "mpich",
    "MVAPICH": "mpich",
    "MVAPICH2": "mpich",
    "Cray MPICH": "mpich",
    "Open MPI": "openmpi",
    "Spectrum MPI": "openmpi",
}


def transport(comm, deadline=300.0):
    """A capsule "dgnn.transport" on a private duplicate of comm. Collective over comm.

    deadline: seconds that the other ranks may take to join in. Raises dgnn.InputError where comm, the MPI or the
    thread cannot be used, and dgnn.CommError where the ranks did not come together.
    """
    from mpi4py import MPI

    from dgnn import CommError, InputError

    if not isinstance(comm, MPI.Comm):
        raise InputError(f"comm: expected an mpi4py communicator, found {type(comm).__name__}")
    module = _module(MPI)
    try:
        return module.transport(MPI._addressof(comm), deadline)
    except ConnectionError as error:
        raise CommError(str(error)) from None
    except ValueError as error:
        raise InputError(str(error)) from None


@functools.cache
def _module(MPI):
    """The extension module that talks to the MPI behind this mpi4py.MPI."""
    from dgnn import InputError

    vendor = MPI.get_vendor()[0]
    family = _FAMILIES.get(vendor)
    if family is None:
        raise InputError(f"comm: mpi4py uses {vendor}, and dgnn talks to {', '.join(sorted(set(_FAMILIES)))}")
    name = f"dgnn._mpi_{family}"
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"comm: mpi4py uses {vendor}, for which dgnn needs its module {name}: {error}. Install dgnn "
                         f"where {vendor}'s mpi.h is found, or choose the other MPI (MPI4PY_MPIABI)") from None
    _check_same_library(MPI, vendor, module)
    _check_launcher(MPI, vendor, family)
    return module


def _check_same_library(MPI, vendor, module):
    """The module must share mpi4py's copy of the library, and its idea of a handle."""
    from dgnn import InputError

    initialised, version = module.library()
    theirs = MPI.Get_library_version().strip()
    if version.strip() != theirs or initialised != MPI.Is_initialized():
        raise InputError(f"comm: {module.__name__} found another MPI than mpi4py: {version.splitlines()[0]!r} instead of "
                         f"{theirs.splitlines()[0]!r}. Build dgnn against the MPI that mpi4py loads, and start the "
                         "program with that MPI's mpirun")
    if MPI._sizeof(MPI.Comm) != module.HANDLE_SIZE:
        raise InputError(f"comm: mpi4py's communicators have {MPI._sizeof(MPI.Comm)} bytes, those of {module.__name__} "
                         f"({vendor}) {module.HANDLE_SIZE}: mpi4py was built for another binary interface")


def _check_launcher(MPI, vendor, family):
    """One MPI's mpirun with the other MPI gives many worlds of one process, each of which computes the whole."""
    if MPI.COMM_WORLD.Get_size() > 1 or _LAUNCHED[family] in os.environ:
        return
    for other, name in _LAUNCHED.items():
        if os.environ.get(name, "").isdigit() and int(os.environ[name]) > 1:
            from dgnn import InputError

            raise InputError(f"comm: mpirun of {other} started {os.environ[name]} processes, but mpi4py uses {vendor}, "
                             "for which each is alone. Start the program with that MPI's mpirun, or choose the other "
                             "MPI (MPI4PY_MPIABI)")
