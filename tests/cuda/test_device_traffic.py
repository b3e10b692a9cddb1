"""Bytes that pass between host and device in a step, and bytes of the device: counted by the fake driver."""

import threading

import dgnn
import numpy as np
import pytest
from conftest import DATA
from dgnn import testing
from fake import device, nothing_open, settings  # noqa: F401
from test_device_ranks import system as on_ranks_system

BASE = DATA / "cases" / "dpa3_base" / "model.pt2"
SIX_LAYERS = DATA / "perf" / "dpa3_L6_f32.pt2"


def moved(device, call):
    before = [device.cuda_on_cpu_copied(way) for way in (1, 0)]
    result = call()
    return (*(device.cuda_on_cpu_copied(way) - old for way, old in zip((1, 0), before, strict=True)), result)


def system(n=12):
    rng = np.random.default_rng(8)
    return rng.random((n, 3)) * 8, rng.integers(0, 2, n), np.eye(3) * 8


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name, scale", [("dpa3_base", 1), ("hybrid_dpa3_twice", 2), ("linear_dpa3_sum", 2)])
def test_bytes_of_a_step(name, scale, dtype, atomic, device):
    """While the order of neighbours holds, up go positions and atoms' gradients of the descriptor, down come the
    descriptor, forces and virial; lists and weights stay. With another order, its lists come along. scale: of the parts'
    positions, forces and virials."""
    coords, types, box = system()
    n = len(types)
    model = dgnn.Model.load(DATA / "cases" / name / "model.pt2", dtype=dtype, device="cuda")
    widths = WIDTHS.get(name) or model.info()["dim_descriptor"]
    first_up, first_down, _ = moved(device, lambda: model.compute(coords, types, box, atomic=atomic))
    up, down, _ = moved(device, lambda: model.compute(coords * (1 + 1e-9), types, box, atomic=atomic))
    assert up == scale * 24 * n + 8 * n * widths
    assert down == first_down == scale * (24 * n + 72 + 72 * n * atomic) + 8 * n * widths
    assert first_up > up
    other = coords + np.random.default_rng(1).normal(size=coords.shape) * 0.3
    again, _, _ = moved(device, lambda: model.compute(other, types, box, atomic=atomic))
    assert again > up


WIDTHS = {"linear_dpa3_sum": 16}  # of all parts' descriptors, where the model has none


def test_bytes_with_virtual_atoms(device):
    """Their forces are more than sums over rows (dgnn_spin_nodes_join): gradients of edges come down. Atoms' virials need the
    virtual atoms' offsets."""
    coords, types, box = system(8)
    spins = np.random.default_rng(9).normal(size=coords.shape)
    model = dgnn.Model.load(DATA / "cases" / "spin_dpa3" / "model.pt2", device="cuda")
    width, n = model.info()["dim_descriptor"], 16
    edges = model.compute(coords, types, box, spins=spins).nedges
    up, down, _ = moved(device, lambda: model.compute(coords * (1 + 1e-9), types, box, spins=spins))
    assert up == 24 * n + 8 * n * width and 8 * n * width < down <= 24 * edges + 8 * n * width
    model.compute(coords, types, box, spins=spins, atomic=True)
    up, down, _ = moved(device, lambda: model.compute(coords * (1 + 2e-9), types, box, spins=spins, atomic=True))
    assert up == 2 * 24 * n + 8 * n * width and 8 * n * width < down <= 4 * 24 * edges + 8 * n * width


def test_bytes_on_ranks(device):
    """Ghosts are rows as others: their positions go up, their forces come down, and so do the rows that ranks exchange."""
    coords, types, box = on_ranks_system(20)
    models = [dgnn.Model.load(BASE, threads=1, device="cuda") for _ in range(2)]
    info = models[0].info()
    width, layers = info["dim_descriptor"], info["descriptor"]["repflow"]["nlayers"]
    results = [None, None]

    def step():
        def work(rank, comm):
            results[rank] = models[rank].compute(coords[rank::2], types[rank::2], box, comm=comm)

        threads = [threading.Thread(target=work, args=pair) for pair in enumerate(testing.thread_ranks(2, 60.0))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(result.nghosts for result in results)

    step()
    up, down, ghosts = moved(device, step)
    rows, n, row = 20 + ghosts, 20, 8 * info["descriptor"]["repflow"]["n_dim"]
    assert ghosts > 0
    assert up == 24 * rows + 8 * n * width + (layers - 1) * (ghosts + n) * row
    assert down == 24 * rows + 2 * 72 + 8 * n * width + (layers - 1) * (n + rows) * row


def test_energy_alone(device):
    """Without forces nothing of backward moves."""
    coords, types, box = system()
    model = dgnn.Model.load(BASE, device="cuda")
    reference = model.compute(coords, types, box)
    before = device.cuda_on_cpu_launches(b"repflow_d_geometry_f64")
    width = model.info()["dim_descriptor"]
    _, down, _ = moved(device, lambda: model.descriptor(coords, types, box))
    assert down == 8 * 12 * width
    assert device.cuda_on_cpu_launches(b"repflow_d_geometry_f64") == before
    assert np.array_equal(model.compute(coords, types, box).forces, reference.forces)


def water(copies):
    """192 atoms, copies along each of two vectors."""
    with np.load(DATA / "perf" / "cases.npz") as file:
        coords, types, box = (file[f"water192/in/{name}"] for name in ("coord", "type", "box"))
    coords, box, (x, y) = coords.reshape(-1, 3), box.reshape(3, 3), np.mgrid[:copies, :copies].reshape(2, -1)
    shifts = np.stack([x, y, 0 * x], axis=1) @ box
    return (coords + shifts[:, None]).reshape(-1, 3), np.tile(types.ravel(), copies**2), box * np.array([[copies], [copies], [1]])


@pytest.mark.parametrize("dtype, most", [("float32", 0.8e6), ("float64", 1.6e6)])
def test_memory_of_six_layers(dtype, most, device, figures):
    """Of 768 atoms of water, counted while kernels do nothing: a CPU would take minutes."""
    coords, types, box = water(2)
    model = dgnn.Model.load(SIX_LAYERS, dtype=dtype, device="cuda")
    device.cuda_on_cpu_memory(1)
    weights = device.cuda_on_cpu_memory(0)
    device.cuda_on_cpu_idle(1)
    try:
        with settings(memory=1 << 40):
            model.compute(coords, types, box)
    except dgnn.Error:
        pass  # numbers are those of fresh memory
    finally:
        device.cuda_on_cpu_idle(0)
    used = (device.cuda_on_cpu_memory(1) - weights) / len(types)
    figures.record("memory of a device, of six layers", dtype, "bytes an atom", used, most)
    assert 0.3 * most < used <= most
