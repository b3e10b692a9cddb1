"""Every kind of file that deepmd-kit writes: its own numbers from those that it trained, froze and exported itself
(data/formats), and the bits of its .pt2 from a case's model in all other forms (data/saved.tar.xz). Python's unpickler
never runs, and torch is not imported."""

import pickle
import sys

import dgnn
import numpy as np
import pytest
import saved_files
from conftest import DATA
from test_cases import SYSTEMS, Case, assert_cases

HEADS = {"pt_heads": ["Domains_Alloy", "Omat24", "H2O_H2O-SCAN0"], "pt_heads_maps": ["oxide", "water", "reversed"]}
FILES = [(name, path.name.removesuffix(".xz"), head) for name in sorted(path.name for path in saved_files.FORMATS.iterdir())
         for path in sorted((saved_files.FORMATS / name).glob("*.xz")) for head in HEADS.get(name, [None])]
pytestmark = [pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning"),
              pytest.mark.filterwarnings("ignore::dgnn.UntrainedElementWarning")]
found_classes = []  # by any unpickler of this process
sys.addaudithook(lambda event, arguments: event == "pickle.find_class" and found_classes.append(arguments))


@pytest.fixture(autouse=True)
def no_unpickler(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("Python's unpickler was called")

    import _pickle

    for module in (pickle, _pickle):
        for name in ("Unpickler", "load", "loads"):
            monkeypatch.setattr(module, name, refuse)
    found_classes.clear()
    yield
    assert not found_classes and "torch" not in sys.modules


@pytest.mark.parametrize("name,file,head", FILES, ids=lambda value: str(value))
def test_a_file_of_deepmd_kit(name, file, head, tmp_path, figures):
    path = saved_files.format_file(name, file, tmp_path)
    with np.load(saved_files.FORMATS / name / (f"cases.{head}.npz" if head else "cases.npz")) as cases:
        arrays = dict(cases)
    model = dgnn.Model.load(path, head=head)
    assert model.dtype == ("float32" if name == "pt_f32" else "float64")
    assert_cases(model, [Case(arrays, system) for system in SYSTEMS], figures, f"{name}/{file} {head or ''}")


SAVED = saved_files.names()
KINDS = sorted({kind for _, kind in SAVED})


def result_of(model, arrays):
    given = Case(arrays, "sparse").inputs()
    return model.compute(**given, atomic=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_in_another_form(kind):
    """All cases that deepmd-kit could save so."""
    count, options = 0, dict(threads=1, skin=0)
    for case, data in saved_files.saved(kind):
        folder = DATA / "cases" / case
        with np.load(folder / "cases.npz") as cases:
            arrays = dict(cases)
        expected = result_of(dgnn.Model.load(folder / "model.pt2", **options), arrays)
        result = result_of(from_bytes(f"{case}.{kind}", data, options), arrays)
        assert np.abs(expected.forces).max() > 0
        for name, value in vars(expected).items():
            np.testing.assert_array_equal(getattr(result, name), value, err_msg=f"{case}.{kind} {name}")
        count += 1
    assert count >= 50


def from_bytes(name, data, options):
    from dgnn import files
    from dgnn.model import _load_options

    given = dict(dtype=None, threads=None, device="cpu", memory="fast", semantics=None, skin=None, head=None)
    return dgnn.Model(files.make((name, data), _load_options(**{**given, **options})), name)


def test_what_no_form_of_exists_is_named():
    """make_formats.py says why."""
    bare = sorted(path.name for path in (DATA / "cases").iterdir() if not path.name.endswith("_graph"))
    for kind in ("pt", "pth"):
        assert [case for case in bare if (case, kind) not in SAVED] == sorted(saved_files.not_saved(kind))
