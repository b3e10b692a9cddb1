"""DPA4C: gradients, spins, charge, refusals, ranks' and threads' sameness, its radial table, and published weights where they
are given. What its cases' numbers say is in parity/test_cases.py."""

import json
import os
import zipfile

import dgnn
import numpy as np
import pytest
from conftest import DATA
from dgnn import _core
from test_local import archive, changed

CASES = sorted(path.name for path in (DATA / "cases").iterdir() if path.name.startswith("dpa4c_"))
EXACT = [name for name in CASES if "f32" not in name]
KEYS = dict(coords="coord", types="type", box="box", spins="spin", fparam="fparam", aparam="aparam",
            charge_spin="charge_spin")


def load(name, **options):
    return dgnn.Model.load(archive(name), **{"threads": 1, **options})


def inputs_of(name, system="triclinic"):
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        return {key: file[f"{system}/in/{of}"] for key, of in KEYS.items() if f"{system}/in/{of}" in file.files}


def same(one, other, keys=("energy", "forces", "virial", "atom_energy")):
    return all(np.array_equal(getattr(one, key), getattr(other, key)) for key in keys)


@pytest.mark.parametrize("name", EXACT)
def test_results_are_gradients(name, figures):
    """Central differences of fourth order: positions, cell, spins."""
    model, inputs = load(name, skin=0), inputs_of(name)
    rng = np.random.default_rng(7)
    result = model.compute(**inputs)
    h = 1e-4

    def slope(move):
        energy = [model.compute(**move(k * h)).energy for k in (-2, -1, 1, 2)]
        return (energy[0] - 8 * energy[1] + 8 * energy[2] - energy[3]) / (12 * h)

    direction = 0.1 * rng.standard_normal(inputs["coords"].shape)
    strain = 0.02 * rng.standard_normal((3, 3))

    def strained(s):
        deform = np.eye(3) + s * strain
        return {**inputs, "coords": inputs["coords"] @ deform, "box": inputs["box"] @ deform}

    checks = {"forces": (lambda s: {**inputs, "coords": inputs["coords"] + s * direction},
                         -np.sum(result.forces * direction)),
              "virial": (strained, -np.sum(result.virial.T * strain))}
    if "spins" in inputs:
        checks["forces_mag"] = (lambda s: {**inputs, "spins": inputs["spins"] + s * direction},
                                -np.sum(result.forces_mag * direction))
    for what, (move, exact) in checks.items():
        error = abs(slope(move) - exact)
        figures.record("local descriptors: difference from central differences (limit 1e-9)", name, what, error, 1e-9)
        assert abs(exact) > 1e-5 and error < 1e-9


@pytest.mark.parametrize("name", ["dpa4c_air_small", "dpa4c_spin", "dpa4c_f32"])
def test_threads_give_the_same_bits(name):
    inputs = inputs_of(name, "slab")
    one = load(name).compute(**inputs, atomic=True)
    for threads in (2, 3):
        other = load(name, threads=threads).compute(**inputs, atomic=True)
        assert same(one, other, ("energy", "forces", "virial", "atom_energy", "atom_virial"))
        assert one.forces_mag is None or np.array_equal(one.forces_mag, other.forces_mag)


@pytest.mark.parametrize("name", CASES)
def test_second_call_allocates_nothing(name):
    model, inputs = load(name), inputs_of(name)
    first = model.compute(**inputs, atomic=True)
    before = _core._alloc_count()
    again = model.compute(**inputs, atomic=True)
    assert _core._alloc_count() == before and same(first, again)


def test_types_that_come_later():
    """The table of pairs holds the types that were there: a new one joins it."""
    name = "dpa4c_air_small"
    inputs = inputs_of(name)
    model, only = load(name), inputs["types"] == 1
    part = {**inputs, "coords": inputs["coords"][only], "types": inputs["types"][only]}
    alone = model.compute(**part)
    assert same(model.compute(**inputs), load(name).compute(**inputs))
    assert same(model.compute(**part), alone)


