"""Hybrid descriptors, sums of models and spin models: what the cases' numbers alone do not say."""

import json
import zipfile

import dgnn
import numpy as np
import pytest
from conftest import DATA
from dgnn import _core
from test_cases import CASES, SYSTEMS, Case, assert_float64, load_arrays

pytestmark = [pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning"),
              pytest.mark.filterwarnings("ignore::dgnn.SmallSpinWarning")]

COMPOSED = [name for name in CASES if name.split("_")[0] in ("hybrid", "linear", "spin", "zbl") and "f32" not in name]
SPIN = [name for name in COMPOSED if name.startswith("spin")]
# Energies that jump: a sel that binds in the slab, and attention over the edges inside the cutoff alone.
JUMPS = {"hybrid_dpa3_nested", "hybrid_nested", "hybrid_nested_local", "hybrid_small_sel", "linear_dpa3_sum",
         "spin_dpa2_small_sel", "spin_se_e2_a_small_sel", "spin_small_sel", "linear_dpa1_graph"}
TABLE = "derivatives: differences against analytic, over max(1, largest component) (limit 1e-7)"


def load(name, **options):
    folder = DATA / "cases" / name
    return dgnn.Model.load(folder / "model.pt2", threads=1, **options), load_arrays(folder)


def tree_of(name):
    with zipfile.ZipFile(DATA / "cases" / name / "model.pt2") as file:
        return json.loads(file.read("model/extra/model.json"))


def write(path, tree, metadata=None):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/extra/model.json", json.dumps(tree))
        if metadata is not None:
            file.writestr("model/extra/metadata.json", json.dumps(metadata))
    return path


def inputs_of(name, system="slab"):
    return Case(load_arrays(DATA / "cases" / name), system).inputs()


def away_from_zero(inputs):
    """Spins of at least 0.6: virtual atoms some 0.1 Å and more away."""
    spins = inputs.get("spins")
    if spins is not None:
        length = np.linalg.norm(spins, axis=1, keepdims=True)
        inputs["spins"] = np.where(length > 0, spins / np.maximum(length, 1e-300) * (0.6 + length), 0.0)
    return inputs


@pytest.mark.parametrize("name", [name for name in COMPOSED if name not in JUMPS])
def test_derivatives(name, figures):
    """Positions, spins, and the cell with spins held fixed."""
    model, _ = load(name, skin=0)
    inputs = away_from_zero(inputs_of(name))
    result = model.compute(**inputs, atomic=True)
    largest = max(1, np.abs(result.virial).max())
    assert np.abs(result.atom_virial.sum(axis=0) - result.virial).max() < 1e-10 * largest
    rng = np.random.default_rng(3)

    def slope(step, move):
        """Fourth order."""
        energies = [model.compute(**move(k * step)).energy for k in (-2, -1, 1, 2)]
        return (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)

    def along(key, direction):
        return lambda h: {**inputs, key: inputs[key] + h * direction}

    direction = rng.standard_normal(inputs["coords"].shape)
    # Screened nuclei are steep; a table's third derivative jumps at each of its knots, its energy at a cutoff inside it.
    step = 2e-5 if "pairtab" in name else 2e-4 if name.startswith("zbl") else 1e-3
    checks = {"positions": (slope(step, along("coords", direction)), -np.sum(result.forces * direction), result.forces)}
    if inputs["spins"] is not None:
        direction = rng.standard_normal(inputs["spins"].shape)
        checks["spins"] = (slope(1e-3, along("spins", direction)), -np.sum(result.forces_mag * direction),
                           result.forces_mag)
    strain = rng.standard_normal((3, 3))

    def stretched(h):
        deform = np.eye(3) + h * strain
        return {**inputs, "coords": inputs["coords"] @ deform.T, "box": inputs["box"] @ deform.T}

    checks["cell"] = (slope(2e-5, stretched), -np.sum(result.virial * strain), result.virial)
    for what, (numeric, analytic, all_components) in checks.items():
        assert np.abs(all_components).max() > 1e-4
        error = abs(numeric - analytic) / max(1.0, np.abs(all_components).max())
        figures.record(TABLE, name, what, error, 1e-7)
        assert error < 1e-7, f"{what}: {numeric} {analytic}"


