""".dp and .yaml give the model that .pt2 gives; damaged ones give an error that says where."""

import copy
import json
import os
import zipfile

import dgnn
import h5py
import numpy as np
import pytest
import yaml
from conftest import DATA

FOLDER = DATA / "cases" / "dpa3_base"


def model_tree():
    with zipfile.ZipFile(FOLDER / "model.pt2") as archive:
        return json.loads(archive.read("model/extra/model.json"))


def write_dp(path, tree, change=None):
    """As deepmd-kit does: every variable a dataset, in its place the dataset's name."""
    with h5py.File(path, "w") as file:
        count = [0]

        def copied(value, variable=False):
            if isinstance(value, dict) and value.get("@is_variable"):
                name = f"variable_{count[0]:04d}"
                count[0] += 1
                return file.create_dataset(name, data=np.array(value["value"], value["dtype"])).name
            if isinstance(value, dict):
                return {key: copied(item) for key, item in value.items()}
            return [copied(item) for item in value] if isinstance(value, list) else value

        text = json.dumps(copied(tree))
        if change:
            text = change(file, text)
        if text is not None:
            file.attrs["json"] = text
    return path


def write_yaml(path, tree):
    path.write_text(yaml.safe_dump({**tree, "software": "deepmd-kit"}))
    return path


@pytest.fixture(scope="module")
def tree():
    return model_tree()


@pytest.mark.parametrize("kind", ["dp", "yaml", "yml", "json"])
def test_every_format_is_the_same_model(kind, tree, tmp_path):
    path = tmp_path / f"model.{kind}"
    if kind == "dp":
        write_dp(path, tree)
    elif kind == "json":
        path.write_text(json.dumps(tree))
    else:
        write_yaml(path, tree)
    with np.load(FOLDER / "cases.npz") as cases:
        arguments = cases["slab/in/coord"], cases["slab/in/type"], cases["slab/in/box"]
    expected = dgnn.Model.load(FOLDER / "model.pt2").compute(*arguments)
    result = dgnn.Model.load(path).compute(*arguments)
    assert np.abs(expected.forces).max() > 1e-3
    np.testing.assert_array_equal(result.forces, expected.forces)
    assert result.energy == expected.energy


def without_json(file, text):
    return None


def bad_json(file, text):
    return text[:-10]


def missing_dataset(file, text):
    del file["variable_0003"]
    return text


def external_link(file, text):
    del file["variable_0003"]
    file["variable_0003"] = h5py.ExternalLink("/etc/passwd", "/data")
    return text


def soft_link(file, text):
    del file["variable_0003"]
    file["variable_0003"] = h5py.SoftLink("/variable_0004")
    return text


def half_precision(file, text):
    data = file["variable_0003"][()]
    del file["variable_0003"]
    file["variable_0003"] = data.astype(np.float16)
    return text


@pytest.mark.parametrize("change,kind,message", [
    (without_json, dgnn.ModelFormatError, "attribute 'json'"),
    (bad_json, dgnn.ModelFormatError, "attribute json"),
    (missing_dataset, dgnn.ModelFormatError, "variable_0003"),
    (external_link, dgnn.ModelFormatError, "variable_0003.*in this file"),
    (soft_link, dgnn.ModelFormatError, "variable_0003.*in this file"),
    (half_precision, (dgnn.UnsupportedModelError, dgnn.ModelFormatError), "float16"),
])
def test_bad_dp(change, kind, message, tree, tmp_path):
    path = write_dp(tmp_path / "model.dp", tree, change)
    with pytest.raises(kind, match=message) as caught:
        dgnn.Model.load(path)
    assert str(path) in str(caught.value) or "array" in str(caught.value)


def test_not_hdf5(tmp_path):
    path = tmp_path / "model.dp"
    path.write_bytes(b"no HDF5")
    with pytest.raises(dgnn.ModelFormatError, match="not an HDF5 file"):
        dgnn.Model.load(path)


