"""The messages of docs/troubleshooting.md are those that dgnn gives: each is made, or stands in a source as it is quoted."""

import re
import warnings

import dgnn
import numpy as np
import pytest
import saved_files
from ase import Atoms
from conftest import DATA, ROOT
from dgnn.calculator import DGNNCalculator

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
MESSAGES = re.findall(r"^### `(.*)`$", PAGE, re.M)
OTHERS = {  # of programs that dgnn works in, and where their tests are
    "libmpi.so.12: cannot open shared object file": "the dynamic linker's",
    "Unrecognized pair style 'dgnn'": "LAMMPS's",
}
IRON, WATER = ROOT / "examples" / "iron" / "model.pt2", ROOT / "examples" / "water" / "model.pt2"
BASE = DATA / "cases" / "dpa3_base" / "model.pt2"


def compute(path=BASE, **changed):
    arguments = dict(coords=[[0.0, 0, 0], [0.96, 0, 0]], types=["O", "H"])
    return dgnn.Model.load(path, threads=1).compute(**{**arguments, **changed})


def load(folder, name, text):
    path = folder / name
    path.write_bytes(text)
    return dgnn.Model.load(path)


def in_ase(atoms, path=BASE, ask="get_potential_energy"):
    atoms.calc = DGNNCalculator(path, threads=1)
    return getattr(atoms, ask)()


def frame_parameters():
    return in_ase(Atoms("OH", [[0, 0, 0], [0.96, 0, 0]]), DATA / "cases" / "dpa3_fparam_aparam" / "model.pt2")


def unknown_descriptor(folder):
    import json
    import zipfile

    tree = json.loads(zipfile.ZipFile(BASE).read("model/extra/model.json"))
    tree["model"]["descriptor"]["type"] = "dpa9"
    return load(folder, "model.json", json.dumps(tree).encode())


def crowd():
    """Water's first frame: lists of its model are cut."""
    with np.load(ROOT / "examples" / "water" / "frames.npz") as frames:
        return compute(WATER, coords=frames["coord"][0], types=frames["type"], box=frames["box"][0])


def heads(folder):
    return saved_files.format_file("pt_heads", "model.pt", folder)


def untrained(folder):
    """As of a file whose notes say that copper was not there; that of the tests saw all its elements."""
    model = dgnn.Model.load(heads(folder), head="Omat24", threads=1)
    model._untrained = dgnn.model._untrained_types({"type_map": ["O", "H", "Cu"], "elements": ["H", "O"]})
    return model.compute([[0.0, 0, 0]], ["Cu"])


MADE = {  # the beginning of a message: what makes it, given a folder
    "… has several heads": lambda folder: dgnn.Model.load(heads(folder)),
    "… there is none of that name": lambda folder: dgnn.Model.load(heads(folder), head=next(iter(dgnn.heads(heads(folder)))) + "x"),
    "… an HTML page": lambda folder: load(folder, "model.pt", b"<!DOCTYPE html><html>"),
    "… an input for training": lambda folder: load(folder, "input.json", b'{"model": {}, "training": {}, "loss": {}}'),
    "… a frozen graph of TensorFlow": lambda folder: load(folder, "graph.pb", b"\n\x10\n\x05input\x12"),
    "… neither a ZIP archive nor JSON": lambda folder: load(folder, "model.pt2", b"\x01\x02\x03\x04"),
    "… is not supported; supported": unknown_descriptor,
    "device: found": lambda folder: dgnn.Model.load(BASE, device="gpu"),
    "types: the model knows": lambda folder: compute(types=["O", "D"]),
    "the model knows": lambda folder: in_ase(Atoms("OAr", [[0, 0, 0], [2, 0, 0]])),
    "… has no keyword": lambda folder: compute(boxx=np.eye(3)),
    "coords: atom": lambda folder: compute(coords=[[0, 0, 0], [0, 0, np.nan]]),
    "atoms … and": lambda folder: compute(coords=np.zeros((2, 3))),
    "box is singular": lambda folder: compute(box=np.zeros((3, 3))),
    "box is too small": lambda folder: compute(box=1e-3 * np.eye(3), coords=[[0, 0, 0], [5e-4, 0, 0]]),
    "… needs a cell": lambda folder: in_ase(Atoms("OH", [[0, 0, 0], [0.96, 0, 0]]), ask="get_stress"),
    "this model needs spins": lambda folder: in_ase(Atoms("Fe2", [[0, 0, 0], [2.5, 0, 0]]), IRON),
    "this model needs …": lambda folder: frame_parameters(),
    "… atoms have more neighbours": lambda folder: crowd(),
    "the training data of": untrained,
    "… magnetic atoms have spins": lambda folder: compute(IRON, types=["Fe", "Fe"], coords=[[0, 0, 0], [2.5, 0, 0]],
                                                          spins=[[0, 0, 2.2], [0, 0, 1e-3]]),
    "the atoms have initial": lambda folder: in_ase(Atoms("OH", [[0, 0, 0], [0.96, 0, 0]], magmoms=[1, 0])),
    "coords: energy or force": None,  # on some machines alone: tests/trust/test_atoms.py
    "several ranks need": None, "comm: mpirun of": None, "comm: mpi4py uses": None, "… rank … has another": None,  # tests/mpi
    "rank … waited": None, "rank … is in": None, "the communicator is in use": None, "… does not fit": None,
}


def as_pattern(message):
    return ".*?".join(re.escape(part.strip()) for part in message.split("…"))


@pytest.mark.parametrize("start", [start for start, make in MADE.items() if make])
def test_made(start, tmp_path):
    message, = (message for message in MESSAGES if message.startswith(start))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            MADE[start](tmp_path)
        except (dgnn.Error, TypeError, NotImplementedError) as error:
            said = [str(error)]
        else:
            said = [str(warning.message) for warning in heard]
    assert any(re.search(as_pattern(message), text, re.S) for text in said), said


def sources():
    """Texts of the sources, with strings joined that are written in parts."""
    for folder, kinds in (("csrc", "*.[ch]"), ("dgnn", "*.py"), ("lammps", "*.cpp")):
        for path in (ROOT / folder).rglob(kinds):
            yield re.sub(r'"\s*\n?\s*f?"', "", path.read_text())


IN_TEXT = ("a git-LFS pointer", "an empty file", "this model takes no spins")  # messages that explanations name


def test_quoted_in_text():
    text = "\n".join(sources())
    for words in IN_TEXT:
        assert f"`{words}`" in " ".join(PAGE.split()) and words in text, words


def test_quoted():
    """Each message is in the table above, and its words stand in a source."""
    text = "\n".join(sources()).replace("\\", "")
    for message in MESSAGES:
        if message in OTHERS:
            continue
        assert any(message.startswith(start) for start in MADE), f"nothing here makes: {message}"
        for part in message.split("…"):
            for words in re.split(r"['\":={}]", part):
                assert len(words.strip(" .,;")) < 8 or words.strip(" .,;") in text, (message, words)