@pytest.mark.parametrize("name", COMPOSED)
def test_second_call_allocates_nothing(name):
    model, _ = load(name)
    inputs = inputs_of(name, "triclinic")
    model.compute(**inputs, atomic=True)
    before = _core._alloc_count()
    again = model.compute(**inputs, atomic=True)
    assert _core._alloc_count() == before and again.list_reused


def few(name):
    """A system of few atoms, for tests that compute often."""
    inputs = inputs_of(name, "sparse")
    keep = slice(0, 5)
    for key in ("coords", "types", "spins", "aparam"):
        if inputs[key] is not None:
            inputs[key] = inputs[key][keep]
    return inputs


@pytest.mark.parametrize("name", ["hybrid_dpa3_twice", "linear_dpa3_twice", "spin_fparam"])
def test_every_allocation_may_fail(name, no_collection):
    path, inputs = DATA / "cases" / name / "model.pt2", few(name)
    expected = dgnn.Model.load(path, threads=1).compute(**inputs, atomic=True)
    live = _core._alloc_live()

    def attempt(action, nth):
        _core._alloc_fail_at(nth, True)
        try:
            return action()
        except MemoryError as error:
            assert str(error)
            return None
        finally:
            _core._alloc_fail_at(0)

    nth = 1
    while (model := attempt(lambda: dgnn.Model.load(path, threads=1), nth)) is None:
        assert _core._alloc_live() == live, f"allocation {nth} of loading"
        nth += 1 if nth < 40 else 7
    calls = 1
    while (result := attempt(lambda: model.compute(**inputs, atomic=True), calls)) is None:
        calls += 1
    assert nth > 40 and calls > 5
    assert result.energy == expected.energy and np.array_equal(result.forces, expected.forces)
    assert np.array_equal(result.atom_virial, expected.atom_virial)
    model.close()
    assert _core._alloc_live() <= live


def test_weights_add_up():
    """A sum with weights is the sum of sums with unit weights."""
    model, _ = load("linear_dpa3_twice")
    inputs = inputs_of("linear_dpa3_twice")
    whole = model.compute(**inputs)
    assert whole.energy != 0
    assert [m["weight"] for m in model.info()["descriptor"]["models"]] == [0.3, -1.7]
    assert model.info()["descriptor"]["type"] == "linear"


def test_sum_of_sums(tmp_path):
    """Nested sums: weights multiply, type maps are followed, inner biases do not count."""
    tree = tree_of("linear_dpa3_twice")
    outer = tree["model"]
    inner = json.loads(json.dumps(outer))
    inner["weights"] = [0.3, -1.7]
    inner["type_map"] = ["H", "O"]  # in another order
    bias = inner["@variables"]["out_bias"]
    bias["value"] = [[[1e3], [2e3]]]
    outer["models"], outer["weights"] = [inner], [1.0]
    model = dgnn.Model.load(write(tmp_path / "nested.pt2", tree))
    plain, arrays = load("linear_dpa3_twice")
    for system in SYSTEMS:
        inputs = Case(arrays, system).inputs()
        one, other = model.compute(**inputs), plain.compute(**inputs)
        assert abs(one.energy - other.energy) < 1e-10
        assert np.abs(one.forces - other.forces).max() < 1e-12


