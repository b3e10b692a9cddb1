"""The local descriptors: gradients, refusals, what info says, the same bits with any number of threads."""

import json
import zipfile

import dgnn
import numpy as np
import pytest
from conftest import DATA

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")

FAMILIES = ["dpa1_attn2", "dpa1_davg_graph", "dpa1_strip_attn", "dpa1_exclude", "dpa1_vector_mean", "se_atten_v2",
            "se_e2_a_pairs", "se_e2_a_vector_mean", "se_e2_r_exclude", "se_e3_vector_mean",
            "se_e3_tebd_strip_vector_mean"]


INPUTS = dict(coords="coord", types="type", box="box", spins="spin", fparam="fparam", aparam="aparam",
              charge_spin="charge_spin")


def archive(name):
    return DATA / "cases" / name / "model.pt2"


def triclinic(name):
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        return tuple(file[f"triclinic/in/{key}"] for key in ("coord", "type", "box"))


def changed(name, folder, change):
    """The archive with its tree changed in place by change(model)."""
    path = folder / "changed.pt2"
    with zipfile.ZipFile(archive(name)) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            text = old.read(member)
            if member.endswith("extra/model.json"):
                tree = json.loads(text)
                change(tree["model"])
                text = json.dumps(tree)
            new.writestr(member, text)
    return path


@pytest.mark.parametrize("name", FAMILIES)
def test_forces_are_the_gradient(name, figures):
    """Central differences of fourth order, of a random direction of all positions and of a strain. The steps are so
    small that no pair crosses the cutoff, where models whose mean is not zero jump."""
    model = dgnn.Model.load(archive(name))
    coords, types, box = triclinic(name)
    rng = np.random.default_rng(7)
    direction, strain = 0.1 * rng.standard_normal(coords.shape), 0.02 * rng.standard_normal((3, 3))
    result = model.compute(coords, types, box)
    h = 1e-4

    def slope(energy):
        return (energy(-2 * h) - 8 * energy(-h) + 8 * energy(h) - energy(2 * h)) / (12 * h)

    moved = slope(lambda s: model.compute(coords + s * direction, types, box).energy)
    strained = slope(lambda s: model.compute(coords @ (np.eye(3) + s * strain), types,
                                             box @ (np.eye(3) + s * strain)).energy)
    for what, value, exact in (("forces", moved, -np.sum(result.forces * direction)),
                               ("virial", strained, -np.sum(result.virial.T * strain))):
        figures.record("local descriptors: difference from central differences (limit 1e-9)", name, what,
                       abs(value - exact), 1e-9)
        assert abs(exact) > 1e-5
        assert abs(value - exact) < 1e-9


ROUNDED = {("dpa1_not_smooth", "slab"): 2e-10}  # deepmd-kit's own rounding: docs/exactness.md, a pair at the cutoff's edge


def test_atom_virial_is_deepmd_kits(figures):
    """Of every case without message passing, in its four systems."""
    compared = 0
    for folder in sorted((DATA / "cases").iterdir()):
        model = dgnn.Model.load(folder / "model.pt2")
        if model.has_message_passing or model.dtype == "float32" or model.output != "energy":
            continue
        with np.load(folder / "cases.npz") as file:
            arrays = dict(file)
        for system in ("triclinic", "cluster", "slab", "sparse"):
            given = {ours: arrays.get(f"{system}/in/{theirs}") for ours, theirs in INPUTS.items()}
            value = model.compute(**given, atomic=True).atom_virial
            answer = arrays[f"{system}/out/atom_virial"].reshape(value.shape)
            largest, limit = np.abs(answer).max(), 1e-10
            error = np.abs(value - answer).max() / (max(1, largest) if largest > 1e-4 else 1e4 * largest)
            figures.record("local models: per-atom virial over its largest component, or 1 eV (limit 1e-10)", folder.name,
                           "atom_virial", error, limit)
            assert largest > 1e-5 and error < ROUNDED.get((folder.name, system), limit), (folder.name, system)
            compared += 1
    assert compared >= 276


