"""Bytes that pass between host and device in a step, and waits: counted by the fake driver."""

import dgnn
import numpy as np
import pytest
from conftest import DATA
from fake import device, nothing_open  # noqa: F401

PATH = DATA / "cases" / "dpa3_base" / "model.pt2"


def moved(device, call):
    before = [device.cuda_on_cpu_copied(way) for way in (1, 0)]
    result = call()
    return (*(device.cuda_on_cpu_copied(way) - old for way, old in zip((1, 0), before, strict=True)), result)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bytes_of_a_step(dtype, device):
    """While the order of neighbours holds, up go edges' vectors and atoms' gradients of the descriptor, down come the
    descriptor and edges' gradients; lists and weights stay. With another order, its lists come along."""
    rng = np.random.default_rng(8)
    coords, types, box = rng.random((12, 3)) * 8, rng.integers(0, 2, 12), np.eye(3) * 8
    model = dgnn.Model.load(PATH, dtype=dtype, device="cuda")
    width = model.info()["dim_descriptor"]
    first_up, first_down, result = moved(device, lambda: model.compute(coords, types, box))
    edges = result.nedges if hasattr(result, "nedges") else model.compute(coords, types, box).nedges
    up, down, _ = moved(device, lambda: model.compute(coords * (1 + 1e-9), types, box))
    assert up == 24 * edges + 8 * 12 * width
    assert down == first_down == 24 * edges + 8 * 12 * width
    assert first_up > up
    other = coords + rng.normal(size=coords.shape) * 0.3
    up, _, _ = moved(device, lambda: model.compute(other, types, box))
    assert up > 8 * 12 * width + 24 * edges


def test_energy_alone(device):
    """Without forces nothing of backward moves."""
    rng = np.random.default_rng(9)
    coords, types, box = rng.random((12, 3)) * 8, rng.integers(0, 2, 12), np.eye(3) * 8
    model = dgnn.Model.load(PATH, device="cuda")
    reference = model.compute(coords, types, box)
    before = device.cuda_on_cpu_launches(b"repflow_d_geometry_f64")
    values = model.descriptor(coords, types, box) if hasattr(model, "descriptor") else None
    if values is not None:
        assert device.cuda_on_cpu_launches(b"repflow_d_geometry_f64") == before
    assert np.array_equal(model.compute(coords, types, box).forces, reference.forces)
