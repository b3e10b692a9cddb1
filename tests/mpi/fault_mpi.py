"""Run under mpirun: a rank is killed, stopped or interrupted in the middle of a call, before one of its messages or
agreements.

    mpirun -n 3 python fault_mpi.py kill VICTIM WHERE DEADLINE
    mpirun -n 3 python fault_mpi.py stop
    mpirun -n 3 python fault_mpi.py interrupt

WHERE: "build", "before", "during" or "after" (an exchange of features), "end". Each rank that lives prints a line with
"right", "CommError" or, which must not be, "wrong", after one with its process id.
"""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
from mpi4py import MPI

import dgnn
from dgnn import _core, mpi

CASE = pathlib.Path(__file__).resolve().parent.parent / "data" / "cases" / "dpa3_base" / "model.pt2"
WORLD = MPI.COMM_WORLD
WHERE = ("build", "before", "during", "after", "end")
pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class Transport(ctypes.Structure):
    """struct dgnn_transport."""

    _fields_ = [("size", ctypes.c_size_t), ("context", ctypes.c_void_p), ("rank", ctypes.c_int32), ("nrank", ctypes.c_int32)]
    _fields_ += [(name, ctypes.c_void_p) for name in ("send_create", "receive_create", "start", "wait", "request_free",
                                                      "allgather", "alltoallv", "free")]


ARGUMENTS = {  # of the operations that are watched
    "start": [ctypes.c_void_p] * 3,
    "wait": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_double, ctypes.c_void_p],
    "allgather": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_double, ctypes.c_void_p],
    "alltoallv": [ctypes.c_void_p] * 7 + [ctypes.c_double, ctypes.c_void_p],
}


class Watched:
    """A communicator of dgnn whose operations are noted, if wanted, and that does harm() before number at."""

    def __init__(self, deadline, noted=True):
        self.trace, self.at, self.harm, self.kept = [], -1, None, []
        capsule = mpi.transport(WORLD, 60.0)
        transport = Transport.from_address(pointer_of(capsule, b"dgnn.transport"))
        for name, arguments in ARGUMENTS.items() if noted else ():
            self.wrap(transport, name, ctypes.CFUNCTYPE(ctypes.c_int, *arguments))
        self.comm = _core.Comm(capsule, deadline)

    def wrap(self, transport, name, kind):
        inner = kind(getattr(transport, name))

        def outer(*arguments):
            if len(self.trace) == self.at:
                self.harm()
            self.trace.append(name)
            return inner(*arguments)

        self.kept += [inner, kind(outer)]
        setattr(transport, name, ctypes.cast(self.kept[-1], ctypes.c_void_p).value)

    def place(self, where):
        """The number of that operation in a call like the one noted (a build, three layers)."""
        starts = [k for k, name in enumerate(self.trace) if name == "start" and self.trace[k - 1] != "start"]
        before = starts[2]  # after positions: the first exchange of features, and here the second
        during = self.trace.index("wait", before)
        return {"build": len(self.trace) // 4, "before": before, "during": during, "after": during + 1,
                "end": len(self.trace) - 1}[where]

    def expect(self, at, harm):
        self.trace, self.at, self.harm = [], at, harm


def system():
    rng = np.random.default_rng(8)
    places = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return (places + rng.uniform(0.2, 0.8, (27, 3))) * 2.4, rng.integers(0, 2, 27).astype(np.int32), np.eye(3) * 7.2


COORDS, TYPES, BOX = system()
MINE = np.arange(27)[WORLD.rank::WORLD.size]


class Test:
    def __init__(self):
        self.model = dgnn.Model.load(CASE, threads=1, skin=0)
        self.want = self.model.compute(COORDS, TYPES, BOX)

    def outcome(self, watched):
        begin = time.monotonic()
        try:
            result = self.model.compute(COORDS[MINE], TYPES[MINE], BOX, comm=watched.comm)
        except dgnn.CommError as error:
            return f"CommError after {time.monotonic() - begin:.1f} s: {error}"
        good = abs(result.energy - self.want.energy) < 1e-10 and np.abs(result.forces - self.want.forces[MINE]).max() < 1e-10
        return "right" if good else "wrong"

    def noted(self):
        """A communicator of which one good call is known."""
        watched = Watched(60.0)
        assert self.outcome(watched) == "right"
        return watched


