"""Nothing of deepmd-kit's options is neither evaluated nor refused by name.

usage: check_arguments.py [--tables DIR] [--cases DIR]... [--brief]

For every option of deepmd-kit's argument lists, and every key of the models that it writes (both from
tests/data/deepmd_arguments.json), one of these must hold:

    case      a row of a table in csrc/net/params/*.def, and a reference case where it is not at deepmd-kit's default
    refused   a row that names the only value that dgnn evaluates, or a class that dgnn refuses by its type
    training  a row that says "training only": without effect on an evaluation
    input     never in an archive; INPUT_ONLY says what becomes of it
    implied   a row that says what holds the same fact, which the loader compares
"""
import argparse
import collections
import json
import pathlib
import re
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROW = re.compile(r'DGNN_(INT|DOUBLE|BOOL|STRING|VALUE|SAME|IGNORED|ONLY|VARIABLE|CLASS)\((\w+),\s*(.*)\)\s*$')
TYPE_ROW = re.compile(r'DGNN_TYPE\("(.*)"\)\s*$')
TYPES = {"se_r": "se_e2_r", "se_t": "se_e3", "se_a": "se_e2_a", "linear_ener": "linear", "native_spin": "standard"}
PARTS = {"repflow_args": "repflow", "repinit_args": "repinit", "repformer_args": "repformer", "spin": "spin",
         "attention_layers": "attention_layer", "attention_layer": "gated_attention", "compress": "compress",
         **{name: name for name in ("env_mat", "repflow_variable", "repinit_variable", "repinit_three_body_variable",
                                    "repformers_variable")}}
# Groups of options -> the table that knows them. A group whose table is not there must be refused by its type.
TABLES = {
    "descriptor/dpa3": "dpa3", "repflow": "repflow", "RepFlowLayer": "repflow_layer",
    "descriptor/dpa2": "dpa2", "repinit": "repinit", "repformer": "repformer", "RepformerLayer": "repformer_layer",
    "descriptor/dpa1": "dpa1", "descriptor/se_atten_v2": "dpa1", "NeighborGatedAttention": "attention",
    "attention_layer": "attention_layer", "gated_attention": "attention_gated",
    "descriptor/se_e2_a": "se_a", "descriptor/se_e2_r": "se_r",
    "descriptor/se_e3": "se_t", "descriptor/se_e3_tebd": "se_t_tebd", "descriptor/hybrid": "hybrid",
    "fitting/ener": "fitting", "fitting/dipole": "fitting_dipole", "fitting/polar": "fitting_polar",
    "fitting/dos": "fitting_dos", "fitting/property": "fitting_property", "TypeEmbedNet": "typeembed", "type_embedding": "typeembed", "spin": "spin",
    "Layer": "layer", "LayerNorm": "norm", "EmbeddingNetwork": "network", "FittingNetwork": "network_fitting",
    "NetworkCollection": "collection", "Atten2Map": "attention_pair", "Atten2MultiHeadApply": "attention_value",
    "Atten2EquiVarApply": "attention_vector", "LocalAtten": "attention_node", "env_mat": "environment",
    "repflow_variable": "repflow_variable", "repinit_variable": "repinit_variable",
    "repinit_three_body_variable": "repinit_variable", "repformers_variable": "repformer_variable",
    "Identity": "identity", "file": "file", "metadata": "metadata",
    "model": "model", "model/standard": "model", "model/linear": "linear", "model/spin_ener": "spin_model",
    "model/zbl": "zbl", "model/pairtab": "pairtab", "PairTab": "pairtab_table", "compress": "compress",
}
NEEDS_TYPE = {"repinit": "descriptor/dpa2", "repformer": "descriptor/dpa2", "RepformerLayer": "descriptor/dpa2",
              "NeighborGatedAttention": "descriptor/dpa1", "attention_layer": "descriptor/dpa1",
              "gated_attention": "descriptor/dpa1",
              "spin": "model/spin_ener"}
