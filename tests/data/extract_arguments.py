"""Write deepmd_arguments.json: the names and defaults of deepmd-kit's options, and the keys of what its models write.

usage: extract_arguments.py > deepmd_arguments.json
Needs what make_cases.py needs. Facts only: no text of deepmd-kit's is taken. tools/check_arguments.py reads the file,
so that no deepmd-kit is needed to know that dgnn covers its options.
"""
import copy
import importlib.metadata
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import check_arguments
import make_cases
import numpy as np
from deepmd.dpmodel.model.model import get_model
from deepmd.utils import argcheck

ARGUMENTS = {
    "descriptor/dpa3": argcheck.descrpt_dpa3_args, "repflow": argcheck.dpa3_repflow_args,
    "descriptor/dpa2": argcheck.descrpt_dpa2_args, "repinit": argcheck.dpa2_repinit_args,
    "repformer": argcheck.dpa2_repformer_args,
    "descriptor/dpa1": argcheck.descrpt_se_atten_args, "descriptor/se_atten_v2": argcheck.descrpt_se_atten_v2_args,
    "descriptor/se_e2_a": argcheck.descrpt_se_a_args, "descriptor/se_e2_r": argcheck.descrpt_se_r_args,
    "descriptor/se_e3": argcheck.descrpt_se_t_args, "descriptor/se_e3_tebd": argcheck.descrpt_se_e3_tebd_args,
    "descriptor/hybrid": argcheck.descrpt_hybrid_args, "fitting/ener": argcheck.fitting_ener,
    "fitting/dipole": argcheck.fitting_dipole, "fitting/polar": argcheck.fitting_polar, "fitting/dos": argcheck.fitting_dos,
    "fitting/property": argcheck.fitting_property,
    "spin": argcheck.spin_args, "type_embedding": argcheck.type_embedding_args,
    "model": lambda: argcheck.model_args().sub_fields.values(),
    "model/standard": lambda: argcheck.standard_model_args().sub_fields.values(),
    "model/linear": lambda: argcheck.linear_ener_model_args().sub_fields.values(),
}
CONFIGURATIONS = ["dpa3_base", "dpa3_charge_spin", "dpa2_base", "dpa2_strip", "dpa1_attn2", "dpa1_strip", "se_e2_a",
                  "se_e2_r", "se_e3", "se_e3_tebd", "hybrid_local", "linear_dpa3_dpa1", "spin_dpa3", "spin_se_e2_a"]


def plain(value):
    try:
        json.dumps(value)
        return value
    except TypeError:
        return None


def arguments(make):
    return {a.name: {"required": not a.optional, "default": plain(a.default) if a.optional else None,
                     "aliases": list(a.alias or [])} for a in make()}


def collect(model, keys):
    tree = json.loads(json.dumps(model, default=lambda value: None if isinstance(value, np.ndarray) else str(value)))
    for group, value in check_arguments.walk(tree):
        keys.setdefault(group, set()).update(value)


def main():
    keys = {}
    for name in CONFIGURATIONS:
        collect(get_model(copy.deepcopy(make_cases.CASES[name])).serialize(), keys)
    v2 = make_cases.dpa1(attn_layer=0)
    v2["descriptor"]["type"] = "se_atten_v2"
    collect(get_model(v2).serialize(), keys)
    json.dump({"origin": f"deepmd-kit {importlib.metadata.version('deepmd-kit')}, by extract_arguments.py",
               "arguments": {group: arguments(make) for group, make in ARGUMENTS.items()},
               "keys": {group: sorted(names) for group, names in sorted(keys.items())}},
              sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