def say(words):
    sys.stdout.write(f"rank {WORLD.rank}: {words}\n")
    sys.stdout.flush()


def kill(victim, where, deadline):
    say(f"process {os.getpid()}")
    test = Test()
    at = test.noted().place(where)
    watched = Watched(float(deadline))
    if WORLD.rank == int(victim):
        watched.expect(at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    WORLD.Barrier()
    say(test.outcome(watched))
    time.sleep(1)  # ranks may be waiting for one another to the deadline
    os._exit(3)


def stopped(seconds):
    """Stops this process; a child lets it go on."""
    subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {os.getpid()}"])
    os.kill(os.getpid(), signal.SIGSTOP)


def stop():
    """Shorter than the deadline: the right numbers. Longer: CommError, and right ones on a new communicator."""
    test = Test()
    noted = test.noted()
    runs = 0
    for victim in range(WORLD.size):
        for where in WHERE:
            at = WORLD.bcast(noted.place(where), victim)
            noted.expect(at if WORLD.rank == victim else -1, lambda: stopped(0.15))
            begin = time.monotonic()
            assert test.outcome(noted) == "right"
            assert WORLD.allreduce(time.monotonic() - begin, MPI.MAX) > 0.1, "nobody was stopped"
            noted.expect(-1, None)
            assert test.outcome(noted) == "right"
            runs += 1
    for victim, where in enumerate(("build", "during", "before")):
        at = noted.place(where)
        watched = Watched(0.4)
        if WORLD.rank == victim % WORLD.size:
            watched.expect(at, lambda: stopped(1.5))
        WORLD.Barrier()
        found = test.outcome(watched)
        told = WORLD.allgather(found)
        assert "wrong" not in told and any(words.startswith("CommError") for words in told), told
        assert found.startswith("CommError") or WORLD.rank == victim, told
        assert test.outcome(test.noted()) == "right"
        runs += 1
    say(f"ok: {runs} stops")


def interrupt():
    """Ctrl-C on ranks that wait for a slow one in mid-call: KeyboardInterrupt when the call is over, on those alone; the
    others have the right numbers, and so has the next call of all. (The slow rank's operations are Python, which would
    hear of a signal at once; so it sends them.)"""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored under nohup, and inherited
    test, delay, runs = Test(), 0.15, 0
    pids = WORLD.allgather(os.getpid())
    for slow in range(WORLD.size):
        watched = Watched(60.0, noted=WORLD.rank == slow)
        assert test.outcome(watched) == "right"
        places = WORLD.bcast([watched.place(where) for where in WHERE] if WORLD.rank == slow else None, slow)
        others = [rank for rank in range(WORLD.size) if rank != slow]
        for turn, at in enumerate(places):
            victims = others if turn % 2 else [others[turn // 2 % len(others)]]

            def signals():
                for rank in victims:
                    os.kill(pids[rank], signal.SIGINT)
                time.sleep(delay)

            watched.expect(at if WORLD.rank == slow else -1, signals)
            begin = time.monotonic()
            try:
                WORLD.Barrier()
                begin = time.monotonic()
                found = test.outcome(watched)
            except KeyboardInterrupt:
                found = "interrupted"
            seconds = time.monotonic() - begin
            assert found == ("interrupted" if WORLD.rank in victims else "right"), found
            assert seconds > 0.9 * delay, f"{found} after {seconds} s, in the middle of the call"
            watched.expect(-1, None)
            assert test.outcome(watched) == "right"
            runs += 1
    say(f"ok: {runs} calls interrupted")


{"kill": kill, "stop": stop, "interrupt": interrupt}[sys.argv[1]](*sys.argv[2:])
