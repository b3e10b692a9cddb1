"""Archives with a second, nested program; archives that were cut off; metadata that says another thing than the model."""

import json
import zipfile

import archives
import dgnn
import numpy as np
import pytest
from archives import METADATA, MODEL, NESTED, REAL, members, packed, with_metadata
from conftest import DATA

RUNNABLE = archives.runnable()


@pytest.fixture(scope="module")
def reference():
    with np.load(DATA / "real" / "cases.npz") as file:
        system = sorted({key.split("/")[0] for key in file.files})[0]
        arguments = [file[f"{system}/in/{key}"] for key in ("coord", "type")]
        arguments += [file[f"{system}/in/box"]] if f"{system}/in/box" in file.files else []
        return arguments, file[f"{system}/out/force"], file[f"{system}/out/energy"]


def write(tmp_path, data):
    path = tmp_path / "model.pt2"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", RUNNABLE)
def test_all_that_carry_the_model_run(name, reference, tmp_path):
    """Whatever became of the compiled programs, which dgnn leaves alone. On two ranks: tests/mpi/test_trust.py."""
    data, flag, nested = RUNNABLE[name]
    model = dgnn.Model.load(write(tmp_path, data), threads=1)
    arguments, forces, energy = reference
    result = model.compute(*arguments)
    assert np.abs(forces).max() > 1e-3
    np.testing.assert_allclose(result.forces, forces, atol=1e-11)
    assert result.energy == pytest.approx(float(energy.ravel()[0]), rel=1e-12)
    archive = model.info()["archive"]
    assert (archive["has_comm_artifact"], archive["nested_comm_artifact"]) == (flag, nested)
    assert archive["has_metadata"] is (name != "no metadata")


def test_every_cut_is_refused(tmp_path):
    """Killed while members were appended: the directory at the end is gone."""
    data = REAL.read_bytes()
    starts = sorted(info.header_offset for info in zipfile.ZipFile(REAL).infolist())
    cuts = {0, 1, 3, 4, 29, 30, len(data) - 1, len(data) - 22, len(data) - 23}
    cuts |= {start + more for start in starts for more in (-1, 0, 1, 30, 60) if 0 <= start + more < len(data)}
    cuts |= set(range(1000, len(data), 150_001))
    assert len(cuts) > 80
    for cut in sorted(cuts):
        with pytest.raises(dgnn.ModelFormatError, match="model.pt2"):
            dgnn.Model.load(write(tmp_path, data[:cut]))


def test_torn_writes_are_refused(tmp_path):
    """The end is there and blocks of zeros are in the middle, as a file system may leave them."""
    data = REAL.read_bytes()
    with zipfile.ZipFile(REAL) as archive:
        start = archive.getinfo(MODEL).header_offset
    for place in (0, start, start + 4096, len(data) - 512):
        torn = data[:place] + bytes(512) + data[place + 512 :]
        with pytest.raises(dgnn.ModelFormatError):
            dgnn.Model.load(write(tmp_path, torn))


def test_archives_closed_half_way(reference, tmp_path):
    """Sound archives of the first members, in deepmd-kit's order: they run once model.json is in, and before that the
    error says what is missing."""
    whole = members()
    names = [name for name in whole if name != NESTED] + [NESTED]
    outcomes = []
    for count in range(1, len(names) + 1):
        path = write(tmp_path, packed({name: whole[name] for name in names[:count]}))
        if MODEL in names[:count]:
            np.testing.assert_allclose(dgnn.Model.load(path).compute(*reference[0]).forces, reference[1], atol=1e-11)
            outcomes.append("runs")
        else:
            with pytest.raises((dgnn.UnsupportedModelError, dgnn.ModelFormatError), match="model.json|without a tree of weights"):
                dgnn.Model.load(path)
            outcomes.append("refused")
    assert "runs" in outcomes and "refused" in outcomes


CONTRADICTIONS = [
    dict(type_map=["H", "O"]), dict(type_map=["O"]), dict(type_map=["O", "H", "N"]), dict(rcut=5.5), dict(sel=[31]),
    dict(sel=[30, 30]), dict(nnei=31), dict(dim_fparam=1), dict(dim_aparam=2), dict(dim_chg_spin=2), dict(is_spin=True),
    dict(has_message_passing=False), dict(pair_exclude_types=[[0, 1]]),
]
MALFORMED = [
    dict(type_map="OH"), dict(type_map=[1, 2]), dict(rcut="6"), dict(rcut=[6.0]), dict(sel=30), dict(sel=[30.5]),
    dict(nnei=True), dict(is_spin="no"), dict(has_message_passing=1), dict(pair_exclude_types={}),
    dict(pair_exclude_types=[[0]]), dict(pair_exclude_types=[[0, 7]]), dict(lower_input_kind=3),
]


@pytest.mark.parametrize("change", CONTRADICTIONS + MALFORMED, ids=str)
def test_contradictions_are_refused(change, tmp_path):
    (field,) = change
    path = write(tmp_path, packed(with_metadata(members(), **change)))
    text = rf"metadata.json: {field}.*" + ("contradicts model.json" if change in CONTRADICTIONS else "")
    with pytest.raises(dgnn.ModelFormatError, match=text):
        dgnn.Model.load(path)


def test_excluded_pairs_must_agree(tmp_path):
    """Also where the model excludes some."""
    with zipfile.ZipFile(DATA / "cases" / "dpa3_pair_exclude" / "model.pt2") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert json.loads(parts[METADATA])["pair_exclude_types"]
    dgnn.Model.load(write(tmp_path, packed(parts)))
    for pairs in ([], [[0, 1]], [[0, 0], [1, 1]]):
        with pytest.raises(dgnn.ModelFormatError, match="pair_exclude_types"):
            dgnn.Model.load(write(tmp_path, packed(with_metadata(parts, pair_exclude_types=pairs))))


def test_unknown_kinds_are_named(tmp_path):
    path = write(tmp_path, packed(with_metadata(members(), lower_input_kind="edge_vec")))
    with pytest.raises(dgnn.UnsupportedModelError, match="lower_input_kind: 'edge_vec'"):
        dgnn.Model.load(path)