def test_charges_one_after_another():
    """The charge is in the table of pairs; a charge that is none leaves the model usable."""
    name = "dpa4c_charge_spin"
    inputs, model = inputs_of(name), load(name)
    answers = {}
    for charge in ([-1.0, 1.0], [2.0, 3.0], [-1.0, 1.0]):
        result = model.compute(**{**inputs, "charge_spin": np.array(charge)})
        assert same(result, load(name).compute(**{**inputs, "charge_spin": np.array(charge)}))
        answers[tuple(charge)] = result.energy
    assert len(set(answers.values())) == 2
    for charge, message in (([100.0, 1.0], "charge 100"), ([0.0, -1.0], "spin -1")):
        with pytest.raises(dgnn.InputError, match=message):
            model.compute(**{**inputs, "charge_spin": np.array(charge)})
    assert model.compute(**inputs).energy == answers[(-1.0, 1.0)]


def test_null_atoms():
    """As if they weren't there, spins of theirs included."""
    inputs, model = inputs_of("dpa4c_spin"), load("dpa4c_spin")
    expected = model.compute(**inputs)
    more = {**inputs, "coords": np.insert(inputs["coords"], 2, inputs["coords"][0], axis=0),
            "types": np.insert(inputs["types"], 2, -1), "spins": np.insert(inputs["spins"], 2, 3.0, axis=0)}
    result = model.compute(**more)
    assert abs(result.energy - expected.energy) < 1e-12
    for key in ("forces", "forces_mag"):
        values = getattr(result, key)
        assert np.all(values[2] == 0)
        assert np.abs(np.delete(values, 2, axis=0) - getattr(expected, key)).max() < 1e-12


def test_spins_of_types_without_spin_count_for_nothing():
    inputs, model = inputs_of("dpa4c_spin"), load("dpa4c_spin")
    plain = inputs["types"] == 1
    result = model.compute(**inputs)
    again = model.compute(**{**inputs, "spins": inputs["spins"] + 5.0 * plain[:, None]})
    assert same(result, again) and np.all(result.forces_mag[plain] == 0) and np.any(result.forces_mag[~plain] != 0)


def test_spins_must_fit_the_model():
    inputs = inputs_of("dpa4c_spin")
    spins = inputs.pop("spins")
    with pytest.raises(dgnn.InputError, match="found none; this is a spin model"):
        load("dpa4c_spin").compute(**inputs)
    with pytest.raises(dgnn.InputError, match="this is no spin model"):
        load("dpa4c_base").compute(**inputs, spins=spins)


def test_info():
    model = load("dpa4c_spin")
    info = model.info()
    assert model.is_spin and info["virtual_scale"] is None and not info["has_message_passing"]
    assert info["semantics"] == "graph" and info["has_graph_form"]
    assert info["descriptor"]["type"] == "dpa4c" and info["descriptor"]["radial"] == "exact"
    assert load("dpa4c_base", radial="table").info()["descriptor"]["radial"] == "table"


def test_both_semantics_are_the_same():
    """All neighbours count: sel never binds."""
    inputs = inputs_of("dpa4c_base", "slab")
    assert same(load("dpa4c_base").compute(**inputs), load("dpa4c_base", semantics="dense").compute(**inputs))


def test_tables_of_a_compressed_model_are_passed_over(tmp_path):
    path = changed("dpa4c_base", tmp_path, lambda m: m["descriptor"].update(compress={"@variables": {}}))
    model = dgnn.Model.load(path)
    assert any("compression" in note for note in model.info()["notes"]) and not load("dpa4c_base").info()["notes"]
    inputs = inputs_of("dpa4c_base")
    assert same(model.compute(**inputs), load("dpa4c_base").compute(**inputs))


