"""Second derivatives of the energy, by differences of forces.

With D(s) = -(F(r + s) - F(r - s)) / 2s the error of D is of order s^2, and (4 D(s/2) - D(s)) / 3 is of order s^4.
"""

from __future__ import annotations

import hashlib

import numpy as np

from dgnn import kinds, many
from dgnn._core import InputError
from dgnn.arguments import thread_count
from dgnn.model import ALONE, arranged

STEP = {"float64": 0.01, "float32": 0.05}  # Å


def hessian(model, arguments, *, step=None, threads=None, progress=False, comm=None):
    """As Model.hessian. arguments: compute's, of one frame."""
    if comm is None:
        work = _Work(model, arguments, step, threads, progress)
        return work.finished(work.columns(range(work.ncolumn)))
    from dgnn import communicators

    work = None

    def prepare(rank, nrank):
        nonlocal work
        work = _Work(model, arguments, step, threads, progress and rank == 0)
        return work.digest

    digests = communicators.gathered(comm, "hessian", prepare)
    if len(set(digests)) > 1:
        raise InputError("hessian: ranks pass different systems, models or steps; expected the same whole system on all")
    parts = communicators.gathered(
        comm, "hessian", lambda rank, nrank: work.columns(range(rank, work.ncolumn, nrank)).tobytes())
    columns = np.empty((work.ncolumn, 2, work.natoms, 3))
    for rank, part in enumerate(parts):
        columns[rank :: len(parts)] = np.frombuffer(part).reshape(len(columns[rank :: len(parts)]), 2, work.natoms, 3)
    return work.finished(columns)


class _Work:
    def __init__(self, model, arguments, step, threads, progress):
        kinds.needs_energy(model, "hessian")
        _, (coords, frames, nframes, _) = arranged(model, None, **arguments)
        if nframes is not None:
            raise InputError(f"coords: expected one frame, (n, 3), found shape {coords.shape}")
        self.model, self.progress = model, progress
        self.threads = thread_count(threads) or model._info["threads"]
        self.step = STEP[model.dtype] if step is None else _step(step)
        self.coords = np.array(coords, float)
        if self.coords.ndim != 2 or self.coords.shape[1] != 3:
            raise InputError(f"coords: expected (natoms, 3), found shape {self.coords.shape}")
        self.natoms = len(self.coords)
        types = np.asarray(frames[0]["types"])
        if types.shape != (self.natoms,):
            raise InputError(f"types: expected ({self.natoms},), found shape {types.shape}")
        self.real = np.flatnonzero(types >= 0)
        self.arguments = {**arguments, "types": types}
        self.ncolumn = 3 * len(self.real)

    @property
    def digest(self):
        """Of all that ranks must have alike."""
        parts = [self.model.digest.encode(), repr(self.step).encode(), self.coords.tobytes()]
        parts += [f"{name}{np.asarray(value).tolist()}".encode() for name, value in sorted(self.arguments.items())
                  if name != "coords"]
        return hashlib.sha256(b"\0".join(parts)).digest()

    def columns(self, which):
        """D(s) and D(s/2) of these columns: (len(which), 2, n, 3)."""
        which = list(which)
        found = many.run(lambda k, alone: self.column(which[k], alone), [self.natoms] * len(which), self.threads,
                         self.progress)
        return np.array(found, float).reshape(len(which), 2, self.natoms, 3)

    def column(self, k, alone):
        return [(self.forces(k, -step, alone) - self.forces(k, step, alone)) / (2 * step)
                for step in (self.step, self.step / 2)]

    def forces(self, k, displacement, alone):
        coords = self.coords.copy()
        coords[self.real[k // 3], k % 3] += displacement
        return self.model._evaluate(ALONE if alone else 0, **{**self.arguments, "coords": coords}).forces

    def finished(self, columns):
        """(H, error) from D(s) and D(s/2)."""
        n, real = self.natoms, self.real
        h = np.zeros((n, 3, n, 3))
        coarse, fine = columns[:, 0], columns[:, 1]
        best = (4 * fine - coarse) / 3
        error = float(np.abs(best - fine).max(initial=0))
        inner = best[:, real].reshape(len(real), 3, len(real), 3)
        if len(real):  # what a motion of all atoms together feels: nothing
            inner = inner - inner.mean(axis=0, keepdims=True)
            inner = inner - inner.mean(axis=2, keepdims=True)
        inner = 0.5 * (inner + inner.transpose(2, 3, 0, 1))
        h[np.ix_(real, range(3), real, range(3))] = inner
        return h, error


def _step(step):
    try:
        number = float(step)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number <= 1:
        raise InputError(f"step: expected a length in Å, more than 0 and at most 1, or None; found {step!r}")
    return number
