"""Each option of deepmd-kit's is evaluated, with a case, or refused by its name; and the refusals are real."""

import copy
import json
import pathlib
import zipfile

import check_arguments
import dgnn
import pytest
from conftest import DATA, ROOT

TABLES = check_arguments.read_tables(ROOT / "csrc" / "net" / "params")
FACTS = json.loads((DATA / "deepmd_arguments.json").read_text())
# Tables -> the groups whose objects the base model has.
KINDS = {"fitting_dipole": "dipole_dpa3", "fitting_polar": "polar_dpa1", "fitting_dos": "dos_dpa1", "fitting_property":
         "property_dpa1", "zbl": "zbl_dpa1", "pairtab": "zbl_dpa1", "pairtab_table": "zbl_dpa1"}  # in these cases
REACHABLE = {"dpa3": "descriptor/dpa3", "repflow": "repflow", "fitting": "fitting/ener", "typeembed": "TypeEmbedNet",
             "model": "model/standard"}


def base_tree():
    with zipfile.ZipFile(DATA / "cases" / "dpa3_base" / "model.pt2") as archive:
        return json.loads(archive.read("model/extra/model.json"))


def first_of(tree, wanted):
    return next(value for group, value in check_arguments.walk(tree["model"]) if group == wanted)


def load(tree, folder):
    path = folder / "model.json"
    path.write_text(json.dumps(tree))
    return dgnn.Model.load(path)


def test_every_option_has_a_case_or_a_refusal():
    check = check_arguments.make_check()
    bad = check.run()
    assert len(check.lines) > 500
    assert not bad, "\n".join(map(str, bad))


def test_the_check_can_fail(tmp_path):
    for path in (ROOT / "csrc" / "net" / "params").rglob("*.def"):
        text = path.read_text().replace("DGNN_BOOL(sequential_update,", "DGNN_BOOL(sequential_updates,")
        (tmp_path / path.name).write_text(text)
    bad = check_arguments.make_check(tmp_path).run()
    assert ("repflow", "sequential_update") in [line[:2] for line in bad]
    (tmp_path / "cases" / "dpa3_base").mkdir(parents=True)
    (tmp_path / "cases" / "dpa3_base" / "model.pt2").write_bytes(
        (DATA / "cases" / "dpa3_base" / "model.pt2").read_bytes())
    bad = check_arguments.make_check(cases=[tmp_path / "cases"]).run()
    missing = {line[1] for line in bad if line[0] == "repflow"}
    assert {"sequential_update", "use_dynamic_sel", "a_compress_rate"} <= missing
    assert "axis_neuron" not in missing


def test_the_base_model_loads(tmp_path):
    assert load(base_tree(), tmp_path).type_map == ("O", "H") or load(base_tree(), tmp_path).type_map == ["O", "H"]


ONLY = [(table, name) for table in REACHABLE for name, row in TABLES[table].items() if row.kind == "ONLY"]


@pytest.mark.parametrize("table, name", ONLY)
def test_other_values_are_refused_by_name(table, name, tmp_path):
    tree = base_tree()
    first_of(tree, REACHABLE[table])[name] = {"something": "else"}
    with pytest.raises(dgnn.UnsupportedModelError, match=name):
        load(tree, tmp_path)


@pytest.mark.parametrize("table", REACHABLE)
def test_unknown_options_are_refused_by_name(table, tmp_path):
    tree = base_tree()
    first_of(tree, REACHABLE[table])["update_everything"] = True
    with pytest.raises(dgnn.UnsupportedModelError, match="update_everything"):
        load(tree, tmp_path)


@pytest.mark.parametrize("table", REACHABLE)
def test_compressed_models_are_refused(table, tmp_path):
    tree = base_tree()
    first_of(tree, REACHABLE[table])["compress"] = {"@variables": {}}
    with pytest.raises(dgnn.UnsupportedModelError, match="compress"):
        load(tree, tmp_path)


@pytest.mark.parametrize("table", KINDS)
def test_other_kinds_refuse_what_they_do_not_know(table, tmp_path):
    with zipfile.ZipFile(DATA / "cases" / KINDS[table] / "model.pt2") as archive:
        text = archive.read("model/extra/model.json")
    group = next(group for group, name in check_arguments.TABLES.items() if name == table)
    only = [name for name, row in TABLES[table].items() if row.kind == "ONLY"]
    for name in (*only, "update_everything"):
        tree = json.loads(text)
        first_of(tree, group)[name] = {"something": "else"}
        with pytest.raises(dgnn.UnsupportedModelError, match=name):
            load(tree, tmp_path)


def test_shifted_fits_are_refused(tmp_path):
    tree = base_tree()
    first_of(tree, "fitting/ener")["atom_ener"] = [None, -0.5]
    with pytest.raises(dgnn.UnsupportedModelError, match="atom_ener"):
        load(tree, tmp_path)
    first_of(tree, "fitting/ener")["atom_ener"] = [None, None]
    load(tree, tmp_path)


@pytest.mark.parametrize("value", ["float16", "bfloat16", "half", "int32"])
@pytest.mark.parametrize("group", ["descriptor/dpa3", "fitting/ener"])
def test_other_precisions_are_refused(value, group, tmp_path):
    tree = base_tree()
    first_of(tree, group)["precision"] = value
    with pytest.raises(dgnn.UnsupportedModelError, match=value):
        load(tree, tmp_path)


GROUPS = {**FACTS["arguments"], **FACTS["keys"]}
UNKNOWN_DESCRIPTORS = [group.split("/")[1] for group in GROUPS if group.startswith("descriptor/")
                       and check_arguments.TABLES[group] not in TABLES] + ["dpa4", "se_a_tpe", "loc_frame"]


@pytest.mark.parametrize("name", UNKNOWN_DESCRIPTORS)
def test_descriptors_without_a_table_are_refused(name, tmp_path):
    tree = base_tree()
    tree["model"]["descriptor"]["type"] = name
    with pytest.raises(dgnn.UnsupportedModelError, match=name):
        load(tree, tmp_path)


@pytest.mark.parametrize("name", ["population", "Ener", "global_polar"])
def test_other_fittings_are_refused(name, tmp_path):
    tree = base_tree()
    tree["model"]["fitting"]["type"] = name
    with pytest.raises(dgnn.UnsupportedModelError, match=f"{name}.*ener, .*property"):
        load(tree, tmp_path)


@pytest.mark.parametrize("name", ["pairtab", "inner_potential", "frozen", "pairwise_dprc"])
def test_other_models_are_refused(name, tmp_path):
    tree = base_tree()
    tree["model"]["type"] = name
    with pytest.raises(dgnn.UnsupportedModelError, match=name):
        load(tree, tmp_path)


@pytest.mark.parametrize("table, name", [(table, name) for table in ("repflow", "dpa3") for name, row
                                         in TABLES[table].items() if row.kind == "IGNORED"])
def test_ignored_options_are_without_effect(table, name, tmp_path):
    """An option that says so changes no number, whatever its value."""
    tree, system = base_tree(), ([[0.1, 0, 0], [1.2, 0.3, 0], [0, 1.4, 0.2]], [0, 1, 1])
    energy = load(tree, tmp_path).compute(*system).energy
    changed = copy.deepcopy(tree)
    first_of(changed, REACHABLE[table])[name] = {"any": 3}
    assert load(changed, tmp_path).compute(*system).energy == energy


def test_the_file_of_arguments_says_where_it_is_from():
    assert "deepmd-kit 3.2.0" in FACTS["origin"]
    assert (pathlib.Path(DATA) / "extract_arguments.py").exists()
