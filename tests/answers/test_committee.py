"""Committees: each model's own bits, deepmd-kit's definitions, ranks, errors, ASE."""

import concurrent.futures
import copy
import pickle

import numpy as np
import pytest
import saved_files

import dgnn
from dgnn.bench import core_arguments
from dgnn.deepmd import DeepPot, calc_model_devi
from dgnn.testing import run_mpi, thread_ranks

NAMES = ["dpa3_base", "dpa2_base", "se_e2_a", "dpa1_attn2"]  # families and cutoffs differ
pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")


def paths(data, names=NAMES):
    return [data / "cases" / name / "model.pt2" for name in names]


def system(data, name="dpa3_base", which="slab"):
    with np.load(data / "cases" / name / "cases.npz") as cases:
        keys = {"coord": "coords", "type": "types", "box": "box", "spin": "spins"}
        return {argument: cases[f"{which}/in/{key}"] for key, argument in keys.items() if f"{which}/in/{key}" in cases.files}


@pytest.mark.parametrize("names", [NAMES, ["spin_dpa3", "spin_dpa2"], ["dpa4c_base", "dpa4c_air_small", "dpa3_base"],
                                   ["dpa4c_spin", "dpa4c_spin"]])
def test_each_model_gives_its_own_bits(data, names):
    arguments = system(data, names[0])
    models = [dgnn.Model.load(path, skin=0.0) for path in paths(data, names)]
    answer = dgnn.Committee(models).compute(**arguments, atomic=True)
    for model, result in zip(models, answer.results, strict=True):
        alone = model.compute(**arguments, atomic=True)
        for name in ("energy", "forces", "virial", "atom_energy", "atom_virial", "forces_mag"):
            assert np.array_equal(getattr(result, name), getattr(alone, name), equal_nan=False) or getattr(alone, name) is None
    np.testing.assert_allclose(answer.mean.forces, np.mean([r.forces for r in answer.results], axis=0), atol=1e-15)
    assert abs(answer.mean.energy - np.mean([r.energy for r in answer.results])) < 1e-12


def test_deviations_are_deepmd_kits(data, tmp_path, figures):
    """Tables that deepmd-kit's calc_model_devi gave: tests/data/make_datasets.py."""
    files = [saved_files.format_file(name, "frozen_model.pth", tmp_path) for name in ("pth_dpa3", "pth_dpa2")]
    folder = data / "datasets" / "water"
    types = 1 - np.loadtxt(folder / "type.raw", dtype=int)
    coords = np.load(folder / "set.000" / "coord.npy").reshape(3, 8, 3)
    boxes = np.load(folder / "set.000" / "box.npy").reshape(3, 3, 3)
    committee = dgnn.Committee(files)
    answer = committee.compute(coords, types, boxes)
    with np.load(data / "datasets" / "devi.npz") as want:
        table = np.stack([answer.max_devi_v, answer.min_devi_v, answer.avg_devi_v, answer.max_devi_f, answer.min_devi_f,
                          answer.avg_devi_f, answer.devi_e], axis=1)
        figures.record("deviations beside deepmd-kit", "committee", "worst", np.abs(table - want["plain"][:, 1:]).max())
        np.testing.assert_allclose(table, want["plain"][:, 1:], rtol=0, atol=1e-12)
        np.testing.assert_allclose(answer.devi_f, want["atomic"][:, 8:], rtol=0, atol=1e-12)
        relative = committee.compute(coords[0], types, boxes[0], relative=0.5, relative_v=0.25)
        numbers = [relative.max_devi_v, relative.min_devi_v, relative.avg_devi_v, relative.max_devi_f, relative.min_devi_f,
                   relative.avg_devi_f, relative.devi_e]
        np.testing.assert_allclose(numbers, want["relative"][0, 1:], rtol=0, atol=1e-12)
        pots = [DeepPot(file) for file in files]
        table = calc_model_devi(coords.reshape(3, -1), boxes.reshape(3, 9), types, pots, frequency=10)
        np.testing.assert_allclose(table, want["plain"], rtol=0, atol=1e-12)
        real = {"energy": np.load(folder / "set.000" / "energy.npy").reshape(-1, 1) / 8,
                "force": np.load(folder / "set.000" / "force.npy").reshape(-1, 8, 3),
                "virial": np.load(folder / "set.000" / "virial.npy") / 8}
        table = calc_model_devi(coords.reshape(3, -1), boxes.reshape(3, 9), types, pots, real_data=real)
        np.testing.assert_allclose(table, want["real"], rtol=0, atol=1e-12)


def on_ranks(nrank, call):
    with concurrent.futures.ThreadPoolExecutor(nrank) as pool:
        return [future.result(60) for future in [pool.submit(call, rank, comm) for rank, comm in enumerate(thread_ranks(nrank))]]


