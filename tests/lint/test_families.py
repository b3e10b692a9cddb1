"""docs/families.md is what the registry, the tables of parameters and the models say."""

import json
import re
import zipfile

import check_arguments
import dgnn
import gen_params
import pytest
from conftest import DATA, ROOT

PAGE = (ROOT / "docs" / "families.md").read_text()
FAMILIES, FITTINGS, REFUSED = (
    [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.M))
TABLES = check_arguments.read_tables(ROOT / "csrc" / "net" / "params")


def test_refused_options():
    rows = [[table, f"`{option}`", gen_params.default_of(row).removeprefix("only "), row.meaning]
            for table in sorted(TABLES) for option, row in TABLES[table].items() if row.kind == "ONLY"]
    assert rows and REFUSED == rows


def test_every_descriptor_is_there(tmp_path):
    member, path = "model/extra/model.json", tmp_path / "model.pt2"
    tree = json.loads(zipfile.ZipFile(DATA / "cases" / "se_e2_a" / "model.pt2").read(member))
    tree["model"]["descriptor"]["type"] = "no_such_descriptor"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, json.dumps(tree))
    with pytest.raises(dgnn.UnsupportedModelError) as caught:
        dgnn.Model.load(path)
    listed = {name for row in FAMILIES[:-2] for name in re.findall(r"`(\w+)`", row[1])}
    assert listed == set(re.search(r"supported: (.*)", str(caught.value)).group(1).split(", "))


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row[0])
def test_what_models_say(row):
    _, _, passing, across, semantics, case = row
    info = dgnn.Model.load(DATA / "cases" / case.strip("`") / "model.pt2").info()
    means = {"y": True, "n": False, "i": info["has_message_passing"]}  # yes, no, if a child's
    assert info["has_message_passing"] == means[passing[0]]
    assert info["has_message_passing_across_ranks"] == means[across[0]]
    assert info["has_graph_form"] == ("graph" in semantics)
    assert info["semantics_from"].startswith("lower_input_kind" if info["archive"]["has_metadata"] else "default")


def test_what_chose_the_semantics():
    path = DATA / "cases" / "dpa1_attn2_graph" / "model.pt2"
    assert dgnn.Model.load(path).info()["semantics"] == "graph"
    chosen = dgnn.Model.load(path, semantics="dense").info()
    assert (chosen["semantics"], chosen["semantics_from"]) == ("dense", "load option")
