"""Files that are no models and systems that make no sense: a class and a message for each, nothing leaked, and the model
is usable afterwards. Arguments of the wrong type or shape are in test_api.py, .dp and .yaml in test_files.py."""

import copy
import json
import warnings
import zipfile

import dgnn
import numpy as np
import pytest
from conftest import DATA, no_collection
from dgnn import _core

FOLDER = DATA / "cases" / "dpa3_base"
MODEL, METADATA = "model/extra/model.json", "model/extra/metadata.json"


@pytest.fixture(scope="module")
def members():
    """The members of a good archive, as parsed JSON."""
    with zipfile.ZipFile(FOLDER / "model.pt2") as file:
        return {name: json.loads(file.read(name)) for name in file.namelist()}


def write(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content if isinstance(content, (str, bytes)) else json.dumps(content))
    return path


def refused(path, kind, message):
    """Loading fails as expected, in one line, and leaves nothing behind."""
    with no_collection():
        before = _core._alloc_live()
        with pytest.raises(kind, match=message) as caught:
            dgnn.Model.load(path)
        text = str(caught.value)
        del caught
        assert isinstance(text, str) and "\n" not in text and path.name in text, text
        assert _core._alloc_live() == before
    return text


# ---------------------------------------------------------------- files


def test_not_there(tmp_path):
    refused(tmp_path / "absent.pt2", FileNotFoundError, "No such file")


def test_a_folder(tmp_path):
    refused(tmp_path, (dgnn.Error, OSError), "file|directory")


@pytest.mark.parametrize("content", [b"", b"no ZIP at all", b"PK\x03\x04", bytes(200)])
def test_not_a_zip(tmp_path, content):
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    refused(path, dgnn.ModelFormatError, "ZIP|empty")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated(tmp_path, share):
    whole = (FOLDER / "model.pt2").read_bytes()
    path = tmp_path / "model.pt2"
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, dgnn.ModelFormatError, "truncated|ZIP|end")


def test_damaged_member(tmp_path):
    """A byte inside the compressed model: its checksum or its stream tells."""
    whole = bytearray((FOLDER / "model.pt2").read_bytes())
    with zipfile.ZipFile(FOLDER / "model.pt2") as file:
        place = file.getinfo(MODEL).header_offset + 30 + len(MODEL) + file.getinfo(MODEL).compress_size // 2
    whole[place] ^= 0x55
    path = tmp_path / "model.pt2"
    path.write_bytes(whole)
    refused(path, dgnn.ModelFormatError, "model.json")


def test_no_model_json(tmp_path):
    """deepmd-kit may leave it out: only the compiled half is there."""
    path = write(tmp_path / "model.pt2", {"model/data/aotinductor/model/model.so": b"\x7fELF", METADATA: {}})
    refused(path, dgnn.UnsupportedModelError, "compiled program and no model.json.*re-export it with deepmd-kit")


def test_a_checkpoint(tmp_path):
    path = write(tmp_path / "model.pt", {"model/data.pkl": b"\x80\x02", "model/version": "3"})
    refused(path, dgnn.ModelFormatError, "data.pkl: byte 1: the pickle ends inside of an operation")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '{"model": 3}', '{"model": {}}', '{"modell": {}}'])
def test_json_that_is_no_model(tmp_path, members, text):
    refused(write(tmp_path / "model.pt2", {**members, MODEL: text}), dgnn.ModelFormatError, "model")


# ---------------------------------------------------------------- models


def changed(members, change):
    new = copy.deepcopy(members)
    change(new[MODEL]["model"])
    return new


def put(*path, value):
    def change(tree):
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = value

    return change


def drop(*path):
    def change(tree):
        for key in path[:-1]:
            tree = tree[key]
        del tree[path[-1]]

    return change


def first_weights(tree):
    """The first weight matrix: the array that a change is made in."""
    if isinstance(tree, dict):
        if isinstance(tree.get("w"), dict) and tree["w"].get("@class") == "np.ndarray":
            return tree["w"]
        tree = list(tree.values())
    found = [weights for item in tree if isinstance(item, (dict, list)) and (weights := first_weights(item))]
    return found[0] if found else None


def nan_weight(tree):
    first_weights(tree["descriptor"])["value"][0][0] = float("nan")


def ragged_weight(tree):
    first_weights(tree["descriptor"])["value"][0].append(0.5)


def one_row_less(tree):
    del first_weights(tree["descriptor"])["value"][0]


def half(tree):
    first_weights(tree["descriptor"])["dtype"] = "float16"


