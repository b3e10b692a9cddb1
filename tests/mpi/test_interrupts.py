"""Signals on one of two ranks, at every line of dgnn's Python and at random moments: that rank hears of them when the call
is over, the other has the right numbers, and the next call of both is theirs. And wrong arguments on one rank alone."""

import functools
import inspect
import os
import pathlib
import signal
import sys
import time
import warnings

import ase
import numpy as np
import pytest
from test_transport import MPIS

import dgnn
from dgnn.calculator import DGNNCalculator
from dgnn.testing import run_mpi

CASE = pathlib.Path(__file__).resolve().parent.parent / "data" / "cases" / "dpa3_base" / "model.pt2"
HOME = os.path.dirname(dgnn.__file__)
STEPS = 12
ARMED = False  # signals outside of a call are the program's own business


class Stopped(BaseException):
    """What the handlers here raise."""


def handler(number, frame):
    if ARMED:
        raise Stopped


def system():
    rng = np.random.default_rng(8)
    places = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    coords = (places + rng.uniform(0.2, 0.8, (27, 3))) * 2.4
    return coords + 0.1 * rng.uniform(-1, 1, (STEPS, 27, 3)), rng.integers(0, 2, 27).astype(np.int32), np.eye(3) * 7.2


class Calls:
    """Those that ranks make together, for each step another system; what they give, and what they should."""

    def __init__(self, comm):
        self.comm, (self.coords, self.types, self.box) = comm, system()
        self.model = dgnn.Model.load(CASE, threads=1)
        serial = dgnn.Model.load(CASE, threads=1, skin=0)
        self.want = [serial.compute(coords, self.types, self.box) for coords in self.coords]
        self.mine = np.arange(27)[comm.rank::comm.size]
        self.atoms = ase.Atoms(np.array(["O", "H"])[self.types], self.coords[0], cell=self.box, pbc=True)
        self.atoms.calc = DGNNCalculator(self.model, comm=comm)

    def compute(self, step):
        arguments = dict(coords=self.coords[step][self.mine], types=self.types[self.mine], box=self.box, comm=self.comm)
        return functools.partial(self.model.compute, **arguments), lambda found: self.right(found, step)

    def frames(self, step):
        arguments = dict(coords=self.coords[:3, self.mine], types=self.types[self.mine], box=self.box, comm=self.comm)
        want = np.array([result.energy for result in self.want[:3]])
        return functools.partial(self.model.compute, **arguments), lambda found: np.abs(found.energy - want).max() < 1e-10

    def calculator(self, step):
        self.atoms.positions = self.coords[step]
        return (functools.partial(self.atoms.calc.get_property, "forces", self.atoms),
                lambda found: np.abs(found - self.want[step].forces).max() < 1e-10)

    def load(self, step):
        return (functools.partial(dgnn.Model.load, CASE, threads=1, comm=self.comm),
                lambda found: found.digest == self.model.digest)

    def right(self, found, step):
        want = self.want[step]
        return abs(found.energy - want.energy) < 1e-10 and np.abs(found.forces - want.forces[self.mine]).max() < 1e-10


def outcome(call, is_right):
    """ "right", "wrong", "stopped" or an error of dgnn's, and the seconds. A signal counts from the call on."""
    global ARMED
    begin = time.monotonic()
    try:
        ARMED = True
        found = call()
        ARMED = False
    except Stopped:
        found = None
    except dgnn.Error as error:
        ARMED = False
        return repr(error), time.monotonic() - begin
    ARMED = False
    seconds = time.monotonic() - begin
    return "stopped" if found is None else "right" if is_right(found) else "wrong", seconds


class Tracer:
    """Sends this process a signal at line number at of dgnn's Python."""

    def __init__(self, at):
        self.at, self.lines = at, 0

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        if event == "line":
            if self.lines == self.at:
                signal.raise_signal(signal.SIGINT)
            self.lines += 1
        return self


def traced(call, tracer):
    def run():
        sys.settrace(tracer)
        try:
            return call()
        finally:
            sys.settrace(None)

    return run


def lines(comm, what, stride):
    """At each line in turn, or some, on rank 0 and then on rank 1; the number of signals."""
    signal.signal(signal.SIGINT, handler)
    warnings.simplefilter("ignore")
    calls, sent = Calls(comm), 0
    make = getattr(calls, what)
    for victim in range(comm.size):
        for step in range(2):  # what is done once is done
            assert outcome(*make(step))[0] == "right"
        tracer = Tracer(-1)
        call, is_right = make(2)
        assert outcome(traced(call, tracer), is_right)[0] == "right"
        for at in range(victim, comm.bcast(tracer.lines, victim), stride):
            step = at % STEPS
            call, is_right = make(step)
            tracer = Tracer(at)
            found, seconds = outcome(traced(call, tracer) if comm.rank == victim else call, is_right)
            # A collection of garbage has lines, too: a call may have fewer than the one that was counted.
            heard = "stopped" if comm.rank == victim and tracer.lines > at else "right"
            told = f"InputError('rank {victim}: Stopped')"  # the frames that follow are not made
            assert found == heard or what == "frames" and found == told and comm.rank != victim, (at, found)
            assert seconds < 2, (at, seconds)
            call, is_right = make((step + 1) % STEPS)
            found, seconds = outcome(call, is_right)
            assert found == "right" and seconds < 2, (at, found, seconds)
            sent += 1
    return sent


