"""Each part of a model's tree, changed in every way that JSON allows: a model or a clear error, and nothing leaked. And
each row of the tables in csrc/net/params/*.def: what it refuses, it refuses by name."""

import copy
import json
import re
import zipfile

import check_arguments
import dgnn
import numpy as np
import pytest
from conftest import DATA, ROOT, no_collection
from dgnn import _core

TABLES = check_arguments.read_tables(ROOT / "csrc" / "net" / "params")
# Small models that have each class of part among them.
CASES = ["dpa1_attn2", "dpa1_strip", "dpa2_all_updates", "dpa2_like_medium", "dpa2_strip", "dpa3_charge_spin_default",
         "dpa3_compress_sequential", "dpa3_fitting_each", "dpa3_all_parameters", "hybrid_dpa3",
         "linear_dpa1", "se_atten_v2_all", "se_e2_a_one_side", "se_e2_r_exclude", "se_e3_exclude", "se_e3_tebd_exclude",
         "se_e3_tebd_strip", "spin_dpa3", "dipole_se_e2_a", "dos_fparam_aparam", "polar_se_e2_a", "property_dpa1", "zbl_dpa1"]
OPTIONS = (0, 0, 0, 1, -1.0, "cpu")
REFUSED = (dgnn.ModelFormatError, dgnn.UnsupportedModelError)


def read_case(name):
    """(tree, arrays): an array stands in the tree as its index."""
    text, arrays = _core.load(str(DATA / "cases" / name / "model.pt2"), OPTIONS).tree()
    return json.loads(text), arrays


def attempt(tree, arrays):
    """None if a model came of it, else the error, which is one line and leaves nothing behind."""
    with no_collection():
        live = _core._alloc_live()
        try:
            _core.load_tree("changed.json", json.dumps(tree), arrays, OPTIONS)
        except REFUSED as error:
            text = str(error)
            assert text.startswith("changed.json") and "\n" not in text, text
            found = (type(error), text)
        else:
            found = None
        assert _core._alloc_live() == live, found
    return found


def is_array(value):
    return isinstance(value, dict) and "@index" in value


def places(value, path=(), owner=""):
    """(container, key, path, kind) of all that is in a tree; of a list, the first item of each type. What has one kind
    is read by the same code."""
    known = set()
    if isinstance(value, dict) and ("@class" in value or "type" in value):
        owner = f"{value.get('@class')} {value.get('type')}"
    for key, item in [] if is_array(value) else enumerate(value) if isinstance(value, list) else value.items():
        if isinstance(value, list) and type(item) in known:
            continue
        known.add(type(item))
        yield value, key, (*path, key), (owner, *path[-1:], key)
        if isinstance(item, (dict, list)):
            yield from places(item, (*path, key), owner)


WRONG = [None, -1, 0, 7, 1 << 40, 2.5, "a word", [], [1, "x"], {}, {"@class": "x"}]