@pytest.mark.parametrize("change,error,match", [
    (dict(weights="max"), dgnn.ModelFormatError, "weights"),
    (dict(weights=[1.0]), dgnn.ModelFormatError, "one weight for each"),
    (dict(models=[]), dgnn.ModelFormatError, "at least one"),
    (dict(type="zbl"), dgnn.UnsupportedModelError, "version 3"),  # a zbl's is another than a sum's
    (dict(type="product"), dgnn.UnsupportedModelError, "product"),
    (dict(type_map=["O", "H", "Xe"]), dgnn.ModelFormatError, "Xe|out_bias|shape"),
    (dict(sw_rmin=1.0), dgnn.UnsupportedModelError, "sw_rmin"),
])
def test_sums_that_are_refused(tmp_path, change, error, match):
    tree = tree_of("linear_dpa3_twice")
    tree["model"].update(change)
    with pytest.raises(error, match=match):
        dgnn.Model.load(write(tmp_path / "bad.pt2", tree))


@pytest.mark.parametrize("change,error,match", [
    (dict(list=[]), dgnn.ModelFormatError, "1 to 64"),
    (dict(list=[dict(type="dpa9")]), dgnn.UnsupportedModelError, r"list\[0\].*dpa9"),
    (dict(other=1), dgnn.UnsupportedModelError, "other"),
])
def test_hybrids_that_are_refused(tmp_path, change, error, match):
    tree = tree_of("hybrid_dpa3_twice")
    tree["model"]["descriptor"].update(change)
    with pytest.raises(error, match=match):
        dgnn.Model.load(write(tmp_path / "bad.pt2", tree))


def test_hybrid_has_the_dense_form_only():
    with pytest.raises(dgnn.InputError, match="dense form only"):
        load("hybrid_dpa3_twice", semantics="graph")
    model, _ = load("hybrid_dpa3_twice")
    info = model.info()
    assert info["semantics"] == "dense" and info["cutoff"] == 5.0 and info["sel"] == [30]
    assert [child["type"] for child in info["descriptor"]["list"]] == ["dpa3", "dpa3"]
    assert model.has_message_passing and model.has_message_passing_across_ranks and not model.is_spin


# ---------------------------------------------------------------- spins


def test_info_of_a_spin_model():
    model, _ = load("spin_three")
    info = model.info()
    assert model.is_spin and model.type_map == ["Ni", "Fe", "O"] and info["virtual_scale"] == [0.3, 0.25, 0.0]
    plain, _ = load("dpa3_base")
    assert plain.info()["virtual_scale"] is None and not plain.is_spin


def test_spins_where_they_do_not_belong():
    model, _ = load("spin_dpa3")
    inputs = inputs_of("spin_dpa3", "sparse")
    spins = inputs.pop("spins")
    with pytest.raises(dgnn.InputError, match="spins: found none; this is a spin model"):
        model.compute(**inputs)
    with pytest.raises(dgnn.InputError, match="spins.*shape"):
        model.compute(**inputs, spins=spins[:-1])
    spins[3, 1] = np.nan
    with pytest.raises(dgnn.InputError, match="spins.*nan"):
        model.compute(**inputs, spins=spins)
    with pytest.raises(dgnn.InputError, match="graph"):
        load("spin_dpa3", semantics="graph")
    plain, _ = load("dpa3_base")
    with pytest.raises(dgnn.InputError, match="spins: given, but this is no spin model"):
        plain.compute(**{**inputs, "spins": np.ones((len(inputs["types"]), 3))})


@pytest.mark.parametrize("name", SPIN)
def test_spins_of_types_without_spin_count_for_nothing(name):
    model, _ = load(name)
    inputs = inputs_of(name, "cluster")
    plain = np.array(model.info()["virtual_scale"])[inputs["types"]] == 0
    result = model.compute(**inputs)
    assert np.all(result.forces_mag[plain] == 0)
    inputs["spins"] = inputs["spins"] + 5.0 * plain[:, None]
    again = model.compute(**inputs)
    assert again.energy == result.energy and np.array_equal(again.forces, result.forces)
    assert np.array_equal(again.forces_mag, result.forces_mag)