def test_each_model_gives_its_own_bits_on_ranks(data):
    """Whatever the others' cutoffs, sel, type maps and types of numbers: bricks follow from a model's own work."""
    names = [*NAMES, "se_e3_tebd", "dpa3_three_types"]
    arguments, dtypes = system(data), ["float64", "float32"]
    n = len(arguments["types"])

    def load(dtype, name):
        return dgnn.Model.load(data / "cases" / name / "model.pt2", dtype=dtype, skin=0.0)

    def call(rank, comm):
        mine = np.arange(rank, n, 3)
        own = {**arguments, "coords": arguments["coords"][mine], "types": arguments["types"][mine], "ids": mine}
        models = [load(dtypes[k % 2], name) for k, name in enumerate(names)]
        together = dgnn.Committee(models).compute(**own, atomic=True, comm=comm).results
        return together, [model.compute(**own, atomic=True, comm=comm) for model in models]

    for together, alone in on_ranks(3, call):
        assert max(np.abs(result.forces).max() for result in alone) > 1e-3
        for mine, own in zip(together, alone, strict=True):
            for name in ("energy", "forces", "virial", "atom_energy", "atom_virial"):
                assert np.array_equal(getattr(mine, name), getattr(own, name)), name


@pytest.mark.parametrize("replicated", [False, True])
def test_deviations_are_those_of_all_ranks(data, replicated):
    arguments = system(data)
    n = len(arguments["types"])
    want = dgnn.Committee(paths(data)).compute(**arguments, relative=0.1)
    owner = np.random.default_rng(4).integers(0, 2, n)  # rank 2 has no atoms
    committees = [dgnn.Committee(paths(data)) for _ in range(3)]

    def call(rank, comm):
        mine = np.arange(n) if replicated else np.flatnonzero(owner == rank)
        own = {**arguments, "coords": arguments["coords"][mine], "types": arguments["types"][mine]}
        return mine, committees[rank].compute(**own, relative=0.1, comm=comm, ids=mine, replicated=replicated)

    for mine, got in on_ranks(3, call):
        np.testing.assert_allclose(got.devi_f, want.devi_f[mine], atol=1e-11)
        for name in ("max_devi_f", "min_devi_f", "avg_devi_f", "max_devi_v", "min_devi_v", "avg_devi_v", "devi_e"):
            assert abs(getattr(got, name) - getattr(want, name)) < 1e-11


def test_types_go_by_name(data, tmp_path):
    """The second model's order of types is another one; a type that it lacks is an error that says so."""
    four = dgnn.Model.load(data / "cases" / "dpa3_four_types_exclude" / "model.pt2")
    two = dgnn.Model.load(data / "cases" / "dpa3_base" / "model.pt2")
    arguments = system(data, "dpa3_base", "triclinic")
    committee = dgnn.Committee([two, four])
    assert (committee.compute(**arguments).results[1].forces == four.compute(**arguments).forces).all()
    copper = np.array(arguments["types"])
    copper[0] = four.type_map.index("Cu")
    with pytest.raises(dgnn.InputError, match="atom 0 has type 2, which a model of this session does not have"):
        dgnn.Committee([four, two]).compute(**{**arguments, "types": copper})


def test_what_does_not_go_together_is_refused(data):
    with pytest.raises(dgnn.UnsupportedModelError, match="spins are virtual atoms"):
        dgnn.Committee(paths(data, ["dpa3_base", "spin_dpa3"]))
    with pytest.raises(dgnn.InputError, match="0 models"):
        dgnn.Committee([])
    with pytest.raises(dgnn.InputError, match="expected a list"):
        dgnn.Committee("model.pt2")
    with pytest.raises(TypeError, match="has no keyword 'thread'; did you mean 'threads'"):
        dgnn.Committee(paths(data), thread=1)
    committee = dgnn.Committee(paths(data, NAMES[:2]))
    with pytest.raises(dgnn.InputError, match="relative: expected 0 or more"):
        committee.compute(**system(data), relative=-1)


def test_models_stay_open_while_a_committee_holds_them(data):
    model = dgnn.Model.load(paths(data)[0])
    with dgnn.Committee([model, paths(data)[1]]) as committee:
        with pytest.raises(dgnn.BusyError):
            model.close()
        committee.compute(**system(data))
    with pytest.raises(dgnn.InputError, match="committee was closed"):
        committee.compute(**system(data))
    model.close()