TRAINING = "before or in training"
INPUT_ONLY = {
    "*": {"seed": "random numbers of the first weights", "sel": None},
    "descriptor/dpa3": {"repflow": "repflow_args in an archive"},
    "repflow": {"skip_stat": "an older name for fix_stat_std = 0.3"},
    "descriptor/dpa2": {"repinit": "repinit_args in an archive", "repformer": "repformer_args in an archive"},
    "descriptor/dpa1": {"stripped_type_embedding": "an older name for tebd_input_mode strip",
                        "lmax": "deepmd-kit's own TensorFlow code only"},
    "descriptor/se_atten_v2": {"lmax": "deepmd-kit's own TensorFlow code only"},
    "descriptor/se_e3_tebd": {"use_tebd_bias": "deepmd-kit does not write it: the type embedding's layers say it"},
    "spin": {"spin_norm": "spins of the old form, which no archive has",
             "virtual_len": "spins of the old form, which no archive has",
             "scheme": "native: another class of model, refused by its type", "allow_missing_label": TRAINING},
    "model": {
        "data_stat_nbatch": TRAINING, "data_bias_nsample": TRAINING, "data_stat_protect": TRAINING,
        "finetune_head": TRAINING, "type_embedding": "the descriptor's own in an archive",
        "use_srtab": "makes a model of type zbl, with a pairtab in it", "smin_alpha": "as use_srtab",
        "sw_rmin": "as use_srtab", "sw_rmax": "as use_srtab", "srtab_add_bias": "as use_srtab",
        "modifier": "deepmd-kit's own TensorFlow code only",
        "compress": "gives a descriptor the member compress",
        "spin": "makes a model of type spin_ener"},
    "model/standard": {"fitting_net": "fitting in an archive", "model_branch_alias": TRAINING,
                       "info": "a remark", "bridging_method": "adds a pair table to the model, refused by its type",
                       "bridging_r_inner": "as bridging_method", "bridging_r_outer": "as bridging_method"},
    "fitting/dipole": {"sel_type": "atom_exclude_types in an archive"},
    "fitting/polar": {"sel_type": "atom_exclude_types in an archive", "scale": "the array scale in an archive"},
    "fitting/dos": {"numb_dos": "dim_out in an archive"},
    "fitting/property": {"property_name": "var_name in an archive"},
    "model/linear": {"shared_dict": TRAINING},
}
def group_of(value, name):
    """Which options a dictionary of an archive holds; name: the member that it is. None: not options."""
    kind, type_ = value.get("@class"), value.get("type")
    type_ = TYPES.get(type_, type_)
    if type_ == "spin_ener":
        return "model/spin_ener"
    if kind in ("Descriptor", "Fitting", "Model"):
        return f"{kind.lower()}/{type_}"
    return PARTS.get(name) if kind is None else kind


def walk(value, name="model"):
    """(group, dictionary) of all that holds options in an archive's tree."""
    if isinstance(value, list):
        for item in value if not value or isinstance(value[0], (dict, list)) else ():
            yield from walk(item, name)
    elif isinstance(value, dict) and value.get("@class") != "np.ndarray":
        group = group_of(value, name)
        if group:
            yield group, value
        for key, part in value.items():
            yield from walk(part, key)


Row = collections.namedtuple("Row", "kind rest meaning")


def read_all_rows(folder):
    """table -> list of (name, row), of members, variables ("@variables.w"), class ("@class") and type."""
    tables = {}
    for path in sorted(folder.rglob("*.def")):
        rows = tables[path.stem] = []
        # The meaning may stand in a line of its own.
        for number, line in enumerate(re.sub(r",\n +", ", ", path.read_text()).splitlines(), 1):
            match, type_ = ROW.match(line), TYPE_ROW.match(line)
            if not match and not type_:
                raise SystemExit(f"{path}: row {number}: not a row of a table: {line}")
            kind, name, rest = match.groups() if match else ("TYPE", "type", "")
            words = re.findall(r"\"((?:[^\"\\]|\\.)*)\"", rest)
            if kind == "CLASS":
                rows.append(("@class", Row(kind, f"{name}, {rest}", name)))
            elif kind == "TYPE":
                rows.append((name, Row(kind, "", type_.group(1))))
            else:
                rows.append((("@variables." if kind == "VARIABLE" else "") + name, Row(kind, rest, words[-1])))
    return tables


def read_tables(folder):
    """table -> name -> row, of the members that are options or parts."""
    return {table: {name: row for name, row in rows if row.kind not in ("CLASS", "TYPE", "VARIABLE")}
            for table, rows in read_all_rows(folder).items()}


def read_cases(folders):
    """group -> option -> {value: name of a case}"""
    found = collections.defaultdict(lambda: collections.defaultdict(dict))
    for folder in folders:
        for path in sorted(folder.glob("*/model.pt2")):
            with zipfile.ZipFile(path) as archive:
                tree = json.loads(archive.read("model/extra/model.json"))["model"]
            for group, value in walk(tree):
                for key, option in value.items():
                    plain = not isinstance(option, dict) and len(str(option)) < 200
                    text = json.dumps(option) if plain else "present"
                    found[group][key].setdefault(text, path.parent.name)
    return found