@pytest.mark.parametrize("name", FAMILIES)
def test_threads_and_repetition_change_no_bit(name):
    coords, types, box = triclinic(name)
    answers = []
    for threads in (1, 2, 3):
        model = dgnn.Model.load(archive(name), threads=threads)
        for _ in range(2):
            result = model.compute(coords, types, box)
            answers.append(np.concatenate([result.forces.ravel(), result.virial.ravel(), [result.energy]]))
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


@pytest.mark.parametrize("name", ["dpa1_attn2", "se_e2_a", "se_e2_r", "se_e3", "se_e3_tebd"])
def test_no_message_passing(name):
    model = dgnn.Model.load(archive(name))
    assert not model.has_message_passing and not model.has_message_passing_across_ranks


@pytest.mark.parametrize("name,change,message", [
    ("dpa1_attn2", lambda d: d.update(lmax=2), "lmax"),
    ("dpa1_attn2", lambda d: d.update(attn_mask=True), "attn_mask"),
    ("dpa1_attn2", lambda d: d.update(spin={}), "spin"),
    ("dpa1_attn2", lambda d: d.update(tebd_input_mode="other"), "tebd_input_mode is 'other'"),
    ("dpa1_attn2", lambda d: d.update(precision="bfloat16"), "bfloat16"),
    ("dpa1_attn2", lambda d: d.update(novel=1), "novel"),
    ("dpa1_attn2", lambda d: d["attention_layers"].update(do_mask=True), "do_mask"),
    ("dpa1_attn2", lambda d: d["attention_layers"]["attention_layers"][0]["attention_layer"].update(num_heads=2),
     "num_heads"),
    ("se_e2_a", lambda d: d["@variables"]["davg"]["value"][0][1].__setitem__(0, 7.0), "slots 0 and 1 differ"),
    ("se_e2_r", lambda d: d.update(type_one_side=False), "type_one_side"),
    ("se_e3_tebd", lambda d: d.update({"@version": 3}), "version 3"),
    ("dpa1_resnet_dt", lambda d: d["type_embedding"].update(type_map=["O", "Water"]), "Water"),
])
def test_refused_by_name(name, change, message, tmp_path):
    path = changed(name, tmp_path, lambda model: change(model["descriptor"]))
    with pytest.raises(dgnn.UnsupportedModelError, match=message):
        dgnn.Model.load(path)


@pytest.mark.parametrize("name,change,message", [
    ("dpa1_attn2", lambda d: d.update(rcut_smth=5.0), "rcut_smth"),
    ("dpa1_attn2", lambda d: d.update(attn_layer=1), "layer_num: contradicts"),
    ("dpa1_attn2", lambda d: d.update(axis_neuron=9), "axis_neuron"),
    ("dpa1_attn2", lambda d: d.update(sel=[0]), "no neighbours"),
    ("dpa1_attn2", lambda d: d.pop("embeddings"), "embeddings"),
    ("dpa1_strip", lambda d: d.pop("embeddings_strip"), "embeddings_strip|object"),
    ("se_e2_a", lambda d: d.update(sel=[60]), "sel"),
    ("se_e2_a", lambda d: d["embeddings"]["networks"].pop(), "networks"),
    ("se_e2_a", lambda d: d["@variables"]["dstd"]["value"].pop(), "dstd"),
    ("se_e3_tebd", lambda d: d.update(tebd_dim=0), "tebd_dim"),
])
def test_damaged_archives(name, change, message, tmp_path):
    path = changed(name, tmp_path, lambda model: change(model["descriptor"]))
    with pytest.raises(dgnn.ModelFormatError, match=message):
        dgnn.Model.load(path)


def test_older_names_are_the_same_descriptors(tmp_path):
    for name, other in (("dpa1_attn2", "se_atten"), ("se_e2_a", "se_a"), ("se_e2_r", "se_r"), ("se_e3", "se_at"),
                        ("se_e3", "se_a_3be")):
        path = changed(name, tmp_path, lambda model: model["descriptor"].update(type=other))
        coords, types, box = triclinic(name)
        same = [dgnn.Model.load(which).compute(coords, types, box).energy for which in (path, archive(name))]
        assert same[0] == same[1]