TABLE = "DPA4C, radial table: largest difference of a force over the largest force (limit 1e-6)"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", EXACT)
def test_radial_table(name, dtype, figures):
    """The table against the network itself, and its own forces against its own energy."""
    inputs = inputs_of(name)
    exact = load(name, dtype=dtype).compute(**inputs)
    model = load(name, dtype=dtype, radial="table")
    result = model.compute(**inputs)
    error = np.abs(result.forces - exact.forces).max() / np.abs(exact.forces).max()
    figures.record(TABLE, f"{name}, {dtype}", "forces", error, 1e-6)
    assert error < 1e-6
    if dtype == "float64":
        assert np.any(result.forces != exact.forces)
        direction, h = 0.1 * np.random.default_rng(3).standard_normal(inputs["coords"].shape), 1e-4
        energy = [model.compute(**{**inputs, "coords": inputs["coords"] + k * h * direction}).energy for k in (-2, -1, 1, 2)]
        slope = (energy[0] - 8 * energy[1] + 8 * energy[2] - energy[3]) / (12 * h)
        assert abs(slope + np.sum(result.forces * direction)) < 1e-8


def test_every_allocation_may_fail(no_collection):
    """Of loading and of computing: an error, nothing lost, and the model still computes."""
    path, inputs = archive("dpa4c_spin"), inputs_of("dpa4c_spin", "sparse")
    inputs = {key: value if key == "box" else value[:5] for key, value in inputs.items()}
    expected = dgnn.Model.load(path, threads=1).compute(**inputs)
    live = _core._alloc_live()

    def attempt(action, nth):
        _core._alloc_fail_at(nth, True)
        try:
            return action()
        except MemoryError:
            return None
        finally:
            _core._alloc_fail_at(0)

    nth = 1
    while (model := attempt(lambda: dgnn.Model.load(path, threads=1, radial="table"), nth)) is None:
        assert _core._alloc_live() == live, f"allocation {nth} of loading"
        nth += 1 if nth < 20 else 5
    model.close()
    model, calls = dgnn.Model.load(path, threads=1), 1
    while (result := attempt(lambda: model.compute(**inputs), calls)) is None:
        calls += 1
    assert nth > 40 and calls > 5 and same(result, expected)


def layer(descriptor, *path):
    for key in path:
        descriptor = descriptor[key]
    return descriptor


FIRST = ("readout", "channel_alignment", 0)


