"""Checkpoints and TorchScript of models with pair tables: the splines are those of the state, for the settings have only the name
of a file. Their numbers: test_forms.py."""

import io
import struct
import zipfile

import dgnn
import numpy as np
import pytest
import saved_files
import yaml
from dgnn import _core
from test_cases import SYSTEMS, Case, load_arrays

FORMS = [("zbl_dpa1", "pt"), ("zbl_dpa1", "pth"), ("zbl_dpa1", "expt.pt"), ("linear_dpa3_pairtab", "pt"), ("linear_dpa3_pairtab", "expt.pt")]


def text(string):
    return b"X" + struct.pack("<I", len(string)) + string.encode()


def number(value):
    return b"G" + struct.pack(">d", value)


def changed(data, change):
    """change(name, content): a member's new content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(buffer, "w") as new:
        for name in archive.namelist():
            new.writestr(name, change(name, archive.read(name)))
    return buffer.getvalue()


def in_pickle(old, new):
    def change(name, member):
        assert old in member or not name.endswith("/data.pkl")
        return member.replace(old, new) if name.endswith("/data.pkl") else member

    return change


def in_table(case, where, value):
    """Another number in tab_info, by the bytes of the case's own."""
    own = next(model["tab"] for model in saved_files.tree_of(case)["models"] if model["type"] == "pairtab")
    info = saved_files.arrays_of(own["@variables"]["tab_info"])[0]
    other = info.copy()
    other[where] = value

    def change(name, member):
        return other.tobytes() if member == info.tobytes() else member

    return change


def loaded(data):
    return _core.load_bytes("model.pt", data, {})


@pytest.mark.parametrize("case,form", FORMS)
def test_saved_it_has_all_that_deepmd_kit_reads(case, form, tmp_path):
    """The rows that splines were made of, too, which are in no checkpoint."""
    (tmp_path / f"model.{form}").write_bytes(saved_files.saved_file(case, form))
    model = dgnn.Model.load(tmp_path / f"model.{form}")
    model.save(tmp_path / "model.yaml")
    found, wanted = yaml.safe_load((tmp_path / "model.yaml").read_text())["model"], saved_files.tree_of(case)
    for name in ("type", "weights", "sw_rmin", "sw_rmax", "smin_alpha", "type_map", "pair_exclude_types"):
        assert found.get(name) == wanted.get(name), name
    assert [model["type"] for model in found["models"]] == ["standard", "pairtab"]
    found, wanted = found["models"][1], wanted["models"][1]
    for name in ("rcut", "sel", "type_map"):
        assert found[name] == wanted[name], name
    found, wanted = found["tab"], wanted["tab"]
    assert found.keys() == wanted.keys() and found["@variables"].keys() == wanted["@variables"].keys()
    assert all(found[name] == wanted[name] for name in ("rmin", "hh", "ntypes", "nspline", "rcut"))
    for name, limit in (("tab_info", 0), ("tab_data", 0), ("vdata", 1e-12)):
        ours, theirs = (np.array(table["@variables"][name]["value"]) for table in (found, wanted))
        np.testing.assert_allclose(ours, theirs, rtol=limit, atol=limit, err_msg=name)
    given = Case(load_arrays(saved_files.DATA / "cases" / case), SYSTEMS[0]).inputs()
    assert dgnn.Model.load(tmp_path / "model.yaml").compute(**given).energy == model.compute(**given).energy


@pytest.mark.parametrize("form,counts", [("pt", False), ("expt.pt", True)])
def test_the_pt_backend_does_not_read_smin_alpha(form, counts, tmp_path):
    """Its get_zbl_model leaves it out, so that the default counts; pt_expt reads it."""
    data = saved_files.saved_file("zbl_dpa1", form)
    wide = changed(data, in_pickle(text("sw_rmin"), text("smin_alpha") + number(0.25) + text("sw_rmin")))
    (tmp_path / "model.pt").write_bytes(wide)
    dgnn.Model.load(tmp_path / "model.pt").save(tmp_path / "model.yaml")
    tree = yaml.safe_load((tmp_path / "model.yaml").read_text())["model"]
    assert tree["smin_alpha"] == (0.25 if counts else 0.1)


BAD = {
    "no splines": ("zbl_dpa1", in_table("zbl_dpa1", 2, 0.0), "tab_info: .* nspline 0.*counts"),
    "half a spline": ("zbl_dpa1", in_table("zbl_dpa1", 2, 248.5), "tab_info: .* nspline 248.5"),
    "fewer splines": ("zbl_dpa1", in_table("zbl_dpa1", 2, 248.0), "tab_data: expected .* 2 x 2 x 248 x 4 by tab_info"),
    "many splines": ("zbl_dpa1", in_table("zbl_dpa1", 2, 1e18), "tab_info: .* nspline 1e\\+18"),
    "other types": ("linear_dpa3_pairtab", in_table("linear_dpa3_pairtab", 3, 1.0), "tab_data: expected .* 1 x 1 x 89 x 4"),
    "no stride": ("linear_dpa3_pairtab", in_table("linear_dpa3_pairtab", 1, 0.0), "tab_info: .*positive hh"),
    "not a number": ("zbl_dpa1", in_table("zbl_dpa1", 0, np.nan), "tab_info.* is not finite"),
    "no table": ("zbl_dpa1", in_pickle(b"models.1.tab_data", b"models.1.tab_dato"), "models.1.tab_data: missing"),
    "no description": ("zbl_dpa1", in_pickle(b"models.1.tab_info", b"models.1.tab_infi"), "models.1.tab_info: missing"),
    "an unknown tensor": ("zbl_dpa1", in_pickle(b"min_nbor_dist", b"max_nbor_dist"), "max_nbor_dist: a tensor that dgnn does not"),
    "no switch": ("zbl_dpa1", in_pickle(text("sw_rmax"), text("sw_rmux")), "sw_rmax: missing"),
    "a switch in reverse": ("zbl_dpa1", in_pickle(number(2.4), number(0.4)), "sw_rmax 0.4.*expected sw_rmax above"),
    "a table in a sum": ("linear_dpa3_pairtab", in_pickle(text("weights"), text("use_srtab") + text("pair.tab") + text("weights")),
                         "use_srtab: a pair table of a model of another type"),
    "another analytical part": ("linear_dpa3_pairtab", in_pickle(text("pairtab"), text("inner_potential")),
                                "type 'inner_potential' without a descriptor in a sum; supported: pairtab"),
    "no cutoff": ("linear_dpa3_pairtab", in_pickle(text("rcut"), text("rcat")), "rcut: missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_table_with_a_fault(name):
    case, change, words = BAD[name]
    with pytest.raises((dgnn.ModelFormatError, dgnn.UnsupportedModelError), match=words):
        loaded(changed(saved_files.saved_file(case, "pt"), change))
