"""Ranks with a device each, or one between them: rows pass through the host's memory, and numbers are those of one rank."""

import dgnn
import numpy as np
import pytest
from conftest import DATA
from fake import device, nothing_open  # noqa: F401
from test_device_faults import on_ranks


def system(n, seed=5, side=9.0):
    rng = np.random.default_rng(seed)
    return rng.random((n, 3)) * side, rng.integers(0, 2, n), np.eye(3) * side


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("name, ranks, n", [("dpa3_base", 2, 20), ("dpa3_sequential", 2, 12), ("dpa3_not_smooth", 2, 12),
                                            ("dpa3_base", 3, 2)])
def test_ranks(name, ranks, n, atomic, device):
    """Of two atoms on three ranks, one has none."""
    path = DATA / "cases" / name / "model.pt2"
    coords, types, box = system(n)
    one = dgnn.Model.load(path, threads=1, device="cpu").compute(coords, types, box, atomic=atomic)
    models = [dgnn.Model.load(path, threads=1, device="cuda") for _ in range(ranks)]

    def call(rank, comm):
        return models[rank].compute(coords[rank::ranks], types[rank::ranks], box, comm=comm, atomic=atomic)

    results = on_ranks(ranks, call)
    for rank, result in enumerate(results):
        if isinstance(result, Exception):
            raise result
        largest = np.abs(one.forces).max()
        assert abs(result.energy - one.energy) <= 1e-12 * abs(one.energy)
        assert np.abs(result.forces - one.forces[rank::ranks]).max(initial=0) <= 1e-11 * largest
        assert np.abs(result.virial - one.virial).max() <= 1e-11 * np.abs(one.virial).max()
        if atomic:
            difference = np.abs(result.atom_virial - one.atom_virial[rank::ranks]).max(initial=0)
            assert difference <= 1e-11 * np.abs(one.atom_virial).max()


def test_spin_ranks(device):
    path = DATA / "cases" / "spin_dpa3" / "model.pt2"
    coords, types, box = system(10, 6)
    spins = np.random.default_rng(7).normal(size=(10, 3))
    one = dgnn.Model.load(path, threads=1, device="cpu").compute(coords, types, box, spins=spins)
    models = [dgnn.Model.load(path, threads=1, device="cuda") for _ in range(2)]

    def call(rank, comm):
        return models[rank].compute(coords[rank::2], types[rank::2], box, spins=spins[rank::2], comm=comm)

    for rank, result in enumerate(on_ranks(2, call)):
        if isinstance(result, Exception):
            raise result
        assert np.abs(result.forces - one.forces[rank::2]).max() <= 1e-11 * np.abs(one.forces).max()
        assert np.abs(result.forces_mag - one.forces_mag[rank::2]).max() <= 1e-11 * np.abs(one.forces_mag).max()