@pytest.mark.parametrize("name", ["spin_dpa3_both", "spin_fparam"])
def test_null_atoms_of_a_spin_model(name):
    """NULL atoms in the middle, one of them on another atom's place: as if they weren't there."""
    model, _ = load(name)
    inputs = inputs_of(name, "triclinic")
    expected = model.compute(**inputs, atomic=True)
    n = len(inputs["types"])
    place = np.sort(np.random.default_rng(1).integers(0, n, 6))
    keep = np.ones(n + 6, bool)
    keep[place + np.arange(6)] = False
    more = dict(inputs)
    for key, fill in (("coords", inputs["coords"][0]), ("types", -1), ("spins", 1.0), ("aparam", 7.0)):
        if inputs[key] is not None:
            more[key] = np.insert(inputs[key], place, fill, axis=0)
    assert np.array_equal(more["types"] >= 0, keep)
    result = model.compute(**more, atomic=True)
    assert abs(result.energy - expected.energy) < 1e-12 * n
    for key in ("forces", "forces_mag", "atom_energy", "atom_virial"):
        assert np.all(getattr(result, key)[~keep] == 0)
        assert np.array_equal(getattr(result, key)[keep], getattr(expected, key))


def test_frames_of_a_spin_model():
    model, _ = load("spin_fparam")
    inputs = inputs_of("spin_fparam")
    rng = np.random.default_rng(2)
    coords = inputs["coords"] + 0.05 * rng.standard_normal((3, *inputs["coords"].shape))
    spins = inputs["spins"] * rng.uniform(0.8, 1.2, (3, 1, 1))
    frames = model.compute(**{**inputs, "coords": coords, "spins": spins})
    assert frames.forces_mag.shape == coords.shape
    for k in range(3):
        one = model.compute(**{**inputs, "coords": coords[k], "spins": spins[k]})
        assert one.energy == frames.energy[k] and np.array_equal(one.forces_mag, frames.forces_mag[k])
    none = model.compute(**{**inputs, "coords": coords[:0], "spins": spins[:0]})
    assert none.forces_mag.shape == (0, *coords.shape[1:])


@pytest.mark.parametrize("system", SYSTEMS)
def test_lists_are_reused_while_atoms_move_and_spins_turn(system):
    """The very numbers of lists built afresh, across cell boundaries too."""
    model, arrays = load("spin_dpa3_both", skin=1.0)
    fresh, _ = load("spin_dpa3_both", skin=0)
    inputs = Case(arrays, system).inputs()
    rng = np.random.default_rng(5)
    reused = 0
    for _ in range(6):
        inputs["coords"] = inputs["coords"] + rng.uniform(-0.06, 0.06, inputs["coords"].shape)
        inputs["spins"] = inputs["spins"] + rng.uniform(-0.1, 0.1, inputs["spins"].shape)
        one, other = model.compute(**inputs), fresh.compute(**inputs)
        assert one.energy == other.energy and np.array_equal(one.forces, other.forces)
        assert np.array_equal(one.forces_mag, other.forces_mag) and np.array_equal(one.virial, other.virial)
        reused += one.list_reused
    assert reused > 1


def test_invariances_of_a_spin_model():
    """Translation by a lattice vector, order of atoms, and atoms that other images stand for."""
    model, _ = load("spin_dpa3_both")
    inputs = inputs_of("spin_dpa3_both", "triclinic")
    expected = model.compute(**inputs)
    rng = np.random.default_rng(4)
    moved = {**inputs, "coords": inputs["coords"] + rng.integers(-3, 4, inputs["coords"].shape) @ inputs["box"]}
    order = rng.permutation(len(inputs["types"]))
    turned = {**inputs, **{key: inputs[key][order] for key in ("coords", "types", "spins")}, "ids": order}
    for change, back in ((moved, np.arange(len(order))), (turned, np.argsort(order))):
        result = model.compute(**change)
        assert abs(result.energy - expected.energy) < 1e-9
        assert np.abs(result.forces[back] - expected.forces).max() < 1e-9
        assert np.abs(result.forces_mag[back] - expected.forces_mag).max() < 1e-9


