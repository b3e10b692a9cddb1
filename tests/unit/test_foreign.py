"""What is no model, or no structure, is said to be what it is, with what to do about it."""

import json
import re
import zipfile

import dgnn
import pytest
from conftest import DATA
from dgnn import files, foreign
from test_cli import run

TRAINING = {"model": {"type_map": ["O", "H"], "descriptor": {"type": "dpa3"}, "fitting_net": {}}, "learning_rate": {},
            "training": {"numb_steps": 1}}
LAMMPS = """water, written by somebody

2 atoms
2 atom types

0.0 9.0 xlo xhi
0.0 9.0 ylo yhi
0.0 9.0 zlo zhi

Atoms # atomic

1 1 1.0 1.0 1.0
2 2 1.0 1.0 2.0
"""
FILES = {  # name: bytes, the error for a model, the one for a structure
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 123456\n", "git-LFS pointer, .*git lfs pull", "git-LFS"),
    "page": (b"<!DOCTYPE html>\n<html lang='en'><head></head></html>", "an HTML page, .*download it anew", "an HTML page"),
    "page.xhtml": (b"<?xml version='1.0'?>\n<html></html>", "an HTML page", "an HTML page"),
    "input.json": (json.dumps(TRAINING).encode(), "an input for training, not a model: .*dp --pt train input.json", None),
    "input.yaml": (b"model: {type_map: [O]}\nloss: {}\ntraining: {}\n", "an input for training", None),
    "graph.pb": (b"\n\x1f\n\x0bdescrpt_attr\x12\x05Const", "frozen graph of TensorFlow: .*dp convert-backend graph.pb", None),
    "graph": (b"\n\x1f\n\x0edescrpt_attr/x\x12\x05Const", "frozen graph of TensorFlow", None),
    "graph.pbtxt": (b'node {\n  name: "x"\n}\n', "graph of TensorFlow as text", None),
    "data.water": (LAMMPS.encode(), None, "a LAMMPS data file: say --format lammps-data"),
}


@pytest.mark.parametrize("suffix", ["", ".pt2", ".dp", ".yaml"])
@pytest.mark.parametrize("name", [name for name, row in FILES.items() if row[1]])
def test_models(name, suffix, tmp_path):
    """Whatever it is called; from a file, and from what rank 0 sends the others."""
    content, message, _ = FILES[name]
    path = tmp_path / (name + suffix)
    path.write_bytes(content)
    for call in (lambda: dgnn.Model.load(path), lambda: files.make(files.read(path), (0, 0, 0, 1, -1.0, "cpu"))):
        with pytest.raises((dgnn.ModelFormatError, dgnn.UnsupportedModelError), match=message) as said:
            call()
        assert str(path) in str(said.value)


@pytest.mark.parametrize("loads", ["pt2", "json", "yaml"])
def test_heads(loads, tmp_path):
    """A file of several models."""
    tree = {"model": {"model_dict": {name: TRAINING["model"] for name in ("water", "Omat24")}}}
    path = tmp_path / f"model.{loads}"
    if loads == "pt2":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("model/extra/model.json", json.dumps(tree))
    else:
        path.write_text(json.dumps(tree))
    with pytest.raises(dgnn.UnsupportedModelError, match=r"model.model_dict: a multi-task file with 2 models \(water, Omat24\), .*--head"):
        dgnn.Model.load(path)


@pytest.mark.parametrize("members,message", [
    (["type.raw", "set.000/coord.npy"], "a folder of training data"), (["set.000/box.npy"], "a folder of training data"),
    (["a/type.raw", "b/type.raw"], "a folder of training data"),
    (["saved_model.pb", "variables/x"], "a folder with a model of TensorFlow"),
])
def test_folders(members, message, tmp_path, base_path):
    for name in members:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("0 1\n")
    for suffix in ("", ".dp"):
        path = tmp_path / f"data{suffix}"
        if suffix:
            (tmp_path / "data").rename(path)
        with pytest.raises(dgnn.InputError, match=message):
            dgnn.Model.load(path)
    if "training" in message:
        done = run("eval", base_path, path)  # eval reads such folders; what these hold is no data
        assert done.returncode == 2 and str(path) in done.stderr and re.search(r"no coord|coord.npy: not|training data", done.stderr)


@pytest.mark.parametrize("name", [name for name, row in FILES.items() if row[2]])
def test_structures(name, tmp_path, base_path):
    content, _, message = FILES[name]
    (tmp_path / name).write_bytes(content)
    done = run("eval", base_path, tmp_path / name)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_sound_files_are_none_of_these():
    """Also models of dgnn's own tests, cut short, say what is wrong with them."""
    for kinds in (foreign.MODELS, foreign.STRUCTURES):
        for name in ("dpa3_base/model.pt2", "dpa3_base/cases.npz", "se_e2_a/model.pt2"):
            assert foreign.recognise(kinds, foreign.File(DATA / "cases" / name)) is None
    data = (DATA / "cases" / "dpa3_base" / "model.pt2").read_bytes()[:1000]
    with pytest.raises(dgnn.ModelFormatError, match="not a sound ZIP archive"):
        files.make(("x.pt2", data), (0, 0, 0, 1, -1.0, "cpu"))