def moments(comm, count):
    """At random moments of a call, or just before or after it, by SIGALRM; until so many were heard. How many were."""
    signal.signal(signal.SIGALRM, handler)
    warnings.simplefilter("ignore")
    calls, rng, heard, longest = Calls(comm), np.random.default_rng(3), 0, 0.0
    typical = comm.bcast(min(outcome(*calls.compute(step))[1] for step in range(4)))
    for turn in range(20 * count):
        victim, delay = rng.integers(comm.size), rng.uniform(0.02, 1.1) * typical
        call, is_right = getattr(calls, ("compute", "calculator")[turn // 3 % 2])(turn % STEPS)
        if comm.rank == victim:
            signal.setitimer(signal.ITIMER_REAL, delay)
        found, seconds = outcome(call, is_right)
        signal.setitimer(signal.ITIMER_REAL, 0)
        told = comm.allgather((found, seconds))
        for rank, (words, seconds) in enumerate(told):
            assert words == "right" or words == "stopped" and rank == victim, (turn, told)
            assert seconds < 2, (turn, told)
            longest = max(longest, seconds)
            heard += words == "stopped"
        if heard >= count:
            return heard, longest
    raise AssertionError(f"only {heard} were heard in {20 * count} calls")


class NoArray:
    def __array__(self, *args, **options):
        raise RuntimeError("not today")


def wrong():
    """keyword -> values that are none, for a call on nine atoms or more."""
    hole = np.full((9, 3), np.nan)
    return {
        "coords": [None, "x", hole, np.zeros((9, 2)), np.zeros((9, 3), complex), NoArray(), np.zeros((2, 2, 2, 2))],
        "types": [None, "OH", np.zeros(3), ["Xx"] * 9, np.full(9, 99), NoArray(), [[0]]],
        "box": ["x", np.eye(2), np.zeros((3, 3)), np.eye(3) * np.inf, NoArray(), None],
        "pbc": ["xyz", (1, 2, 3), 7, (1, 1)],
        "spins": [hole, "x", np.ones((9, 3))],
        "fparam": [[1.0], "x", NoArray()],
        "aparam": [np.ones((9, 1)), "x", NoArray()],
        "charge_spin": [[0.0, 1.0], "x", [1]],
        "ids": [[1, 2], "x", np.full(9, -1), NoArray()],
        "grid": [(1, 1), "x", (0, 1, 2), 7],
        "replicated": ["yes", 2, None],
        "atomic": ["no", 3, None],
        "derivatives": ["no", 3, None, True],  # of a dipole that the model has not
        "boxes": [1],  # misspelt
        "attomic": [True],
        "com": [None],
        "nlocal": [3],
    }


def arguments(comm, count):
    """So many calls with one wrong argument on one rank: the same error on both within a second."""
    warnings.simplefilter("ignore")
    calls, rng, longest = Calls(comm), np.random.default_rng(4), 0.0
    table = wrong()
    assert set(inspect.signature(dgnn.Model.compute).parameters) - set(table) == {"self", "comm"}
    for turn in range(count):
        bad = turn % 2
        keyword = list(table)[turn // 2 % len(table)]
        value = table[keyword][rng.integers(len(table[keyword]))]
        options = {keyword: value} if comm.rank == bad else {}
        call, is_right = calls.compute(turn % STEPS)
        if turn % 16 == 15:  # too many, without their names
            inputs = dict(call.keywords)
            positions = [inputs.pop(name) for name in ("coords", "types", "box")] + [True] * (comm.rank == bad)
            found, seconds = outcome(functools.partial(calls.model.compute, *positions, **inputs), is_right)
        else:
            found, seconds = outcome(functools.partial(call, **options), is_right)
        told = comm.allgather((found, seconds))
        assert told[0][0] == told[1][0] and told[0][0].startswith("InputError"), (turn, keyword, told)
        assert max(told[0][1], told[1][1]) < 1, (turn, keyword, told)
        longest = max(longest, told[0][1], told[1][1])
        found, _ = outcome(call, is_right)
        assert found == "right", (turn, keyword, found)
    return longest


@pytest.mark.parametrize("stride", [8, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("what", ["compute", "frames", "calculator", "load"])
def test_at_every_line(what, stride, figures):
    sent = run_mpi(lines, 2, what, stride, mpi="mpich", timeout=600).values
    assert sent[0] == sent[1] > 150 // stride
    figures.record("interrupts at each line", what, "signals", sent[0])


@pytest.mark.parametrize("count", [20, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.parametrize("mpi", MPIS)
def test_at_random_moments(mpi, count, figures):
    (heard, longest), _ = run_mpi(moments, 2, count, mpi=mpi, timeout=600).values
    assert heard >= count
    figures.record("interrupts at random moments", f"{mpi}, {count}", "longest wait (s)", longest, 2)


@pytest.mark.parametrize("count", [32, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.parametrize("mpi", MPIS)
def test_wrong_arguments(mpi, count, figures):
    longest = max(run_mpi(arguments, 2, count, mpi=mpi, timeout=300).values)
    figures.record("one wrong argument on one rank", f"{mpi}, {count}", "longest wait (s)", longest, 1)
