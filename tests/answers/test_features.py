"""Descriptors and last hidden layers beside deepmd-kit's, for every family: tests/data/make_features.py."""

import concurrent.futures
import pathlib

import numpy as np
import pytest

import dgnn
from dgnn.testing import thread_ranks

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")
FLOAT32 = 2e-5  # of the largest number: rounding of float32 networks, as for forces


def names():
    with np.load(pathlib.Path(__file__).parents[1] / "data" / "features.npz") as features:
        return sorted({key.split("/")[0] for key in features.files})


def inputs(cases, system):
    keys = {"coord": "coords", "type": "types", "box": "box", "spin": "spins", "fparam": "fparam", "aparam": "aparam",
            "charge_spin": "charge_spin"}
    return {argument: cases[f"{system}/in/{key}"] for key, argument in keys.items() if f"{system}/in/{key}" in cases.files}


def rows_of(n):
    """As in make_features.py."""
    return np.unique(np.linspace(0, n - 1, 3).astype(int))


def tolerance(model, expected):
    """By what deepmd-kit computed it in: the fitting net's type is that of the numbers, the descriptor's the model's."""
    return (FLOAT32 if "float32" in (model.dtype, str(expected.dtype)) else 1e-10) * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", names())
def test_numbers_are_deepmd_kits(data, figures, name):
    model = dgnn.Model.load(data / "cases" / name / "model.pt2")
    with np.load(data / "cases" / name / "cases.npz") as cases, np.load(data / "features.npz") as features:
        systems = [inputs(cases, system) for system in sorted({key.split("/")[0] for key in cases.files})]
        for what, compute in (("descriptor", model.descriptor), ("last_layer", model.last_layer)):
            if f"{name}/{what}" not in features.files:
                assert what == "last_layer" and model.info()["dim_last_layer"] == 0
                continue
            want, got = features[f"{name}/{what}"], []
            for arguments in systems:
                all_rows = compute(**arguments)
                assert all_rows.shape == (len(arguments["types"]), want.shape[1])
                got.append(all_rows[rows_of(len(all_rows))])
            assert model.info()[f"dim_{what}"] == want.shape[1]
            worst = np.abs(np.concatenate(got) - want).max()
            figures.record("features beside deepmd-kit", f"{what} {'float32' if tolerance(model, want) > 1e-6 else 'float64'}", "worst", worst)
            assert worst <= tolerance(model, want)


def on_ranks(nrank, call):
    """call(rank, comm) on threads that stand for ranks."""
    with concurrent.futures.ThreadPoolExecutor(nrank) as pool:
        return [future.result(60) for future in [pool.submit(call, rank, comm) for rank, comm in enumerate(thread_ranks(nrank))]]


@pytest.mark.parametrize("name", ["dpa3_base", "dpa2_base", "dpa1_attn2", "se_e2_a", "spin_dpa3", "hybrid_dpa3", "dpa4c_base",
                                  "dpa3_atom_exclude"])
@pytest.mark.parametrize("replicated", [False, True])
def test_ranks_give_what_one_gives(data, name, replicated):
    path = data / "cases" / name / "model.pt2"
    with np.load(data / "cases" / name / "cases.npz") as cases:
        arguments = inputs(cases, "slab")
    types = np.array(arguments.pop("types"))
    types[5] = -1  # a NULL atom has zeros
    n, model = len(types), dgnn.Model.load(path)
    want = [model.descriptor(types=types, **arguments), model.last_layer(types=types, **arguments)]
    assert not want[0][5].any() and not want[1][5].any() and want[0][4].any()
    models = [dgnn.Model.load(path) for _ in range(3)]
    owner = np.random.default_rng(3).integers(0, 3, n)

    def call(rank, comm):
        mine = np.arange(n) if replicated else np.flatnonzero(owner == rank)
        own = {key: value[mine] if key in ("coords", "spins", "aparam") else value for key, value in arguments.items()}
        more = dict(types=types[mine], comm=comm, ids=mine, replicated=replicated)
        return mine, models[rank].descriptor(**own, **more), models[rank].last_layer(**own, **more)

    for mine, descriptor, last_layer in on_ranks(3, call):
        for got, expected in ((descriptor, want[0]), (last_layer, want[1])):
            np.testing.assert_allclose(got, expected[mine], rtol=0, atol=1e-11 * max(1, np.abs(expected).max()))


def test_ranks_that_ask_for_different_things_are_told(data):
    path = data / "cases" / "se_e2_a" / "model.pt2"
    with np.load(data / "cases" / "se_e2_a" / "cases.npz") as cases:
        arguments = inputs(cases, "triclinic")
    models = [dgnn.Model.load(path) for _ in range(2)]

    def call(rank, comm):
        with pytest.raises(dgnn.InputError, match="request: rank 1 has another"):
            (models[rank].descriptor if rank else models[rank].last_layer)(**arguments, replicated=True, comm=comm)
        return models[rank].descriptor(**arguments, replicated=True, comm=comm)

    first, second = on_ranks(2, call)
    assert (first == second).all()


