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
    "dpa4c": "Descriptor dpa4c", "dpa4c_part": "The parts of dpa4c", "glu": "The network of a sezm_ener fitting",
    "fitting": "Energy fitting", "typeembed": "Type embedding",
}
KINDS = {"INT": "integer", "DOUBLE": "number", "BOOL": "true or false", "STRING": "text", "VALUE": "part",
         "IGNORED": "without effect", "ONLY": "refused otherwise"}
HEAD = """# Parameters

<!-- Written by tools/gen_params.py from csrc/net/params/*.def. -->

Every option that dgnn knows, as it stands in an archive. A model with an option that is not here is refused, and the
message names the option. *Part*: a list or an object that the code reads itself. *Without effect*: known, and no
evaluation depends on it. *Refused otherwise*: models where it has another value are refused by name. The default
holds where an archive does not have the member.
"""


def default_of(row):
    text = row.rest[:row.rest.rindex(f'"{row.meaning}"')].rstrip().rstrip(",")
    if row.kind == "BOOL":
        return "true" if text == "1" else "false"
    if row.kind == "VALUE":
        return "must be there" if text == "1" else ""
    if row.kind == "ONLY":
        return f"only `{json.loads(text)}`"
    if row.kind == "IGNORED":
        return ""
    return "must be there" if text == "DGNN_REQUIRED" else f"`{text}`"


def page():
    lines = [HEAD]
    tables = check_arguments.read_tables(ROOT / "csrc" / "net" / "params")
    order = [name for name in TITLES if name in tables] + sorted(set(tables) - set(TITLES))
    for name in order:
        lines += [f"## {TITLES.get(name, name)}", "", "| name | kind | default | meaning |", "|---|---|---|---|"]
        for option, row in tables[name].items():
            meaning = row.meaning.replace("|", "\\|")
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