@pytest.mark.parametrize("name,change,error,match", [
    ("dpa4c_base", lambda d: d.update(type="dpa4"), dgnn.UnsupportedModelError, "descriptor 'dpa4' is not supported"),
    ("dpa4c_base", lambda d: d.update(type="SeZM"), dgnn.UnsupportedModelError, "descriptor 'SeZM' is not supported"),
    ("dpa4c_base", lambda d: d.update(novel=1), dgnn.UnsupportedModelError, "novel"),
    ("dpa4c_base", lambda d: d.update({"@version": 2}), dgnn.UnsupportedModelError, "version 2"),
    ("dpa4c_base", lambda d: d.update(spin={}), dgnn.UnsupportedModelError, "spin"),
    ("dpa4c_base", lambda d: d.update(basis_type="fourier"), dgnn.UnsupportedModelError, "fourier"),
    ("dpa4c_base", lambda d: d.update(precision="float16"), dgnn.UnsupportedModelError, "float16"),
    ("dpa4c_base", lambda d: d["radial_basis"]["config"].update(novel=1), dgnn.UnsupportedModelError, "config.novel"),
    ("dpa4c_base", lambda d: d["radial_basis"]["config"].update(exponent=6), dgnn.UnsupportedModelError, "exponent"),
    ("dpa4c_base", lambda d: d["radial_basis"]["config"].update(apply_envelope=True), dgnn.UnsupportedModelError, "envelope"),
    ("dpa4c_base", lambda d: d["pair_film"]["network"].update(novel=1), dgnn.UnsupportedModelError, "network.novel"),
    ("dpa4c_base", lambda d: d["readout"].update(novel=1), dgnn.UnsupportedModelError, "readout.novel"),
    ("dpa4c_base", lambda d: d.update(channels=12), dgnn.ModelFormatError, "channels must be"),
    ("dpa4c_base", lambda d: d.update(lmax=5), dgnn.ModelFormatError, "lmax 2, 3 or 4"),
    ("dpa4c_base", lambda d: d.update(n_radial=0), dgnn.ModelFormatError, "n_radial"),
    ("dpa4c_base", lambda d: d.update(radial_modes=-1), dgnn.ModelFormatError, "radial_modes"),
    ("dpa4c_base", lambda d: d.update(rcut=0.0), dgnn.ModelFormatError, "rcut"),
    ("dpa4c_base", lambda d: d.update(rcut=4.0), dgnn.ModelFormatError, "rcut or basis_type is not the descriptor's"),
    ("dpa4c_base", lambda d: d.update(ntypes=3), dgnn.ModelFormatError, "ntypes is 3"),
    ("dpa4c_base", lambda d: d["pair_film"]["network"]["@variables"].pop("1.matrix"), dgnn.ModelFormatError, "1.matrix"),
    ("dpa4c_base", lambda d: d.update(lmax=3), dgnn.ModelFormatError, "probe_projections"),
    ("dpa4c_base", lambda d: d["readout"]["probe_projections"].__setitem__(1, None), dgnn.ModelFormatError, "fewer probes"),
    ("dpa4c_base", lambda d: layer(d, *FIRST).update(resnet=False), dgnn.ModelFormatError, "residual"),
    ("dpa4c_base", lambda d: layer(d, *FIRST).update(activation_function="tanh"), dgnn.ModelFormatError, "linear map"),
    ("dpa4c_base", lambda d: d["@variables"]["stddev"]["value"].__setitem__(3, 0.0), dgnn.ModelFormatError, "stddev"),
    ("dpa4c_charge_spin", lambda d: d.update(default_chg_spin=[1.0]), dgnn.ModelFormatError, "two numbers"),
    ("dpa4c_charge_spin", lambda d: d.update(charge_spin_embedding=None), dgnn.ModelFormatError, "charge_spin_embedding"),
    ("dpa4c_spin", lambda d: d.update(use_spin=[True]), dgnn.ModelFormatError, "flag for each type"),
    ("dpa4c_spin", lambda d: d["spin_channels"]["@variables"]["spin_reference"]["value"].__setitem__(0, 0.0),
     dgnn.ModelFormatError, "spin_reference"),
])
def test_descriptors_that_are_refused(name, change, error, match, tmp_path):
    with pytest.raises(error, match=match):
        dgnn.Model.load(changed(name, tmp_path, lambda model: change(model["descriptor"])))