def test_errors_leave_a_committee_usable(data):
    committee, arguments = dgnn.Committee(paths(data)), system(data)
    want = committee.compute(**arguments).max_devi_f
    bad = np.array(arguments["coords"])
    bad[3, 1] = np.nan
    with pytest.raises(dgnn.InputError, match="coords"):
        committee.compute(**{**arguments, "coords": bad})
    assert committee.compute(**arguments).max_devi_f == want


def test_threads_share_a_committee(data):
    committee, arguments = dgnn.Committee(paths(data, NAMES[:2])), system(data)
    want = committee.compute(**arguments)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: committee.compute(**arguments), range(8)):
            assert (got.devi_f == want.devi_f).all()


def test_frames(data):
    committee, arguments = dgnn.Committee(paths(data, NAMES[:2])), system(data, which="triclinic")
    coords = arguments.pop("coords")
    frames = np.stack([coords, coords + 0.05 * np.random.default_rng(0).normal(size=coords.shape)])
    both = committee.compute(frames, **arguments)
    assert both.max_devi_f.shape == (2,) and both.devi_f.shape == (2, len(coords))
    np.testing.assert_allclose(both.max_devi_f[1], committee.compute(frames[1], **arguments).max_devi_f, rtol=1e-12)


def test_the_calculator_takes_several_models(data):
    from ase import Atoms

    from dgnn.calculator import DGNNCalculator

    arguments = system(data)
    atoms = Atoms([["O", "H"][k] for k in arguments["types"]], positions=arguments["coords"], cell=arguments["box"], pbc=True)
    files = [str(path) for path in paths(data)]
    atoms.calc = DGNNCalculator(files)
    want = dgnn.Committee(files).compute(**arguments)
    assert atoms.get_potential_energy() == want.mean.energy and (atoms.get_forces() == want.mean.forces).all()
    results = atoms.calc.results
    assert results["forces_comm"].shape == (4, len(atoms), 3) and results["energies_comm"][2] == want.results[2].energy
    np.testing.assert_allclose(results["energy_var"], np.var([r.energy for r in want.results]))
    np.testing.assert_allclose(np.linalg.norm(np.sqrt(results["forces_var"]), axis=1).max(), results["max_devi_f"], rtol=1e-12)
    assert results["max_devi_f"] == want.max_devi_f
    assert atoms.calc.get_property("energy_var", atoms) == results["energy_var"]
    assert atoms.get_stress().shape == (6,) and atoms.calc.todict()["models"] == files


def refused_by_one(comm, good, bad):
    """Rank 0 reads for all; an error of its file is everyone's, and the communicator goes on."""
    try:
        dgnn.Committee([good, bad], comm=comm)
    except dgnn.Error as error:
        words = str(error)
    committee = dgnn.Committee([good, good], comm=comm)
    coords = np.array([[0.0, 0, 0], [0, 0, 1.0]])[comm.rank : comm.rank + 1]
    return words, committee.compute(coords, [comm.rank], comm=comm).max_devi_f


def test_a_model_that_one_rank_refuses_fails_on_all(data, tmp_path):
    bad = tmp_path / "bad.pt2"
    bad.write_bytes(b"PK\x03\x04 not a model")
    first, second = run_mpi(refused_by_one, 2, str(paths(data)[0]), str(bad)).values
    assert first == second and "bad.pt2" in first[0] and first[1] == 0.0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["deepcopy", "pickle"])
def test_a_copy_computes_the_same(data, copied):
    committee, arguments = dgnn.Committee(paths(data, NAMES[:2])), system(data)
    assert np.array_equal(copied(committee).compute(**arguments).mean.forces, committee.compute(**arguments).mean.forces)


@pytest.mark.parametrize("options,words", [(dict(dtype="float99"), "dtype: belongs to Model.load"),
                                           (dict(memory="huge"), "memory: belongs to Model.load"),
                                           (dict(head="none"), "head: belongs to Model.load")])
def test_options_of_loading_are_refused_beside_loaded_models(data, options, words):
    models = [dgnn.Model.load(path) for path in paths(data, NAMES[:2])]
    with pytest.raises(dgnn.InputError, match=words):
        dgnn.Committee(models, **options)
    with pytest.raises(dgnn.InputError, match=words):
        DeepPot(models[0], **options)


def test_a_keyword_that_nobody_knows(data):
    with pytest.raises(dgnn.InputError, match="nonsense: this DeepPot does not know"):
        DeepPot(dgnn.Model.load(paths(data)[0]), nonsense=3)


def test_a_session_measures_nothing(data):
    model = dgnn.Model.load(paths(data)[0])
    session, arguments = dgnn._core.Session((model._core,)), core_arguments(**system(data))
    assert session.compute(**arguments)
    with pytest.raises(dgnn.InputError, match="profile: found True"):
        session.compute(**arguments, profile=True)
