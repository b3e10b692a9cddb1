"""Write docs/parameters.md from the tables csrc/net/params/*.def.

usage: gen_params.py [--check]      --check: write nothing; fail if the page is not what the tables say
"""
import json
import pathlib
import sys

import check_arguments

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "parameters.md"
TITLES = {
    "model": "Standard models", "linear": "Sums of models", "spin": "Spin models", "dpa3": "Descriptor dpa3",
    "repflow": "Layers of dpa3 (repflow_args)", "dpa2": "Descriptor dpa2",
    "repinit": "First block of dpa2 (repinit_args)", "repformer": "Layers of dpa2 (repformer_args)",
    "repformer_layer": "Each layer of dpa2", "dpa1": "Descriptors dpa1, se_atten and se_atten_v2",
    "attention": "Attention of dpa1", "attention_layer": "Each attention layer of dpa1",
    "attention_gated": "The attention inside a layer", "se_a": "Descriptor se_e2_a", "se_r": "Descriptor se_e2_r",
    "se_t": "Descriptor se_e3", "se_t_tebd": "Descriptor se_e3_tebd", "hybrid": "Descriptor hybrid",
    "dpa4c": "Descriptor dpa4c", "glu": "The network of a sezm_ener fitting",
    "fitting": "Energy fitting", "fitting_dipole": "Dipole fitting", "fitting_polar": "Polarisability fitting",
    "fitting_dos": "Fitting of densities of states", "fitting_property": "Property fitting", "zbl": "Net and pair table, by distance",
    "pairtab": "Pair tables", "pairtab_table": "The splines of a pair table", "typeembed": "Type embedding", "layer": "Layers", "norm": "Layer norms",
    "network": "Networks of embeddings", "network_fitting": "Networks of fittings", "collection": "Collections of networks",
    "environment": "Environment matrices (env_mat)", "repflow_variable": "Weights of dpa3 (repflow_variable)",
    "repflow_layer": "Each layer of dpa3",
    "repinit_variable": "Weights of dpa2's first blocks (repinit_variable, repinit_three_body_variable)",
    "repformer_variable": "Weights of dpa2's layers (repformers_variable)", "attention_pair": "Attention of dpa2's pairs",
    "attention_value": "Values of that attention", "attention_vector": "That attention on vectors",
    "attention_node": "Attention of dpa2's nodes", "identity": "What stands for a layer that is not needed",
    "compress": "Tables of a compressed model (compress)", "spin_model": "Spin models' outer object", "file": "The file (model.json)", "metadata": "metadata.json",
}
KINDS = {"INT": "integer", "DOUBLE": "number", "BOOL": "true or false", "STRING": "text", "VALUE": "part",
         "SAME": "must agree", "IGNORED": "without effect", "ONLY": "refused otherwise", "CLASS": "class",
         "TYPE": "text", "VARIABLE": "array"}
HEAD = """# Parameters

<!-- Written by tools/gen_params.py from csrc/net/params/*.def. -->

This page has every option that dgnn knows, as it stands in an archive. A model with an option that is not here is refused, and the
message names the option. *Part*: a list or an object that the code reads itself. *Without effect*: known, and no
evaluation depends on it. *Must agree*: repeats
what another member says, and is refused where it says another thing. *Refused otherwise*: models where it has another value are refused by name. The default
holds where an archive does not have the member.
"""


def default_of(row):
    if row.kind == "CLASS":
        name, lowest, highest, absent = row.rest.split(", ")
        return f"`{name}`, version {lowest} to {highest}, {absent} where none is said"
    if row.kind in ("IGNORED", "SAME", "TYPE", "VARIABLE"):
        return ""
    text = row.rest[:row.rest.rindex(f'"{row.meaning}"')].rstrip().rstrip(",")
    if row.kind == "BOOL":
        return "true" if text == "1" else "false"
    if row.kind == "VALUE":
        return "must be there" if text == "1" else ""
    if row.kind == "ONLY":
        return f"only `{json.loads(text)}`"
    return "must be there" if text == "DGNN_REQUIRED" else f"`{text}`"


def page():
    lines = [HEAD]
    tables = check_arguments.read_all_rows(ROOT / "csrc" / "net" / "params")
    order = [name for name in TITLES if name in tables] + sorted(set(tables) - set(TITLES))
    for name in order:
        lines += [f"## {TITLES.get(name, name)}", "", "| name | kind | default | meaning |", "|---|---|---|---|"]
        for option, row in tables[name]:
            meaning = "" if row.kind == "CLASS" else row.meaning.replace("|", "\\|")
            lines.append(f"| `{option}` | {KINDS[row.kind]} | {default_of(row)} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def main():
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            raise SystemExit("docs/parameters.md is not what the tables say; run: python tools/gen_params.py")
        return
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
