"""Files of other programs: each says what it is and what to do. And files whose names lie: their beginning decides."""

import json
import zipfile

import dgnn
import h5py
import numpy as np
import pytest
import saved_files
from test_files import FOLDER, model_tree, write_dp, write_yaml


def folder(path, *members):
    path.mkdir()
    for member in members:
        (path / member).write_bytes(b"")
    return path


def without_tree(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/extra/metadata.json", "{}")
        archive.writestr("model/extra/model_def_script.json", "{}")
        archive.writestr("model/data/aotinductor/model.so", "code")
    return path


def file(path, content):
    path.write_bytes(content)
    return path


PADDLE = b'{"base_code":{"magic":"pir","trainable":false,"version":2},"program":{"regions":[]}}'
ONNX = b"\x08\x07\x12\x07pytorch\x1a\x052.0.1"


@pytest.mark.parametrize("make,kind,words", [
    (lambda f: folder(f / "m.savedmodel", "saved_model.pb"), dgnn.UnsupportedModelError, "SavedModel.*load the file that it was made of"),
    (lambda f: folder(f / "m.jax", "_METADATA"), dgnn.UnsupportedModelError, "JAX's checkpoint: 'dp convert-backend m.jax m.dp'"),
    (lambda f: file(f / "m.pd", b"\x80\x04\x95abc"), dgnn.UnsupportedModelError, "checkpoint of Paddle.*save_dp_model"),
    (lambda f: file(f / "m.json", PADDLE), dgnn.UnsupportedModelError, "Paddle compiled.*save_dp_model"),
    (lambda f: file(f / "m.pdiparams", b"\0\0weights"), dgnn.UnsupportedModelError, "Paddle compiled"),
    (lambda f: file(f / "m.onnx", ONNX), dgnn.UnsupportedModelError, "ONNX.*load the file that it was made of"),
    (lambda f: file(f / "m.pt", ONNX), dgnn.UnsupportedModelError, "ONNX"),
    (lambda f: without_tree(f / "frozen_model.pt2"), dgnn.UnsupportedModelError, "without a tree.*DPA4.*checkpoint"),
    *((lambda f, s=suffix: file(f / f"m{s}", b""), dgnn.ModelFormatError, "an empty file")
      for suffix in (".pt", ".pth", ".pt2", ".pte", ".json", ".dp", ".hlo", ".yaml", ".dgnn")),
])
def test_what_it_is_and_what_to_do(make, kind, words, tmp_path):
    path = make(tmp_path)
    with pytest.raises(kind, match=words) as caught:
        dgnn.Model.load(path)
    assert str(caught.value).startswith(str(path))
    with pytest.raises(kind, match=words):
        dgnn.heads(path)


@pytest.mark.parametrize("suffix", ["dp", "yaml", "pt2", "json", "model", "pt"])
@pytest.mark.parametrize("kind", ["dp", "yaml", "pt2", "json"])
def test_a_file_is_what_it_begins_with(kind, suffix, tmp_path):
    path, tree = tmp_path / f"model.{suffix}", model_tree()
    if kind == "dp":
        write_dp(path, tree)
    elif kind == "yaml":
        write_yaml(path, tree)
    else:
        path.write_bytes((FOLDER / "model.pt2").read_bytes() if kind == "pt2" else json.dumps(tree).encode())
    assert dgnn.Model.load(path).type_map == ["O", "H"]


def test_hlo_leaves_the_program_alone(tmp_path):
    """Whatever is in JAX's part, the tree is the model."""
    path = saved_files.format_file("hlo_se_e2_a", "model.hlo", tmp_path)
    digest = dgnn.Model.load(path).digest
    with h5py.File(path, "r+") as changed:
        tree = json.loads(changed.attrs["json"])
        for name in tree["@variables"].values():
            del changed[name]
        tree["constants"] = {"rcut": "not a number"}
        changed.attrs["json"] = json.dumps(tree)
    assert dgnn.Model.load(path).digest == digest
    with h5py.File(path, "r+") as changed:
        data = changed["variable_0000"][()]
        changed["variable_0000"][...] = np.zeros_like(data)
    assert dgnn.Model.load(path).digest != digest