@pytest.mark.parametrize("name,change,error,match", [
    ("dpa4c_spin", lambda m: m.update(type="standard"), dgnn.ModelFormatError, "native_spin"),
    ("dpa4c_base", lambda m: m.update(type="native_spin", spin=dict(use_spin=[True, False])), dgnn.ModelFormatError,
     "takes none|virtual_scale|is_spin"),
    ("dpa4c_spin", lambda m: m.update(backbone_type="dipole"), dgnn.UnsupportedModelError, "backbone_type"),
    ("dpa4c_spin", lambda m: m["spin"].update(use_spin=[True]), dgnn.ModelFormatError, "flag for each type"),
    ("dpa4c_spin", lambda m: m["spin"].update(novel=1), dgnn.UnsupportedModelError, "novel"),
    ("dpa4c_glu_fitting", lambda m: m["fitting"].update(novel=1), dgnn.UnsupportedModelError, "novel"),
    ("dpa4c_glu_fitting", lambda m: m["fitting"]["nets"]["networks"][0].update(novel=1), dgnn.UnsupportedModelError, "novel"),
    ("dpa4c_glu_fitting", lambda m: m["fitting"]["nets"]["networks"][0].update(in_dim=3), dgnn.ModelFormatError, "in_dim"),
    ("dpa4c_glu_fitting", lambda m: m["fitting"]["nets"]["networks"][0].update(neuron=[0]), dgnn.ModelFormatError, "width"),
    ("dpa4c_glu_fitting", lambda m: m["fitting"]["nets"]["networks"][0].update(activation_function="sine"),
     dgnn.UnsupportedModelError, "sine"),
    ("dpa4c_case_film", lambda m: m["fitting"].update(case_film_embd=False), dgnn.ModelFormatError, "in_dim|case"),
    ("dpa4c_case_film", lambda m: m["fitting"]["nets"]["networks"][0]["@variables"].pop("case_film.projectors.1"),
     dgnn.ModelFormatError, "projectors.1"),
    ("dpa4c_base", lambda m: m["fitting"].update(case_film_embd=True), dgnn.UnsupportedModelError, "case_film_embd"),
    ("dpa4c_base", lambda m: m["fitting"].update(type="octupole"), dgnn.UnsupportedModelError, "octupole"),
])
def test_models_that_are_refused(name, change, error, match, tmp_path):
    with pytest.raises(error, match=match):
        dgnn.Model.load(changed(name, tmp_path, change))


@pytest.mark.parametrize("kind", ["standard", "native_spin"])
def test_no_spins_in_a_hybrid(kind, tmp_path):
    """A hybrid hands no spins on, and a descriptor that takes them read them from nowhere in a model of type standard."""
    with zipfile.ZipFile(DATA / "cases" / "dpa4c_spin" / "model.pt2") as archive:
        tree = json.loads(archive.read("model/extra/model.json"))
    model = tree["model"]
    model["descriptor"] = {"@class": "Descriptor", "type": "hybrid", "@version": 1, "list": [model["descriptor"]]}
    if kind == "standard":
        model["type"] = kind
        del model["backbone_type"], model["spin"]
    (tmp_path / "model.json").write_text(json.dumps(tree))
    with pytest.raises(dgnn.UnsupportedModelError, match=r"list.0.?: .*takes spins.*hybrid"):
        dgnn.Model.load(tmp_path / "model.json").compute(np.eye(3) * 2, [0, 1, 1])


# ---------------------------------------------------------------- published weights

WEIGHTS = os.environ.get("DGNN_DPA4C_WEIGHTS")  # DPA4C-Air-OMat24, as a file that Model.load reads
REAL = "DPA4C-Air-OMat24: largest difference from deepmd-kit's float64, in eV an atom and eV/Å"


@pytest.mark.skipif(not WEIGHTS, reason="DGNN_DPA4C_WEIGHTS does not name the published weights")
@pytest.mark.parametrize("dtype,energy,force", [("float64", 1e-9, 1e-9), ("float32", 1e-6, 1e-5)])
def test_published_weights(dtype, energy, force, figures):
    with np.load(DATA / "real" / "dpa4c_air.npz") as file:
        data = dict(file)
    model = dgnn.Model.load(WEIGHTS, dtype=dtype)
    symbols = [str(symbol) for symbol in data["type_map"]]
    import ase.data

    for name in sorted({key.split("/")[0] for key in data if "/" in key}):
        types = np.array([symbols.index(ase.data.chemical_symbols[z]) for z in data[f"{name}/in/number"]])
        result = model.compute(data[f"{name}/in/coord"], types, data[f"{name}/in/box"])
        of_energy = abs(result.energy - data[f"{name}/out64/energy"][0]) / len(types)
        of_force = np.abs(result.forces - data[f"{name}/out64/force"]).max()
        figures.record(REAL, f"{name}, {dtype}", "energy", of_energy, energy)
        figures.record(REAL, f"{name}, {dtype}", "forces", of_force, force)
        assert of_energy < energy and of_force < force