def same(key, text, default):
    if key == "precision":
        return text.strip('"') in ("float64", "default", "double")
    value = json.loads(text) if text != "present" else text
    return value == default or (value in (None, []) and default in (None, []))


def find_case(values, key, argument):
    """A case that has the option at another value than the default; without a default: any."""
    for text, case in values.items():
        if argument is None or argument["required"] or not same(key, text, argument["default"]):
            return f"{case}: {text}"
    return None


def own_default(row):
    """What stands for deepmd-kit's default where a key is no argument: the default of the table's row."""
    text = row.rest.split(",")[0]
    if row.kind in ("IGNORED", "ONLY") or text == "DGNN_REQUIRED" or (row.kind == "VALUE" and text == "1"):
        return None
    value = None if row.kind == "VALUE" else bool(int(text)) if row.kind == "BOOL" else json.loads(text)
    return {"required": False, "default": value, "aliases": []}


class Check:
    def __init__(self, tables, cases, facts, source):
        self.tables, self.cases, self.facts, self.source = tables, cases, facts, source
        self.lines = []

    def verdict(self, group, key):
        """(state, remark); state None: neither evaluated nor refused."""
        argument = self.facts["arguments"].get(group, {}).get(key)
        table = self.tables.get(TABLES.get(group))
        row = table.get(key) if table else None
        inputs = {**INPUT_ONLY["*"], **INPUT_ONLY.get(group, {})}
        if key.startswith("@") or key == "type":
            return "implied", "read by the loader"
        if TABLES.get(group) and table is None:
            return "refused", f"by type: {NEEDS_TYPE.get(group, group)}"
        if key not in self.facts["keys"].get(group, ()) and inputs.get(key) and (row is None or row.kind == "IGNORED"):
            return "input", inputs[key]
        if row is None:
            return None, "no row in a table" if table else "no table"
        if row.kind == "SAME":
            return "implied", f"compared: {row.meaning}"
        if row.kind == "ONLY":
            return "refused", f"unless {row.rest.split(',')[0]}"
        if row.kind == "IGNORED" and row.meaning.startswith("training only"):
            return "training", row.meaning
        if "refused unless" in row.meaning:
            return "refused", row.meaning[row.meaning.index("refused unless"):]
        argument = argument or own_default(row)
        case = find_case(self.all_values(group, key), key, argument)
        return ("case", case) if case else (None, f"known, but no case has another value than {argument['default']!r}"
                                            if argument else "known, but in no case")

    def all_values(self, group, key):
        groups = ["model/standard", "model/linear"] if group == "model" else [group]
        if group == "type_embedding":
            groups = ["TypeEmbedNet"]
        if group.startswith("fitting/") and key in self.tables["fitting"]:
            groups = [group, "fitting/ener"]  # networks and their inputs are one code for all fittings
        return {text: case for name in groups for text, case in self.cases[name][key].items()}

    def run(self):
        for group in dict.fromkeys([*self.facts["arguments"], *self.facts["keys"]]):
            names = dict.fromkeys([*self.facts["arguments"].get(group, {}), *self.facts["keys"].get(group, ())])
            for key in names:
                self.lines.append((group, key, *self.verdict(group, key)))
        return [line for line in self.lines if line[2] is None]


def read_source(tables):
    return "".join(path.read_text() for folder in (tables, ROOT / "csrc" / "net", ROOT / "csrc" / "model")
                   for path in sorted(folder.rglob("*.*")))


def make_check(tables=None, cases=()):
    facts = json.loads((ROOT / "tests" / "data" / "deepmd_arguments.json").read_text())
    folders = [pathlib.Path(folder) for folder in cases] or [ROOT / "tests" / "data" / "cases"]
    tables = tables or ROOT / "csrc" / "net" / "params"
    return Check(read_tables(tables), read_cases(folders), facts, read_source(tables))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=pathlib.Path, help="folder of *.def and of sources that read them")
    parser.add_argument("--cases", action="append", default=[], help="folder of cases; may be repeated")
    parser.add_argument("--brief", action="store_true", help="only what fails, and the counts")
    arguments = parser.parse_args()
    check = make_check(arguments.tables, arguments.cases)
    bad = check.run()
    for group, key, state, remark in bad if arguments.brief else check.lines:
        print(f"{group:26} {key:26} {state or 'MISSING':9} {remark}")
    counts = collections.Counter(state or "MISSING" for _, _, state, _ in check.lines)
    print(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
