"""Compressed models: tables where deepmd-kit's operator has quirks, the networks beside them, forces as derivatives in all
parts of a table, and what is refused. deepmd-kit's numbers: parity/test_cases.py; ranks, ghosts and frames: test_kinds.py."""

import copy
import json
import zipfile

import dgnn
import numpy as np
import pytest
from conftest import DATA
from dgnn import cli
from test_cases import CASES
from test_kinds import arrays_of, inputs_of, load, tree_of, write

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")
COMPRESSED = [name for name in CASES if name.startswith("compressed_")]
ONE_OF_EACH = ["compressed_se_e2_a", "compressed_se_e2_r", "compressed_se_e3", "compressed_se_e3_tebd", "compressed_dpa1",
               "compressed_dpa1_attn2", "compressed_se_atten_v2", "compressed_dpa2", "compressed_hybrid"]


def members(tree):
    """Those that hold a "compress"."""
    descriptor = tree["model"]["descriptor"]
    for one in descriptor.get("list", [descriptor]):
        for owner in (one, one.get("repinit_variable", {})):
            if owner.get("compress"):
                yield owner


def described(model):
    """Of all descriptors that are compressed."""
    own = model.info()["descriptor"]
    for one in own.get("list", [own]):
        for part in (one, one.get("repinit", {})):
            if "compressed" in part:
                yield part


def array(owner, name):
    return owner["compress"]["@variables"][name]


def test_there_are_cases_of_each():
    assert set(ONE_OF_EACH) <= set(COMPRESSED) and len(COMPRESSED) >= 25


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_networks_beside_the_tables(name, dtype, tmp_path):
    """compressed="net" is the model before compression, bit for bit; "compare" evaluates tables, and says how far they are."""
    tree = tree_of(name)
    for owner in members(tree):
        del owner["compress"]
    plain, inputs = dgnn.Model.load(write(tree, tmp_path), threads=1, dtype=dtype), inputs_of(name)
    wanted, net = plain.compute(**inputs), load(name, compressed="net", dtype=dtype)
    for field, value in arrays_of(net.compute(**inputs)).items():
        np.testing.assert_array_equal(value, getattr(wanted, field), err_msg=field)
    tables, compare = load(name, dtype=dtype), load(name, compressed="compare", dtype=dtype)
    found = arrays_of(tables.compute(**inputs))
    for field, value in arrays_of(compare.compute(**inputs)).items():
        np.testing.assert_array_equal(value, found[field], err_msg=field)
    assert not list(described(plain))
    assert {part["compressed"] for part in described(net)} == {"net"}
    assert {part["compressed"] for part in described(tables)} == {"table"}
    assert all("compressed_difference" not in part for part in described(tables))
    told = [part["compressed_difference"] for part in described(compare)]
    assert len(told) == (2 if name == "compressed_hybrid" else 1)
    # Of tables of products, deepmd-kit makes the row that begins at a bound for the other stride (tabulate.py, start_index).
    fine = np.inf if "se_e3" in name else 1e-4 if dtype == "float64" else 1e-3
    assert all(0 <= difference < fine for difference in told), told
    if name != "compressed_dpa1_attn2":
        assert all(part["compressed_networks"] and part["compressed_rows"] > 10 for part in described(tables))
        assert not np.array_equal(found["forces"], wanted.forces) and all(told)


def polynomials(owner, n, x):
    """As deepmd-kit's operator, of a table whose bounds are multiples of its strides, within these."""
    lower, upper, _, first, second, _ = array(owner, "compress_info")[n]["value"]
    rows = np.array(array(owner, "compress_data")[n]["value"])
    rows = rows.reshape(len(rows), -1, 6)
    k = int((x - lower) / first) if x < upper else int((upper - lower) / first) + int((x - upper) / second)
    begin = lower + k * first if x < upper else upper + int((x - upper) / second) * second
    return sum(rows[k, :, p] * (x - begin) ** p for p in range(6))


