"""Hessians: beside differences at another step, symmetries, ranks."""

import concurrent.futures

import numpy as np
import pytest

import dgnn
from dgnn.testing import thread_ranks

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")


def cluster(seed=0, n=6):
    rng = np.random.default_rng(seed)
    coords = []
    while len(coords) < n:
        place = rng.random(3) * 4
        if all(np.linalg.norm(place - other) > 1.2 for other in coords):
            coords.append(place)
    return dict(coords=np.array(coords), types=np.array([0, 1, 1, 0, 1, 1])[:n])


def differences(model, arguments, step):
    """Six points, error of order step^6."""
    coords = arguments["coords"]
    h = np.zeros((*coords.shape, *coords.shape))
    for j, c in np.ndindex(*coords.shape):
        for k, weight in ((1, 45), (2, -9), (3, 1)):
            for sign in (1, -1):
                moved = coords.copy()
                moved[j, c] += sign * k * step
                h[:, :, j, c] -= sign * weight * model.compute(**{**arguments, "coords": moved}).forces / (60 * step)
    return h


@pytest.mark.parametrize("name", ["dpa3_base", "se_e2_a", "dpa2_base", "dpa4c_base"])
@pytest.mark.parametrize("periodic", [False, True])
def test_beside_differences_of_higher_order(data, name, periodic):
    model = dgnn.Model.load(data / "cases" / name / "model.pt2")
    arguments = {**cluster(), **({"box": np.diag([9.0, 9.5, 10.0])} if periodic else {})}
    h, error = model.hessian(**arguments)
    want = differences(model, arguments, 0.004)
    apart = np.abs(h - want).max()
    assert h.shape == (6, 3, 6, 3) and np.abs(want).max() > 1e-5
    assert apart <= max(error, 1e-9) and apart < 2e-5 * np.abs(want).max() + 1e-10
    assert (h == h.transpose(2, 3, 0, 1)).all()
    assert np.abs(h.sum(axis=2)).max() < 1e-13 * np.abs(h).max() * 100 and np.abs(h.sum(axis=0)).max() < 1e-11


def test_threads_and_steps(data):
    model = dgnn.Model.load(data / "cases" / "dpa3_base" / "model.pt2", skin=0.0)
    arguments = cluster(1)
    one, error = model.hessian(**arguments, threads=1)
    for threads in (2, 5):
        assert (model.hessian(**arguments, threads=threads)[0] == one).all()
    coarse, larger = model.hessian(**arguments, step=0.08)
    assert larger > error and np.abs(coarse - one).max() <= larger


def test_float32_says_how_far_it_is(data):
    model = dgnn.Model.load(data / "cases" / "dpa3_base" / "model.pt2", dtype="float32")
    exact, _ = dgnn.Model.load(data / "cases" / "dpa3_base" / "model.pt2").hessian(**cluster())
    h, error = model.hessian(**cluster())
    assert np.abs(h - exact).max() <= 2 * error and error < 0.05 * np.abs(exact).max()


def test_null_atoms_have_zeros(data):
    model = dgnn.Model.load(data / "cases" / "dpa3_base" / "model.pt2")
    arguments = cluster()
    want, _ = model.hessian(**arguments)
    coords = np.insert(arguments["coords"], 2, [1.0, 1.0, 1.0], axis=0)
    h, _ = model.hessian(coords, np.insert(arguments["types"], 2, -1))
    kept = [0, 1, 3, 4, 5, 6]
    assert not h[2].any() and not h[:, :, 2].any()
    np.testing.assert_allclose(h[np.ix_(kept, range(3), kept, range(3))], want, atol=1e-9)


def test_spins_are_held(data):
    model = dgnn.Model.load(data / "cases" / "spin_dpa3" / "model.pt2")
    arguments = {**cluster(), "spins": np.random.default_rng(3).normal(size=(6, 3))}
    h, error = model.hessian(**arguments)
    assert np.abs(h - differences(model, arguments, 0.004)).max() <= max(error, 1e-9)


def test_ranks_share_the_displacements(data):
    path = data / "cases" / "dpa3_base" / "model.pt2"
    arguments = {**cluster(), "box": np.diag([9.0, 9.5, 10.0])}
    want, error = dgnn.Model.load(path, skin=0.0).hessian(**arguments)
    models = [dgnn.Model.load(path, skin=0.0) for _ in range(3)]

    def call(rank, comm):
        found = models[rank].hessian(**arguments, comm=comm)
        with pytest.raises(dgnn.InputError, match="hessian: ranks pass different systems"):
            models[rank].hessian(**{**arguments, "coords": arguments["coords"] + 0.1 * rank}, comm=comm)
        with pytest.raises(dgnn.InputError, match="step"):
            models[rank].hessian(**arguments, step=-1 if rank == 1 else None, comm=comm)
        return found

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(call, rank, comm) for rank, comm in enumerate(thread_ranks(3))]
        for h, its_error in (future.result(60) for future in futures):
            assert (h == want).all() and its_error == error


def test_mistakes_are_named(base_path):
    model = dgnn.Model.load(base_path)
    for more, words in ((dict(step=0), "step: expected a length"), (dict(threads=0), "threads"), (dict(step=2.0), "step")):
        with pytest.raises(dgnn.InputError, match=words):
            model.hessian(**cluster(), **more)
    with pytest.raises(dgnn.InputError, match="expected one frame"):
        model.hessian(np.zeros((2, 6, 3)), cluster()["types"])
    h, error = model.hessian(np.zeros((0, 3)), [])
    assert h.shape == (0, 3, 0, 3) and error == 0