@pytest.mark.parametrize("suffix", [".dp", ".yaml", ".pt2", ".json"])
def test_no_such_file(suffix, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        dgnn.Model.load(tmp_path / f"absent{suffix}")
    assert f"absent{suffix}" in str(caught.value)


@pytest.mark.parametrize("suffix", [".dp", ".yaml"])
def test_a_folder_is_no_file(suffix, tmp_path):
    path = tmp_path / f"folder{suffix}"
    path.mkdir()
    with pytest.raises(dgnn.InputError, match="expected a file"):
        dgnn.Model.load(path)


@pytest.mark.parametrize("text,kind,message", [
    ("a: [1, 2", dgnn.ModelFormatError, "model.yaml"),
    ("!!python/object/apply:os.system ['echo']", dgnn.ModelFormatError, "python/object"),
    ("model: {date: 2001-01-01}", dgnn.ModelFormatError, "model.date: found a date"),
    ("model: {1: 2}", dgnn.ModelFormatError, "names as keys"),
    ("model: {x: .nan}", dgnn.ModelFormatError, "model.yaml"),
    ("model: &a [*a]", dgnn.ModelFormatError, "nested too deeply"),
    ("model: {'@class': np.ndarray, dtype: bfloat16, value: [1]}", dgnn.UnsupportedModelError, "bfloat16"),
    ("model: {'@class': np.ndarray, dtype: float64, value: [[1], [1, 2]]}", dgnn.ModelFormatError, "not an array"),
    ("model: {'@class': np.ndarray, dtype: float64}", dgnn.ModelFormatError, "not an array"),
])
def test_bad_yaml(text, kind, message, tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with pytest.raises(kind, match=message) as caught:
        dgnn.Model.load(path)
    assert "\n" not in str(caught.value)


def test_nothing_is_executed(tmp_path):
    """YAML's tags for Python objects are refused before anything is made of them."""
    mark = tmp_path / "mark"
    path = tmp_path / "model.yaml"
    path.write_text(f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]")
    with pytest.raises(dgnn.ModelFormatError):
        dgnn.Model.load(path)
    assert not mark.exists()


def test_aliases_of_yaml(tree, tmp_path):
    """safe_dump writes a list that occurs twice as an alias; so do short files that unfold to huge ones."""
    twice = copy.deepcopy(tree)
    shared = ["O", "H"]
    twice["model"]["type_map"] = twice["model"]["descriptor"]["type_map"] = shared
    path = write_yaml(tmp_path / "model.yaml", twice)
    assert "*id001" in path.read_text()
    assert dgnn.Model.load(path).type_map == ["O", "H"]
    lines = ["a0: &a0 [0, 0]"] + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
    bomb = tmp_path / "bomb.yaml"
    bomb.write_text("\n".join(lines))
    from dgnn import files

    old, files.MAX_VALUES = files.MAX_VALUES, 1_000_000
    try:
        with pytest.raises(dgnn.ModelFormatError, match="too large"):
            dgnn.Model.load(bomb)
    finally:
        files.MAX_VALUES = old


def test_path_types(tmp_path):
    path = FOLDER / "model.pt2"
    for given in (path, str(path), os.fsencode(path)):
        assert dgnn.Model.load(given).type_map == ["O", "H"]
    with pytest.raises(TypeError):
        dgnn.Model.load(3)
    with pytest.raises(ValueError, match="null"):
        dgnn.Model.load("a\0b.pt2")


@pytest.mark.parametrize("system", ["cluster", "sparse"])
def test_biases_and_time_steps_may_be_rows(system):
    """As conversions of old TensorFlow models have them, of shape (1, n); deepmd-kit flattens them."""
    folder = DATA / "formats" / "row_biases"
    with np.load(folder / "cases.npz") as file:
        given = [file[f"{system}/in/{key}"] for key in ("coord", "type", "box") if f"{system}/in/{key}" in file.files]
        energy, forces = file[f"{system}/out/energy"], file[f"{system}/out/force"]
    result = dgnn.Model.load(folder / "model.dp", threads=1).compute(*given)
    assert result.energy == pytest.approx(float(energy[0]), rel=1e-12)
    np.testing.assert_allclose(result.forces, forces, atol=1e-11)


def test_a_sum_of_energies_that_is_not_finite(tree, tmp_path):
    huge = copy.deepcopy(tree)
    huge["model"]["@variables"]["out_bias"]["value"] = [[[1e308], [1e308]]]
    (tmp_path / "model.json").write_text(json.dumps(huge))
    model = dgnn.Model.load(tmp_path / "model.json", threads=1)
    assert np.isfinite(model.compute([[0.0, 0, 0]], [0]).energy)
    with pytest.raises(dgnn.Error, match="their sum is not"):
        model.compute([[0.0, 0, 0], [0, 0, 1], [0, 1, 0]], [0, 1, 1])