def network(owner, n, x):
    value = np.array([x])
    for layer in owner["embeddings"]["networks"][n]["layers"]:
        w, b, idt = (None if layer["@variables"][key] is None else np.array(layer["@variables"][key]["value"]) for key in
                     ("w", "b", "idt"))
        out = np.tanh(value @ w + b) * (1 if idt is None else idt)
        if layer["resnet"] and len(out) in (len(value), 2 * len(value)):
            out = out + np.tile(value, len(out) // len(value))
        value = out
    return value


@pytest.mark.parametrize("name", ["compressed_coarse_se_e2_a", "compressed_coarse"])
def test_how_far_tables_are_from_networks(name):
    """The largest difference over three places of each row, computed here."""
    (owner,) = members(tree_of(name))
    worst = 0.0
    for n, info in enumerate(array(owner, "compress_info")):  # some rows end beyond the last bound
        lower, upper, end, first, second, _ = info["value"]
        begins = [(b, first) for b in np.arange(lower, upper, first)] + [(b, second) for b in np.arange(upper, end, second)]
        for begin, stride in begins[:len(array(owner, "compress_data")[n]["value"])]:
            for part in (0.25, 0.5, 0.75):
                x = begin + part * stride
                worst = max(worst, np.abs(polynomials(owner, n, x) - network(owner, n, x)).max())
    (told,) = (part["compressed_difference"] for part in described(load(name, compressed="compare")))
    assert 1e-6 < worst and abs(told - worst) < 0.01 * worst


@pytest.mark.parametrize("name", [name for name in COMPRESSED if name != "compressed_dipole"])  # dipoles: test_kinds.py
@pytest.mark.parametrize("system", ["slab", "contact"])
def test_forces_are_the_tables_derivatives(name, system, figures):
    """Differences of the energy, in a slab, and for atoms so near that pairs are in the last rows of a table and beyond. Where
    bounds are no multiples of strides, the operator's tables jump at a bound: places of atoms there are left out by chance."""
    model = load(name, skin=0, dtype="float64")
    inputs = {**inputs_of(name), "box": None}
    if system == "contact":
        inputs["coords"] = np.array([[0, 0, 0], [0.31, 0.1, 0.0], [0.3, 1.15, 0.4], [-1.2, -0.7, 0.9], [2.0, 0.3, -0.4]])
        inputs["types"] = np.array([0, 1, 1, 0, 1])
    result, rng, worst = model.compute(**inputs), np.random.default_rng(0), 0.0
    for atom in rng.integers(0, len(inputs["coords"]), 3):
        direction = rng.standard_normal(3)
        step, energies = 1e-4, []
        for k in (-2, -1, 1, 2):
            moved = inputs["coords"].copy()
            moved[atom] += k * step * direction
            energies.append(model.compute(**{**inputs, "coords": moved}).energy)
        slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)
        worst = max(worst, abs(slope + result.forces[atom] @ direction) / max(1, np.abs(result.forces).max()))
    figures.record("compressed: differences against forces (limit 1e-7)", name, system, worst, 1e-7)
    assert worst < 1e-7


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_memory_threads_and_float32(name):
    """memory="small" and threads give the same bits; float32 is float64 to its precision."""
    inputs = inputs_of(name)
    wanted = arrays_of(load(name).compute(**inputs))
    for options in (dict(memory="small"), dict(threads=2)):
        model = dgnn.Model.load(DATA / "cases" / name / "model.pt2", **{"threads": 1, **options})
        for field, value in arrays_of(model.compute(**inputs)).items():
            np.testing.assert_array_equal(value, wanted[field], err_msg=f"{field} {options}")
    narrow = load(name, dtype="float32").compute(**inputs)
    assert np.abs(narrow.forces - wanted["forces"]).max() < 2e-5 * np.abs(wanted["forces"]).max()


# ---------------------------------------------------------------- what is refused


def info_of(number, value):
    return lambda owner: array(owner, "compress_info")[0]["value"].__setitem__(number, value)


def number_of(value):
    return lambda owner: array(owner, "compress_data")[0]["value"][3].__setitem__(7, value)


BAD = {
    "zero stride": info_of(3, 0.0), "zero second stride": info_of(4, 0.0), "negative stride": info_of(3, -0.05),
    "a bound that is no number": info_of(1, float("nan")), "bounds in another order": info_of(1, -3.0), "far end": info_of(2, 1e300),
    "tiny stride": info_of(3, 1e-300), "no number": number_of(float("nan")), "infinite": number_of(float("inf")),
    "a row missing": lambda o: array(o, "compress_data")[0]["value"].pop(),
    "a row more": lambda o: array(o, "compress_data")[0]["value"].append(array(o, "compress_data")[0]["value"][0]),
    "columns missing": lambda o: [row.pop() for row in array(o, "compress_data")[0]["value"]],
    "no rows": lambda o: array(o, "compress_data")[0].update(value=[]),
    "a table missing": lambda o: o["compress"]["@variables"].update(compress_data=array(o, "compress_data")[:-1]),
    "a table more": lambda o: o["compress"]["@variables"].update(compress_data=[*array(o, "compress_data"), array(o, "compress_data")[0]]),
    "tables missing": lambda o: o["compress"]["@variables"].pop("compress_data"),
    "bounds missing": lambda o: o["compress"]["@variables"].pop("compress_info"),
    "a bound missing": lambda o: array(o, "compress_info")[0]["value"].pop(),
    "no variables": lambda o: o["compress"].pop("@variables"), "a list": lambda o: o.update(compress=[1]),
}
TYPES = {
    "types missing": lambda o: o["compress"]["@variables"].pop("type_embd_data"),
    "a row of types missing": lambda o: array(o, "type_embd_data")["value"].pop(),
    "no number of types": lambda o: array(o, "type_embd_data")["value"][1].__setitem__(0, float("nan")),
    "not geo_compress": lambda o: o["compress"].update(geo_compress=False),
}