def test_frames_have_an_axis(data):
    model = dgnn.Model.load(data / "cases" / "dpa3_base" / "model.pt2")
    with np.load(data / "cases" / "dpa3_base" / "cases.npz") as cases:
        arguments = inputs(cases, "triclinic")
    coords, one = arguments.pop("coords"), None
    frames = np.stack([coords, coords + 0.05 * np.random.default_rng(0).normal(size=coords.shape)])
    both = model.descriptor(coords=frames, **arguments)
    one = model.descriptor(coords=frames[1], **arguments)
    assert both.shape == (2, *one.shape) and (both[1] == one).all()
    none = model.last_layer(coords=frames[:0], **arguments)
    assert none.shape == (0, len(coords), model.info()["dim_last_layer"])


def test_ghosted_rows_are_those_of_owned_atoms(data):
    """A cluster whose atoms all are owned, and an image of one as a ghost far away."""
    for name in ("dpa3_base", "se_e2_a"):
        model = dgnn.Model.load(data / "cases" / name / "model.pt2")
        with np.load(data / "cases" / name / "cases.npz") as cases:
            arguments = inputs(cases, "cluster")
        n = len(arguments["types"])
        coords = np.concatenate([arguments["coords"], [[500.0, 0, 0]]])
        types = np.append(arguments["types"], arguments["types"][0])
        result = model.compute_ghosted(coords, types, n, mapping=[*range(n), 0], features=True)
        assert result.descriptor.shape == (n, model.info()["dim_descriptor"])
        np.testing.assert_allclose(result.descriptor, model.descriptor(**arguments), atol=1e-12)
        np.testing.assert_allclose(result.last_layer, model.last_layer(**arguments), atol=1e-12)
        assert result.forces.any()  # asked for beside forces, not instead


def test_energies_are_the_same_bits_beside_features(data):
    """Forces are not touched by what else is asked for, nor by one thread doing it all."""
    for name in ("dpa3_base", "se_e2_a", "dpa4c_base"):
        model = dgnn.Model.load(data / "cases" / name / "model.pt2", threads=3)
        with np.load(data / "cases" / name / "cases.npz") as cases:
            arguments = inputs(cases, "slab")
        plain = model.compute(**arguments)
        for request in (3, 8, 11):
            other = model._evaluate(request, **arguments)
            assert other.energy == plain.energy and (other.forces == plain.forces).all()
            assert (other.virial == plain.virial).all()
        quick = model._evaluate(4, **arguments)
        assert quick.energy == plain.energy and not quick.forces.any() and not quick.virial.any()


def test_a_sum_of_models_has_no_descriptor(data):
    model = dgnn.Model.load(data / "cases" / "linear_dpa3_dpa1" / "model.pt2")
    with np.load(data / "cases" / "linear_dpa3_dpa1" / "cases.npz") as cases:
        arguments = inputs(cases, "triclinic")
    with pytest.raises(dgnn.UnsupportedModelError, match="descriptor: this model is a sum of models"):
        model.descriptor(**arguments)
    with pytest.raises(dgnn.UnsupportedModelError, match="last_layer: expected one fitting net"):
        model.last_layer(**arguments)
    assert np.isfinite(model.compute(**arguments).energy)


def test_a_fitting_without_hidden_layers_has_no_last_one(data):
    model = dgnn.Model.load(data / "cases" / "dpa3_no_hidden" / "model.pt2")
    with np.load(data / "cases" / "dpa3_no_hidden" / "cases.npz") as cases:
        arguments = inputs(cases, "triclinic")
    assert model.descriptor(**arguments).any()
    with pytest.raises(dgnn.UnsupportedModelError, match="last_layer"):
        model.last_layer(**arguments)


def test_unknown_keywords_are_refused(base_path):
    model = dgnn.Model.load(base_path)
    with pytest.raises(TypeError, match="descriptor.. has no keyword 'pcb'"):
        model.descriptor(np.zeros((1, 3)), [0], pcb=1)


@pytest.mark.parametrize("name", ["dpa3_base", "se_e2_a", "spin_dpa3"])
def test_any_allocation_may_fail(data, name, no_collection):
    """Of features and of a committee: an error, nothing leaked, and a result once memory is there."""
    with np.load(data / "cases" / name / "cases.npz") as cases:
        arguments = inputs(cases, "sparse")
    path = data / "cases" / name / "model.pt2"
    want = dgnn.Model.load(path).descriptor(**arguments)
    live = dgnn._core._alloc_live()
    model, failures = dgnn.Model.load(path), 0
    for call in (lambda: model.descriptor(**arguments), lambda: dgnn.Committee([model, model]).compute(**arguments).devi_f):
        for nth in range(1, 1000):
            dgnn._core._alloc_fail_at(nth)
            try:
                found = call()
                break
            except MemoryError:
                failures += 1
            finally:
                dgnn._core._alloc_fail_at(0)
        else:
            raise AssertionError("never went well")
        assert (found == want).all() if found.ndim == 2 else not found.any()
    assert failures > 10
    model.close()
    del model, call
    assert dgnn._core._alloc_live() == live
