"""Models of published sizes, made from the six-layer one of tests/data/perf: its layers over and over, with other options.

usage: deep_models.py NAME OUT.dgnn

What takes time and memory is what these have in common with the published files: widths, numbers of layers, cutoffs, dynamic
selection, activation. Their weights are no published ones, and their numbers mean nothing.
"""

import copy
import json
import os
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests" / "data" / "perf" / "dpa3_L6_f32.pt2"
DYNAMIC = dict(e_sel=1200, a_sel=300, use_dynamic_sel=True, sel_reduce_factor=10.0)
# DPA-3.1-3M: 16 layers of 128, 64 and 32; DPA-3.2-5M: 24 of them. Of DPA-3.3-1M the name tells the size: six such layers.
MODELS = {"dpa31_3m": dict(nlayers=16, **DYNAMIC), "dpa32_5m": dict(nlayers=24, **DYNAMIC), "dpa33_1m": dict(nlayers=6, **DYNAMIC)}
ACTIVATION = "custom_silu:3.0"


def made(nlayers, **repflow):
    """(JSON, arrays) of such a model, as dgnn._core.load_tree takes them."""
    import dgnn

    text, arrays = dgnn.Model.load(SOURCE)._core.tree()
    tree, arrays = json.loads(text), list(arrays)
    descriptor, fitting = tree["model"]["descriptor"], tree["model"]["fitting"]
    variable = descriptor["repflow_variable"]
    descriptor["repflow_args"].update(nlayers=nlayers, **repflow)
    for part in (descriptor, fitting, *(net for net in fitting["nets"]["networks"])):
        part["activation_function"] = ACTIVATION
    for layer in [layer for net in fitting["nets"]["networks"] for layer in net["layers"][:-1]]:
        layer["activation_function"] = ACTIVATION
    layers = [copy.deepcopy(variable["repflow_layers"][k % len(variable["repflow_layers"])]) for k in range(nlayers)]
    for layer in layers:
        layer.update(repflow, e_sel=[repflow["e_sel"]], activation_function=ACTIVATION)
    variable["repflow_layers"] = layers
    for name in ("davg", "dstd"):  # the same numbers in each place of a neighbour
        place = variable["@variables"][name]["@index"]
        arrays[place] = np.repeat(arrays[place][:, :1], repflow["e_sel"], axis=1)
    return json.dumps(tree), arrays


def archive(name):
    """Path of the model's file, which is made where it is not there."""
    path = ROOT / "build" / "bench" / f"{name}.dgnn"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(name, path)
    return path


def write(name, path):
    from dgnn import _core, arguments, model

    text, arrays = made(**MODELS[name])
    unfinished = path.with_name(f"{path.stem}-{os.getpid()}.dgnn")
    options = arguments.load_options(None, 1, "cpu", "fast", None, None, None)
    model.Model(_core.load_tree(name, text, arrays, options)).save(unfinished)
    unfinished.rename(path)


if __name__ == "__main__":
    write(sys.argv[1], pathlib.Path(sys.argv[2]))