@pytest.mark.parametrize("compressed", ["table", "net"])
@pytest.mark.parametrize("name", ["compressed_se_e2_a", "compressed_se_e2_r", "compressed_se_e3_tebd", "compressed_dpa1", "compressed_dpa2"])
def test_bad_tables(name, compressed, tmp_path):
    """Whether they are evaluated or not."""
    (path,) = [write(tree_of(name), tmp_path)]
    dgnn.Model.load(path, compressed=compressed)
    bad = BAD if name in ("compressed_se_e2_a", "compressed_se_e2_r") else {**BAD, **TYPES}
    if name == "compressed_se_e3_tebd":
        bad.pop("not geo_compress")
    for what, change in bad.items():
        tree = copy.deepcopy(tree_of(name))
        change(next(members(tree)))
        with pytest.raises(dgnn.ModelFormatError):
            dgnn.Model.load(write(tree, tmp_path), compressed=compressed)
            raise AssertionError(what)


def test_what_belongs_to_other_descriptors(tmp_path):
    """geo_compress of those that always have tables, types of those that embed none, tables under attention layers and in
    the three-body block, unknown members."""
    def refused(name, change, error, match):
        tree = tree_of(name)
        change(tree["model"]["descriptor"])
        with pytest.raises(error, match=match):
            dgnn.Model.load(write(tree, tmp_path))

    tables = tree_of("compressed_dpa1")["model"]["descriptor"]["compress"]
    unsupported, malformed = dgnn.UnsupportedModelError, dgnn.ModelFormatError
    refused("compressed_se_e2_a", lambda d: d["compress"].update(geo_compress=True), unsupported, "geo_compress")
    refused("compressed_se_e2_a", lambda d: d["compress"]["@variables"].update(
        type_embd_data=tables["@variables"]["type_embd_data"]), malformed, "type_embd_data")
    refused("compressed_dpa1_attn2", lambda d: d.update(compress=tables), malformed, "attention layers")
    refused("dpa1_attn2", lambda d: d.update(compress=tables), malformed, "compress")
    refused("compressed_dpa1", lambda d: d["compress"].update(order=5), unsupported, "order")
    refused("compressed_dpa1", lambda d: d["compress"]["@variables"].update(more=[]), unsupported, "more")
    refused("dpa2_strip_davg", lambda d: d["repinit_three_body_variable"].update(compress=tables), malformed, "three-body")


def test_the_option(tmp_path, capsys):
    path = DATA / "cases" / "compressed_dpa1" / "model.pt2"
    with pytest.raises(dgnn.InputError, match="compressed.*'tables'.*table"):
        dgnn.Model.load(path, compressed="tables")
    assert cli.main(["info", str(path), "--compressed", "compare"]) == 0
    assert "compressed_difference" in capsys.readouterr().out
    assert cli.main(["info", str(path), "--compressed", "net", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["descriptor"]["compressed"] == "net"
    # A model that is not compressed has neither.
    plain = DATA / "cases" / "dpa1_attn2" / "model.pt2"
    assert "compressed" not in dgnn.Model.load(plain, compressed="net").info()["descriptor"]


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize("form", ["dgnn", "dp", "yaml"])
def test_saved_again(name, form, tmp_path):
    """Tables and networks are in the file that save writes."""
    load(name).save(tmp_path / f"model.{form}")
    inputs = inputs_of(name, "sparse")
    for compressed in ("table", "net"):
        wanted = arrays_of(load(name, compressed=compressed).compute(**inputs))
        again = dgnn.Model.load(tmp_path / f"model.{form}", threads=1, compressed=compressed)
        for field, value in arrays_of(again.compute(**inputs)).items():
            np.testing.assert_array_equal(value, wanted[field], err_msg=f"{field} {compressed}")


def test_members_are_where_this_file_looks():
    for name in COMPRESSED:
        with zipfile.ZipFile(DATA / "cases" / name / "model.pt2") as archive:
            assert list(members(json.loads(archive.read("model/extra/model.json")))), name
