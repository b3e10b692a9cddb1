"""dgnn.deepmd: scripts that change their import, and deepmd-kit's shapes."""

import numpy as np
import pytest
import saved_files

import dgnn
from dgnn.deepmd import DeepPot, calc_model_devi

pytestmark = [pytest.mark.filterwarnings("ignore::dgnn.UntrainedElementWarning"),
              pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")]
# The Python of deepmd-kit's docs/inference/python.md and of its docstrings; names of files are this test's.
EXAMPLES = {"eval": """
from deepmd.infer import DeepPot
import numpy as np

dp = DeepPot("graph.pth")
coord = np.array([[1, 0, 0], [0, 0, 1.5], [1, 0, 3]]).reshape([1, -1])
cell = np.diag(10 * np.ones(3)).reshape([1, -1])
atype = [1, 0, 1]
e, f, v = dp.eval(coord, cell, atype)
""", "devi": """
from deepmd.infer import calc_model_devi
from deepmd.infer import DeepPot as DP
import numpy as np

coord = np.array([[1, 0, 0], [0, 0, 1.5], [1, 0, 3]]).reshape([1, -1])
cell = np.diag(10 * np.ones(3)).reshape([1, -1])
atype = [1, 0, 1]
graphs = [DP("graph.pth"), DP("graph.000.pth")]
model_devi = calc_model_devi(coord, cell, atype, graphs)
"""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, file in (("pth_dpa3", "graph.pth"), ("pth_dpa2", "graph.000.pth")):
        saved_files.format_file(name, "frozen_model.pth", folder).rename(folder / file)
    for name in ("pth_fparam_aparam", "pth_spin_dpa3"):
        saved_files.format_file(name, "frozen_model.pth", folder).rename(folder / f"{name}.pth")
    return folder


@pytest.mark.parametrize("name", EXAMPLES)
def test_deepmd_kits_examples_with_another_import(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    script = EXAMPLES[name].replace("from deepmd.infer import", "from dgnn.deepmd import")
    names = {}
    exec(script, names)
    if name == "eval":
        assert names["e"].shape == (1, 1) and names["f"].shape == (1, 3, 3) and names["v"].shape == (1, 9)
        want = dgnn.Model.load("graph.pth").compute([[1, 0, 0], [0, 0, 1.5], [1, 0, 3]], [1, 0, 1], np.diag([10.0] * 3))
        assert names["e"][0, 0] == want.energy and (names["f"][0] == want.forces).all()
    else:
        assert names["model_devi"].shape == (1, 8) and names["model_devi"][0, 4] > 0


def cases(data, name):
    with np.load(data / "formats" / name / "cases.npz") as file:
        return dict(file)


def arguments_of(arrays, system):
    return {key.split("/")[2]: value for key, value in arrays.items() if key.startswith(f"{system}/in/")}


@pytest.mark.parametrize("name,file", [("pth_dpa3", "graph.pth"), ("pth_fparam_aparam", "pth_fparam_aparam.pth"),
                                       ("pth_spin_dpa3", "pth_spin_dpa3.pth")])
@pytest.mark.parametrize("system", ["cluster", "slab"])
def test_numbers_and_shapes(data, folder, name, file, system):
    arrays = cases(data, name)
    given = arguments_of(arrays, system)
    want = {key.split("/")[2]: value for key, value in arrays.items() if key.startswith(f"{system}/out/")}
    dp, n = DeepPot(str(folder / file)), len(given["type"])
    box = given.get("box")
    more = {key: given[key].reshape(1, -1) for key in ("fparam", "aparam", "spin") if key in given}
    found = dp.eval(given["coord"].reshape(1, -1), None if box is None else box.reshape(1, 9), given["type"], True, **more)
    shapes = [(1, 1), (1, n, 3), (1, 9), (1, n, 1), (1, n, 9)] + [(1, n, 3), (1, n, 1)] * dp.has_spin
    assert [part.shape for part in found] == shapes
    keys = ["energy", "force", "virial", "atom_energy"]
    for key, part in zip(keys, found, strict=False):
        np.testing.assert_allclose(part.ravel(), want[key].ravel(), rtol=0, atol=1e-9 * max(1, np.abs(want[key]).max()))
    if dp.has_spin:
        np.testing.assert_allclose(found[5].ravel(), want["force_mag"].ravel(), rtol=0, atol=1e-8)
        assert found[6].dtype == bool and (found[6][0, :, 0] == (np.array(given["type"]) == 0)).all()


def test_frames_and_mixed_types(folder):
    dp, rng = DeepPot(str(folder / "graph.pth")), np.random.default_rng(0)
    coords, cells = rng.random((4, 5, 3)) * 8, np.tile(np.diag([8.0, 9, 10]).ravel(), (4, 1))
    types = np.array([[0, 1, 1, 0, 1], [1, 1, 1, 0, 0], [0, 0, 0, 1, -1], [1, 0, -1, -1, 1]])
    e, f, v, ae, av = dp.eval(coords, cells, types, atomic=True, mixed_type=True)
    for k in range(4):
        one = dp.model.compute(coords[k], types[k], cells[k].reshape(3, 3), atomic=True)
        assert e[k, 0] == one.energy and (f[k] == one.forces).all() and (ae[k, :, 0] == one.atom_energy).all()
        assert (v[k] == one.virial.ravel()).all() and (av[k] == one.atom_virial.reshape(5, 9)).all()
    same = dp.eval(coords.reshape(4, 15), cells, types[0])
    assert same[0][0, 0] == e[0, 0] and same[1].shape == (4, 5, 3)


def test_parameters_are_spread_as_deepmd_kit_does(folder):
    dp, rng = DeepPot(str(folder / "pth_fparam_aparam.pth")), np.random.default_rng(1)
    coords, types = rng.random((3, 4, 3)) * 8, [0, 1, 1, 0]
    nf, na = dp.get_dim_fparam(), dp.get_dim_aparam()
    fparam, aparam = rng.random(nf), rng.random(na)
    want = dp.eval(coords, None, types, fparam=np.tile(fparam, (3, 1)), aparam=np.tile(aparam, (3, 4)))
    for f, a in ((fparam, aparam), (fparam, np.tile(aparam, 4)), (np.tile(fparam, 3), np.tile(aparam, 12))):
        assert (dp.eval(coords, None, types, fparam=f, aparam=a)[0] == want[0]).all()
    with pytest.raises(dgnn.InputError, match="fparam: found"):
        dp.eval(coords, None, types, fparam=rng.random(nf + 1), aparam=aparam)


def test_descriptors(folder):
    dp, rng = DeepPot(str(folder / "graph.pth")), np.random.default_rng(2)
    coords, types = rng.random((2, 5, 3)) * 6, [0, 1, 1, 0, 1]
    got = dp.eval_descriptor(coords, None, types)
    last = dp.eval_fitting_last_layer(coords.reshape(2, -1), None, types, dtype="fp32")
    assert (got[1] == dp.model.descriptor(coords[1], types)).all() and got.dtype == np.float64
    assert last.dtype == np.float32 and last.shape == (2, 5, dp.model.info()["dim_last_layer"])


def test_what_it_knows_of_itself(folder):
    with DeepPot(str(folder / "graph.pth"), auto_batch_size=128) as dp:
        assert dp.get_type_map() == dp.model.type_map and dp.get_ntypes() == 2 and dp.get_rcut() == dp.model.cutoff
        assert dp.get_sel_type() == [] and dp.get_dim_fparam() == 0 and not dp.has_spin and not dp.has_efield


def test_mistakes_are_named(folder, tmp_path):
    dp = DeepPot(str(folder / "graph.pth"))
    for call, words in ((lambda: dp.eval(np.zeros((1, 7)), None, [0, 1]), "coords: found 7"),
                        (lambda: dp.eval(np.zeros((1, 6)), np.zeros((1, 6)), [0, 1]), "cells: found 6"),
                        (lambda: dp.eval(np.zeros((1, 6)), None, [0, 1], efield=1), "efield"),
                        (lambda: dp.eval_descriptor(np.zeros((1, 6)), None, [0, 1], dtype="fp16"), "dtype"),
                        (lambda: DeepPot(str(folder / "graph.pth"), neighbor_list=1), "neighbor_list")):
        with pytest.raises(dgnn.InputError, match=words):
            call()
    out = tmp_path / "devi.out"
    table = calc_model_devi(np.random.default_rng(0).random((2, 9)) * 5, None, [0, 1, 1], [dp, dp], fname=str(out), atomic=True)
    assert table.shape == (2, 11) and np.loadtxt(out).shape == (2, 11)
