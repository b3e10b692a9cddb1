"""Large systems are computed along a curve through space: nothing of that shows in what the caller gets."""

import dgnn
import numpy as np
import pytest
from conftest import DATA

NAMES = ("energy", "forces", "virial", "atom_energy", "atom_virial")
SIDES = (12, 11, 10)  # 1,320 atoms; from 256 on the order is another


def system(seed=4):
    random = np.random.default_rng(seed)
    places = np.array(list(np.ndindex(SIDES)))[random.permutation(int(np.prod(SIDES)))]
    coords = places * 2.6 + 0.8 * random.random((len(places), 3))
    return dict(coords=coords, types=random.integers(0, 2, len(places)).astype(np.int32), box=np.diag(SIDES) * 2.6)


def load(case, **options):
    return dgnn.Model.load(DATA / "cases" / case / "model.pt2", threads=1, **options)


def permuted(inputs, order):
    return {name: value if name in ("box", "fparam") else value[order] for name, value in inputs.items()}


@pytest.mark.parametrize("case", ["dpa3_base", "dpa3_fparam_aparam", "dpa2_base", "linear_weights"])
def test_order_of_the_caller(case, figures):
    inputs, model = system(), load(case)
    dim_aparam = model.info()["dim_aparam"]
    random = np.random.default_rng(1)
    if dim_aparam:
        inputs["aparam"] = random.random((len(inputs["types"]), dim_aparam))
    if model.info()["dim_fparam"]:
        inputs["fparam"] = random.random(model.info()["dim_fparam"])
    first = model.compute(**inputs, atomic=True)
    order = random.permutation(len(inputs["types"]))
    second = model.compute(**permuted(inputs, order), atomic=True)
    assert np.ptp(first.atom_energy) > 1e-6
    for name in NAMES:
        a, b = getattr(first, name), getattr(second, name)
        a = a[order] if name in ("forces", "atom_energy", "atom_virial") else a
        worst = np.abs(np.asarray(a) - b).max() / np.abs(a).max()
        figures.record("large systems in another order", case, name, worst, 1e-11)
        assert worst < 1e-11


def test_small_parts_of_a_large_system():
    """Atoms of a droplet far from the others have the energies and forces that they have alone, NULL atoms or not."""
    inputs, model = system(), load("dpa3_base")
    random = np.random.default_rng(2)
    few = slice(0, 40)
    drop = dict(coords=7 * random.random((40, 3)), types=inputs["types"][few])
    alone = model.compute(**drop)
    far = inputs["coords"] + 100.0
    types = np.where(random.random(len(far)) < 0.1, -1, inputs["types"])
    assert np.count_nonzero(types >= 0) > 256
    both = model.compute(np.concatenate([far, drop["coords"]]), np.concatenate([types, drop["types"]]))
    assert np.abs(both.forces[len(far):] - alone.forces).max() < 1e-11 * np.abs(alone.forces).max()
    assert np.abs(both.atom_energy[len(far):] - alone.atom_energy).max() < 1e-12
    assert not both.forces[:len(far)][types < 0].any() and not both.atom_energy[:len(far)][types < 0].any()


def test_reused_list_gives_the_bits_of_a_fresh_one():
    inputs, model = system(), load("dpa3_base")
    random = np.random.default_rng(3)
    model.compute(**inputs)
    for _ in range(3):
        inputs["coords"] = inputs["coords"] + 0.02 * random.standard_normal(inputs["coords"].shape)
        ours, fresh = model.compute(**inputs, atomic=True), load("dpa3_base").compute(**inputs, atomic=True)
        assert ours.list_reused and not fresh.list_reused
        assert all(np.array_equal(getattr(ours, name), getattr(fresh, name)) for name in NAMES)
