"""Products on tensor cores beside plain ones; which are taken is settled when a device is opened."""

import contextlib
import gc

import dgnn
import numpy as np
import pytest
from conftest import DATA
from fake import device, environment, nothing_open  # noqa: F401

COUNTED = {"float32": b"product_tensor_f32", "float64": b"product_tensor_f64"}


def system(n=5):
    rng = np.random.default_rng(11)
    return rng.random((n, 3)) * 5, rng.integers(0, 2, n), np.eye(3) * 9


@contextlib.contextmanager
def opened(name, dtype, products):
    """A model on a device that was opened for it."""
    gc.collect()
    with environment(DGNN_CUDA_PRODUCTS=products):
        model = dgnn.Model.load(DATA / "cases" / name / "model.pt2", dtype=dtype, device="cuda")
    try:
        yield model
    finally:
        model.close()


@pytest.mark.parametrize("dtype, limit", [("float32", 2e-5), ("float64", 1e-11)])
@pytest.mark.parametrize("name", ["dpa3_base", pytest.param("dpa3_sequential", marks=pytest.mark.long)])
def test_tensor_products(name, dtype, limit, device):
    truth = dgnn.Model.load(DATA / "cases" / name / "model.pt2", dtype="float64", device="cpu").compute(*system())
    errors = {}
    for products in ("plain", "tensor"):
        with opened(name, dtype, products) as model:
            before = device.cuda_on_cpu_launches(COUNTED[dtype])
            result = model.compute(*system())
            assert (device.cuda_on_cpu_launches(COUNTED[dtype]) > before) == (products == "tensor")
            errors[products] = np.abs(result.forces - truth.forces).max() / np.abs(truth.forces).max()
    assert max(errors.values()) <= limit
    assert errors["tensor"] <= max(2 * errors["plain"], 1e-6 if dtype == "float32" else 1e-14), errors


def test_wrong_tensor_cores(device):
    """Where they give wrong numbers products are plain, and results are right."""
    gc.collect()
    device.cuda_on_cpu_break_tensor(1)
    try:
        with opened("dpa3_base", "float32", "tensor") as model:
            before = device.cuda_on_cpu_launches(COUNTED["float32"])
            result = model.compute(*system())
            assert device.cuda_on_cpu_launches(COUNTED["float32"]) == before
    finally:
        device.cuda_on_cpu_break_tensor(0)
    truth = dgnn.Model.load(DATA / "cases" / "dpa3_base" / "model.pt2", device="cpu").compute(*system())
    assert np.abs(result.forces - truth.forces).max() < 2e-5 * np.abs(truth.forces).max()
