"""What a call would take: counts and memory from the core, which lays the call out without computing, and time at a rate that
is measured on a small system of the same density."""

from __future__ import annotations

import operator
import statistics
import time
from typing import Any

import numpy as np

from dgnn._core import InputError, _comm_threads
from dgnn.bench import TRIAL, slab
from dgnn.many import Reader
from dgnn.model import arranged
from dgnn.workers import side_by_side

SAMPLE = 216  # atoms of the system that is timed: six in each direction
MOST_TIMED = 256  # a system that is not larger is timed itself
TIMED_CALLS = 3
SPREAD = 0.1  # of a sample's lattice, in its spacings: as in a liquid or a warm crystal
NEAR = 0.15  # numbers of edges that differ by less have one rate
DEADLINE = 600.0  # seconds that a rank waits for others


def estimate(model, structure, ranks=1) -> dict[str, Any]:
    """As Model.estimate."""
    count = _count(ranks)
    arguments = Reader(model).arguments(structure)
    _, (array, frames, nframes, fixed) = arranged(model, None, **arguments)
    if nframes is not None:
        raise InputError(f"a structure has {nframes} frames; expected one")
    inputs = {**frames[0], **fixed}
    natoms = array.shape[-2]
    told = _laid_out(model, inputs, count)
    total = {name: sum(one[name] for one in told) for name in ("nedges", "nangle", "nbytes", "cost", "flop")}
    edges = total["nedges"] / max(natoms, 1)
    seconds = max(one["cost"] for one in told) * _rate(model, inputs, edges)
    return {"natoms": natoms, "ranks": count, "nedges": total["nedges"], "nangles": total["nangle"],
            "nghosts": max(one["nghosts"] for one in told), "bytes": max(one["nbytes"] for one in told),
            "total_bytes": total["nbytes"], "flop": total["flop"], "seconds": seconds,
            "ms_per_atom": 1e3 * seconds / max(natoms, 1)}


def _count(ranks):
    try:
        count = operator.index(ranks)
    except TypeError:
        count = 0
    if not 1 <= count <= 1024:
        raise InputError(f"ranks: expected 1 to 1024, found {ranks!r}")
    return count


def _laid_out(model, inputs, ranks):
    """The core's counts, of each rank. Ranks are threads of this process here."""
    if ranks == 1:
        return [model._core.estimate(**inputs, comm=None)]
    comms = _comm_threads(ranks, DEADLINE)

    def one(rank):
        return model._core.estimate(**slab(inputs, rank, ranks), comm=comms[rank])

    return side_by_side(one, range(ranks), ranks)


def _rate(model, inputs, edges):
    """Seconds for the core's unit of cost, with so many edges for each atom."""
    small = len(inputs["types"]) <= MOST_TIMED
    for known, rate in model._rates if not small else ():
        if abs(known - edges) <= NEAR * edges:
            return rate
    sample = inputs if small else _sample(model, inputs, edges)
    cost = model._core.estimate(**sample, comm=None)["cost"]
    if not cost:
        return 0.0
    seconds = []
    for _ in range((TRIAL if model._info["memory"] == "fast" else 1) + TIMED_CALLS):
        start = time.perf_counter()
        model._core.compute(**sample, comm=None)
        seconds.append(time.perf_counter() - start)
    rate = statistics.median(seconds[-TIMED_CALLS:]) / cost
    if not small:
        model._rates.append((edges, rate))
    return rate


def _sample(model, inputs, edges):
    """A periodic system in which each atom has about so many edges, with atoms of the structure's own types."""
    side = round(SAMPLE ** (1 / 3))
    density = (edges + 1) / (4 / 3 * np.pi * model.cutoff**3)
    spacing = density ** (-1 / 3)
    random = np.random.default_rng(1)
    places = np.array(list(np.ndindex(side, side, side))) + SPREAD * random.standard_normal((SAMPLE, 3))
    there = np.flatnonzero(np.asarray(inputs["types"]) >= 0)
    chosen = there[np.linspace(0, len(there) - 1, SAMPLE).astype(int)]
    own = {name: inputs[name][chosen] for name in ("types", "spins", "aparam") if inputs.get(name) is not None}
    box = spacing * side * np.eye(3)
    return {**inputs, **own, "coords": spacing * places, "box": box, "pbc": (True, True, True), "ids": None}