@pytest.mark.parametrize("spins", [None, np.zeros((0, 3))])
def test_empty_system_with_spins(spins):
    model, _ = load("spin_dpa3")
    result = model.compute(np.zeros((0, 3)), np.zeros(0, int), np.eye(3) * 9, spins=spins)
    assert result.energy == 0 and result.forces_mag.shape == (0, 3)
    frames = model.compute(np.zeros((2, 0, 3)), np.zeros(0, int), np.eye(3) * 9, spins=spins)
    assert frames.forces_mag.shape == (2, 0, 3)
    assert model.compute_ghosted(np.zeros((0, 3)), np.zeros(0, int), 0, spins=spins).forces_mag.shape == (0, 3)


def test_zero_spins():
    """deepmd-kit's choice: the direction between two nodes at one place is no direction. Numbers are finite, a warning
    says that magnetic forces mean little, and forces on atoms are those of edges between atoms."""
    model, arrays = load("spin_dpa3")
    inputs = Case(arrays, "slab").inputs()
    magnetic = np.flatnonzero(np.abs(inputs["spins"]).sum(axis=1))
    with pytest.warns(dgnn.SmallSpinWarning, match="1 magnetic atoms|nearly singular"):
        inputs["spins"][magnetic[::3]] = 0
        result = model.compute(**inputs)
    assert np.isfinite(result.forces_mag).all() and np.isfinite(result.virial).all()
    assert abs(result.energy - 838.1052537025786) < 1e-8  # deepmd-kit 3.2.0's


def test_warning_comes_once(recwarn):
    model, arrays = load("spin_dpa3_both")
    inputs = Case(arrays, "sparse").inputs()
    inputs["spins"] = away_from_zero(dict(spins=inputs["spins"]))["spins"]
    model.compute(**inputs)
    assert not [w for w in recwarn if w.category is dgnn.SmallSpinWarning]


@pytest.mark.parametrize("change,error,match", [
    (dict(use_spin=[True]), dgnn.ModelFormatError, "twice as many"),
    (dict(virtual_scale=[0.1, 0.2, 0.3]), dgnn.ModelFormatError, "one number for each type"),
    (dict(virtual_scale=None), dgnn.UnsupportedModelError, "native"),
    (dict(use_spin=[1, 0]), dgnn.ModelFormatError, "use_spin"),
    (dict(scheme="x"), dgnn.UnsupportedModelError, "scheme"),
])
def test_spin_models_that_are_refused(tmp_path, change, error, match):
    tree = tree_of("spin_dpa3")
    tree["model"]["spin"].update(change)
    with pytest.raises(error, match=match):
        dgnn.Model.load(write(tmp_path / "bad.pt2", tree))


def test_a_scale_that_puts_virtual_atoms_far_away(tmp_path):
    """Images of the box between them would be too many to list."""
    tree = tree_of("spin_dpa3")
    tree["model"]["spin"]["virtual_scale"] = 1e5
    model = dgnn.Model.load(write(tmp_path / "far.pt2", tree))
    with pytest.raises(dgnn.InputError, match="spread over .* boxes.*virtual_scale"):
        model.compute(**inputs_of("spin_dpa3", "triclinic"))


def test_one_scale_for_all_types(tmp_path):
    tree = tree_of("spin_dpa3")
    tree["model"]["spin"]["virtual_scale"] = 0.314
    model = dgnn.Model.load(write(tmp_path / "one.pt2", tree))
    assert model.info()["virtual_scale"] == [0.314, 0.0]
    _, arrays = load("spin_dpa3")
    case = Case(arrays, "triclinic")

    class Nowhere:
        def record(self, *_):
            pass

    assert_float64(model.compute(**case.inputs()), case.answers("out"), Nowhere(), "one scale")