def wrong_arrays(array):
    """Of other shapes and types, and with numbers that are none."""
    flat = np.ascontiguousarray(array).reshape(-1)
    yield from (flat[:0], array[:-1], np.append(flat, flat[-1:]), array[None], np.zeros_like(array), -np.abs(array))
    yield from (np.moveaxis(array, 0, -1), array.astype(np.int32))
    if array.dtype.kind == "f":
        yield from (np.where(np.arange(array.size).reshape(array.shape) == array.size // 2, bad, array)
                    for bad in (np.nan, np.inf))


def find_firsts():
    """case -> kinds that no case before has"""
    found, known = {}, set()
    for name in CASES:
        found[name] = {kind for *_, kind in places(read_case(name)[0])} - known
        known |= found[name]
    return found


FIRST = find_firsts()


def outcomes(tree, arrays, kinds):
    """(path, change, outcome) of every change of one part: one of each of the kinds in all ways, the others in two."""
    left = set(kinds)
    for container, key, path, kind in list(places(tree)):
        good, first = container[key], kind in left
        left.discard(kind)
        for other in wrong_arrays(arrays[good["@index"]]) if is_array(good) and first else ():
            changed = [*arrays]
            changed[good["@index"]] = np.ascontiguousarray(other)
            yield path, f"{other.dtype}{other.shape}", attempt(tree, changed)
        longer = [good + good[-1:], good[:-1]] if isinstance(good, list) and good else []
        for value in WRONG + longer if first else [{}]:
            if type(value) is not type(good) or value != good:
                container[key] = value
                yield path, value, attempt(tree, arrays)
        container[key] = good
        if isinstance(container, dict):
            items = list(container.items())
            del container[key]
            yield path, "missing", attempt(tree, arrays)
            if first:
                container["something_new"] = good
                yield path, "renamed", attempt(tree, arrays)
            container.clear()
            container.update(items)


@pytest.mark.parametrize("name", CASES)
def test_every_part_changed(name):
    tree, arrays = read_case(name)
    before = copy.deepcopy(tree)
    assert attempt(tree, arrays) is None
    refused = [outcome is not None for _, _, outcome in outcomes(tree, arrays, FIRST[name])]
    assert len(refused) > 200 and 0.3 < np.mean(refused) < 0.7
    assert tree == before and attempt(tree, arrays) is None


@pytest.mark.parametrize("name", ["dpa2_like_medium", "dpa3_charge_spin_default", "spin_dpa3"])
def test_every_allocation_of_loading_may_fail(name, no_collection):
    """Of families whose parts tests/trust/test_process_faults.py hasn't all; calls are tested there."""
    tree, arrays = read_case(name)
    text, live = json.dumps(tree), _core._alloc_live()
    for nth in range(1, 10_000):
        _core._alloc_fail_at(nth)
        try:
            _core.load_tree("changed.json", text, arrays, OPTIONS)
            break
        except MemoryError as error:
            assert "memory" in str(error)
        finally:
            _core._alloc_fail_at(0)
        assert _core._alloc_live() == live, f"allocation {nth}"
    assert 50 < nth < 10_000


# ---------------------------------------------------------------- the tables


def owners(tree):
    """table -> the first object of the tree that it describes"""
    found = {}
    for group, value in check_arguments.walk(tree["model"]):
        if group != "model/spin_ener":
            found.setdefault(check_arguments.TABLES.get(group), value)
    return {table: value for table, value in found.items() if table}


def find_tables():
    """table -> the first case that has it"""
    found = {}
    for name in CASES:
        for table in owners(read_case(name)[0]):
            found.setdefault(table, name)
    return found


WHERE = find_tables()


# Tables of objects that stand elsewhere in a file, or of a family with a test of its own.
ELSEWHERE = {"file": "trust/test_mutants.py", "metadata": "trust/test_mutants.py", "identity": "trust/test_mutants.py",
             "spin_model": "trust/test_mutants.py", "compress": "kinds/test_compressed.py", "glu": "unit/test_dpa4c.py",
             **{name: "unit/test_dpa4c.py" for name in TABLES if name.startswith("dpa4c")}}


def test_every_table_is_here():
    assert set(WHERE) | set(ELSEWHERE) == set(TABLES) and not set(WHERE) & set(ELSEWHERE)
    assert all((ROOT / "tests" / path).is_file() for path in ELSEWHERE.values())


def wrong_values(row):
    """(value, error) for a row of a table; "missing" takes the member away. No error: it makes no difference."""
    required = row.rest.startswith("DGNN_REQUIRED") or (row.kind == "VALUE" and row.rest.startswith("1"))
    wrong = {"INT": ["a word", 1.5, None], "DOUBLE": ["a word", None, True], "BOOL": [1, "true", None],
             "STRING": [7, []]}
    for value in wrong.get(row.kind, []):
        yield value, dgnn.ModelFormatError
    if required:
        yield "missing", dgnn.ModelFormatError
    if row.kind == "ONLY":
        yield {"something": "else"}, dgnn.UnsupportedModelError
    if row.kind == "IGNORED":
        yield "missing", None
        yield {"something": "else"}, None


@pytest.mark.parametrize("table", WHERE)
def test_every_row(table):
    """Another type, or none where there must be one, is refused by the row's name; what is ignored is ignored."""
    tree, arrays = read_case(WHERE[table])
    owner = owners(tree)[table]
    for name, row in [*TABLES[table].items(), ("not_in_the_table", None)]:
        good = dict(owner)
        for value, error in wrong_values(row) if row else [(1, dgnn.UnsupportedModelError)]:
            owner[name] = value
            if value == "missing":
                del owner[name]
            outcome = attempt(tree, arrays)
            assert (outcome and outcome[0]) is error, f"{name} = {value}: {outcome}"
            assert error is None or name in outcome[1], f"{name} = {value}: {outcome}"
            owner.clear()
            owner.update(good)
    assert attempt(tree, arrays) is None


# Values of the right type that no model has: case, table, changes, what the error says.
RANGES = [
    ("dpa3_compress_sequential", "repflow", changes, message) for changes, message in [
        (dict(n_dim=0), "n_dim, e_dim and a_dim"), (dict(e_dim=65537), "n_dim, e_dim and a_dim"),
        (dict(a_dim=-1), "n_dim, e_dim and a_dim"), (dict(nlayers=0), "nlayers must be"),
        (dict(nlayers=1025), "nlayers must be"), (dict(nlayers=2), "2 layers|nlayers is 2"),
        (dict(n_multi_edge_message=65), "n_multi_edge_message"), (dict(n_multi_edge_message=0), "n_multi_edge_message"),
        (dict(axis_neuron=0), "axis_neuron"), (dict(axis_neuron=100), "axis_neuron"),
        (dict(a_compress_rate=-1), "a_compress_rate"), (dict(a_compress_e_rate=0), "a_compress_e_rate"),
        (dict(a_compress_use_split=True, a_compress_rate=1, a_compress_e_rate=64), "compressed widths are larger"),
        (dict(a_compress_rate=7), "a_compress_rate"), (dict(e_rcut=1e3), "e_rcut < 1000"), (dict(e_rcut=0), "e_rcut"),
        (dict(e_rcut_smth=0), "e_rcut_smth"), (dict(e_rcut_smth=99), "e_rcut_smth"), (dict(a_rcut=0), "a_rcut"),
        (dict(a_rcut=99), "a_rcut <= e_rcut"), (dict(a_rcut_smth=99), "a_rcut_smth"),
        (dict(a_rcut_smth=0), "a_rcut_smth"),
        (dict(e_sel=0), "a_sel <= e_sel"), (dict(a_sel=0), "a_sel <= e_sel"), (dict(a_sel=999), "a_sel <= e_sel"),
        (dict(e_sel=1 << 25), "a_sel <= e_sel"), (dict(sel_reduce_factor=0), "sel_reduce_factor"),
        (dict(update_style="other"), "update_style"),
        (dict(use_dynamic_sel=True, smooth_edge_update=False), "use_dynamic_sel"),
        (dict(update_style="res_avg"), "sequential_update needs"),
    ]
] + [
    ("dpa3_charge_spin_default", "dpa3", dict(ntypes=3), "ntypes"),
    ("dpa3_charge_spin_default", "dpa3", dict(env_protection=-1), "env_protection"),
    ("dpa3_charge_spin_default", "dpa3", dict(default_chg_spin=[0]), "two numbers"),
    ("dpa3_charge_spin_default", "dpa3", dict(default_chg_spin=[0, "1"]), "number"),
    ("dpa3_charge_spin_default", "dpa3", dict(precision="float16"), "float16"),
    ("dpa3_charge_spin_default", "dpa3", dict(exclude_types=[[0]]), "a pair of types"),
    ("dpa3_charge_spin_default", "dpa3", dict(exclude_types=[[0, 2]]), "not in"),
    ("dpa3_charge_spin_default", "dpa3", dict(exclude_types=[[-1, 0]]), "not in"),
    ("dpa3_charge_spin_default", "dpa3", {"@version": 3}, "version 3"),
    ("dpa3_charge_spin_default", "typeembed", dict(ntypes=5), "embeds 5 types"),
    ("dpa3_charge_spin_default", "typeembed", dict(use_econf_tebd=True), "use_econf_tebd: contradicts the descriptor"),
    ("se_e3_tebd_exclude", "typeembed", dict(type_map=["O", "Xx"]), "no element"),
    ("se_e3_tebd_exclude", "typeembed", dict(type_map=["O"]), "1 types, expected 2"),
    ("dpa3_all_parameters", "fitting", dict(ntypes=3), "ntypes"),
    ("dpa3_all_parameters", "fitting", dict(dim_descrpt=0), "width"),
    ("dpa3_all_parameters", "fitting", dict(dim_descrpt=9), "shape"),
    ("dpa3_all_parameters", "fitting", dict(numb_fparam=-1), "width"),
    ("dpa3_all_parameters", "fitting", dict(numb_aparam=-1), "width"),
    ("dpa3_all_parameters", "fitting", dict(dim_case_embd=-1), "width"),
    ("dpa3_all_parameters", "fitting", dict(numb_fparam=1 << 25), "width"),
    ("dpa3_all_parameters", "fitting", dict(numb_aparam=1 << 25), "width"),
    ("dpa3_all_parameters", "fitting", dict(dim_case_embd=1 << 25), "width"),
    ("dpa3_all_parameters", "fitting", dict(numb_fparam=7), "wrong number"),
    ("dpa3_all_parameters", "fitting", dict(default_fparam=[1] * 9), "numb_fparam"),
    ("dpa3_all_parameters", "fitting", dict(exclude_types=[2]), "not a type"),
    ("dpa3_all_parameters", "fitting", dict(exclude_types=[-1]), "not a type"),
    ("dpa3_all_parameters", "fitting", dict(atom_ener=[None, 1.0]), "atom_ener"),
    ("dpa3_all_parameters", "fitting", dict(mixed_types=False), "nets.ndim: contradicts the settings"),
    ("dpa3_all_parameters", "fitting", dict(type="octupole"), "octupole"),
    ("dpa3_all_parameters", "fitting", {"@version": 5}, "version 5"),
    ("dpa3_all_parameters", "model", dict(type_map=[]), "1 to 4096"),
    ("dpa3_all_parameters", "model", dict(type_map=["O", "O"]), "twice"),
    ("dpa3_all_parameters", "model", dict(type_map=[str(k) for k in range(4097)]), "1 to 4096"),
    ("dpa3_all_parameters", "model", dict(atom_exclude_types=[2]), "not a type"),
    ("dpa3_all_parameters", "model", dict(pair_exclude_types=[[0, 5]]), "not in"),
    ("dpa3_all_parameters", "model", dict(type="zbi"), "zbi"),
    ("dpa3_all_parameters", "dpa3", dict(type="dpa9"), "dpa9"),
    ("dpa2_strip", "repinit", dict(nsel=0), "nsel and three_body_sel"),
    ("dpa2_strip", "repinit", dict(nsel=1 << 25), "nsel and three_body_sel"),
    ("dpa2_strip", "repinit", dict(three_body_sel=0), "nsel and three_body_sel"),
    ("dpa2_strip", "repinit", dict(tebd_dim=0), "tebd_dim"),
    ("dpa2_strip", "repinit", dict(tebd_dim=65537), "tebd_dim"),
    ("dpa2_strip", "repinit", dict(tebd_input_mode="other"), "tebd_input_mode"),
    ("dpa2_strip", "repinit", dict(rcut=1.0), "rcut"),
    ("dpa2_strip", "repinit", dict(axis_neuron=0), "axis"),
    ("dpa2_strip", "repinit", dict(axis_neuron=999), "axis"),
    ("dpa2_strip", "repinit", dict(three_body_rcut=99.0), "cutoffs and numbers of slots"),
    ("dpa2_strip", "repformer", dict(nsel=0), "nsel is 0"), ("dpa2_strip", "repformer", dict(nlayers=9), "9"),
    ("dpa2_strip", "repformer", dict(g1_dim=65537), "g1_dim is 65537"),
    ("dpa2_strip", "repformer", dict(g2_dim=-1), "g2_dim is -1"),
    ("dpa2_strip", "repformer", dict(rcut_smth=99.0), "rcut_smth"),
    ("dpa2_strip", "repformer", dict(activation_function="other"), "other"),
    ("dpa2_strip", "repformer_layer", dict(g1_dim=9), "dimensions"),
    ("dpa2_strip", "repformer_layer", dict(attn1_nhead=0), "heads|number"),
    ("dpa2_strip", "repformer_layer", dict(attn2_nhead=4097), "heads|number"),
    ("dpa2_strip", "repformer_layer", dict(axis_neuron=99), "axis_neuron"),
    ("dpa2_strip", "repformer_layer", dict(activation_function="relu"), "activation"),
    ("dpa2_strip", "repformer_layer", dict(update_style="other"), "update_style contradicts"),
    ("dpa2_strip", "dpa2", dict(ntypes=3), "ntypes"),
    ("dpa1_strip", "dpa1", dict(ntypes=3), "ntypes"), ("dpa1_strip", "dpa1", dict(tebd_dim=0), "tebd_dim"),
    ("dpa1_strip", "dpa1", dict(tebd_dim=65537), "tebd_dim"),
    ("dpa1_strip", "dpa1", dict(axis_neuron=0), "axis_neuron"),
    ("dpa1_strip", "dpa1", dict(axis_neuron=999), "axis_neuron"),
    ("dpa1_strip", "dpa1", dict(tebd_input_mode="other"), "tebd_input_mode"),
    ("dpa1_strip", "dpa1", dict(rcut_smth=-1.0), "rcut_smth"), ("dpa1_strip", "dpa1", dict(rcut=0), "rcut"),
    ("dpa1_strip", "dpa1", dict(env_protection=-1), "protection"),
    ("dpa1_strip", "dpa1", dict(sel=0), "1 to 2.24"), ("dpa1_strip", "dpa1", dict(sel=[0]), "no neighbours"),
    ("dpa1_strip", "dpa1", dict(sel=1 << 25), "1 to 2.24"), ("dpa1_strip", "dpa1", dict(sel=[-1]), "from 0"),
    ("dpa1_strip", "dpa1", dict(sel=[1 << 24, 1]), "from 0"),
    ("dpa1_attn2", "dpa1", dict(attn_layer=1), "layer_num: contradicts the descriptor, by which it is 1"),
    ("se_e2_a_one_side", "se_a", dict(axis_neuron=0), "axis_neuron is 0"),
    ("se_e2_a_one_side", "se_a", dict(axis_neuron=999), "axis_neuron is 999"),
    ("se_e2_a_one_side", "se_a", dict(sel=[9]), "one number for each type"),
    ("se_e2_a_one_side", "se_a", dict(rcut_smth=99.0), "rcut_smth"),
    ("se_e2_r_exclude", "se_r", dict(sel=[0, 0]), "no neighbours"),
    ("se_e3_exclude", "se_t", dict(sel=[1 << 24, 1]), "from 0"),
    ("se_e3_tebd_strip", "se_t_tebd", dict(ntypes=3), "ntypes"),
    ("se_e3_tebd_strip", "se_t_tebd", dict(tebd_dim=0), "tebd_dim"),
    ("se_e3_tebd_strip", "se_t_tebd", dict(tebd_input_mode="other"), "tebd_input_mode"),
    ("hybrid_dpa3", "hybrid", dict(list=[]), "1 to 64"),
    ("linear_dpa1", "linear", dict(models=[]), "at least one"),
    ("linear_dpa1", "linear", dict(weights=[1.0]), "one weight for each"),
    ("linear_dpa1", "linear", dict(weights="max"), "sum"),
    ("linear_dpa1", "linear", {"@version": 9}, "version 9"),
    ("spin_dpa3", "spin", dict(use_spin=[True]), "twice as many"),
    ("spin_dpa3", "spin", dict(use_spin=[True, 1]), "use_spin"),
    ("spin_dpa3", "spin", dict(virtual_scale=None), "native"),
    ("spin_dpa3", "spin", dict(virtual_scale=[0.1] * 3), "one number for each"),
    ("spin_dpa3", "spin", dict(virtual_scale=["a", 0.1]), "virtual_scale"),
    ("spin_dpa3", "spin", dict(virtual_scale="a"), "virtual_scale"),
]


@pytest.mark.parametrize("name, table, changes, message", RANGES, ids=[
    f"{table}-{'-'.join(f'{key}={str(value)[:12]}' for key, value in changes.items())}"
    for _, table, changes, _ in RANGES])
def test_values_out_of_range(name, table, changes, message):
    tree, arrays = read_case(name)
    owners(tree)[table].update(changes)
    outcome = attempt(tree, arrays)
    assert outcome and re.search(message, outcome[1]), outcome


def model_of(name):
    """As it is in the archive, with its arrays written out."""
    with zipfile.ZipFile(DATA / "cases" / name / "model.pt2") as file:
        return json.loads(file.read("model/extra/model.json"))["model"]


@pytest.mark.parametrize("models, message", [
    (lambda parts: parts[:1] * 65, "more than 64 models"),
    (lambda parts: [model_of("se_e2_a")], "tells the types of neighbours apart"),
    (lambda parts: [{**parts[0], "type_map": ["O", "X"]}], "type 'H' of the whole model is not there"),
    (lambda parts: [model_of("dpa3_fparam_aparam"), model_of("dpa3_all_parameters")], "disagree on the widths"),
])
def test_sums_that_do_not_add_up(models, message):
    tree = {"model": model_of("linear_dpa1")}
    tree["model"].update(models=models(tree["model"]["models"]), weights="sum")
    outcome = attempt(tree, [])
    assert outcome and re.search(message, outcome[1]), outcome


@pytest.mark.parametrize("dtype", [1, 2], ids=["float32", "float64"])
@pytest.mark.parametrize("change", [{"activation_function": "tanh"}, {"resnet": True}])
def test_layers_that_are_multiplied_together_are_plain(dtype, change):
    tree, arrays = read_case("dpa3_base")
    tree["model"]["descriptor"]["repflow_variable"]["repflow_layers"][0]["node_self_mlp"].update(change)
    with pytest.raises(dgnn.UnsupportedModelError, match="node_self_mlp: expected a plain affine layer"):
        _core.load_tree("changed.json", json.dumps(tree), arrays, (dtype, *OPTIONS[1:]))


@pytest.mark.parametrize("dtype", [1, 2], ids=["float32", "float64"])
def test_networks_that_are_multiplied_together_are_as_wide(dtype):
    tree, arrays = read_case("dpa2_strip")
    networks = tree["model"]["descriptor"]["repinit_variable"]["embeddings_strip"]["networks"]
    del networks[0]["layers"][1:]
    networks[0]["neuron"] = networks[0]["neuron"][:1]
    with pytest.raises(dgnn.ModelFormatError, match=r"embeddings_strip: 4 outputs, expected 8"):
        _core.load_tree("changed.json", json.dumps(tree), arrays, (dtype, *OPTIONS[1:]))


@pytest.mark.parametrize("dtype", [1, 2], ids=["float32", "float64"])
@pytest.mark.parametrize("part", ["proj_g1g2", "proj_g1g1g2", "attn2g_map.mapqk", "attn2_mh_apply.mapv",
                                  "attn2_ev_apply.head_map", "loc_attn.mapq", "loc_attn.mapkv"])
def test_products_have_no_bias(part, dtype):
    tree, arrays = read_case("dpa2_all_updates")
    layer = tree["model"]["descriptor"]["repformers_variable"]["repformer_layers"][0]
    for name in part.split("."):
        layer = layer[name]
    weights = layer["@variables"]["w"]
    layer["@variables"]["b"] = {**weights, "@index": len(arrays)}
    layer["bias"] = True
    with pytest.raises(dgnn.UnsupportedModelError, match=rf"{re.escape(part)}: has a bias"):
        _core.load_tree("changed.json", json.dumps(tree),
                        [*arrays, np.ones(arrays[weights["@index"]].shape[1])], (dtype, *OPTIONS[1:]))
