"""Run under mpirun: transport, direct and swap exchange over the MPI that mpi4py loaded.

    mpirun -n 4 python tests/mpi/exchange_mpi.py LIBRARY [PLANS]

LIBRARY is exchange_mpi.c with the core's base and comm rooms, as a shared library (test_transport.py builds it).
Prints one line, "ok: N checks on R ranks", on rank 0; exits with 1 where a check failed on any rank.
"""

import ctypes
import gc
import sys
import threading

from mpi4py import MPI

import dgnn
from dgnn import mpi

library = ctypes.CDLL(sys.argv[1])
library.exchange_mpi_run.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_double]
library.exchange_mpi_hold.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]
library.exchange_mpi_alternate.argtypes = [ctypes.c_void_p, ctypes.c_int64]
library.exchange_mpi_release.argtypes = [ctypes.c_void_p]

pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
rename = ctypes.pythonapi.PyCapsule_SetName
rename.argtypes = [ctypes.py_object, ctypes.c_char_p]
TAKEN = b"dgnn.transport.taken"

passed = failed = 0


def check(good, text):
    global passed, failed
    passed += bool(good)
    failed += not good
    if not good:
        print(f"rank {world.rank}: failed: {text}", file=sys.stderr, flush=True)


def run(comm, what, plans=0, deadline=60.0):
    global passed
    capsule = mpi.transport(comm)
    bad = library.exchange_mpi_run(pointer_of(capsule, b"dgnn.transport"), what.encode(), plans, deadline)
    rename(capsule, TAKEN)
    passed += library.exchange_mpi_passed()
    check(bad == 0, f"{what}: {bad} checks failed")


def refused(what, call):
    try:
        call()
    except dgnn.InputError as error:
        check(what in str(error), f"{error!r} says {what!r}")
    else:
        check(False, f"an error that says {what!r}")


def test_refusals():
    refused("mpi4py communicator", lambda: mpi.transport("world"))
    refused("null communicator", lambda: mpi.transport(MPI.COMM_NULL))
    freed = world.Dup()
    freed.Free()
    refused("null communicator", lambda: mpi.transport(freed))
    if world.size > 1:
        half = world.Split(world.rank % 2, world.rank)
        inter = half.Create_intercomm(0, world, 1 - world.rank % 2, 77)
        refused("inter-communicator", lambda: mpi.transport(inter))
        inter.Free()
        half.Free()


def test_other_thread():
    """From a thread that is not the main one: fine, unless MPI was initialised for the main thread only."""
    outcome = []

    def make():
        try:
            outcome.append(mpi.transport(MPI.COMM_SELF))
        except dgnn.InputError as error:
            outcome.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
        check("main thread only" in str(outcome[0]), "the wrong thread is refused")
    else:
        check("dgnn.transport" in repr(outcome[0]), "any thread may make a transport")


def test_user_traffic():
    """Messages of the user with every tag, and receives of any, stay apart from dgnn's."""
    other = (world.rank + 1) % world.size
    wild = world.irecv(source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG)
    run(world, "plans", 6)
    sent = [world.isend(tag, other, tag=tag) for tag in range(3)]
    run(world, "plans", 6)
    got = [wild.wait()] + [world.recv(source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG) for _ in range(2)]
    MPI.Request.waitall(sent)
    check(sorted(got) == [0, 1, 2], "the user's messages are the user's")


def test_splits():
    """Parts of a split, with ranks in reverse order, at the same time; then two communicators in turn."""
    part = world.Split(world.rank % 2, -world.rank)
    run(part, "plans", 10)
    held = []
    for comm in (world, part):
        capsule = mpi.transport(comm)
        handle = ctypes.c_void_p()
        library.exchange_mpi_hold(pointer_of(capsule, b"dgnn.transport"), ctypes.byref(handle))
        rename(capsule, TAKEN)
        held.append(handle)
    part.Free()  # dgnn's duplicate lives on
    for seed in range(20):
        for handle in held[:: 1 if seed % 3 else -1]:
            check(library.exchange_mpi_alternate(handle, seed) == 0, "two communicators in turn")
    library.exchange_mpi_release(held[0])
    # held[1] is freed after MPI_Finalize, by the interpreter's last breath.
    return held[1]


class AtExit:
    def __init__(self, handle):
        self.handle = handle

    def __del__(self):
        library.exchange_mpi_release(self.handle)


world = MPI.COMM_WORLD
plans = int(sys.argv[2]) if len(sys.argv) > 2 else 40
test_refusals()
test_other_thread()
for what in ("collectives", "agreement"):
    run(world, what)
run(world, "plans", plans)
run(MPI.COMM_SELF, "plans", 10)
test_user_traffic()
last = AtExit(test_splits())
unused = mpi.transport(world)  # a capsule that nobody takes
del unused
gc.collect()
never = mpi.transport(world)  # and one that is still there at exit
if world.size > 1:
    run(world, "lost", deadline=1.5)
    run(world, "late", deadline=1.0)
    run(world, "deadline", deadline=1.5)
total = world.allreduce(passed), world.allreduce(failed)
if world.rank == 0 and total[1] == 0:
    print(f"ok: {total[0]} checks on {world.size} ranks, {MPI.get_vendor()[0]}", flush=True)
sys.exit(total[1] > 0)
