"""The system of test_api.py and test_lifetime.py."""

import dgnn
import numpy as np
import pytest
from conftest import DATA


def load_case(name, system="triclinic"):
    folder = DATA / "cases" / name
    with np.load(folder / "cases.npz") as file:
        inputs = {key.split("/")[-1]: file[key] for key in file.files if key.startswith(f"{system}/in/")}
    inputs = {dict(coord="coords", type="types").get(key, key): value for key, value in inputs.items()}
    return dgnn.Model.load(folder / "model.pt2", threads=1, skin=0), inputs


@pytest.fixture(scope="module")
def base():
    model, inputs = load_case("dpa3_base")
    n = len(inputs["types"])
    # float32 holds these exactly, so that every floating layout must give the same bits
    inputs["coords"] = inputs["coords"].astype(np.float32).astype(float)
    inputs["box"] = inputs["box"].astype(np.float32).astype(float)
    inputs["ids"] = np.arange(n, dtype=np.int64)[::-1].copy()
    return model, inputs


def same_bits(one, other):
    np.testing.assert_array_equal(one.forces, other.forces)
    assert one.energy == other.energy
    assert np.abs(one.forces).max() > 1e-3