@pytest.mark.parametrize("change,kind,message", [
    (put("type", value="dipole"), dgnn.UnsupportedModelError, "'?dipole'?"),
    (put("descriptor", "type", value="dpa9"), dgnn.UnsupportedModelError, "'dpa9'.*dpa3"),
    (put("descriptor", "repflow_args", "a_new_option", value=1), dgnn.UnsupportedModelError, "a_new_option"),
    (put("descriptor", "a_new_option", value=True), dgnn.UnsupportedModelError, "a_new_option"),
    (put("fitting", "a_new_option", value=1), dgnn.UnsupportedModelError, "a_new_option"),
    (put("fitting", "type", value="octupole"), dgnn.UnsupportedModelError, "octupole"),
    (put("descriptor", "precision", value="float16"), dgnn.UnsupportedModelError, "float16"),
    (put("descriptor", "precision", value="bfloat16"), dgnn.UnsupportedModelError, "bfloat16"),
    (put("descriptor", "activation_function", value="cosine"), dgnn.UnsupportedModelError, "cosine"),
    (put("descriptor", "repflow_args", "update_style", value="res_new"), dgnn.ModelFormatError,
     "update_style must be res_avg, res_incr or res_residual"),
    (put("descriptor", "repflow_args", "n_dim", value="eight"), dgnn.ModelFormatError, "n_dim"),
    (put("descriptor", "repflow_args", "n_dim", value=9), dgnn.ModelFormatError, "expected"),
    (put("descriptor", "repflow_args", "e_rcut", value=-1.0), dgnn.ModelFormatError, "e_rcut"),
    (put("descriptor", "repflow_args", "nlayers", value=4), dgnn.ModelFormatError, "nlayers|layers"),
    (put("type_map", value=[]), dgnn.ModelFormatError, "type_map"),
    (put("type_map", value=["O", "O"]), dgnn.ModelFormatError, "'O'.*twice"),
    (drop("type_map"), dgnn.ModelFormatError, "type_map"),
    (drop("descriptor"), dgnn.ModelFormatError, "descriptor"),
    (drop("fitting"), dgnn.ModelFormatError, "fitting"),
    (nan_weight, dgnn.ModelFormatError, "NaN|nan|finite"),
    (ragged_weight, dgnn.ModelFormatError, "ragged array"),
    (one_row_less, dgnn.ModelFormatError, "expected"),
    (half, dgnn.UnsupportedModelError, "float16"),
], ids=lambda value: getattr(value, "__name__", None) if callable(value) and not isinstance(value, type) else None)
def test_models_that_are_refused(tmp_path, members, change, kind, message):
    refused(write(tmp_path / "model.pt2", changed(members, change)), kind, message)


def test_the_unchanged_archive_loads(tmp_path, members):
    """Else the refusals above might be about something else."""
    assert dgnn.Model.load(write(tmp_path / "model.pt2", changed(members, lambda tree: None))).type_map == ["O", "H"]
    without = {name: content for name, content in members.items() if name != METADATA}
    assert dgnn.Model.load(write(tmp_path / "dense.pt2", without)).info()["semantics"] == "dense"


# ---------------------------------------------------------------- systems


@pytest.fixture(scope="module")
def good():
    model = dgnn.Model.load(FOLDER / "model.pt2", threads=1)
    with np.load(FOLDER / "cases.npz") as file:
        system = {key: file[f"triclinic/in/{name}"] for key, name in
                  dict(coords="coord", types="type", box="box").items()}
    return model, system, model.compute(**system)


def moved(place, value):
    def change(system):
        system["coords"][place] = value

    return change


def on_another(system):
    system["coords"][5] = system["coords"][9]


def on_an_image(system):
    system["coords"][5] = system["coords"][9] + system["box"][2]


def type_of(atom, value):
    def change(system):
        system["types"][atom] = value

    return change


def box_of(value):
    def change(system):
        system["box"] = np.array(value, float)

    return change


@pytest.mark.parametrize("change,message", [
    (moved((7, 1), np.nan), "coords: atom 7 has y = nan; expected a finite number"),
    (moved((7, 2), np.inf), "coords: atom 7 has z = inf; expected a finite number"),
    (moved((7, 0), 1e12), r"coords\[7\].*at most"),
    (on_another, "5.*9|9.*5"),
    (on_an_image, "5.*9|9.*5"),
    (type_of(3, 2), r"types: .*3.*2.*expected"),
    (type_of(3, -2), r"types: .*3.*-2.*expected"),
    (box_of(np.zeros((3, 3))), "box is singular"),
    (box_of([[9, 0, 0], [0, 9, 0], [9, 9, 0]]), "box is singular"),
    (box_of([[9, 0, 0], [0, np.nan, 0], [0, 0, 9]]), r"box.*1.*1.*nan"),
])
def test_systems_that_are_refused(good, change, message):
    model, system, expected = good
    bad = {key: value.copy() for key, value in system.items()}
    change(bad)
    with pytest.raises(dgnn.InputError, match=message) as caught:
        model.compute(**bad)
    assert "\n" not in str(caught.value)
    after = model.compute(**system)
    np.testing.assert_array_equal(after.forces, expected.forces)
    assert after.energy == expected.energy and np.abs(after.forces).max() > 1e-3


def test_the_index_is_the_callers(good):
    """Atom 7 is the fifth that is not NULL: the message says 7."""
    model, system, _ = good
    bad = {key: value.copy() for key, value in system.items()}
    bad["types"][[0, 2]] = -1
    bad["coords"][7] = 1e12
    with pytest.raises(dgnn.InputError, match=r"coords\[7\]"):
        model.compute(**bad)
    bad["coords"][7] = bad["coords"][11]
    with pytest.raises(dgnn.InputError, match="7.*11|11.*7"):
        model.compute(**bad)


def test_failures_do_not_pile_up(tmp_path, members, no_collection):
    """A hundred refusals: the live blocks are those of before."""
    path = write(tmp_path / "model.pt2", changed(members, one_row_less))
    before = _core._alloc_live()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(100):
            with pytest.raises(dgnn.ModelFormatError):
                dgnn.Model.load(path)
    assert _core._alloc_live() == before
